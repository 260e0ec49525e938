package verify

import (
	"context"
	"net/http"
	"strings"

	"github.com/seed-94e48765/portico/discovery"
)

// davRedirects checks /.well-known/caldav and /.well-known/carddav (RFC 6764 section
// 5): a redirect to the context path, for GET as for PROPFIND, or the collection
// itself.
func (v *verifier) davRedirects(ctx context.Context) {
	missing := true
	v.davRedirect(ctx, calDAVName, defaultCalendarPath, &missing)
	v.davRedirect(ctx, cardDAVName, defaultAddressBookPath, &missing)
	if missing {
		v.unexpected(discovery.DAVDocument, v.wellKnown(calDAVName))
	}
}

func (v *verifier) davRedirect(ctx context.Context, name string, path string, missing *bool) {
	u := v.wellKnown(name)
	elsewhere := func() string { return v.elsewhere(ctx, name, propfind, path) }
	a, redirects := v.entry(ctx, discovery.DAVDocument, u, elsewhere)
	switch {
	case redirects:
		*missing, v.found[discovery.DAVDocument] = false, true
		v.davContext(ctx, u, a)
	case a.isRedirect():
		*missing = false // it is reported
	case a.err != nil, (a.status >= 500 || a.status == http.StatusForbidden) && !v.isAbsent(ctx, a):
		*missing = false
		v.answered(ctx, discovery.DAVDocument, u, a)
	case a.status == http.StatusUnauthorized, a.status == http.StatusMultiStatus, a.status == http.StatusOK && !isHTML(a):
		*missing, v.found[discovery.DAVDocument] = false, true // the collection itself
	default: // nothing, 405, a page
		where := elsewhere()
		switch {
		case a.status == http.StatusOK && where != "":
			*missing = false
			v.html(discovery.DAVDocument, u, a, SeverityError)
		case v.isWebSite(ctx, a):
		case a.status == http.StatusOK:
			*missing = false
			v.html(discovery.DAVDocument, u, a, SeverityWarning)
		case where != "" && v.davRefuses(ctx, u):
			*missing, v.found[discovery.DAVDocument] = false, true
			v.missing(discovery.DAVDocument, u, "it does at "+where, MistakeWellKnown, SeverityError)
		}
	}
}

// davRefuses reports whether the location does not answer PROPFIND either. Some servers
// answer PROPFIND only.
func (v *verifier) davRefuses(ctx context.Context, u string) bool {
	a := v.ask(ctx, discovery.DAVDocument, propfind(u))
	return a.err == nil && !(a.isRedirect() && v.base.Contains(a.location())) && a.status != http.StatusUnauthorized && a.status != http.StatusMultiStatus
}

// davContext checks that PROPFIND is redirected like GET, and that a collection answers at
// the end.
func (v *verifier) davContext(ctx context.Context, u string, a *fetched) {
	to := a.location()
	p := v.ask(ctx, discovery.DAVDocument, propfind(u))
	f := Finding{Document: discovery.DAVDocument, URL: u, Rule: ruleMethod, Severity: SeverityError, Got: p.said(), Mistake: MistakeMethod,
		Want: "a redirect for PROPFIND too", Hint: "calendar and contact clients begin with PROPFIND: let the proxy pass on every method"}
	switch {
	case p.err != nil:
		v.answered(ctx, discovery.DAVDocument, u, p)
		return
	case p.status == http.StatusUnauthorized || p.status == http.StatusMultiStatus: // also at the collection itself
	case p.isRedirect() && v.base.Contains(p.location()):
		to = p.location()
	case p.isRedirect():
		v.redirected(discovery.DAVDocument, p, "a redirect below "+v.base.String())
		return
	default:
		v.add(f)
		return
	}
	p = v.ask(ctx, discovery.DAVDocument, propfind(to))
	f.URL, f.Got, f.Want = to, p.said(), "207 or 401"
	switch {
	case p.err != nil, p.status >= 500:
		v.answered(ctx, discovery.DAVDocument, to, p)
	case p.isRedirect() && p.location() == to+"/":
		v.add(Finding{Document: discovery.DAVDocument, URL: u, Rule: ruleRedirect, Severity: SeverityWarning, Got: to, Want: to + "/", Mistake: MistakeRedirect,
			Hint: "the redirect leads to the collection without its slash, and the server redirects again, which some clients do not follow for PROPFIND: redirect to the URL with the slash (RFC 4918 section 5.2)"})
	case p.isAbsent() && !strings.HasSuffix(to, "/") && isCollection(v.ask(ctx, discovery.DAVDocument, propfind(to+"/"))):
		f.URL, f.Got, f.Want = u, to, to+"/"
		f.Rule, f.Mistake = ruleRedirect, MistakeRedirect
		f.Hint = "the redirect leads to the collection without its slash, where nothing answers: redirect to the URL with the slash (RFC 4918 section 5.2)"
		v.add(f)
	case p.isAbsent():
		f.Rule, f.Mistake = ruleEndpoint, ""
		f.Hint = "the well-known location leads here, and nothing answers: route the path to the server, or make the server answer there"
		if v.base.Prefix() != "" {
			f.Mistake = MistakePrefix
		}
		v.add(f)
	case p.isRedirect() && (p.location() == to || !v.base.Contains(p.location())):
		v.redirected(discovery.DAVDocument, p, "207 or 401, or a redirect below "+v.base.String())
	case p.status == http.StatusOK && isHTML(p):
		v.html(discovery.DAVDocument, to, p, SeverityError)
	case p.status == http.StatusForbidden || p.status == http.StatusMethodNotAllowed || p.status == http.StatusNotImplemented:
		v.add(f)
	case isCollection(p):
		v.davOptions(ctx, to)
	}
}

func isCollection(a *fetched) bool {
	return a.err == nil && (a.status == http.StatusUnauthorized || a.status == http.StatusMultiStatus)
}

// davOptions checks that OPTIONS reaches the server. The DAV field of the answer describes
// the server to clients (RFC 4918 section 10.1). The request is not a browser's preflight.
func (v *verifier) davOptions(ctx context.Context, u string) {
	a := v.ask(ctx, discovery.DAVDocument, fetch{method: http.MethodOptions, url: u, plain: true})
	f := Finding{Document: discovery.DAVDocument, URL: u, Field: "DAV", Rule: ruleMethod, Severity: SeverityWarning, Got: a.said() + " to OPTIONS, without DAV", Want: "the field DAV, or 401"}
	switch {
	case a.err != nil:
		v.answered(ctx, discovery.DAVDocument, u, a)
		return
	case a.status >= 200 && a.status < 300 && a.header.Get("DAV") == "":
		f.Mistake = MistakeCORS
		f.Hint = "something on the way answers OPTIONS itself, such as a rule for CORS, and calendar and contact clients do not see what the server can do: let OPTIONS pass to the server"
	case a.status == http.StatusForbidden, a.status == http.StatusMethodNotAllowed, a.status == http.StatusNotImplemented:
		f.Mistake = MistakeMethod
		f.Hint = "calendar and contact clients begin with OPTIONS: let the proxy pass on every method"
	default:
		return
	}
	v.add(f)
}
