package mailauth

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/emersion/go-sasl"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
)

// Begin returns the server's side of an exchange with a mechanism. At the end of the exchange, end is
// called with the account, or with an error: ErrSyntax, discovery.ErrUnavailable or one of package
// guard. The protocol answers with the error that end returns; see [AnswerTo]. The error of Begin is
// ErrPlaintext or ErrMechanism.
//
// If the client cancels an exchange, end is not called.
func (c *Conn) Begin(mechanism string, end func(account string, err error) error) (sasl.Server, error) {
	if err := c.checkTLS(); err != nil {
		return nil, err
	}
	if c.unanswered { // the client canceled after the error message, to have more attempts
		c.unanswered = false
		c.Gate.WrongLogin(guard.ErrWrongPassword)
	}
	mechanism = strings.ToUpper(mechanism)
	logIn := func(name, password string) error { return end(name, c.LogIn(name, password)) }
	switch {
	case mechanism == sasl.Plain:
		server := sasl.NewPlainServer(func(identity, name, sent string) error {
			if identity != "" && identity != name { // no user may act as another user
				return end("", c.logIn(name, func() bool { return false }))
			}
			return logIn(name, sent)
		})
		return &checked{server, c, end, false}, nil
	case mechanism == sasl.Login:
		return &checked{&loginServer{authenticate: logIn}, c, end, false}, nil
	case mechanism == sasl.OAuthBearer && c.Token != nil:
		return &bearerServer{conn: c, parse: parseOAuthBearer, status: registeredStatus, end: end}, nil
	case mechanism == xoauth2 && c.Token != nil:
		return &bearerServer{conn: c, parse: parseXOAuth2, status: httpStatus, end: end}, nil
	}
	return nil, ErrMechanism
}

// checked replaces the errors of go-sasl, which have no type.
type checked struct {
	sasl.Server
	conn  *Conn
	end   func(string, error) error
	ended bool
}

func (s *checked) Next(response []byte) (challenge []byte, done bool, err error) {
	if s.ended {
		return nil, false, sasl.ErrUnexpectedClientResponse
	}
	challenge, done, err = s.Server.Next(response)
	s.ended = done || err != nil
	if err != nil && !done {
		err = s.end("", s.conn.record(syntaxError("see the mechanism")))
	}
	return challenge, done, err
}

// A loginServer implements the obsolete mechanism LOGIN (draft-murchison-sasl-login-00), for clients
// without PLAIN.
type loginServer struct {
	authenticate func(name, password string) error
	name         string
	hasName      bool
}

func (s *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	text := string(response)
	switch {
	case response == nil && !s.hasName:
		return []byte("Username:"), false, nil
	case response == nil, strings.ContainsRune(text, 0):
		return nil, false, ErrSyntax
	case !s.hasName:
		s.name, s.hasName = text, true
		return []byte("Password:"), false, nil
	}
	return nil, true, s.authenticate(s.name, text)
}

// A bearerServer implements OAUTHBEARER and XOAUTH2. If a token is refused, it sends an error message,
// and fails after the client has answered it (RFC 7628 section 3.2.3).
//
// The OAUTHBEARER server of go-sasl is not used. It panics on an empty answer to the error
// message, and its error message cannot have an openid-configuration.
type bearerServer struct {
	conn   *Conn
	parse  func(string) bearer
	status func(why error) string
	end    func(string, error) error

	failed error // the error to return after the error message
	ended  bool
}

func (s *bearerServer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case s.ended:
		return nil, false, sasl.ErrUnexpectedClientResponse
	case s.failed != nil: // the answer of the client is ignored
		s.ended, s.conn.unanswered = true, false
		return nil, true, s.end("", s.conn.record(s.failed))
	case response == nil:
		return []byte{}, false, nil
	}
	sent := s.parse(string(response))
	if errors.Is(sent.err, errNoToken) { // nothing to charge
		return s.refuse(sent.err), false, nil
	}
	account, why, err := s.conn.token(sent)
	if errors.Is(err, guard.ErrWrongPassword) {
		return s.refuse(why), false, nil
	}
	s.ended = true
	return nil, true, s.end(account, s.conn.record(err))
}

// refuse returns the error message for a refused token.
func (s *bearerServer) refuse(why error) []byte {
	s.failed, s.conn.unanswered = guard.ErrWrongPassword, true
	b, err := json.Marshal(failure{s.status(why), "bearer", s.conn.Scope, s.conn.Configuration()})
	if err != nil {
		return []byte("{}") // not reached: every field can be marshaled
	}
	return b
}

// A failure is the error message of the server (RFC 7628 section 3.2.2).
type failure struct {
	Status        string `json:"status"`
	Schemes       string `json:"schemes"` // XOAUTH2 only
	Scope         string `json:"scope,omitempty"`
	Configuration string `json:"openid-configuration,omitempty"`
}

// registeredStatus returns a code of the registry "OAuth Extensions Error" (RFC 6750 section 6.2).
func registeredStatus(why error) string {
	switch {
	case errors.Is(why, ErrSyntax):
		return "invalid_request"
	case errors.Is(why, ErrScope):
		return "insufficient_scope"
	}
	return "invalid_token"
}

// httpStatus returns the status of XOAUTH2, which is that of HTTP.
func httpStatus(why error) string {
	switch {
	case errors.Is(why, ErrSyntax):
		return "400"
	case errors.Is(why, ErrScope):
		return "403"
	}
	return "401"
}
