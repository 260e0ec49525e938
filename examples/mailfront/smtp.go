// Copy NewSession, which go-smtp calls at the first EHLO and again after STARTTLS: the session
// determines the client there. Rcpt uses the client to decide about relaying, and Data to
// authenticate the message. Change the destination of the mail.

package main

import (
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/gate"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/mailauth"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/msgauth"
)

// newSMTPServer returns the server for the connections of a listener that have the offer o.
func newSMTPServer(f *frontend, listener string, o gate.Offer) server {
	s := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		cl := client.New(f.cfg.listener(listener), c.Conn())
		cl.Log(f.log, "session")
		below := gate.SessionOf(c.Conn())
		return &smtpSession{
			f: f, client: cl, conn: c, below: below, tls: msgauth.DescribeTLS(cl, c.Conn()),
			login:     mailauth.Conn{Checker: f.login, Client: cl, Gate: below},
			needsAuth: strings.HasPrefix(listener, "submission"),
		}, nil
	}))
	if o == gate.StartTLS {
		s.TLSConfig = f.tls
	}
	// go-smtp offers the result of AuthMechanisms, which is nil unless the client is known to use TLS.
	// This field lets Auth report a client that uses AUTH without an offer.
	s.AllowInsecureAuth = true
	s.EnableSMTPUTF8 = true
	// Only clients that have logged in get reports. Others could use any address as the sender.
	s.EnableDSN = strings.HasPrefix(listener, "submission")
	s.MaxLineLength = maxAuthLine
	s.Domain = f.cfg.mailName()
	s.MaxMessageBytes = maxMessageSize
	s.MaxRecipients = 100           // RFC 5321 section 4.5.3.1.8
	s.ReadTimeout = 5 * time.Minute // section 4.5.3.2.7
	s.WriteTimeout = 1 * time.Minute
	s.ErrorLog = libraryLog(f.log, listener)
	return smtpServer{s}
}

// maxAuthLine is the maximum of AUTH (RFC 4954 section 4) with CRLF. Other lines are shorter.
const maxAuthLine = 12288 + 2

type smtpSession struct {
	f         *frontend
	client    client.Client
	login     mailauth.Conn
	conn      *smtp.Conn
	below     *gate.Session
	tls       string // from DescribeTLS
	needsAuth bool   // on submission listeners, RFC 6409 section 4.3
	loggedIn  bool

	from   string
	utf8   bool     // SMTPUTF8, RFC 6531
	local  []string // recipients in the domains of this server
	remote []string // recipients in other domains

	envelopeID string      // ENVID, RFC 3461 section 4.4
	reported   []recipient // recipients in local whose delivery has to be reported
}

// AuthMechanisms returns the mechanisms for the answer to EHLO.
func (s *smtpSession) AuthMechanisms() []string { return s.login.Mechanisms() }

func (s *smtpSession) Auth(mech string) (sasl.Server, error) {
	server, err := s.login.Begin(mech, func(_ string, err error) error {
		s.loggedIn = err == nil
		return smtpLoginError(err)
	})
	return server, smtpLoginError(err)
}

func smtpLoginError(err error) error {
	if err == nil {
		return nil
	}
	a := mailauth.AnswerTo(err)
	return &smtp.SMTPError{Code: a.SMTP, EnhancedCode: a.Enhanced, Message: a.Text}
}

func (s *smtpSession) Mail(from string, options *smtp.MailOptions) error {
	if err := checkAddress(from, options.UTF8); err != nil {
		return err
	}
	if err := s.f.guard.Allow(s.client, guard.Sending); err != nil {
		s.client.Log(s.f.log, "mail_refused", slog.String("reason", err.Error()))
		return &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "Too much mail from your address: try again in " + guard.RetryAfter(err).String()}
	}
	s.from, s.utf8, s.envelopeID = from, options.UTF8, options.EnvelopeID
	return nil
}

// checkAddress rejects an address that RFC 6531 section 3.5 does not allow.
func checkAddress(address string, withUTF8 bool) error {
	isASCII := !strings.ContainsFunc(address, func(r rune) bool { return r >= utf8.RuneSelf })
	if isASCII || withUTF8 && utf8.ValidString(address) {
		return nil
	}
	return &smtp.SMTPError{Code: 553, EnhancedCode: smtp.EnhancedCode{5, 6, 7}, Message: "A non-ASCII address requires SMTPUTF8 and must be UTF-8"}
}

