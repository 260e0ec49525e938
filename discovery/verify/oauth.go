package verify

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/seed-94e48765/portico/discovery"
)

// authorizationServer checks the metadata of RFC 8414 and OpenID Connect. A server may have
// either. If it has both, they must have the same issuer.
func (v *verifier) authorizationServer(ctx context.Context) {
	oauthURL, openIDURL := v.wellKnown(oauthName), v.wellKnown(openIDName)
	openID, openIDState := v.document(ctx, discovery.OpenIDDocument, openIDURL)
	oauth, oauthState := v.documentIf(ctx, discovery.OAuthDocument, oauthURL, func() bool {
		why, _ := v.oauthElsewhere(ctx, openIDState)
		return why != "" || v.claimed[discovery.OAuthDocument] != ""
	})
	if oauthState == there {
		v.metadata(ctx, discovery.OAuthDocument, oauthURL, oauth)
	}
	if openIDState == there {
		v.metadata(ctx, discovery.OpenIDDocument, openIDURL, openID)
	}
	if oauthState == absent {
		switch why, sure := v.oauthElsewhere(ctx, openIDState); {
		case sure:
			v.missing(discovery.OAuthDocument, oauthURL, why, MistakeWellKnown, SeverityError)
		case why != "":
			v.missing(discovery.OAuthDocument, oauthURL, why, MistakeWellKnown, SeverityWarning)
		case openIDState == absent || v.settings.expected[discovery.OAuthDocument]: // else the issuer is found by OpenID's
			v.unexpected(discovery.OAuthDocument, oauthURL)
		}
	}
	if openIDState == absent {
		if slices.Contains(oauth.list("scopes_supported"), "openid") {
			v.claimed[discovery.OpenIDDocument] = oauthURL
		}
		v.unexpected(discovery.OpenIDDocument, openIDURL)
	}
}

// oauthElsewhere returns the reason why a base with a path should have the metadata at its
// origin: the proxy routes the metadata below the path. If only the OpenID document is there,
// the conclusion is likely and not sure.
func (v *verifier) oauthElsewhere(ctx context.Context, openIDState found) (why string, sure bool) {
	alias := v.appended(oauthName)
	if alias == "" {
		return "", false
	}
	a := v.ask(ctx, discovery.OAuthDocument, get(alias))
	var o object
	if a.status == http.StatusOK && json.Unmarshal(a.body, &o) == nil {
		if _, ok := o.text("issuer"); ok {
			v.found[discovery.OAuthDocument] = true
			return "it does at " + alias, true
		}
	}
	if openIDState == there {
		return "it has OpenID's document below the base, and clients of OAuth look here", false
	}
	return "", false
}

// metadata checks the members of a document of the authorization server, and requests the
// endpoints that are below the base.
func (v *verifier) metadata(ctx context.Context, d discovery.Document, at string, o object) {
	issuer, ok := o.text("issuer")
	if !ok {
		v.lacks(d, at, "issuer", metadataClause)
	} else {
		v.issuer(ctx, d, at, "issuer", issuer)
	}
	v.requiredMembers(d, at, o)
	v.listMembers(d, at, o, metadataClause)
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(o)), func(name string) bool { return !isEndpoint(name) })
	var ours []string
	for _, name := range names[:min(len(names), maxMembers)] {
		u, ok := o.text(name)
		if !ok {
			v.add(Finding{Document: d, URL: at, Field: name, Rule: ruleMalformed, Severity: SeverityError, Got: v.snippet(o[name]), Want: "a URL", Hint: "the member must be a string: leave it out if there is no such endpoint"})
			continue
		}
		if v.published(ctx, d, at, name, u, plainURL) {
			ours = append(ours, name)
		}
	}
	// The endpoints that clients need most are first, because the number of requests is limited.
	slices.SortStableFunc(ours, func(a, b string) int { return slices.Index(firstEndpoints, b) - slices.Index(firstEndpoints, a) })
	for _, name := range ours {
		u, _ := o.text(name)
		v.endpoint(ctx, d, name, u)
	}
}

var firstEndpoints = []string{"userinfo_endpoint", "authorization_endpoint", "token_endpoint", "jwks_uri"}

// isEndpoint reports whether a member is a URL of the authorization server itself.
// mtls_endpoint_aliases (RFC 8705) may be at another host.
func isEndpoint(name string) bool {
	return strings.HasSuffix(name, "_endpoint") && len(name) < 64 || name == "jwks_uri" || name == "check_session_iframe"
}

// maxEndpoints limits the requests that a document can cause. About ten are usual.
const maxEndpoints = 30

// endpoint requests a published URL without parameters.
func (v *verifier) endpoint(ctx context.Context, d discovery.Document, name, u string) {
	if v.requested[name+" "+u] || len(v.requested) == maxEndpoints {
		return
	}
	v.requested[name+" "+u] = true
	switch name {
	case "jwks_uri":
		v.keys(ctx, d, u)
	case "userinfo_endpoint":
		v.userinfo(ctx, d, u)
	case "authorization_endpoint", "end_session_endpoint", "check_session_iframe":
		v.page(ctx, d, name, u)
	case "token_endpoint", "device_authorization_endpoint", "introspection_endpoint", "revocation_endpoint", "registration_endpoint", "pushed_authorization_request_endpoint", "backchannel_authentication_endpoint":
		// An empty POST is an error of every one of them (RFC 6749 section 3.2), and
		// changes nothing.
		v.poster(ctx, d, name, u, v.ask(ctx, d, postEmpty(u)))
	default: // the method is not known
		v.checkEndpoint(ctx, d, name, u, v.ask(ctx, d, postEmpty(u)))
	}
}

