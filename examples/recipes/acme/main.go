// Acme is an HTTPS server that gets its own certificate (RFC 8555) behind a proxy that
// passes connections through with PROXY headers. The CA can use either challenge:
//
//   - TLS-ALPN-01 on the TLS listener. The proxy must pass TLS through, because a proxy that
//     ends TLS would have to answer the challenge itself.
//   - HTTP-01 on the clear-text listener, which also serves the discovery documents.
//
// GetCertificate gets the client's address from hello.Conn.
//
//	go run ./examples/recipes/acme -trusted 127.0.0.1 -host mail.example.com -agree
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/publicurl"
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
	flags := flag.NewFlagSet("acme", flag.ExitOnError)
	httpAddr := flags.String("http", "127.0.0.1:18080", "`address` for port 80 of the proxy")
	httpsAddr := flags.String("https", "127.0.0.1:18443", "`address` for port 443 of the proxy")
	trusted := flags.String("trusted", "", "comma-separated `networks` of the proxies")
	host := flags.String("host", "mail.example.com", "public host `name`")
	cache := flags.String("cache", "acme-cache", "`directory` of the account key and the certificates")
	directory := flags.String("directory", autocert.DefaultACMEDirectory, "directory `URL` of the CA")
	agree := flags.Bool("agree", false, "agree to the CA's terms of service")
	flags.Parse(args)
	if !*agree {
		return fmt.Errorf("acme: -agree is not set: read the terms of service at %s first", *directory)
	}
	proxies, err := trustnet.Parse(strings.Split(*trusted, ",")...)
	if err != nil {
		return fmt.Errorf("acme: -trusted %q: use the addresses that the proxies connect from, such as 127.0.0.1: %w", *trusted, err)
	}
	base, err := publicurl.FromHostname(*host)
	if err != nil {
		return err
	}
	set, err := discovery.Build(discovery.Config{Base: base, JMAP: &discovery.JMAP{}})
	if err != nil {
		return err
	}
	documents := discovery.NewServer(set, discovery.ServerConfig{})
	manager := &autocert.Manager{
		Prompt:     autocert.AcceptTOS,
		Cache:      autocert.DirCache(*cache),
		HostPolicy: autocert.HostWhitelist(base.Hostname()), // clients cannot request certificates for other names
		Client:     &acme.Client{DirectoryURL: *directory},
	}
	// Every listener has an http.Server of its own: see ../nethttp.
	plain, https := newServer(manager.HTTPHandler(documents)), newServer(documents)
	https.TLSConfig = manager.TLSConfig() // h2, http/1.1 and acme-tls/1
	https.TLSConfig.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		var client netip.Addr // the zero value if it is not known
		if info, ok := proxyproto.FromConn(hello.Conn); ok {
			client = info.ClientAddr().Addr()
		}
		cert, err := manager.GetCertificate(hello)
		slog.Info("certificate", "client", client, "name", hello.ServerName, "alpn", hello.SupportedProtos, "err", err) // limit clients that ask for other names here
		return cert, err
	}
	plainListener, err := listen(*httpAddr, proxies)
	if err != nil {
		return err
	}
	httpsListener, err := listen(*httpsAddr, proxies)
	if err != nil {
		return errors.Join(err, plainListener.Close())
	}
	started(plainListener.Addr(), httpsListener.Addr())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error)
	go func() { ended <- serve(ctx, plainListener, plain, plain.Serve) }()
	go func() {
		ended <- serve(ctx, httpsListener, https, func(l net.Listener) error { return https.ServeTLS(l, "", "") })
	}()
	err = <-ended
	cancel() // if one server fails, both end
	return errors.Join(err, <-ended)
}

func newServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ConnContext:       proxyproto.ConnContext,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
	}
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

// serve ends when ctx is done. The listener ends first, so that no accepted connection is
// lost. Open requests have ten seconds.
func serve(ctx context.Context, l *proxyproto.Listener, s *http.Server, serve func(net.Listener) error) error {
	served := make(chan error, 1)
	go func() { served <- serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := l.Shutdown(grace)
	<-served
	return errors.Join(err, s.Shutdown(grace))
}