func (s *smtpSession) Rcpt(to string, options *smtp.RcptOptions) error {
	if err := checkAddress(to, s.utf8); err != nil {
		return err
	}
	user, domain := to, s.f.cfg.domains[0] // postmaster needs no domain, RFC 5321 section 4.5.1
	if at := strings.LastIndexByte(to, '@'); at >= 0 {
		user, domain = to[:at], msgauth.ASCIIDomain(to[at+1:])
	}
	mayRelay := s.loggedIn || s.f.relaysFor(s.client)
	switch {
	case strings.EqualFold(user, "whoami"):
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: s.client.JSON()}
	case s.needsAuth && !mayRelay:
		s.f.reportRelay(s.client)
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	case slices.Contains(s.f.cfg.domains, domain):
		s.local, s.reported = append(s.local, to), append(s.reported, recipientsToReport(to, options)...)
	case mayRelay:
		s.remote = append(s.remote, to)
	default:
		s.f.reportRelay(s.client)
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "No relaying: sign in first"}
	}
	return nil
}

// Data receives a message. For BDAT go-smtp calls it in another goroutine: read the fields of the
// transaction only after the message has arrived.
func (s *smtpSession) Data(r io.Reader) error {
	data, release, err := s.f.guard.Receive(s.client, r)
	defer release()
	if errors.Is(err, guard.ErrNoMemory) {
		return &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 3, 1}, Message: "Too much mail is coming in: try later"}
	}
	if err != nil {
		return err
	}
	if !msgauth.WellFormed(data) {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "The message is malformed: it has a bare CR or does not begin with a header field"}
	}
	if len(s.local) > 0 {
		if err := s.deliver(data); err != nil {
			return err
		}
		s.reportDelivery(data)
	}
	if len(s.remote) > 0 {
		s.f.mail.relay(envelope{Time: time.Now(), From: s.from, To: s.remote, Size: len(data)})
	}
	s.below.Useful()
	return nil
}

// deliver adds trace fields to a message and puts it into the mailbox.
func (s *smtpSession) deliver(data []byte) error {
	server := s.f.cfg.mailName()
	t := msgauth.Trace{
		Client: s.client, HELO: s.conn.Hostname(), TLS: s.tls, User: s.loggedIn, UTF8: s.utf8,
		By: server, ID: rand.Text(), To: slices.Concat(s.local, s.remote), At: time.Now(),
	}
	fields := t.Field()
	attrs := []slog.Attr{slog.String("id", t.ID)}
	if s.fromOutside() {
		v := s.f.auth.Check(s.f.ctx, s.authenticated(), t.HELO, s.from, data)
		attrs = append(attrs, slog.String("spf", string(v.SPF)), slog.String("dmarc", string(v.DMARC)), slog.String("from", v.From))
		if v.Refuse {
			s.client.Log(s.f.log, "message_refused", attrs...)
			return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "Refused by the DMARC policy of " + v.From}
		}
		fields = v.Field(server) + fields
	}
	header, rest := msgauth.SplitMessage(data)
	header = msgauth.WithoutForged(header, server)
	err := s.f.mail.deliver(slices.Concat([]byte(fields), header, rest))
	if errors.Is(err, errMailboxFull) {
		return &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 2, 2}, Message: "The mailbox is full"}
	}
	if err == nil {
		s.client.Log(s.f.log, "message", attrs...)
	}
	return err
}

// fromOutside reports whether a message is from another server. SPF and DMARC do not apply to users
// and to clients that may relay, because the DNS does not list their addresses.
func (s *smtpSession) fromOutside() bool {
	return !s.needsAuth && !s.loggedIn && !s.f.relaysFor(s.client)
}

// authenticated returns the address for SPF. It is the zero Addr if the address does not identify one
// client, and for this machine, because no domain lists the addresses of this machine.
func (s *smtpSession) authenticated() netip.Addr {
	if _, why := s.f.guard.Key(s.client); why != "" || s.client.IsThisMachine() {
		return netip.Addr{}
	}
	return s.client.IP
}

func (s *smtpSession) Reset() {
	s.from, s.utf8, s.envelopeID = "", false, ""
	s.local, s.reported, s.remote = nil, nil, nil
}

func (s *smtpSession) Logout() error { return nil }
