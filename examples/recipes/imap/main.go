// Imap is go-imap behind a proxy that sends PROXY headers, on the listeners for port 143
// (STARTTLS) and port 993 (TLS first), where the proxy may have ended TLS.
//
// go-imap offers LOGIN on a *tls.Conn, or always (InsecureAuth). proxyproto.Split
// therefore puts two servers behind each listener: one for clients on TLS, no matter
// whether the TLS ends here or at the proxy, and one for the others.
//
//	go run ./examples/recipes/imap -trusted 127.0.0.1 -cert cert.pem -key key.pem
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"

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
	flags := flag.NewFlagSet("imap", flag.ExitOnError)
	startTLSAddr := flags.String("starttls", "127.0.0.1:10143", "`address` of the port where clients use STARTTLS")
	tlsAddr := flags.String("tls", "127.0.0.1:10993", "`address` of the port where clients begin with TLS")
	certFile := flags.String("cert", "cert.pem", "`file` of the certificate")
	keyFile := flags.String("key", "key.pem", "`file` of its key")
	trusted := flags.String("trusted", "", "comma-separated `networks` of the proxies")
	flags.Parse(args)
	proxies, err := trustnet.Parse(strings.Split(*trusted, ",")...)
	if err != nil {
		return fmt.Errorf("imap: -trusted %q: use the addresses that the proxies connect from, such as 127.0.0.1: %w", *trusted, err)
	}
	cert, err := tls.LoadX509KeyPair(*certFile, *keyFile)
	if err != nil {
		return fmt.Errorf("imap: -cert and -key: %w", err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	store := imapmemserver.New() // the mailboxes; replace it
	user := imapmemserver.NewUser("demo", "correct horse")
	store.AddUser(user)
	if err := user.Create("INBOX", nil); err != nil {
		return err
	}
	startTLSListener, err := listen(*startTLSAddr, proxies)
	if err != nil {
		return err
	}
	tlsListener, err := listen(*tlsAddr, proxies)
	if err != nil {
		return errors.Join(err, startTLSListener.Close())
	}
	started(startTLSListener.Addr(), tlsListener.Addr())

	secure := newServer(store, &imapserver.Options{InsecureAuth: true}) // there is no *tls.Conn if the proxy ended TLS
	other := newServer(store, &imapserver.Options{TLSConfig: config})   // offers STARTTLS, and LOGIN only after STARTTLS
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
	return errors.Join(err, secure.Close(), other.Close()) // go-imap has no Shutdown; Close ends open sessions
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

func newServer(store *imapmemserver.Server, options *imapserver.Options) *imapserver.Server {
	options.NewSession = func(c *imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
		s := &session{Session: store.NewSession()}
		if info, ok := proxyproto.FromConn(c.NetConn()); ok {
			s.client = info.ClientAddr().Addr()
		}
		return s, nil, nil
	}
	options.Caps = imap.CapSet{imap.CapIMAP4rev1: {}}
	return imapserver.New(options)
}

// session is one client. Its address is the zero value if it is not known.
type session struct {
	imapserver.Session
	client netip.Addr
}

func (s *session) Login(user, password string) error {
	err := s.Session.Login(user, password)
	slog.Info("login", "user", user, "client", s.client, "err", err) // limit this address, unless it is the zero value
	return err
}
