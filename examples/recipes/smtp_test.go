package recipes

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/seed-94e48765/portico/proxyproto"
)

// A session knows its client from the start. go-smtp makes a new one after STARTTLS.
type session struct {
	info   *proxyproto.Info // never nil
	secure bool             // the client's connection, and that is known
}

func newSession(c net.Conn) *session {
	s := &session{info: new(proxyproto.Info)}
	if info, ok := proxyproto.FromConn(c); ok {
		s.info = info
	}
	secure, known := proxyproto.Secure(c)
	s.secure = secure && known
	return s
}

// AuthMechanisms is what EHLO offers: a password only where nobody reads along.
func (s *session) AuthMechanisms() []string {
	if s.secure {
		return []string{sasl.Plain}
	}
	return nil
}

func (s *session) Auth(string) (sasl.Server, error) {
	if !s.secure {
		return nil, smtp.ErrAuthUnsupported
	}
	return sasl.NewPlainServer(func(_, _, _ string) error { return errors.New("compare the password here") }), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.info.ClientKnown() {
		fmt.Println("SPF is asked for", s.info.Client)
	} // else nobody's address is judged: a health check, say
	return nil
}

// A real server refuses recipients that are not its own, and keeps the message.
func (s *session) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (s *session) Data(io.Reader) error                 { return nil }
func (s *session) Reset()                               {}
func (s *session) Logout() error                        { return nil }

// go-smtp. It would offer AUTH by its own *tls.Conn alone: AllowInsecureAuth leaves
// that to AuthMechanisms, which knows of the proxy's TLS, too.
func Example_goSMTP() {
	l := listen()
	srv := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return newSession(c.Conn()), nil
	}))
	srv.Domain = "mail.example.com"
	srv.AllowInsecureAuth = true
	srv.ReadTimeout, srv.WriteTimeout = 5*time.Minute, 5*time.Minute // RFC 5321 section 4.5.3.2
	srv.MaxMessageBytes, srv.MaxRecipients = 10<<20, 100
	go srv.Serve(l)
	defer srv.Close()

	// To try it.
	for _, facts := range tlsOrNot {
		c := smtp.NewClient(throughProxy(l, facts))
		if err := c.Hello("client.example"); err != nil {
			log.Fatal(err)
		}
		fmt.Println("AUTH is offered:", c.SupportsAuth(sasl.Plain))
		if err := c.Mail("a@elsewhere.example", nil); err != nil {
			log.Fatal(err)
		}
		c.Close()
	}
	// Output:
	// AUTH is offered: false
	// SPF is asked for 203.0.113.7:50000
	// AUTH is offered: true
	// SPF is asked for 203.0.113.7:50000
}
