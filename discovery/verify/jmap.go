package verify

import (
	"context"
	"net/http"
	"strings"

	"github.com/seed-94e48765/portico/discovery"
)

// jmapSession checks the way from /.well-known/jmap to the session (RFC 8620 section
// 2.2), and the session if it can be read.
func (v *verifier) jmapSession(ctx context.Context) {
	u := v.wellKnown(jmapName)
	elsewhere := func() string { return v.elsewhere(ctx, jmapName, get, defaultSessionPath) }
	a, redirects := v.entry(ctx, discovery.JMAPDocument, u, elsewhere)
	if redirects {
		v.found[discovery.JMAPDocument] = true
		if a = v.follow(ctx, discovery.JMAPDocument, a); a != nil {
			v.session(ctx, a)
		}
		return
	}
	if a.isRedirect() {
		v.found[discovery.JMAPDocument] = true // reported
		return
	}
	where := elsewhere()
	switch {
	case a.err == nil && a.status == http.StatusUnauthorized && where == "" && v.isCatchAll(ctx, a):
		v.answered(ctx, discovery.JMAPDocument, u, a)
	case a.err == nil && a.status == http.StatusUnauthorized, a.err == nil && a.status == http.StatusOK && !isHTML(a):
		v.session(ctx, a) // the session itself is there
	case a.err == nil && a.status == http.StatusOK && (where != "" || v.claimed[discovery.JMAPDocument] != ""):
		v.html(discovery.JMAPDocument, u, a, SeverityError)
	case v.isWebSite(ctx, a):
		v.unexpected(discovery.JMAPDocument, u)
	case a.err == nil && a.status == http.StatusOK:
		v.html(discovery.JMAPDocument, u, a, SeverityWarning)
	case v.isAbsent(ctx, a) && where != "":
		v.found[discovery.JMAPDocument] = true
		v.missing(discovery.JMAPDocument, u, "it does at "+where, MistakeWellKnown, SeverityError)
		a = v.ask(ctx, discovery.JMAPDocument, get(where))
		if a.isRedirect() {
			a = v.follow(ctx, discovery.JMAPDocument, a)
		}
		if a != nil {
			v.session(ctx, a)
		}
	case v.isAbsent(ctx, a):
		v.unexpected(discovery.JMAPDocument, u)
	default:
		v.answered(ctx, discovery.JMAPDocument, u, a)
	}
}

// elsewhere returns the URL below the base at which the server answers in place of a
// well-known location. An answer that unused paths get as well does not count.
func (v *verifier) elsewhere(ctx context.Context, name string, method func(string) fetch, path string) string {
	d := discovery.JMAPDocument
	if name != jmapName {
		d = discovery.DAVDocument
	}
	for _, l := range []struct{ url, unused string }{
		{v.appended(name), v.base.String() + unusedWellKnown},
		{v.base.MustJoin(path), v.base.MustJoin(unusedPath)},
	} {
		u := l.url
		if u == "" {
			continue
		}
		a := v.ask(ctx, d, method(u))
		isServer := a.err == nil && (a.status == http.StatusUnauthorized || a.status == http.StatusMultiStatus || a.isRedirect() && v.base.Contains(a.location()))
		if !isServer {
			continue
		}
		unused := v.ask(ctx, d, method(l.unused))
		if unused.err == nil && unused.status != a.status {
			return u
		}
	}
	return ""
}

// isCatchAll reports whether an unused path is answered with the same status.
func (v *verifier) isCatchAll(ctx context.Context, a *fetched) bool {
	unused := v.ask(ctx, discovery.JMAPDocument, get(v.base.Origin()+unusedWellKnown))
	return unused.err == nil && unused.status == a.status
}

// session checks the answer at the session's URL, and requests it again with the token.
func (v *verifier) session(ctx context.Context, a *fetched) {
	u := a.url
	if a.err == nil && a.status == http.StatusUnauthorized {
		v.found[discovery.JMAPDocument] = true
		v.challenge(ctx, discovery.JMAPDocument, a)
		v.cors(discovery.JMAPDocument, u, a)
		v.preflight(ctx, u)
		signedIn := fetch{method: http.MethodGet, url: u, token: true}
		if !v.fetcher.isSignedIn(signedIn) {
			return
		}
		if a = v.ask(ctx, discovery.JMAPDocument, signedIn); a.status == http.StatusUnauthorized {
			v.tokenRefused(discovery.JMAPDocument, u)
			return
		}
	}
	if a.isRedirect() {
		v.redirected(discovery.JMAPDocument, a, "200")
		return
	}
	o, state := v.decode(ctx, discovery.JMAPDocument, u, a)
	if state == absent {
		v.add(Finding{Document: discovery.JMAPDocument, URL: u, Rule: ruleEndpoint, Severity: SeverityError, Got: "404", Want: "the session, or 401", Hint: "the well-known location leads here, and nothing answers: route the path to the server, or make the server answer there"})
	}
	if state != there {
		return
	}
	v.cors(discovery.JMAPDocument, u, a)
	if !hasDirective(a.header.Values("Cache-Control"), "no-store") {
		v.add(Finding{Document: discovery.JMAPDocument, URL: u, Field: "Cache-Control", Rule: ruleSessionCache, Severity: SeverityWarning, Got: strings.Join(a.header.Values("Cache-Control"), ", "), Want: "no-cache, no-store, must-revalidate",
			Hint: "a cache may keep one user's session, and give it to another or after it has changed (RFC 8620 section 2): let the proxy pass on the field as the server sends it", Mistake: MistakeCache})
	}
	v.sessionURLs(ctx, u, o)
}

