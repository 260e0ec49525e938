// Copy under, which makes the page reachable while the public URL is not set or wrong. Every link
// of the page is relative for the same reason. No changes are needed.

package main

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/webauth"
)

// adminPath is the path of the page below the base. Without a public URL the page is also found
// below every other path.
const adminPath = "/admin"

// under returns a handler that serves the page and passes other requests to next.
//
// In bootstrap and recovery, while there is no public URL, the path on which a proxy mounts
// mailfront may be unknown or wrong. The page is then served at every path that ends in one of its
// own paths and for which next has no route. With a public URL the page is at adminPath and at
// adminPath below the base. It also remains at the path where the administrator set the public
// URL, so that a wrong URL can be corrected.
func (a *admin) under(next *http.ServeMux) http.Handler {
	own := http.NewServeMux()
	tails := make(map[string]bool)
	for pattern, handler := range a.routes() {
		method, tail, _ := strings.Cut(pattern, " ")
		if tail == "/" {
			tail = "/{$}"
		}
		own.HandleFunc(method+" "+adminPath+tail, handler)
		tails[strings.TrimSuffix(tail, "{$}")] = true
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isRoot(r) {
			if _, pattern := next.Handler(r); pattern == "" {
				a.fromRoot(w)
				return
			}
		}
		i := strings.LastIndex(r.URL.Path, adminPath)
		if i < 0 || !tails[r.URL.Path[i+len(adminPath):]] || r.URL.RawPath != "" {
			next.ServeHTTP(w, r)
			return
		}
		before, absolute := r.URL.Path[:i], !a.f.documents.Current().Base().IsRelative()
		if absolute && before != "" && before != a.now.Load().Under {
			next.ServeHTTP(w, r)
			return
		}
		if _, pattern := next.Handler(r); pattern != "" {
			next.ServeHTTP(w, r)
			return
		}
		u := *r.URL
		u.Path = u.Path[i:]
		stripped := *r
		stripped.URL = &u
		a.admit(own, w, &stripped)
	})
}

// isRoot reports whether a request may be for the base itself.
func isRoot(r *http.Request) bool {
	return r.URL.Path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead)
}

// fromRoot redirects from the base to the page. The location includes the path of the base,
// because a relative location is wrong if the URL of the base has no slash at its end.
func (a *admin) fromRoot(w http.ResponseWriter) {
	target := adminPath[1:]
	if prefix := a.f.documents.Current().Base().Prefix(); prefix != "" {
		target = prefix + adminPath
	}
	webauth.NoStore(w)
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusSeeOther)
}

// underOf returns the decoded path below which a request for the page arrived. The path of r no
// longer contains the path of the base.
func underOf(r *http.Request) string {
	u, err := url.ParseRequestURI(r.RequestURI)
	if err != nil {
		return ""
	}
	return u.Path[:max(0, strings.LastIndex(u.Path, adminPath))]
}

// back redirects to the page from a path below it. It does not use http.Redirect, which would
// make the location absolute, without the path that a proxy has stripped.
func (a *admin) back(w http.ResponseWriter, r *http.Request) {
	webauth.NoStore(w)
	w.Header().Set("Location", "../"+adminPath[1:])
	w.WriteHeader(http.StatusSeeOther)
}

// done redirects to the page with the result of a form. The result is selected by the path of the
// form.
func (a *admin) done(w http.ResponseWriter, r *http.Request) {
	webauth.NoStore(w)
	w.Header().Set("Location", r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
	w.WriteHeader(http.StatusSeeOther)
}
