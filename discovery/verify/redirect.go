package verify

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/seed-94e48765/portico/discovery"
)

const maxRedirects = 5

// follow follows redirects within the origin of the base. It returns nil if they leave the
// origin, and reports that.
func (v *verifier) follow(ctx context.Context, d discovery.Document, a *fetched) *fetched {
	seen := map[string]bool{a.url: true}
	for range maxRedirects {
		to := a.location()
		if !v.base.SameOrigin(to) {
			v.redirected(d, a, "a redirect below "+v.base.String())
			return nil
		}
		if seen[to] {
			break
		}
		// Of the first the caller knows where it may lead.
		if len(seen) > 1 && v.base.Contains(a.url) && v.losesPrefix(a.url, to) {
			v.redirected(d, a, "a redirect below "+v.base.String())
			return nil
		}
		seen[to] = true
		if a = v.ask(ctx, d, get(to)); !a.isRedirect() {
			return a
		}
	}
	v.add(Finding{Document: d, URL: a.url, Rule: ruleRedirect, Severity: SeverityError, Got: a.header.Get("Location"), Want: "an end of the redirects", Mistake: MistakeRedirect,
		Hint: "redirects go in a circle: often the proxy strips the path of the base, and the server redirects to add it again"})
	return nil
}

// redirected reports what is wrong with a redirect. A redirect that stays below the base is
// reported too, because only the caller knows whether it is permitted.
func (v *verifier) redirected(d discovery.Document, a *fetched, want string) {
	f := Finding{Document: d, URL: a.url, Got: a.header.Get("Location"), Want: want, Severity: SeverityError, Mistake: MistakeRedirect}
	to := a.location()
	u, err := url.Parse(to)
	mistake, hint := v.isFront(a)
	switch {
	case mistake != "":
		f.Rule, f.Mistake, f.Hint = ruleRedirect, mistake, hint
	case err != nil || u.Host == "":
		f.Rule, f.Hint = ruleRedirect, "the Location is not a URL"
	case v.base.SameOrigin(to) && v.losesPrefix(a.url, to):
		f.Rule = ruleRedirectPrefix
		f.Hint = "the server redirects as if it were not mounted on " + orDefault(v.base.Prefix(), "/") + ": set its public URL, or let the proxy put the path back into Location"
	case v.base.SameOrigin(to):
		f.Rule = ruleRedirect
		f.Hint = "clients do not follow redirects here: answer at this URL, and route it without adding or removing a slash"
	case v.isHTTPForHTTPS(to) && (u.Port() == "" || u.Port() == v.basePort()):
		f.Rule = ruleHTTP
		f.Hint = "the redirect leads to http: the server takes the connection from the proxy for the client's; set its public URL, or let the proxy send it the scheme"
	case strings.EqualFold(u.Hostname(), v.base.Hostname()):
		f.Rule = ruleRedirectPort
		f.Hint = "the redirect leads to another port, where clients may reach nothing: the proxy or the server leaves the port out, or puts in its own"
	default:
		f.Rule = ruleRedirectOrigin
		f.Hint = "the redirect leads to another host, where no client may send its credentials: see whether the proxy or the server makes it"
		if isInternal(u.Hostname()) {
			f.Hint = "the redirect leads to a host on the proxy's side: the server makes it from the Host field or its own socket; set its public URL"
		}
	}
	v.add(f)
}

// losesPrefix reports whether a redirect leaves the base. For a well-known location that ends
// with the base's path, it reports whether the redirect omits that path.
func (v *verifier) losesPrefix(from, to string) bool {
	prefix := v.base.Prefix()
	if prefix == "" || v.base.Contains(to) {
		return false
	}
	return v.base.Contains(from) || !strings.HasSuffix(strings.TrimRight(to, "/"), prefix)
}

// entry requests a well-known location that leads to a URL below the base: those of JMAP and
// DAV. It returns the location's answer, or 404 if the answer is that of a web site or of
// another program at the same origin, and reports whether the answer redirects below the base.
// elsewhere returns the URL below the base at which the server answers, or "".
func (v *verifier) entry(ctx context.Context, d discovery.Document, u string, elsewhere func() string) (a *fetched, redirects bool) {
	a = v.ask(ctx, d, get(u))
	if !a.isRedirect() {
		return a, false
	}
	if to := a.location(); !v.base.Contains(to) {
		others := v.base.SameOrigin(to) && v.losesPrefix(u, to) && v.claimed[d] == "" && !v.settings.expected[d] && elsewhere() == ""
		if others || v.isWebSite(ctx, a) {
			return &fetched{url: u, status: http.StatusNotFound, header: http.Header{}}, false
		}
		v.redirected(d, a, "a redirect below "+v.base.String())
		return a, false
	}
	return a, true
}
