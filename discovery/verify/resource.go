package verify

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/seed-94e48765/portico/discovery"
)

// baseResource checks the protected-resource metadata of the base itself (RFC 9728).
func (v *verifier) baseResource(ctx context.Context) {
	u, alias := v.wellKnown(resourceName), v.appended(resourceName)
	elsewhere := func() bool {
		if alias == "" {
			return false
		}
		a := v.ask(ctx, discovery.BaseResource, get(alias))
		var o object
		return a.status == http.StatusOK && json.Unmarshal(a.body, &o) == nil && o["resource"] != nil
	}
	o, state := v.documentIf(ctx, discovery.BaseResource, u, elsewhere)
	switch state {
	case there:
		v.resource(ctx, discovery.BaseResource, u, o, v.base.String())
	case absent:
		if elsewhere() {
			v.missing(discovery.BaseResource, u, "it does at "+alias, MistakeWellKnown, SeverityError)
			return
		}
		v.unexpected(discovery.BaseResource, u)
	}
}

// resource checks the metadata of a protected resource, whose identifier must be
// what the client asked for (RFC 9728 section 3.3).
func (v *verifier) resource(ctx context.Context, d discovery.Document, at string, o object, want string) {
	got, ok := o.text("resource")
	switch {
	case !ok:
		v.lacks(d, at, "resource", resourceClause)
	case got == want:
	case isRelativeReference(got):
		v.relative(ctx, d, at, "resource", got)
	default:
		f := Finding{Document: d, URL: at, Field: "resource", Rule: ruleResource, Severity: SeverityError, Got: got, Want: want, Mistake: MistakePublicURL,
			Hint: "clients refuse metadata whose resource differs in any character from the URL that they requested: "}
		switch {
		case strings.TrimRight(got, "/") == strings.TrimRight(want, "/"):
			f.Hint += "add or remove the slash at the end"
		case v.base.Contains(got):
			f.Hint += "publish a document for each resource, and name each document in the challenge of its own resource only"
			f.Mistake = ""
		default:
			f.Hint += v.differs(got)
		}
		v.add(f)
	}
	v.listMembers(d, at, o, resourceClause)
	issuers := o.list("authorization_servers")
	if issuers == nil && o["authorization_servers"] != nil {
		v.add(Finding{Document: d, URL: at, Field: "authorization_servers", Rule: ruleMalformed, Severity: SeverityError, Got: v.snippet(o["authorization_servers"]), Want: "a list of issuers",
			Hint: "clients find no authorization server: the member is a list of strings (RFC 9728 section 2)"})
	}
	v.authorizationServers(ctx, d, at, issuers)
}

// isForeign reports whether an issuer can be another server, at any host. An issuer at the
// host of the base that is not the base is a mistake, unless another server is at that host.
func (v *verifier) isForeign(issuer string) bool {
	return issuer != v.ownIssuer && !isRelativeReference(issuer) && !v.isHTTPForHTTPS(issuer) && !v.isMisspelt(issuer)
}

// isMistakenHost reports whether a URL is at the host of the base but another port,
// or at a host of the proxy's side.
func (v *verifier) isMistakenHost(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (strings.EqualFold(u.Hostname(), v.base.Hostname()) && !v.base.SameOrigin(s) || isInternal(u.Hostname()) && !isInternal(v.base.Hostname()))
}

// isMisspelt reports whether a URL differs from the base in port, case or slash only.
func (v *verifier) isMisspelt(s string) bool {
	u, err := url.Parse(s)
	return v.isMistakenHost(s) || err == nil && v.base.SameOrigin(s) && strings.EqualFold(strings.TrimRight(u.Path, "/"), v.base.Prefix())
}

// challenge checks the 401 answer of a resource, and the metadata that its challenge names.
func (v *verifier) challenge(ctx context.Context, d discovery.Document, a *fetched) {
	lines := a.header.Values("WWW-Authenticate")
	f := Finding{Document: d, URL: a.url, Field: "WWW-Authenticate", Rule: ruleChallenge, Severity: SeverityError, Got: strings.Join(lines, ", ")}
	if len(lines) == 0 {
		f.Want, f.Hint, f.Mistake = "a challenge", "a 401 answer must have one (RFC 9110 section 11.6.1), and clients find the authorization server by it: let the proxy pass it on", MistakeAuthorization
		v.add(f)
		return
	}
	named, ok := challengeParameter(lines, "resource_metadata")
	if !ok {
		return // RFC 9728 is not for every server
	}
	want, below := metadataURL(v.base, a.url)
	if !below { // it is /.well-known/jmap
		want = v.wellKnown(resourceName)
	}
	f.Field, f.Got, f.Want = "resource_metadata", named, want
	switch {
	case isRelativeReference(named):
		f.Rule, f.Mistake = ruleRelative, MistakePublicURL
		f.Hint = "the server has no public URL yet: end the set-up, and set its public URL to " + v.base.String()
	case v.isHTTPForHTTPS(named):
		f.Rule, f.Mistake = ruleHTTP, MistakePublicURL
		f.Hint = "the server takes the connection from the proxy for the client's: set its public URL, or let the proxy tell it the scheme"
	case !v.base.SameOrigin(named):
		f.Mistake = MistakePublicURL
		f.Hint = v.differs(named)
	default:
		v.challenged(ctx, d, a.url, named)
		return
	}
	v.add(f)
}

// challenged checks the metadata that a challenge names.
func (v *verifier) challenged(ctx context.Context, d discovery.Document, resource, u string) {
	document := discovery.BaseResource
	if resource != v.base.String() {
		document = discovery.ResourceDocument(strings.TrimPrefix(resource, v.base.String()))
	}
	o, state := v.document(ctx, document, u)
	switch state {
	case there:
		v.resource(ctx, document, u, o, resource)
	case absent:
		mistake := MistakeWellKnown
		if v.base.Contains(u) {
			mistake = MistakePrefix
		}
		v.missing(document, u, "the challenge of "+resource+" names it", mistake, SeverityError)
	}
}

// challengeParameter finds a parameter in WWW-Authenticate lines (RFC 9110 section
// 11.2). A name within a quoted string does not count.
func challengeParameter(lines []string, name string) (string, bool) {
	for _, s := range lines {
		for s != "" {
			if s[0] == '"' {
				_, s = unquote(s)
				continue
			}
			n := strings.IndexAny(s, "\" ,=")
			if n < 0 {
				break
			}
			word := s[:n]
			s = s[n:]
			next := strings.TrimLeft(s, " \t")
			value, ok := strings.CutPrefix(next, "=")
			if !ok || !strings.EqualFold(word, name) {
				switch {
				case len(next) < len(s): // all blanks at once, because a line may consist of them
					s = next
				case s[0] != '"':
					s = s[1:]
				}
				continue
			}
			value = strings.TrimLeft(value, " \t")
			if strings.HasPrefix(value, `"`) {
				text, _ := unquote(value)
				return text, true
			}
			value, _, _ = strings.Cut(value, ",")
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}

// unquote reads a quoted-string (RFC 9110 section 5.6.4), and returns what follows.
func unquote(s string) (text, rest string) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:]
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}
