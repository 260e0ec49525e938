// Copy the session, which determines the client once, at the greeting: the wrapper that go-imap
// adds to a connection at STARTTLS may hide it. Change the store.

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-sasl"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/gate"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/mailauth"
)

// newIMAPServer returns the server for the connections of a listener that have the offer o.
func newIMAPServer(f *frontend, listener string, o gate.Offer) server {
	options := &imapserver.Options{
		NewSession: func(c *imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			cl := client.New(f.cfg.listener(listener), c.NetConn())
			cl.Log(f.log, "session")
			s := &imapSession{f: f, conn: c, login: mailauth.Conn{Checker: f.login, Client: cl, Gate: gate.SessionOf(c.NetConn())}}
			s.login.Intercept = s.whoami
			return s, nil, nil
		},
		Caps:   imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapIMAP4rev2: {}, imap.CapSpecialUse: {}},
		Logger: libraryLog(f.log, listener),
	}
	switch o {
	case gate.StartTLS:
		options.TLSConfig = f.tls
	case gate.Login:
		options.InsecureAuth = true // the client uses TLS, possibly to the proxy only
	}
	if o == gate.Login {
		return imapServer{imapserver.New(options)}
	}
	return watchedServer{imapServer{imapserver.New(options)}, func(c net.Conn) { mailauth.LogPlaintext(f.limited, client.New(f.cfg.listener(listener), c)) }}
}

// An imapServer implements server for imapserver.Server.
type imapServer struct{ *imapserver.Server }

// Shutdown closes the connections. Wait for their sessions before.
func (s imapServer) Shutdown(context.Context) error { return s.Close() }

type imapSession struct {
	*imapAccountSession // nil before Login

	f        *frontend
	conn     *imapserver.Conn
	login    mailauth.Conn
	startTLS bool // the client has used STARTTLS
}

// checkStartTLS updates the client after STARTTLS. Call it before a login. A connection that begins
// with TLS does not offer STARTTLS. A connection that begins without TLS becomes a *tls.Conn only
// by STARTTLS.
func (s *imapSession) checkStartTLS() {
	if _, onTLS := s.conn.NetConn().(*tls.Conn); onTLS && !s.login.Client.TLS && !s.startTLS {
		s.startTLS = true
		s.login.Client = s.login.Client.WithTLS()
		s.login.Client.Log(s.f.log, "session")
	}
}

func (s *imapSession) Login(username, password string) error {
	s.checkStartTLS()
	return s.loggedIn(s.login.LogIn(username, password))
}

// whoami answers a login as the user whoami with the facts about the client. It is for the demo.
func (s *imapSession) whoami(name string) error {
	if name != "whoami" {
		return nil
	}
	return &imap.Error{Type: imap.StatusResponseTypeNo, Text: s.login.Client.JSON()}
}

// AuthenticateMechanisms returns the mechanisms for the capabilities that go-imap announces.
func (s *imapSession) AuthenticateMechanisms() []string {
	s.checkStartTLS()
	return s.login.Mechanisms()
}

func (s *imapSession) Authenticate(mech string) (sasl.Server, error) {
	s.checkStartTLS()
	server, err := s.login.Begin(mech, func(_ string, err error) error { return s.loggedIn(err) })
	if err != nil {
		return nil, s.loggedIn(err)
	}
	return server, nil
}

// loggedIn starts the session after a login, or returns the answer to err.
func (s *imapSession) loggedIn(err error) error {
	if err == nil {
		s.imapAccountSession = s.f.mail.imap.session()
		return nil
	}
	if answer := (*imap.Error)(nil); errors.As(err, &answer) {
		return answer
	}
	a := mailauth.AnswerTo(err)
	answer := &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCode(a.IMAP), Text: a.Text}
	if a.Bad {
		answer.Type = imap.StatusResponseTypeBad
	}
	return answer
}

var errInboxStays = &imap.Error{Type: imap.StatusResponseTypeNo, Text: "INBOX cannot be deleted, because mail is delivered to it"}

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

// Close ends the session. go-imap calls it for every connection.
func (s *imapSession) Close() error {
	if s.imapAccountSession == nil {
		return nil
	}
	return s.imapAccountSession.Close()
}

// AppendLimit returns the maximum size of a message in APPEND, in bytes.
func (s *imapSession) AppendLimit() uint32 { return maxMessageSize }
