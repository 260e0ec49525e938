// Nethttp is net/http on two listeners behind a proxy that sends PROXY headers. The first
// listener is clear text, for a proxy that ends the clients' TLS. The second uses TLS, for a
// proxy that passes TLS through. Both serve HTTP/1.1 and HTTP/2.
//
//	go run ./examples/recipes/nethttp -trusted 127.0.0.1 -cert cert.pem -key key.pem
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
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

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
	flags := flag.NewFlagSet("nethttp", flag.ExitOnError)
	httpAddr := flags.String("http", "127.0.0.1:18080", "`address` for HTTP in clear text")
	httpsAddr := flags.String("https", "127.0.0.1:18443", "`address` for HTTP on TLS")
	certFile := flags.String("cert", "cert.pem", "`file` of the certificate")
	keyFile := flags.String("key", "key.pem", "`file` of its key")
	trusted := flags.String("trusted", "", "comma-separated `networks` of the proxies")
	flags.Parse(args)
	proxies, err := trustnet.Parse(strings.Split(*trusted, ",")...)
	if err != nil {
		return fmt.Errorf("nethttp: -trusted %q: use the addresses that the proxies connect from, such as 127.0.0.1: %w", *trusted, err)
	}
	cert, err := tls.LoadX509KeyPair(*certFile, *keyFile)
	if err != nil {
		return fmt.Errorf("nethttp: -cert and -key: %w", err)
	}
	// Every listener needs its own http.Server. A Server sets HTTP/2 up once. If Serve and
	// ServeTLS share a Server and Serve is first, HTTPS breaks for clients that support
	// HTTP/2.
	plain, https := newServer(), newServer()
	plain.Protocols = new(http.Protocols)
	plain.Protocols.SetHTTP1(true)
	plain.Protocols.SetUnencryptedHTTP2(true)
	https.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
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

func newServer() *http.Server {
	return &http.Server{
		Handler:           http.HandlerFunc(whoami),
		ConnContext:       proxyproto.ConnContext, // for FromContext, and for package forwarded
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
	}
}

// whoami is a handler that uses the client's address and TLS.
func whoami(w http.ResponseWriter, r *http.Request) {
	info, ok := proxyproto.FromContext(r.Context())
	if !ok { // ConnContext is missing
		http.Error(w, "internal server error", http.StatusInternalServerError)
		return
	}
	secure, known := info.Secure(r.TLS != nil)
	fmt.Fprintln(w, r.Proto, "client:", info.ClientAddr(), "TLS:", secure, "known:", known)
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