// preflight checks that a browser may send Authorization to the session.
func (v *verifier) preflight(ctx context.Context, u string) {
	a := v.ask(ctx, discovery.JMAPDocument, options(u))
	allowed := strings.Join(a.header.Values("Access-Control-Allow-Headers"), ",")
	if a.err == nil && a.status >= 200 && a.status < 300 && hasDirective([]string{allowed}, "authorization") {
		v.cors(discovery.JMAPDocument, u, a)
		return
	}
	got := allowed
	if a.status < 200 || a.status >= 300 {
		got = a.said() + " to OPTIONS"
	}
	v.add(Finding{Document: discovery.JMAPDocument, URL: u, Field: "Access-Control-Allow-Headers", Rule: ruleCORS, Severity: SeverityWarning, Got: got, Want: "Authorization", Mistake: MistakeCORS,
		Hint: `web applications of other origins cannot sign in: let OPTIONS pass to the server without a password; "*" does not cover Authorization`})
}

// sessionURLs checks the URLs of a session object (RFC 8620 section 2, RFC 8887
// section 3).
func (v *verifier) sessionURLs(ctx context.Context, at string, o object) {
	for _, t := range []struct {
		field     string
		variables []string
	}{
		{"apiUrl", nil},
		{"downloadUrl", []string{"accountId", "blobId", "name", "type"}},
		{"uploadUrl", []string{"accountId"}},
		{"eventSourceUrl", []string{"types", "closeafter", "ping"}},
	} {
		u, ok := o.text(t.field)
		if !ok && t.field == "eventSourceUrl" && o[t.field] == nil {
			continue // required by RFC 8620 section 2, though servers without push leave it out
		}
		if !ok {
			v.lacks(discovery.JMAPDocument, at, t.field, sessionClause)
			continue
		}
		kind := plainURL
		if t.variables != nil {
			kind = templateURL
			v.template(at, t.field, u, t.variables)
		}
		if v.published(ctx, discovery.JMAPDocument, at, t.field, u, kind) && kind == plainURL {
			v.poster(ctx, discovery.JMAPDocument, t.field, u, v.ask(ctx, discovery.JMAPDocument, fetch{method: http.MethodPost, url: u, token: true}))
		}
	}
	for _, name := range []string{"capabilities", "accounts", "primaryAccounts"} {
		if o.member(name) == nil {
			v.lacksKind(discovery.JMAPDocument, at, name, "object", sessionClause)
		}
	}
	for _, name := range []string{"username", "state"} {
		if _, ok := o.text(name); !ok {
			v.lacks(discovery.JMAPDocument, at, name, sessionClause)
		}
	}
	if capabilities := o.member("capabilities"); capabilities[webSocketCapability] != nil {
		u, ok := capabilities.member(webSocketCapability).text("url")
		if !ok {
			v.lacks(discovery.JMAPDocument, at, webSocketCapability, "RFC 8887 section 3")
			return
		}
		v.published(ctx, discovery.JMAPDocument, at, webSocketCapability, u, webSocketURL)
	}
}

func (v *verifier) template(at, field, u string, variables []string) {
	f := Finding{Document: discovery.JMAPDocument, URL: at, Field: field, Rule: ruleTemplate, Severity: SeverityError, Got: u}
	for _, name := range variables {
		if strings.Contains(u, "{"+name+"}") {
			continue
		}
		f.Want = "{" + name + "}"
		f.Hint = "clients replace the variables with values, and a variable is missing (RFC 8620 section 2)"
		if strings.Contains(strings.ToLower(u), "%7b"+strings.ToLower(name)) {
			f.Hint = "the braces of the template are escaped, so that clients find no variable: write the URL as text, not by a URL type, and let nothing rewrite it"
			f.Mistake = MistakeBody
		}
		v.add(f)
		return
	}
}

// hasDirective reports whether a list has a directive, whatever its case and parameters.
func hasDirective(lines []string, name string) bool {
	for _, line := range lines {
		for d := range strings.SplitSeq(line, ",") {
			d, _, _ = strings.Cut(d, "=")
			if strings.EqualFold(strings.TrimSpace(d), name) {
				return true
			}
		}
	}
	return false
}
