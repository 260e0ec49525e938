// To set up a mail client with tokens instead of a password:
//
//   - Automatically: a client that reads autoconfig or PACC, such as Thunderbird, finds OAuth2
//     there for IMAP, POP3 and submission, with the issuer, the scopes and the client id.
//   - By hand: server and ports as for a password, the mechanism OAUTHBEARER or XOAUTH2, the
//     address as user name, and a command that prints an access token. For example in msmtp
//     "auth oauthbearer" with "passwordeval", in mpop the same, and in mbsync
//     "AuthMechs XOAUTH2" with "PassCmd".
//   - The token is one of the server's own OpenID provider, or of one in
//     MAILFRONT_AUTHORIZATION_SERVERS. It needs the scope openid, lasts an hour with the own
//     provider, and is renewed with a refresh token (scope offline_access).
//   - The client has to be on TLS, from its own side: a token on an unencrypted connection is
//     refused, and the log line names the setting to change.
//
// Copy watchedServer if your IMAP server is go-imap. Change mailScope if your tokens have a scope
// for mail.

package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"strings"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/mailauth"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/webauth"
	"github.com/seed-94e48765/portico/publicurl"
)

// mailScope is the scope that a token needs for SMTP, IMAP, POP3, JMAP and DAV.
const mailScope = "openid"

// authenticate returns the caller of a request for mail, calendars or contacts. A token needs the
// same scope as on the mail listeners.
func (f *frontend) authenticate(r *http.Request) (webauth.Caller, error) {
	c, err := f.api.Authenticate(r)
	if err == nil && !c.Allows(mailScope) {
		return webauth.Caller{}, webauth.ErrScope
	}
	return c, err
}

// newLogin returns the Checker for passwords and tokens on the mail listeners. lookup returns the
// caller of a token.
func (f *frontend) newLogin(lookup func(context.Context, string) (webauth.Caller, error)) *mailauth.Checker {
	return &mailauth.Checker{
		Password: f.mail.login,
		Token: func(ctx context.Context, token string) (string, error) {
			c, err := lookup(ctx, token)
			switch {
			case errors.Is(err, webauth.ErrWrong), errors.Is(err, webauth.ErrNotToken):
				return "", mailauth.ErrToken
			case err != nil:
				return "", err
			case !c.Allows(mailScope):
				return "", mailauth.ErrScope
			}
			return c.Account, nil
		},
		Scope: mailScope, Configuration: f.openIDConfiguration, Guard: f.guard, Log: f.log, Limited: f.limited,
	}
}

// openIDConfiguration returns the URL of the OpenID configuration of the server whose tokens are
// accepted. If there are several, it returns the first. It returns "" before the server has a URL.
func (f *frontend) openIDConfiguration() string {
	if len(f.cfg.issuers) > 0 {
		return strings.TrimSuffix(f.cfg.issuers[0], "/") + "/.well-known/" + string(publicurl.OpenIDConfiguration)
	}
	base := f.documents.Current().Base()
	u, err := base.WellKnown(publicurl.OpenIDConfiguration)
	if err != nil || base.IsRelative() {
		return ""
	}
	return u
}

// A watchedServer serves connections and reports the logins that go-imap refuses, without a call of
// the session, because the connection may not be encrypted.
type watchedServer struct {
	imapServer
	refused func(net.Conn)
}

func (s watchedServer) Serve(l net.Listener) error {
	return s.imapServer.Serve(&loginWatch{l, s.refused})
}

// A loginWatch is the listener of a watchedServer.
type loginWatch struct {
	net.Listener
	refused func(net.Conn)
}

func (l *loginWatch) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return watchedConn{c, l.refused}, nil
}

type watchedConn struct {
	net.Conn
	refused func(net.Conn)
}

// Write inspects the answers. They contain no text of a message: the client cannot log in before
// STARTTLS, and the answers are encrypted after it.
func (c watchedConn) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(" NO [PRIVACYREQUIRED] ")) {
		c.refused(c.Conn)
	}
	return c.Conn.Write(b)
}

// NetConn lets package proxyproto find the connection below.
func (c watchedConn) NetConn() net.Conn { return c.Conn }
