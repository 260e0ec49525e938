// Metrics publishes proxyproto.Stats, the counters of a listener, at /debug/vars for expvar
// and at /metrics in the text format of Prometheus. The server behind the listener only
// greets its clients and closes the connection.
//
//	go run ./examples/recipes/metrics -trusted 127.0.0.1
package main

import (
	"context"
	"errors"
	"expvar"
	"flag"
	"fmt"
	"io"
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

// published has an entry for every listener, by its name.
var published = expvar.NewMap("proxyproto")

// run serves until ctx ends.
func run(ctx context.Context, args []string, started func(...net.Addr)) error {
	flags := flag.NewFlagSet("metrics", flag.ExitOnError)
	addr := flags.String("addr", "127.0.0.1:10025", "`address` for the proxy's connections")
	metricsAddr := flags.String("metrics", "127.0.0.1:19100", "`address` of the metrics; clients must not be able to connect to it")
	trusted := flags.String("trusted", "", "comma-separated `networks` of the proxies")
	flags.Parse(args)
	proxies, err := trustnet.Parse(strings.Split(*trusted, ",")...)
	if err != nil {
		return fmt.Errorf("metrics: -trusted %q: use the addresses that the proxies connect from, such as 127.0.0.1: %w", *trusted, err)
	}
	inner, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	l, err := proxyproto.New(inner, proxyproto.Config{
		Trusted: proxies,
		OnReject: func(r proxyproto.Rejection) {
			slog.Warn("connection refused: compare -trusted with the proxy's settings", "rejection", r)
		},
	})
	if err != nil {
		return err
	}
	metricsListener, err := net.Listen("tcp", *metricsAddr)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	published.Set("smtp", expvar.Func(func() any { return l.Stats() }))
	mux := http.NewServeMux()
	mux.Handle("GET /debug/vars", expvar.Handler()) // shows the command line and memory statistics, too
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		writeMetrics(w, map[string]proxyproto.Stats{"smtp": l.Stats()})
	})
	metricsServer := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	started(l.Addr(), metricsListener.Addr())
	ended := make(chan error)
	go func() { ended <- metricsServer.Serve(metricsListener) }()
	go func() { ended <- serve(l) }()
	running := 2
	select {
	case err = <-ended: // if one server fails, both end
		running--
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = errors.Join(err, l.Shutdown(grace), metricsServer.Shutdown(grace))
	for range running {
		<-ended
	}
	return err
}

func serve(l net.Listener) error {
	for {
		c, err := l.Accept() // every error is final
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			c.SetDeadline(time.Now().Add(10 * time.Second))
			fmt.Fprintf(c, "hello %v\r\n", c.RemoteAddr())
		}()
	}
}

// writeMetrics writes the counters of listeners, by their names, in the text format of
// https://prometheus.io/docs/instrumenting/exposition_formats/. Names must not need
// escaping.
func writeMetrics(w io.Writer, listeners map[string]proxyproto.Stats) {
	for _, m := range metrics {
		fmt.Fprintf(w, "# HELP proxyproto_%s %s\n# TYPE proxyproto_%s %s\n", m.name, m.help, m.name, m.kind)
		for listener, stats := range listeners {
			fmt.Fprintf(w, "proxyproto_%s{listener=%q} %v\n", m.name, listener, m.value(stats))
		}
	}
}

var metrics = []struct {
	name, kind, help string
	value            func(proxyproto.Stats) any
}{
	{"proxied_total", "counter", "Connections with a header that has the client's address.", func(s proxyproto.Stats) any { return s.Proxied }},
	{"local_total", "counter", "Connections with a header without an address (LOCAL, UNKNOWN).", func(s proxyproto.Stats) any { return s.Local }},
	{"direct_total", "counter", "Connections of direct clients.", func(s proxyproto.Stats) any { return s.Direct }},
	{"probes_total", "counter", "Health checks: a trusted peer left without a byte.", func(s proxyproto.Stats) any { return s.Probes }},
	{"no_header_total", "counter", "Trusted peers that sent no header.", func(s proxyproto.Stats) any { return s.NoHeader }},
	{"malformed_total", "counter", "Malformed or unsupported headers.", func(s proxyproto.Stats) any { return s.Malformed }},
	{"timed_out_total", "counter", "Headers that did not arrive in time.", func(s proxyproto.Stats) any { return s.TimedOut }},
	{"too_large_total", "counter", "Headers above the size limit.", func(s proxyproto.Stats) any { return s.TooLarge }},
	{"checksum_total", "counter", "Headers with a wrong checksum.", func(s proxyproto.Stats) any { return s.Checksum }},
	{"untrusted_total", "counter", "Headers of peers that are not trusted.", func(s proxyproto.Stats) any { return s.Untrusted }},
	{"ignored_total", "counter", "Headers of untrusted peers that were dropped.", func(s proxyproto.Stats) any { return s.Ignored }},
	{"refused_total", "counter", "Connections of peers that may not connect.", func(s proxyproto.Stats) any { return s.Refused }},
	{"evicted_total", "counter", "Silent peers that were closed to make room.", func(s proxyproto.Stats) any { return s.Evicted }},
	{"trust_all_total", "counter", "Connections while a list trusted half of the Internet or more.", func(s proxyproto.Stats) any { return s.TrustAll }},
	{"pending", "gauge", "Connections that wait for their header.", func(s proxyproto.Stats) any { return s.Pending }},
	{"ready", "gauge", "Connections that wait for Accept.", func(s proxyproto.Stats) any { return s.Ready }},
}
