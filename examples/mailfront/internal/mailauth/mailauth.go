// Package mailauth signs in clients of the mail protocols, by a password or by an access token
// with the SASL mechanisms OAUTHBEARER (RFC 7628) and XOAUTH2.
//
// A [Checker] is shared by all connections, and a [Conn] is one connection. Passwords and tokens
// are accepted only from a client that is known to use TLS. A wrong token is charged like a
// wrong password. A token that cannot be checked at the moment is a temporary failure and is not
// charged.
//
// [AnswerTo] returns the response codes of SMTP, IMAP and POP3 for each error.
//
// Copy with it: client, gate, guard, store.
//
// Change the settings that log lines name, in plaintext.go.
package mailauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/emersion/go-sasl"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/gate"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
)

const (
	maxToken     = 8 << 10 // bytes; a longer token is not looked up
	tokenTimeout = 10 * time.Second
)

// The errors of a login, in addition to those of package guard.
var (
	// ErrToken is returned by Checker.Token for a token that is not valid.
	ErrToken = errors.New("mailauth: the token is unknown, expired or revoked")
	// ErrScope is returned by Checker.Token for a token without the scope that mail requires.
	ErrScope = errors.New("mailauth: the token does not have the scope")
	// ErrPlaintext is returned when the client is not known to use TLS.
	ErrPlaintext = errors.New("mailauth: the client is not known to use TLS")
	// ErrMechanism is returned for a mechanism that is not one of Mechanisms.
	ErrMechanism = errors.New("mailauth: unknown mechanism")
	// ErrSyntax is returned for a message that the mechanism does not allow.
	ErrSyntax = errors.New("mailauth: malformed message of a mechanism")

	errUser = errors.New("mailauth: the token is for an account other than the one that the client names")
	errLong = fmt.Errorf("mailauth: the token is longer than %d bytes", maxToken)
	// errNoToken is returned for an empty value, by which a client requests the URL of the OpenID
	// configuration.
	errNoToken = errors.New("mailauth: the client sends no token")
)

// A Checker checks passwords and tokens. Token may be nil; every other field is required.
type Checker struct {
	// Password reports whether name and password are those of an account. The time that it takes
	// must not depend on which of the two is wrong.
	Password func(name, password string) bool
	// Token returns the account of an access token, ErrToken or ErrScope. Any other error means
	// that the token cannot be checked at the moment. If Token is nil, the mechanisms for tokens
	// are not offered.
	Token func(ctx context.Context, token string) (account string, err error)
	// Scope is the scope that Token requires. The error message to a client contains it.
	Scope string
	// Configuration returns the URL of the OpenID configuration of the server that issues
	// tokens, or "".
	Configuration func() string
	Guard         *guard.Guard
	Log           *slog.Logger
	Limited       *client.LimitedLog // for events that a client can cause without limit
}

// Mechanisms returns the names of the SASL mechanisms.
func (c *Checker) Mechanisms() []string {
	names := []string{sasl.Plain, sasl.Login}
	if c.Token != nil {
		names = append(names, sasl.OAuthBearer, xoauth2)
	}
	return names
}

// A Conn checks the logins of one connection.
type Conn struct {
	*Checker
	Client client.Client // replace it after STARTTLS
	Gate   *gate.Session // records the result; may be nil
	// Intercept, if it is not nil, is called with the name before a password is compared. If it
	// returns an error, that error is the result, and the password is not compared.
	Intercept func(name string) error

	unanswered bool // the client has not answered the last error message
}

// Mechanisms returns the mechanisms that may be offered on the connection. It returns nil unless the
// client is known to use TLS.
func (c *Conn) Mechanisms() []string {
	if !c.Client.TLS {
		return nil
	}
	return c.Checker.Mechanisms()
}

// LogIn checks the name and password of a command such as LOGIN in IMAP. The error is ErrPlaintext or
// one of package guard.
func (c *Conn) LogIn(name, password string) error {
	return c.logIn(name, func() bool { return c.Password(name, password) })
}

func (c *Conn) logIn(name string, check func() bool) error {
	if err := c.checkTLS(); err != nil {
		return err
	}
	if c.Intercept != nil {
		if err := c.Intercept(name); err != nil {
			return err
		}
	}
	return c.record(c.Guard.LogIn(c.Client, name, func() (bool, error) { return check(), nil }))
}

// checkTLS returns and logs ErrPlaintext unless the client is known to use TLS.
func (c *Conn) checkTLS() error {
	if c.Client.TLS {
		return nil
	}
	LogPlaintext(c.Limited, c.Client)
	return ErrPlaintext
}

// record passes the result of a login to the session, which ends after too many failures.
func (c *Conn) record(err error) error {
	switch {
	case err == nil:
		c.Gate.LoggedIn()
	case errors.Is(err, guard.ErrWrongPassword), errors.Is(err, ErrSyntax):
		c.Gate.WrongLogin(guard.ErrWrongPassword)
	case !errors.Is(err, discovery.ErrUnavailable):
		c.Gate.WrongLogin(err)
	}
	return err
}

// token returns the account of a token. If the error is guard.ErrWrongPassword, why is the reason.
func (c *Conn) token(sent bearer) (account string, why, err error) {
	err = c.Guard.Try(c.Client, guard.Attempt{Secret: guard.TokenSecret, Account: sent.user}, func() (bool, error) {
		account, why = c.accountOf(sent)
		switch {
		case errors.Is(why, discovery.ErrUnavailable):
			return false, why
		case isTemporary(why):
			return false, fmt.Errorf("%w: %w", discovery.ErrUnavailable, why)
		}
		return why == nil, nil
	})
	switch {
	case errors.Is(err, discovery.ErrUnavailable):
		c.Limited.Warn("cannot check a token", "token_unchecked", c.Client.Listener,
			slog.String("client_ip", c.Client.LogIP().String()), slog.String("reason", client.Quote(err.Error())))
	case err != nil && why != nil:
		c.Client.Log(c.Log, "token_refused", slog.String("reason", why.Error()))
	}
	if err != nil {
		account = ""
	}
	return account, why, err
}

// isTemporary reports whether a token could not be checked because of err.
func isTemporary(err error) bool {
	if err == nil {
		return false
	}
	for _, final := range []error{ErrToken, ErrScope, ErrSyntax, errUser, errLong} {
		if errors.Is(err, final) {
			return false
		}
	}
	return true
}

// accountOf returns the account of a token. It does not use the guard.
func (c *Conn) accountOf(sent bearer) (string, error) {
	switch {
	case sent.err != nil:
		return "", sent.err
	case len(sent.token) > maxToken:
		return "", errLong
	}
	ctx, cancel := context.WithTimeout(context.Background(), tokenTimeout)
	defer cancel()
	account, err := c.Token(ctx, sent.token)
	if err == nil && sent.user != "" && sent.user != account {
		err = errUser
	}
	return account, err
}
