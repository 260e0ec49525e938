// Package webauth authenticates HTTP requests by password or by bearer token, and answers
// requests that it refuses with the challenges of package discovery. Tokens are those of the
// server's own sign-in or of other issuers ([Issuers]).
//
// Package guard compares passwords. Passwords that a page of another site may have sent through
// the browser of its visitor have a limit of their own, so that such a page cannot lock the
// visitor out. A password or token on a connection that is known to be unencrypted is refused.
//
// Copy with it: client, guard, store.
//
// Change [Auth], which has one account, and the settings that log lines name.
package webauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
)

// A Caller is the authenticated account of a request.
type Caller struct {
	Account    string
	ByPassword bool     // authenticated by the password, which is valid for every scope
	Scopes     []string // scopes of the token, if ByPassword is false
}

// Allows reports whether the caller has a scope.
func (c Caller) Allows(scope string) bool { return c.ByPassword || slices.Contains(c.Scopes, scope) }

// The reasons for refusing a request.
var (
	ErrNoCredentials = fmt.Errorf("%w: the request has no Authorization", discovery.ErrUnauthenticated)
	ErrWrong         = fmt.Errorf("%w: the password or token is wrong", discovery.ErrUnauthenticated)
	ErrScope         = errors.New("webauth: the token does not have the scope")
	ErrNotToken      = errors.New("webauth: the text is not a token")
)

// A TokenSource returns the caller of a bearer token. It returns ErrWrong for a token that is
// not valid, and ErrNotToken for a text that is not one of its tokens, which is then compared
// with the password.
type TokenSource interface {
	Caller(ctx context.Context, token string) (Caller, error)
}

// An Auth authenticates the requests of HTTP APIs. Every field is required.
type Auth struct {
	Account  string                           // the only account
	Password func(name, password string) bool // reports whether both are right
	Tokens   TokenSource
	Guard    *guard.Guard
	Current  func() *discovery.Set // for challenges, and the base of the server
	Log      *slog.Logger
}

// Authenticate returns the caller of a request. With Basic (RFC 7617) it checks the password,
// and with Bearer (RFC 6750) a token or the password. Pass the error to [Auth.Challenge].
func (a *Auth) Authenticate(r *http.Request) (Caller, error) {
	if name, password, ok := r.BasicAuth(); ok {
		return a.byPassword(r, name, password)
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return Caller{}, ErrNoCredentials
	}
	c, err := a.Tokens.Caller(withSite(r, a.Current().Base()), token)
	if errors.Is(err, ErrNotToken) {
		return a.byPassword(r, a.Account, token)
	}
	return c, err
}

// byPassword compares a password that was sent to an API, and charges a wrong one. If that
// causes a ban, the next request is refused.
//
// A page of another site can make the browser of its visitor send wrong passwords. That must not
// lock the visitor out of the mail. Such passwords have a limit of their own, beyond which they
// are not compared.
func (a *Auth) byPassword(r *http.Request, name, password string) (Caller, error) {
	sent := guard.Attempt{Account: name, OtherSite: OtherSite(r, a.Current().Base())}
	err := a.Guard.Compare(client.FromRequest(r), sent, func() (bool, error) { return a.Password(name, password), nil })
	switch {
	case err == nil:
		return Caller{Account: a.Account, ByPassword: true}, nil
	case sent.OtherSite, errors.Is(err, guard.ErrWrongPassword): // a page of another site gets no other error
		return Caller{}, ErrWrong
	}
	return Caller{}, tooMany(err)
}

// tooMany returns the error for credentials that were not checked because of err. They may be
// valid, and a client would forget them if the answer called them wrong.
func tooMany(err error) error {
	if errors.Is(err, guard.ErrBanned) {
		return fmt.Errorf("%w: %w", ErrWrong, err)
	}
	return fmt.Errorf("%w: %w", discovery.ErrUnavailable, err)
}

// LogIn compares the password of a form. If the error is not ErrWrong, the password was not
// compared or the client is banned. Answer it with the status of [RetryLater].
func (a *Auth) LogIn(r *http.Request, name, password string) error {
	sent := guard.Attempt{Account: name, OtherSite: OtherSite(r, a.Current().Base())}
	err := a.Guard.Try(client.FromRequest(r), sent, func() (bool, error) { return a.Password(name, password), nil })
	if errors.Is(err, guard.ErrWrongPassword) {
		return ErrWrong
	}
	return err
}

// RetryLater sets the header Retry-After and returns the status of the answer to a request that
// LogIn has refused with err.
func RetryLater(w http.ResponseWriter, err error) (status int) {
	return guard.SetRetryAfter(w.Header(), err)
}
