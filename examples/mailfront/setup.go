// Copy the order of change: it builds every document, saves the new state, and only then serves the
// documents. After an error nothing has changed. Change the fields of the form.

package main

import (
	"context"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/webauth"
	"github.com/seed-94e48765/portico/publicurl"
)

// setUp handles the form of the set-up, in bootstrap and in recovery.
func (a *admin) setUp(w http.ResponseWriter, r *http.Request) {
	p, ok := a.form(w, r)
	if !ok {
		return
	}
	if p.now.token == "" {
		p.Problem = "The set-up is complete, and its token is no longer valid. Sign in with the administrator password."
		a.show(w, r, http.StatusForbidden, "failed", p)
		return
	}
	cl := client.FromRequest(r)
	token := strings.TrimSpace(r.PostForm.Get("token"))
	// A wrong token is not counted. Its 130 bits cannot be guessed, and a page of another site must
	// not be able to lock the set-up by posting wrong tokens from the administrator's browser.
	if token == "" || subtle.ConstantTimeCompare([]byte(token), []byte(p.now.token)) != 1 {
		cl.Log(a.f.log, "setup_refused")
		p.TokenProblem = "This is not the token. Use the one that mailfront printed at its last start."
		a.show(w, r, http.StatusForbidden, "setup", p)
		return
	}
	p.Token = token // the form keeps a valid token
	base, password := a.checkURL(p), r.PostForm.Get("password")
	p.PasswordProblem = checkNewPassword(password, r.PostForm.Get("password_again"))
	if p.URLProblem != "" || p.PasswordProblem != "" {
		a.show(w, r, http.StatusUnprocessableEntity, "setup", p)
		return
	}
	hash, err := hashPassword(password)
	if err != nil {
		a.f.api.ServerError(w, r, err)
		return
	}
	next := &adminState{state: state{PublicURL: base.String(), PasswordHash: hash, Under: underOf(r)}}
	if err := a.change(r.Context(), p.now, next, base); err != nil {
		a.notChanged(w, r, "setup", p, err)
		return
	}
	a.f.guard.Remember(cl, guard.Attempt{Secret: guard.AdminSecret})
	cl.Log(a.f.log, "setup_done", slog.String("public_url", base.String()))
	a.done(w, r)
}

// setUpDone confirms the set-up. It shows public data only.
func (a *admin) setUpDone(w http.ResponseWriter, r *http.Request) {
	p := a.newPage(r)
	if p.session != nil || p.now.token != "" || p.now.PasswordHash == "" {
		a.back(w, r)
		return
	}
	p.Done = "The server has its public URL and an administrator."
	a.show(w, r, http.StatusOK, "done", p)
}

// changeURL handles the form by which the administrator changes the public URL.
func (a *admin) changeURL(w http.ResponseWriter, r *http.Request) {
	p, ok := a.signedInForm(w, r)
	if !ok {
		return
	}
	base := a.checkURL(p)
	if p.URLProblem != "" {
		a.show(w, r, http.StatusUnprocessableEntity, "home", p)
		return
	}
	next := *p.now
	next.PublicURL, next.Under = base.String(), underOf(r)
	if err := a.change(r.Context(), p.now, &next, base); err != nil {
		a.notChanged(w, r, "home", p, err)
		return
	}
	client.FromRequest(r).Log(a.f.log, "public_url_changed", slog.String("public_url", base.String()))
	a.done(w, r)
}

// urlChanged confirms a new public URL.
func (a *admin) urlChanged(w http.ResponseWriter, r *http.Request) {
	p := a.newPage(r)
	if p.session == nil || p.now.token != "" {
		a.back(w, r)
		return
	}
	p.Done = "The public URL is " + p.Published + "."
	a.show(w, r, http.StatusOK, "home", p)
}

// checkURL parses the public URL, and reports an error at its field.
func (a *admin) checkURL(p *adminPageData) publicurl.Base {
	base, err := parsePublicURL(p.URL)
	if err != nil {
		p.URLProblem = err.Error()
	}
	if wrong := new(publicurl.Error); errors.As(err, &wrong) {
		p.URLDetail = strings.TrimSuffix(p.URLProblem, ": "+wrong.Hint)
		p.URLProblem = "Correct the URL: " + wrong.Hint + "."
	}
	return base
}

var errChanged = errors.New("mailfront: the state changed at the same time: open the page again and repeat the change")

// change replaces the state old by next, and the documents by those of base. After an error nothing
// has changed, except after errUnconfirmed, when the result is not known.
func (a *admin) change(ctx context.Context, old, next *adminState, base publicurl.Base) error {
	a.changing.Lock()
	defer a.changing.Unlock()
	if a.now.Load() != old {
		return errChanged // the token can be used once only
	}
	publish, err := a.f.prepare(base)
	if err != nil {
		return err
	}
	if a.shared() {
		if err := a.swap(ctx, old, next); err != nil {
			return err
		}
		a.keepCopy(next.state)
	} else {
		kept := next.state
		kept.Under = "" // the next start serves the page at adminPath only
		if err := a.f.cfg.stateFile.save(kept); err != nil {
			return err
		}
	}
	publish()
	a.now.Store(next)
	a.announceChange(ctx)
	return nil
}

// notChanged answers a form whose change has failed with err.
func (a *admin) notChanged(w http.ResponseWriter, r *http.Request, view string, p *adminPageData, err error) {
	client.FromRequest(r).Warn(a.f.log, "not_changed", slog.String("reason", client.Quote(err.Error())))
	p.Problem = "Nothing was changed."
	status := http.StatusInternalServerError
	if errors.Is(err, errUnconfirmed) {
		webauth.NoStore(w)
		w.Header().Set("Retry-After", webauth.RetryAfterOutage)
		http.Error(w, errUnconfirmed.Error(), http.StatusServiceUnavailable)
		return
	}
	if errors.Is(err, errSetUp) {
		p.Problem = "The set-up is complete: another node was first. The token is no longer valid."
		a.show(w, r, http.StatusConflict, "failed", p)
		return
	}
	if wrong := new(discovery.Error); errors.As(err, &wrong) {
		status, p.URLProblem = http.StatusUnprocessableEntity, err.Error()
	} else {
		p.Problem += " " + err.Error()
	}
	if errors.Is(err, errChanged) {
		status = http.StatusConflict
	}
	a.show(w, r, status, view, p)
}
