// Copy form and signedInForm, which check every form. They need no changes.

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
	"strings"
	"sync"
	"sync/atomic"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/webauth"
)

const maxAdminForm = 16 << 10 // bytes

// An admin serves the administration page. Before the set-up the page is the set-up form; after
// it, the page shows the state of the server.
type admin struct {
	f        *frontend
	sessions adminSessions

	now      atomic.Pointer[adminState]
	changing sync.Mutex // held while now is replaced; guards seen, first and out
	seen     bool       // whether the store has answered once
	first    state      // the state in the store at that time
	out      io.Writer  // for the set-up token; nil before describe

	verifying  sync.Mutex // held while Verify runs
	lastReport atomic.Pointer[verifyResult]
}

// An adminState is immutable. A change stores a new one.
type adminState struct {
	state
	raw     []byte // state as it is encoded in the shared store
	token   string // set-up token; "" after the set-up
	waiting bool   // there is no state because the shared store has not answered yet
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

// mode returns the mode in which the documents are served at present.
func (a *admin) mode() mode {
	switch now := a.now.Load(); {
	case now.waiting:
		return "waiting"
	case now.token != "":
		return a.f.cfg.mode
	}
	return modeNormal
}

// describe prints the address of the set-up. If the set-up begins later, the address is printed
// then.
func (a *admin) describe(w io.Writer) {
	a.changing.Lock()
	defer a.changing.Unlock()
	a.out = w
	a.announce()
}

// announce prints the set-up token, if there is one, in the fragment of the URL, because browsers
// do not send the fragment. a.changing is held.
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
			fmt.Fprintln(w, "      open it through the proxy: this listener requires a PROXY header from trusted addresses")
		}
	}
}

// reachable returns an address at which a browser on this machine reaches a listener.
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
		"GET /sign-in":   a.back, // the browser reloads the answer to a form
		"GET /sign-out":  a.signedOut,
		"GET /url":       a.urlChanged,
		"GET /verify":    a.back,
		"GET /lift":      a.back,
	}
}

type adminSessionKey struct{}

// admit serves a request for the page with the current state of the store. While the store is
// not available the page is not available either, because neither the set-up token nor a session
// can be checked.
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

// unavailable answers a request that requires the store.
func (a *admin) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	if !errors.Is(err, store.ErrUnavailable) { // the watchedStore logs an outage once
		a.f.api.LogError(r, err)
	}
	webauth.NoStore(w)
	w.Header().Set("Retry-After", webauth.RetryAfterOutage)
	http.Error(w, "The administration is not available, because the store does not answer.", http.StatusServiceUnavailable)
}

// page serves the set-up, the sign-in or the page of the administrator.
func (a *admin) page(w http.ResponseWriter, r *http.Request) {
	p := a.newPage(r)
	switch {
	case p.now.token != "":
		a.show(w, r, http.StatusOK, "setup", p)
	case p.now.PasswordHash == "":
		a.show(w, r, http.StatusForbidden, "no-administrator", p)
	case p.session == nil:
		if _, tooMany := sessionCookies(r); tooMany {
			a.reportCookies(client.FromRequest(r), p)
		}
		a.show(w, r, http.StatusOK, "sign-in", p)
	default:
		a.show(w, r, http.StatusOK, "home", p)
	}
}

// reportCookies reports that the browser may have sent the cookie of a session after too many others.
func (a *admin) reportCookies(cl client.Client, p *adminPageData) {
	a.f.limited.Warn("client", "too_many_cookies", cl.Listener, slog.String("client_ip", cl.LogIP().String()),
		slog.String("reason", fmt.Sprintf("more than %d cookies have the name %s: another site of the domain may have set them", maxSessionCookies, sessionCookie)),
		slog.String("advice", "delete the cookies of the domain in the browser, and use a domain that no other site shares"))
	p.Problem = fmt.Sprintf("Your browser sent more than %d cookies with the name %s, so a sign-in cannot be found among them. Another site of this domain may have set them. Delete the cookies of this domain in the browser, and sign in again.", maxSessionCookies, sessionCookie)
}

// form parses a form and checks that a page of this server sent it. If it returns false, the
// request has been answered.
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

// signedInForm is like form and also requires the session of the administrator.
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
		// The request is not refused: an administrator uses this page to find and fix missing TLS.
		attrs := append([]slog.Attr{slog.String("client_ip", cl.IP.String())}, webauth.PlaintextCause(cl)...)
		a.f.limited.Warn("client", "plaintext_password", cl.Listener, attrs...)
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

// signedOut serves the sign-in page after a sign-out.
func (a *admin) signedOut(w http.ResponseWriter, r *http.Request) {
	p := a.newPage(r)
	if p.session != nil || p.now.token != "" || p.now.PasswordHash == "" {
		a.back(w, r)
		return
	}
	p.Done = "You are signed out."
	a.show(w, r, http.StatusOK, "sign-in", p)
}
