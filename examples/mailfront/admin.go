// What to copy: under, by which the page can be reached on any path while the public URL
// is not set, or wrong; that every link in it is relative; and form, which every
// form passes. What to change: nothing.

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/webauth"
)

// adminPath is below the base, and below every path while there is no public URL.
const adminPath = "/admin"

const maxAdminForm = 16 << 10 // bytes

// An admin is the page of the administrator: at first the set-up, then what there
// is to know behind a proxy.
type admin struct {
	f        *frontend
	sessions adminSessions

	now      atomic.Pointer[adminState]
	changing sync.Mutex // held to replace now, and for what follows
	seen     bool       // the store has answered whether it has a state
	first    state      // the one that it had then
	out      io.Writer  // for the set-up token; nil before describe

	verifying  sync.Mutex // held while Verify runs
	lastReport atomic.Pointer[verifyResult]
}

// An adminState is replaced, never changed.
type adminState struct {
	state
	raw     []byte // the state in the shared store
	token   string // opens the set-up; "" when that is over
	waiting bool   // for the shared store, because there is no state
}

func newAdmin(f *frontend) *admin {
	a := &admin{f: f, sessions: adminSessions{f.store}}
	now := &adminState{state: f.cfg.state}
	switch {
	case a.shared():
		now.waiting = !f.cfg.hasBase() && (now.PublicURL == "" || f.cfg.mode != modeNormal)
	case f.cfg.mode != modeNormal:
		now.token = rand.Text()
	}
	a.now.Store(now)
	return a
}

// mode returns the mode in which the documents are served now.
func (a *admin) mode() mode {
	switch now := a.now.Load(); {
	case now.waiting:
		return "waiting"
	case now.token != "":
		return a.f.cfg.mode
	}
	return modeNormal
}

// describe prints where the set-up is, now or when it begins later.
func (a *admin) describe(w io.Writer) {
	a.changing.Lock()
	defer a.changing.Unlock()
	a.out = w
	a.announce()
}

// announce prints the set-up token, if there is one, behind "#": browsers do not send that part
// of a URL. a.changing is held.
func (a *admin) announce() {
	if a.out == nil {
		return
	}
	w, token, name := a.out, a.now.Load().token, "http"
	if a.f.addr(name) == nil {
		name = "https"
	}
	listener := a.f.addr(name)
	switch {
	case token == "":
	case listener == nil:
		fmt.Fprintln(w, "setup needs a web listener: set MAILFRONT_LISTEN_HTTP or MAILFRONT_LISTEN_HTTPS")
	case listener.Network() == "unix":
		fmt.Fprintf(w, "setup %s#token=%s through the proxy of %s\n", adminPath, token, listener)
	default:
		fmt.Fprintf(w, "setup %s://%s%s#token=%s\n", name, reachable(listener), adminPath, token)
		if a.f.cfg.proxy[name] {
			fmt.Fprintln(w, "      through the proxy: this listener takes a trusted address's connections with a PROXY header only")
		}
	}
}

// reachable is an address for a browser on this machine.
func reachable(listener net.Addr) string {
	t, ok := listener.(*net.TCPAddr)
	switch {
	case !ok || !t.IP.IsUnspecified():
		return listener.String()
	case t.IP.To4() != nil:
		return fmt.Sprintf("127.0.0.1:%d", t.Port)
	}
	return fmt.Sprintf("[::1]:%d", t.Port)
}

func (a *admin) routes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"GET ":           a.page,
		"GET /debug":     a.debug,
		"POST /setup":    a.setUp,
		"POST /sign-in":  a.signIn,
		"POST /sign-out": a.signOut,
		"POST /url":      a.changeURL,
		"POST /verify":   a.verify,
		"POST /lift":     a.lift,
		"GET /":          a.back,
		"GET /setup":     a.setUpDone,
		"GET /sign-in":   a.back, // a form's answer, loaded again
		"GET /sign-out":  a.signedOut,
		"GET /url":       a.urlChanged,
		"GET /verify":    a.back,
		"GET /lift":      a.lifted,
	}
}

// under puts the page in front of next. While there is no public URL, in bootstrap and
// recovery, the page is at every path that ends like one of its own and that next has no
// route for: the path on which a proxy mounts mailfront is not known, or wrong. After that
// it is at adminPath, which is also what is left of a path below the base, and still on
// the path on which the administrator set the public URL, who may have to correct it.
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

// isRoot reports whether a person may have opened the base itself.
func isRoot(r *http.Request) bool {
	return r.URL.Path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead)
}

// fromRoot leads from the base to the page. On a base with a path the target has that path: a
// relative one is wrong for browsers that opened the base without a slash at the end.
func (a *admin) fromRoot(w http.ResponseWriter) {
	target := adminPath[1:]
	if prefix := a.f.documents.Current().Base().Prefix(); prefix != "" {
		target = prefix + adminPath
	}
	webauth.NoStore(w)
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusSeeOther)
}

type adminSessionKey struct{}

// admit serves a request for the page with the state that the store has now. While the store is
// away the page is not available: neither the set-up nor a session can be trusted then.
func (a *admin) admit(own http.Handler, w http.ResponseWriter, r *http.Request) {
	err := a.refresh(r.Context())
	var session *adminSession
	if err == nil {
		session, err = a.sessions.of(r, a.now.Load().PasswordHash)
	}
	if err != nil {
		a.unavailable(w, r, err)
		return
	}
	own.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), adminSessionKey{}, session)))
}

// unavailable answers a request that needs the store.
func (a *admin) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	if !errors.Is(err, store.ErrUnavailable) { // that one is logged once
		a.f.api.LogError(r, err)
	}
	webauth.NoStore(w)
	w.Header().Set("Retry-After", webauth.RetryAfterOutage)
	http.Error(w, "The administration is not available, because the store does not answer.", http.StatusServiceUnavailable)
}

