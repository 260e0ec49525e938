// What to copy: NewSession, which go-smtp calls at the first EHLO and again after
// STARTTLS, reads the client there; Rcpt asks it before it relays. What to change:
// where the mail goes.

package main

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// newSMTPServer returns the server for the connections of a listener that get
// one offer.
func newSMTPServer(f *frontend, listener string, o offer) server {
	s := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		cl := newClient(listener, c.Conn())
		cl.log(f.log, "session")
		return &smtpSession{f: f, client: cl, needsAuth: strings.HasPrefix(listener, "submission")}, nil
	}))
	switch o {
	case offerStartTLS:
		s.TLSConfig = f.tls
	case offerLogin:
		s.AllowInsecureAuth = true // the client is on TLS, if not with us
	}
	s.Domain = f.cfg.domains[0]
	s.MaxMessageBytes = maxMessageSize
	s.MaxRecipients = 100           // RFC 5321 section 4.5.3.1.8
	s.ReadTimeout = 5 * time.Minute // section 4.5.3.2.7
	s.WriteTimeout = 1 * time.Minute
	s.ErrorLog = libraryLog(f.log, listener)
	return s
}

type smtpSession struct {
	f         *frontend
	client    client
	needsAuth bool // submission, RFC 6409 section 4.3
	loggedIn  bool

	from   string
	local  bool     // some recipient is ours
	remote []string // the others
}

// AuthMechanisms is asked by go-smtp when it offers AUTH.
func (s *smtpSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *smtpSession) Auth(mech string) (sasl.Server, error) {
	if mech != sasl.Plain {
		return nil, smtp.ErrAuthUnknownMechanism
	}
	if !s.client.TLS { // go-smtp did not offer it; this is the second lock
		return nil, &smtp.SMTPError{Code: 523, EnhancedCode: smtp.EnhancedCode{5, 7, 10}, Message: "TLS is required"}
	}
	return sasl.NewPlainServer(func(identity, username, password string) error {
		if identity != "" && identity != username || !s.f.mail.login(username, password) {
			return smtp.ErrAuthFailed
		}
		s.loggedIn = true
		return nil
	}), nil
}

func (s *smtpSession) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *smtpSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	user, domain := to, s.f.cfg.domains[0] // postmaster needs no domain, RFC 5321 section 4.5.1
	if at := strings.LastIndexByte(to, '@'); at >= 0 {
		user, domain = to[:at], strings.ToLower(to[at+1:])
	}
	mayRelay := s.loggedIn || s.client.mayRelayByAddress()
	switch {
	case strings.EqualFold(user, "whoami"):
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: s.client.whoami()}
	case s.needsAuth && !mayRelay:
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	case slices.Contains(s.f.cfg.domains, domain):
		s.local = true
	case mayRelay:
		s.remote = append(s.remote, to)
	default:
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "No relaying: log in first"}
	}
	return nil
}

func (s *smtpSession) Data(r io.Reader) error {
	var b bytes.Buffer
	if _, err := b.ReadFrom(r); err != nil {
		return err
	}
	if s.local {
		err := s.f.mail.deliver(b.Bytes())
		if errors.Is(err, errMailboxFull) {
			return &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 2, 2}, Message: "The mailbox is full"}
		}
		if err != nil {
			return err
		}
	}
	if len(s.remote) > 0 {
		s.f.mail.relay(envelope{Time: time.Now(), From: s.from, To: s.remote, Size: b.Len()})
	}
	return nil
}

func (s *smtpSession) Reset() {
	s.from, s.local, s.remote = "", false, nil
}

func (s *smtpSession) Logout() error { return nil }