// page checks a page for browsers. It may redirect, also to another host where people sign in,
// and must not redirect to a URL that has lost its path or port on the way.
func (v *verifier) page(ctx context.Context, d discovery.Document, name, u string) {
	a := v.ask(ctx, d, get(u))
	if a.err == errTooLarge {
		return // programs do not read it
	}
	if a.status == http.StatusMethodNotAllowed {
		v.add(Finding{Document: d, URL: u, Field: name, Rule: ruleEndpoint, Severity: SeverityError, Got: a.said(), Want: "a page",
			Hint: "a browser comes here with GET: something else answers, or the method is blocked; route the URL to the server"})
		return
	}
	if !v.checkEndpoint(ctx, d, name, u, a) || !a.isRedirect() {
		return
	}
	to := a.location()
	switch {
	case to == u, v.isHTTPForHTTPS(to), v.isMistakenHost(to):
	case v.base.Contains(to):
		return
	case v.base.SameOrigin(to): // a sign-in outside of the base, or a path that was lost
		if there := v.ask(ctx, d, get(to)); there.err == errTooLarge || there.err == nil && !there.isAbsent() && there.status < 500 {
			return
		}
	default:
		return
	}
	v.redirected(d, a, "a redirect below "+v.base.String())
}

// userinfo requests the endpoint with the token, if there is one.
func (v *verifier) userinfo(ctx context.Context, d discovery.Document, u string) {
	a := v.ask(ctx, d, get(u))
	if !v.checkEndpoint(ctx, d, "userinfo_endpoint", u, a) {
		return
	}
	if a.isRedirect() {
		v.redirected(d, a, "401: clients do not send a token along a redirect")
		return
	}
	isPage := isHTML(a) && !(a.status == http.StatusUnauthorized && hasChallenge(a, "Bearer")) // whose body RFC 6750 leaves open
	if a.status == http.StatusOK && isPage {
		v.html(d, u, a, SeverityError)
		return
	}
	if isPage || !isProgramAnswer("userinfo_endpoint", a) {
		v.notTheEndpoint(ctx, d, "userinfo_endpoint", u, http.MethodGet, a)
		return
	}
	v.endpointCORS(d, u, a)
	if a.status != http.StatusUnauthorized || v.settings.Bearer == "" {
		return
	}
	if a = v.ask(ctx, d, fetch{method: http.MethodGet, url: u, token: true}); a.status == http.StatusUnauthorized {
		v.tokenRefused(d, u)
	}
}

func (v *verifier) tokenRefused(d discovery.Document, u string) {
	v.add(Finding{Document: d, URL: u, Rule: ruleToken, Severity: SeverityWarning, Got: "401", Want: "an answer for the token", Mistake: MistakeAuthorization,
		Hint: "the token is not valid here, or the proxy removes Authorization: request the URL from the server itself"})
}

// keys checks a JWK Set (RFC 7517 section 5).
func (v *verifier) keys(ctx context.Context, d discovery.Document, u string) {
	a := v.ask(ctx, d, get(u))
	if !v.checkEndpoint(ctx, d, "jwks_uri", u, a) {
		return
	}
	if a.isRedirect() {
		v.redirected(d, a, "200")
		return
	}
	if v.answered(ctx, d, u, a) != there {
		return
	}
	v.compare(d, u, true)
	// The names of an object are case-sensitive: clients do not accept "KEYS".
	var set object
	var keys []object
	f := Finding{Document: d, URL: u, Field: "jwks_uri", Rule: ruleEndpoint, Severity: SeverityError, Got: v.snippet(a.body), Want: `a JWK Set: {"keys":[…]}`, Hint: "something else answers here: clients cannot verify ID tokens; route the URL to the server"}
	switch {
	case json.Unmarshal(a.body, &set) != nil, json.Unmarshal(set["keys"], &keys) != nil, keys == nil:
		v.add(f)
	case slices.ContainsFunc(keys[:min(len(keys), maxMembers)], func(key object) bool { _, ok := key.text("kty"); return !ok }):
		f.Hint = "a key must have a kty (RFC 7517 section 4.1): see the program that makes the document"
		v.add(f)
	case len(keys) == 0 && v.found[discovery.OpenIDDocument]:
		f.Hint = "there is no key: clients cannot verify ID tokens"
		v.add(f)
	}
}

// apiDiscover checks the document of the server's own web application, if there is one.
func (v *verifier) apiDiscover(ctx context.Context) {
	u := v.base.MustJoin(webUIPath)
	a := v.ask(ctx, discovery.WebUIDocument, get(u))
	var o object
	if a.status == http.StatusOK && json.Unmarshal(a.body, &o) == nil {
		if issuer, ok := o.text("issuer"); ok {
			v.found[discovery.WebUIDocument] = true
			v.compare(discovery.WebUIDocument, u, false)
			if v.isForeign(issuer) && !slices.ContainsFunc(slices.Collect(maps.Keys(o)), isEndpoint) {
				return // the web application finds the rest at that issuer
			}
			v.metadata(ctx, discovery.WebUIDocument, u, o)
			return
		}
	}
	if !v.settings.expected[discovery.WebUIDocument] {
		return // other servers do not have the document, or have something else there
	}
	if o, state := v.document(ctx, discovery.WebUIDocument, u); state == there {
		v.metadata(ctx, discovery.WebUIDocument, u, o)
	} else if state == absent {
		v.unexpected(discovery.WebUIDocument, u)
	}
}