// underOf returns the path below which a request for the page arrived, decoded. The path
// of r itself has lost that of the base.
func underOf(r *http.Request) string {
	u, err := url.ParseRequestURI(r.RequestURI)
	if err != nil {
		return ""
	}
	return u.Path[:max(0, strings.LastIndex(u.Path, adminPath))]
}

// back leads to the page from everywhere below it. http.Redirect would make the
// address absolute, and does not know the path that a proxy has stripped.
func (a *admin) back(w http.ResponseWriter, r *http.Request) {
	webauth.NoStore(w)
	w.Header().Set("Location", "../"+adminPath[1:])
	w.WriteHeader(http.StatusSeeOther)
}

// done leads to the page with the result of a form, which has the same path as the form.
func (a *admin) done(w http.ResponseWriter, r *http.Request) {
	webauth.NoStore(w)
	w.Header().Set("Location", r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
	w.WriteHeader(http.StatusSeeOther)
}

// page is the set-up, the sign-in, or the page of the administrator.
func (a *admin) page(w http.ResponseWriter, r *http.Request) {
	p := a.newPage(r)
	switch {
	case p.now.token != "":
		a.show(w, r, http.StatusOK, "setup", p)
	case p.now.PasswordHash == "":
		a.show(w, r, http.StatusForbidden, "nobody", p)
	case p.session == nil:
		a.show(w, r, http.StatusOK, "sign-in", p)
	default:
		a.show(w, r, http.StatusOK, "home", p)
	}
}

// form reads one and checks what it has to prove. If it returns false it has
// answered.
func (a *admin) form(w http.ResponseWriter, r *http.Request) (*adminPageData, bool) {
	p := a.newPage(r)
	if !webauth.SameOrigin(r, p.set.Base()) {
		client.FromRequest(r).Warn(a.f.log, "admin_refused", slog.String("reason", "the form came from another site"))
		p.Problem = "The form came from another site. Open this page in a new tab and try again."
		a.show(w, r, http.StatusForbidden, "failed", p)
		return nil, false
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxAdminForm)
	if err := r.ParseForm(); err != nil {
		p.Problem = "The server cannot read the form. Open the page again and repeat the change."
		a.show(w, r, http.StatusBadRequest, "failed", p)
		return nil, false
	}
	p.URL = strings.TrimSpace(r.PostForm.Get("public_url"))
	return p, true
}

// signedInForm is form, of the administrator.
func (a *admin) signedInForm(w http.ResponseWriter, r *http.Request) (*adminPageData, bool) {
	p, ok := a.form(w, r)
	if !ok {
		return nil, false
	}
	if p.session == nil {
		a.back(w, r) // to the sign-in
		return nil, false
	}
	if !signin.SameSecret(r.PostForm.Get("csrf"), p.session.CSRF) {
		client.FromRequest(r).Warn(a.f.log, "admin_refused", slog.String("reason", "the form has no token of the session"))
		p.Problem = "The form belongs to another session. Open the page again and repeat the change."
		a.show(w, r, http.StatusForbidden, "failed", p)
		return nil, false
	}
	return p, true
}

func (a *admin) signIn(w http.ResponseWriter, r *http.Request) {
	p, ok := a.form(w, r)
	if !ok {
		return
	}
	if p.now.token != "" || p.now.PasswordHash == "" {
		a.back(w, r)
		return
	}
	cl := client.FromRequest(r)
	if cl.IsPlaintext() {
		// Not refused: this page is where a missing TLS is found and repaired.
		a.f.limited.Warn("client", "plaintext_password", cl.Listener, slog.String("client_ip", cl.IP.String()), slog.String("reason", webauth.PlaintextReason))
	}
	password := guard.Attempt{Secret: guard.AdminSecret, OtherSite: webauth.OtherSite(r, p.set.Base())}
	err := a.f.guard.Try(cl, password, func() (bool, error) {
		return isPassword(p.now.PasswordHash, r.PostForm.Get("password")), nil
	})
	switch {
	case errors.Is(err, guard.ErrWrongPassword):
		p.PasswordProblem = "Wrong password."
		a.show(w, r, http.StatusForbidden, "sign-in", p)
		return
	case err != nil:
		a.tooMany(w, r, p, err)
		return
	}
	cl.Log(a.f.log, "admin_login")
	cookie, err := a.sessions.begin(r.Context(), browserURL(r, p.set.Base()), p.now.PasswordHash)
	if err != nil {
		a.unavailable(w, r, err)
		return
	}
	http.SetCookie(w, newCookie(r, cl, p.set.Base(), cookie))
	a.back(w, r)
}

func (a *admin) tooMany(w http.ResponseWriter, r *http.Request, p *adminPageData, err error) {
	p.Title, p.Problem = "Too many attempts", "There were too many wrong passwords or sign-ins from your address."
	a.show(w, r, guard.SetRetryAfter(w.Header(), err), "failed", p)
}

func (a *admin) signOut(w http.ResponseWriter, r *http.Request) {
	p, ok := a.signedInForm(w, r)
	if !ok {
		return
	}
	if err := a.sessions.end(r); err != nil {
		a.unavailable(w, r, err)
		return
	}
	http.SetCookie(w, newCookie(r, client.FromRequest(r), p.set.Base(), ""))
	a.done(w, r)
}

// signedOut is the sign-in after a sign-out.
func (a *admin) signedOut(w http.ResponseWriter, r *http.Request) {
	p := a.newPage(r)
	if p.session != nil || p.now.token != "" || p.now.PasswordHash == "" {
		a.back(w, r)
		return
	}
	p.Done = "You are signed out."
	a.show(w, r, http.StatusOK, "sign-in", p)
}
