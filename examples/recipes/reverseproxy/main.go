// Reverseproxy is httputil.ReverseProxy with package forwarded. Handler determines the
// client, and Resolver.SetHeaders sends the client's address, scheme and host to the backend.
// Forwarding headers that the client wrote itself are removed.
//
//	go run ./examples/recipes/reverseproxy -backend http://127.0.0.1:8080
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
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/seed-94e48765/portico/forwarded"
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
	flags := flag.NewFlagSet("reverseproxy", flag.ExitOnError)
	addr := flags.String("addr", "127.0.0.1:18090", "`address` for HTTP")
	backend := flags.String("backend", "", "`URL` of the server behind this proxy")
	certFile := flags.String("cert", "", "`file` of the certificate; if set, clients use TLS")
	keyFile := flags.String("key", "", "`file` of its key")
	trusted := flags.String("trusted", "", "comma-separated `networks` of proxies in front of this one, which set X-Forwarded-For and X-Forwarded-Proto")
	flags.Parse(args)
	target, err := url.Parse(*backend)
	if err != nil || target.Host == "" {
		return fmt.Errorf("reverseproxy: -backend %q: want a URL such as http://127.0.0.1:8080", *backend)
	}
	var proxies *trustnet.Set // nil if clients connect to this proxy
	if *trusted != "" {
		if proxies, err = trustnet.Parse(strings.Split(*trusted, ",")...); err != nil {
			return fmt.Errorf("reverseproxy: -trusted %q: use the addresses that the proxies connect from, such as 127.0.0.1: %w", *trusted, err)
		}
	}
	server, err := newServer(target, proxies)
	if err != nil {
		return err
	}
	if *certFile != "" {
		cert, err := tls.LoadX509KeyPair(*certFile, *keyFile)
		if err != nil {
			return fmt.Errorf("reverseproxy: -cert and -key: %w", err)
		}
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	}
	inner, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	// Without trusted peers a Listener reports PROXY headers, which this port does not expect.
	l, err := proxyproto.New(inner, proxyproto.Config{OnReject: func(r proxyproto.Rejection) {
		slog.Warn("connection refused: this port takes forwarding headers, not the PROXY protocol", "rejection", r)
	}})
	if err != nil {
		return err
	}
	started(l.Addr())
	served := make(chan error, 1)
	go func() {
		if server.TLSConfig != nil {
			served <- server.ServeTLS(l, "", "")
		} else {
			served <- server.Serve(l)
		}
	}()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = l.Shutdown(grace) // before the server, so that no accepted connection is lost
	<-served
	return errors.Join(err, server.Shutdown(grace))
}

// newServer returns the proxy. proxies are the proxies in front of it, or nil if clients
// connect to it.
func newServer(backend *url.URL, proxies *trustnet.Set) (*http.Server, error) {
	resolver, err := forwarded.New(forwarded.Config{
		Trusted: proxies,
		Proto:   !proxies.IsEmpty(), // each of them sets X-Forwarded-Proto
		OnResolve: func(r *http.Request, res forwarded.Result) {
			if res.Reason == forwarded.UntrustedHeader { // in a server, limit the rate of this line
				slog.Warn("a client sent forwarding headers; if it is a proxy, add it to -trusted", "client", res.Client)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.SetURL(backend)
			pr.Out.Host = pr.In.Host // the backend sees the name that the client used
			resolver.SetHeaders(pr.Out, pr.In)
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			slog.Error("no answer", "backend", backend.Host, "err", err)
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	return &http.Server{
		Handler:           resolver.Handler(proxy),
		ConnContext:       proxyproto.ConnContext,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}, nil
}
