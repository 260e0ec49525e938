// What to copy: challenge, which takes everything that it says from the Set that is
// current. What to change: the passwords.

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
)

// A caller is who a request of an API is signed in as.
type caller struct {
	account string
	token   *accessToken // of the sign-in; nil after the password itself
}

// scopes are those of the token; the password is good for all.
func (c caller) scopes() []string {
	if c.token == nil {
		return signInScopes
	}
	return c.token.scopes
}

var (
	errNobody = fmt.Errorf("%w: it has no Authorization", discovery.ErrUnauthenticated)
	errWrong  = fmt.Errorf("%w: password or token are wrong", discovery.ErrUnauthenticated)
	errScope  = errors.New("mailfront: the token is not for this")
)

// authenticate takes the account's password by Basic (RFC 7617), or the same
// password or an access token as a Bearer token (RFC 6750).
func (f *frontend) authenticate(r *http.Request) (caller, error) {
	account := f.cfg.account()
	if name, password, ok := r.BasicAuth(); ok {
		return caller{account: account}, f.apiPassword(r, name, password)
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return caller{}, errNobody
	}
	if f.providers != nil {
		return f.providers.caller(r.Context(), token)
	}
	t, err := f.signIn.tokenOf(token)
	switch {
	case err == nil:
		return caller{account: t.grant.subject, token: t}, nil
	case errors.Is(err, errNotOurs) && !looksLikeToken(token):
		return caller{account: account}, f.apiPassword(r, account, token)
	}
	return caller{}, errWrong // it has expired, or is from before a restart: no guess at a password
}

// apiPassword compares a password that came to an API, and counts a wrong one. If that
// is a ban, the next request is refused.
//
// A page of another site can make its visitor's browser send wrong passwords here.
// That must not lock the visitor out of the mail: such passwords have a limit of
// their own, beyond which they are not even compared.
func (f *frontend) apiPassword(r *http.Request, name, password string) error {
	sent := guard.Attempt{OtherSite: otherSite(r, f.documents.Current().Base())}
	err := f.guard.Compare(client.FromRequest(r), sent, func() bool { return f.mail.login(name, password) })
	switch {
	case err == nil:
		return nil
	case sent.OtherSite: // its page learns no more
		return errWrong
	}
	return fmt.Errorf("%w: %w", errWrong, err)
}

func noStore(w http.ResponseWriter) { w.Header().Set("Cache-Control", "no-store") }

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "internal server error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(b)
}

// crossOrigin registers a handler that web applications of every origin may use:
// it goes by tokens, never by cookies.
func crossOrigin(mux *http.ServeMux, path string, handler http.HandlerFunc, methods ...string) {
	allow := strings.Join(append(methods, http.MethodOptions), ", ")
	for _, method := range methods {
		mux.HandleFunc(method+" "+path, func(w http.ResponseWriter, r *http.Request) {
			allowOrigins(w, "WWW-Authenticate")
			handler(w, r)
		})
	}
	mux.HandleFunc("OPTIONS "+path, func(w http.ResponseWriter, r *http.Request) {
		allowOrigins(w, "WWW-Authenticate")
		preflight(w, allow)
	})
}

// allowOrigins lets web applications of every origin read an answer, and these fields of
// its header.
func allowOrigins(w http.ResponseWriter, fields string) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Access-Control-Expose-Headers", fields)
}

// preflight answers OPTIONS. Every request header is allowed; "*" does not cover
// Authorization.
func preflight(w http.ResponseWriter, methods string) {
	h := w.Header()
	h.Set("Allow", methods)
	h.Set("Access-Control-Allow-Methods", methods)
	h.Set("Access-Control-Allow-Headers", "*, Authorization")
	h.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
}
