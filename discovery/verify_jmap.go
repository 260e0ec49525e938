package discovery

import (
	"context"
	"net/http"
	"strings"

	"github.com/seed-94e48765/portico/publicurl"
)

// jmapSession checks the way from /.well-known/jmap to the session (RFC 8620 section
// 2.2), and the session if it can be had.
func (v *verifier) jmapSession(ctx context.Context) {
	u := v.wellKnown(publicurl.JMAP)
	elsewhere := func() string { return v.elsewhere(ctx, publicurl.JMAP, get, defaultSessionPath) }
	a, redirects := v.entry(ctx, JMAPDocument, u, elsewhere)
	if redirects {
		v.found[JMAPDocument] = true
		if a = v.follow(ctx, JMAPDocument, a); a != nil {
			v.session(ctx, a)
		}
		return
	}
	if a.isRedirect() {
		v.found[JMAPDocument] = true // reported
		return
	}
	where := elsewhere()
	switch {
	case a.err == nil && a.status == http.StatusUnauthorized && where == "" && v.isCatchAll(ctx, a):
		v.answered(ctx, JMAPDocument, u, a)
	case a.err == nil && a.status == http.StatusUnauthorized, a.err == nil && a.status == http.StatusOK && !isHTML(a):
		v.session(ctx, a) // the session itself is there
	case a.err == nil && a.status == http.StatusOK && (where != "" || v.claimed[JMAPDocument] != ""):
		v.html(JMAPDocument, u, a, SeverityError)
	case v.isWebSite(ctx, a):
		v.unexpected(JMAPDocument, u)
	case a.err == nil && a.status == http.StatusOK:
		v.html(JMAPDocument, u, a, SeverityWarning)
	case v.isAbsent(ctx, a) && where != "":
		v.found[JMAPDocument] = true
		v.missing(JMAPDocument, u, "it does at "+where, MistakeWellKnown, SeverityError)
		a = v.ask(ctx, JMAPDocument, get(where))
		if a.isRedirect() {
			a = v.follow(ctx, JMAPDocument, a)
		}
		if a != nil {
			v.session(ctx, a)
		}
	case v.isAbsent(ctx, a):
		v.unexpected(JMAPDocument, u)
	default:
		v.answered(ctx, JMAPDocument, u, a)
	}
}

// elsewhere returns where below the base something answers as only the server does
// that has what a well-known location leads to. If it answers the same to what
// nobody has, that means nothing.
func (v *verifier) elsewhere(ctx context.Context, name publicurl.Name, method func(string) fetch, path string) string {
	d := JMAPDocument
	if name != publicurl.JMAP {
		d = DAVDocument
	}
	for _, l := range []struct{ url, nobody string }{
		{v.appended(name), v.base.String() + nobodysWellKnown},
		{v.base.MustJoin(path), v.base.MustJoin(nobodysPath)},
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
		nobody := v.ask(ctx, d, method(l.nobody))
		if nobody.err == nil && nobody.status != a.status {
			return u
		}
	}
	return ""
}

// isCatchAll reports whether what nobody has is answered by the same status.
func (v *verifier) isCatchAll(ctx context.Context, a *fetched) bool {
	nobody := v.ask(ctx, JMAPDocument, get(v.base.Origin()+nobodysWellKnown))
	return nobody.err == nil && nobody.status == a.status
}

// session judges the answer at the session's URL, and asks again with the token.
func (v *verifier) session(ctx context.Context, a *fetched) {
	u := a.url
	if a.err == nil && a.status == http.StatusUnauthorized {
		v.found[JMAPDocument] = true
		v.challenge(ctx, JMAPDocument, a)
		v.cors(JMAPDocument, u, a)
		v.preflight(ctx, u)
		signedIn := fetch{method: http.MethodGet, url: u, token: true}
		if !v.fetcher.isSignedIn(signedIn) {
			return
		}
		if a = v.ask(ctx, JMAPDocument, signedIn); a.status == http.StatusUnauthorized {
			v.tokenRefused(JMAPDocument, u)
			return
		}
	}
	if a.isRedirect() {
		v.redirected(JMAPDocument, a, "200")
		return
	}
	o, state := v.decode(ctx, JMAPDocument, u, a)
	if state == absent {
		v.add(Finding{Document: JMAPDocument, URL: u, Rule: RuleEndpoint, Severity: SeverityError, Got: "404", Want: "the session, or 401", Hint: "the well-known location leads here, and nothing answers: route the path to the server"})
	}
	if state != there {
		return
	}
	v.cors(JMAPDocument, u, a)
	if !hasDirective(a.header.Values("Cache-Control"), "no-store") {
		v.add(Finding{Document: JMAPDocument, URL: u, Field: "Cache-Control", Rule: RuleSessionCache, Severity: SeverityWarning, Got: strings.Join(a.header.Values("Cache-Control"), ", "), Want: sessionCache[0],
			Hint: "a cache may keep one user's session, and give it to another or after it has changed (RFC 8620 section 2): let the proxy pass on the field as the server sends it", Mistake: MistakeCache})
	}
	v.sessionURLs(ctx, u, o)
}

// preflight checks that a browser may send Authorization to the session.
func (v *verifier) preflight(ctx context.Context, u string) {
	a := v.ask(ctx, JMAPDocument, options(u))
	allowed := strings.Join(a.header.Values("Access-Control-Allow-Headers"), ",")
	if a.err == nil && a.status >= 200 && a.status < 300 && hasDirective([]string{allowed}, "authorization") {
		v.cors(JMAPDocument, u, a)
		return
	}
	got := allowed
	if a.status < 200 || a.status >= 300 {
		got = a.said() + " to OPTIONS"
	}
	v.add(Finding{Document: JMAPDocument, URL: u, Field: "Access-Control-Allow-Headers", Rule: RuleCORS, Severity: SeverityWarning, Got: got, Want: "Authorization", Mistake: MistakeCORS,
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
		if !ok {
			v.lacks(JMAPDocument, at, t.field, sessionClause)
			continue
		}
		kind := plainURL
		if t.variables != nil {
			kind = templateURL
			v.template(at, t.field, u, t.variables)
		}
		if v.published(ctx, JMAPDocument, at, t.field, u, kind) && kind == plainURL {
			v.poster(ctx, JMAPDocument, t.field, u, v.ask(ctx, JMAPDocument, fetch{method: http.MethodPost, url: u, token: true}))
		}
	}
	if capabilities := o.member("capabilities"); capabilities[webSocketCapability] != nil {
		u, ok := capabilities.member(webSocketCapability).text("url")
		if !ok {
			v.lacks(JMAPDocument, at, webSocketCapability, "RFC 8887 section 3")
			return
		}
		v.published(ctx, JMAPDocument, at, webSocketCapability, u, webSocketURL)
	}
}

func (v *verifier) template(at, field, u string, variables []string) {
	f := Finding{Document: JMAPDocument, URL: at, Field: field, Rule: RuleTemplate, Severity: SeverityError, Got: u}
	for _, name := range variables {
		if strings.Contains(u, "{"+name+"}") {
			continue
		}
		f.Want = "{" + name + "}"
		f.Hint = "clients put their values where the variables are, and one is missing (RFC 8620 section 2)"
		if strings.Contains(strings.ToLower(u), "%7b"+strings.ToLower(name)) {
			f.Hint = "the braces of the template are escaped, so that clients find no variable: write the URL as text, not by a URL type, and let nothing rewrite it"
			f.Mistake = MistakeBody
		}
		v.add(f)
		return
	}
}

// hasDirective reports whether a list has a member, whatever its case and parameters.
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
