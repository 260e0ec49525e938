// Smtp is go-smtp behind a proxy that sends PROXY headers: submission on the listeners
// for port 587 (STARTTLS) and port 465 (TLS first), where the proxy may have ended TLS.
//
// go-smtp offers AUTH on a *tls.Conn, or always (AllowInsecureAuth). proxyproto.Split
// therefore puts two servers behind each listener: one for clients on TLS, no matter
// whether the TLS ends here or at the proxy, and one for the others.
//
//	go run ./examples/recipes/smtp -trusted 127.0.0.1 -cert cert.pem -key key.pem
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], func(addrs ...net.Addr) { slog.Info("serving", "addresses", addrs) }); err != nil {
		slog.Error(err.Error())
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, started func(...net.Addr)) error {
	flags := flag.NewFlagSet("smtp", flag.ExitOnError)
	startTLSAddr := flags.String("starttls", "127.0.0.1:10587", "`address` of the port where clients use STARTTLS")
	tlsAddr := flags.String("tls", "127.0.0.1:10465", "`address` of the port where clients begin with TLS")
	certFile := flags.String("cert", "cert.pem", "`file` of the certificate")
	keyFile := flags.String("key", "key.pem", "`file` of its key")
	trusted := flags.String("trusted", "", "comma-separated `networks` of the proxies")
	flags.Parse(args)
	proxies, err := trustnet.Parse(strings.Split(*trusted, ",")...)
	if err != nil {
		return fmt.Errorf("smtp: -trusted %q: use the addresses that the proxies connect from, such as 127.0.0.1: %w", *trusted, err)
	}
	cert, err := tls.LoadX509KeyPair(*certFile, *keyFile)
	if err != nil {
		return fmt.Errorf("smtp: -cert and -key: %w", err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	startTLSListener, err := listen(*startTLSAddr, proxies)
	if err != nil {
		return err
	}
	tlsListener, err := listen(*tlsAddr, proxies)
	if err != nil {
		return errors.Join(err, startTLSListener.Close())
	}
	started(startTLSListener.Addr(), tlsListener.Addr())

	secure, other := newServer(), newServer()
	secure.AllowInsecureAuth = true // the client is on TLS, but there is no *tls.Conn if the proxy ended it
	other.TLSConfig = config        // offers STARTTLS, and AUTH only after STARTTLS
	ended := make(chan error)
	for l, implicitTLS := range map[*proxyproto.Listener]*tls.Config{startTLSListener: nil, tlsListener: config} {
		parts := proxyproto.Split(l, numServers, choose(implicitTLS))
		go func() { ended <- secure.Serve(parts[secureServer]) }()
		go func() { ended <- other.Serve(parts[otherServer]) }()
	}
	running := 4
	select {
	case err = <-ended: // if one server fails, all end
		running--
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = errors.Join(err, startTLSListener.Shutdown(grace), tlsListener.Shutdown(grace)) // no accepted connection is lost
	for range running {
		<-ended
	}
	return errors.Join(err, secure.Shutdown(grace), other.Shutdown(grace))
}

func listen(addr string, proxies *trustnet.Set) (*proxyproto.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	return proxyproto.New(l, proxyproto.Config{
		Trusted: proxies,
		OnReject: func(r proxyproto.Rejection) {
			slog.Warn("connection refused: compare -trusted with the proxy's settings", "listener", addr, "rejection", r)
		},
	})
}

// The servers behind one listener, by their index.
const (
	secureServer = iota // clients that are known to be on TLS
	otherServer
	numServers
)

// choose returns the function for proxyproto.Split. If implicitTLS is set, a client begins
// with TLS unless the proxy has ended its TLS.
func choose(implicitTLS *tls.Config) func(net.Conn) (net.Conn, int) {
	return func(c net.Conn) (net.Conn, int) {
		secure, _ := proxyproto.Secure(c) // false if it is not known
		if implicitTLS != nil && !secure {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			tc := tls.Server(c, implicitTLS)
			if err := tc.HandshakeContext(ctx); err != nil {
				slog.Info("no TLS", "client", c.RemoteAddr(), "err", err)
				tc.Close()
				return nil, 0
			}
			c = tc
			secure, _ = proxyproto.Secure(c)
		}
		if secure {
			return c, secureServer
		}
		return c, otherServer
	}
}

func newServer() *smtp.Server {
	s := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		s := &session{}
		if info, ok := proxyproto.FromConn(c.Conn()); ok {
			s.client = info.ClientAddr().Addr()
		}
		return s, nil
	}))
	s.Domain = "mail.example.com"
	s.ReadTimeout, s.WriteTimeout = 5*time.Minute, 5*time.Minute // RFC 5321 section 4.5.3.2
	s.MaxMessageBytes, s.MaxRecipients = 10<<20, 100
	return s
}

// session is one client. Its address is the zero value if it is not known.
type session struct {
	client   netip.Addr
	signedIn bool
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "demo" || password != "correct horse" { // look the user up here
			slog.Warn("wrong password", "user", user, "client", s.client)
			return smtp.ErrAuthFailed
		}
		s.signedIn = true
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if !s.signedIn {
		return smtp.ErrAuthRequired
	}
	slog.Info("mail", "from", from, "client", s.client)
	return nil
}

func (s *session) Rcpt(string, *smtp.RcptOptions) error { return nil }

// Data drops the message. Replace it to send the message.
func (s *session) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }
