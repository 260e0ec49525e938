package recipes

import (
	"context"
	"crypto/tls"
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

// splitSession is a session of a server that decides what it offers by its fields
// alone: it does not ask about TLS.
type splitSession struct{}

func (splitSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (splitSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, _, _ string) error { return errors.New("compare the password here") }), nil
}

func (splitSession) Mail(string, *smtp.MailOptions) error { return nil }
func (splitSession) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (splitSession) Data(io.Reader) error                 { return nil }
func (splitSession) Reset()                               {}
func (splitSession) Logout() error                        { return nil }

func newSplitServer() *smtp.Server {
	srv := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return splitSession{}, nil }))
	srv.Domain = "mail.example.com"
	srv.ReadTimeout, srv.WriteTimeout = 5*time.Minute, 5*time.Minute // RFC 5321 section 4.5.3.2
	srv.MaxMessageBytes, srv.MaxRecipients = 10<<20, 100
	return srv
}

// The servers behind one listener, by their index.
const (
	secureServer = iota // the client's connection is encrypted, and that is known
	otherServer         // everything else
	servers
)

// choose returns the choose function of a listener. On port 465 the client begins with
// TLS, unless the proxy has ended it. On port 587 clients use STARTTLS instead.
func choose(implicitTLS *tls.Config) func(net.Conn) (net.Conn, int) {
	return func(c net.Conn) (net.Conn, int) {
		secure, known := proxyproto.Secure(c)
		if implicitTLS != nil && !(secure && known) {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			tc := tls.Server(c, implicitTLS)
			if tc.HandshakeContext(ctx) != nil {
				tc.Close()
				return nil, 0
			}
			c = tc
			secure, known = proxyproto.Secure(c)
		}
		if secure && known {
			return c, secureServer
		}
		return c, otherServer
	}
}

// go-smtp as two servers behind one listener. Other packages need this, too, if they
// offer passwords by *tls.Conn or by a field of the server.
func Example_split() {
	cert, pool := certificate()
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	secure, other := newSplitServer(), newSplitServer()
	secure.AllowInsecureAuth = true // there may be no *tls.Conn: the proxy ended TLS
	other.TLSConfig = config        // STARTTLS; no password before it

	submission, submissions := listen(), listen() // ports 587 and 465
	for l, implicitTLS := range map[net.Listener]*tls.Config{submission: nil, submissions: config} {
		parts := proxyproto.Split(l, servers, choose(implicitTLS))
		go secure.Serve(parts[secureServer])
		go other.Serve(parts[otherServer])
	}
	defer secure.Close()
	defer other.Close()

	// To try it.
	for _, try := range []struct {
		port  string
		l     net.Listener
		facts *proxyproto.TLS
		tls   bool
	}{
		{port: "587", l: submission},
		{port: "587, TLS to the proxy", l: submission, facts: &proxyproto.TLS{Client: true}},
		{port: "465", l: submissions, tls: true},
		{port: "465, TLS to the proxy", l: submissions, facts: &proxyproto.TLS{Client: true}},
	} {
		conn := throughProxy(try.l, try.facts)
		if try.tls {
			conn = tls.Client(conn, &tls.Config{RootCAs: pool, ServerName: "mail.example.com"})
		}
		c := smtp.NewClient(conn)
		if err := c.Hello("client.example"); err != nil {
			log.Fatal(err)
		}
		startTLS, _ := c.Extension("STARTTLS")
		fmt.Printf("port %s: AUTH %v, STARTTLS %v\n", try.port, c.SupportsAuth(sasl.Plain), startTLS)
		c.Close()
	}
	// Output:
	// port 587: AUTH false, STARTTLS true
	// port 587, TLS to the proxy: AUTH true, STARTTLS false
	// port 465: AUTH true, STARTTLS false
	// port 465, TLS to the proxy: AUTH true, STARTTLS false
}
