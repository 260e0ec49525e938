// What to copy: the session reads the client once, at the greeting: what go-imap
// puts around a connection at STARTTLS may hide it. What to change: the store.

package main

import (
	"context"
	"crypto/tls"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/gate"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
)

// newIMAPServer returns the server for the connections of a listener that get
// one offer.
func newIMAPServer(f *frontend, listener string, o gate.Offer) server {
	options := &imapserver.Options{
		NewSession: func(c *imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			cl := client.New(listener, c.NetConn())
			cl.Log(f.log, "session")
			return &imapSession{f: f, conn: c, below: gate.SessionOf(c.NetConn()), client: cl}, nil, nil
		},
		Caps:   imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapIMAP4rev2: {}},
		Logger: libraryLog(f.log, listener),
	}
	switch o {
	case gate.StartTLS:
		options.TLSConfig = f.tls
	case gate.Login:
		options.InsecureAuth = true // the client is on TLS, if not with us
	}
	return imapServer{imapserver.New(options)}
}

// An imapServer has what the other servers have.
type imapServer struct{ *imapserver.Server }

// Shutdown closes the connections. Wait for them first.
func (s imapServer) Shutdown(context.Context) error { return s.Close() }

type imapSession struct {
	*imapAccountSession // nil before Login

	f        *frontend
	conn     *imapserver.Conn
	below    *gate.Session
	client   client.Client
	startTLS bool // seen
}

func (s *imapSession) Login(username, password string) error {
	// On a connection that begins with TLS there is no STARTTLS, and one that
	// began without is a *tls.Conn only after it.
	if _, onTLS := s.conn.NetConn().(*tls.Conn); onTLS && !s.client.TLS && !s.startTLS {
		s.startTLS = true
		s.client = s.client.WithTLS()
		s.client.Log(s.f.log, "session")
	}
	switch {
	case !s.client.TLS: // go-imap did not offer it; this is the second lock
		return &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodePrivacyRequired, Text: "TLS is required"}
	case username == "whoami":
		return &imap.Error{Type: imap.StatusResponseTypeNo, Text: s.client.JSON()}
	}
	switch err := s.f.guard.LogIn(s.client, username, func() (bool, error) { return s.f.mail.login(username, password), nil }); err {
	case nil:
		s.below.LoggedIn()
		s.imapAccountSession = s.f.mail.imap.session()
		return nil
	case guard.ErrWrongPassword:
		s.below.WrongLogin(err)
		return imapserver.ErrAuthFailed
	default:
		s.below.WrongLogin(err)
		return &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeUnavailable, Text: "Too many logins: try again in " + guard.RetryAfter(err).String()}
	}
}

var errInboxStays = &imap.Error{Type: imap.StatusResponseTypeNo, Text: "INBOX stays: mail is delivered to it"}

func (s *imapSession) Delete(mailbox string) error {
	if mailbox == "INBOX" { // RFC 9051 section 6.3.5
		return errInboxStays
	}
	return s.imapAccountSession.Delete(mailbox)
}

func (s *imapSession) Rename(mailbox, to string, options *imap.RenameOptions) error {
	if mailbox == "INBOX" {
		return errInboxStays
	}
	return s.imapAccountSession.Rename(mailbox, to, options)
}

// Close is called on every connection.
func (s *imapSession) Close() error {
	if s.imapAccountSession == nil {
		return nil
	}
	return s.imapAccountSession.Close()
}

// AppendLimit bounds APPEND, in bytes.
func (s *imapSession) AppendLimit() uint32 { return maxMessageSize }
