// Copy this file: it has a listener for the health checks of load balancers and orchestrators, and
// the order of the shutdown, in which ready fails before the sockets close. Change ready if your
// server cannot serve anything without some other service.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/seed-94e48765/portico/examples/internal/settings"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/proxyproto"
)

// healthName is the name of the health listener in the table of listeners and in the log.
const healthName = "health"

// healthSettings returns the settings of the health listener.
func healthSettings() []settings.Setting {
	return []settings.Setting{
		{Name: "LISTEN_HEALTH", Usage: "host:port or unix:/path of a listener for health checks, without TLS and without PROXY protocol: /healthz/live, /healthz/ready and /metrics; do not expose it to clients (default: off)"},
		{Name: "DRAIN", Usage: "how long mailfront accepts connections after SIGTERM while /healthz/ready fails, such as 10s; longer than a load balancer needs to notice (default 5s with LISTEN_HEALTH, otherwise 0s)"},
	}
}

// maxDrain is the maximum of DRAIN. Service managers kill a process that has not stopped after one
// or two minutes.
const maxDrain = time.Hour

// defaultDrain is the default of DRAIN with a health listener. It is longer than two failing
// checks of HAProxy or of Kubernetes with the interval of examples/proxies, one or two seconds.
const defaultDrain = 5 * time.Second

// readHealth reads the duration of the drain.
func (cfg *config) readHealth(values *settings.Values) error {
	if len(cfg.health) > 0 {
		cfg.drain = defaultDrain
	}
	if s := values.Get("DRAIN"); s.Text != "" {
		d, err := time.ParseDuration(s.Text)
		if err != nil || d < 0 || d > maxDrain {
			return s.Errorf("use a duration from 0s to %v, such as 10s", maxDrain)
		}
		cfg.drain = d
	}
	return nil
}

// A healthListener answers health checks.
type healthListener struct {
	sockets []net.Listener
	server  *http.Server
	served  sync.WaitGroup
}

// openHealth opens the health listener, if there is one, and serves it. It is opened before all
// other listeners and closed after them, so that live succeeds from the start to the end.
func (f *frontend) openHealth() error {
	f.health = &healthListener{server: &http.Server{
		Handler:           f.healthHandler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          libraryLog(f.log, healthName),
	}}
	for _, a := range f.cfg.health {
		l, err := a.listen()
		if err != nil {
			f.closeHealth()
			return err
		}
		// Kubernetes and the checks of cloud load balancers send no PROXY header, so this
		// listener trusts no peer. HAProxy does send one with check-send-proxy: the Listener
		// reports it.
		p, err := proxyproto.New(l, proxyproto.Config{OnReject: func(r proxyproto.Rejection) {
			f.limited.Warn("a health check begins with a PROXY header", "proxy_header", healthName,
				slog.String("peer", client.IPOf(r.Peer).String()), slog.String("setting", a.From),
				slog.String("advice", "send health checks without a PROXY header: for HAProxy, remove check-send-proxy from the server line"))
		}})
		if err != nil {
			l.Close()
			f.closeHealth()
			return fmt.Errorf("mailfront: the health listener: %w", err)
		}
		f.health.sockets = append(f.health.sockets, p)
	}
	for _, l := range f.health.sockets {
		f.health.served.Go(func() {
			if err := f.health.server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
				f.breaks(healthName, err)
			}
		})
	}
	return nil
}

// closeHealth closes the health listener.
func (f *frontend) closeHealth() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := f.health.server.Shutdown(ctx); err != nil { // a client that does not read
		f.health.server.Close()
	}
	for _, l := range f.health.sockets { // a socket that is not served yet
		l.Close()
	}
	f.health.served.Wait()
}

// healthHandler serves the paths of the health listener. It ignores forwarding headers.
func (f *frontend) healthHandler() http.Handler {
	mux := http.NewServeMux()
	answer := func(path string, check func() (problem string)) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { // and HEAD
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("Cache-Control", "no-store")
			problem := check()
			if problem != "" {
				w.WriteHeader(http.StatusServiceUnavailable)
				io.WriteString(w, problem+"\n")
				return
			}
			io.WriteString(w, "ok\n")
		})
	}
	// Live must not depend on other services: an orchestrator restarts a process that is not live,
	// and a restart does not repair a store or a proxy.
	answer("/healthz/live", func() string { return "" })
	answer("/healthz/ready", f.notReady)
	mux.HandleFunc("GET /metrics", f.metrics)
	return mux
}

// The phases of a frontend.
const (
	starting int32 = iota
	serving
	draining
)

// notReady returns the reason why the node should get no new connections, or "".
//
// A node without its shared store stays ready if it has the public URL, because it serves
// documents and mail from memory. All nodes lose the store at the same moment. If all of them were
// not ready, the load balancer would have no server left.
func (f *frontend) notReady() string {
	switch f.phase.Load() {
	case starting:
		return "starting"
	case draining:
		return "draining: the process stops soon"
	}
	if f.waits() {
		return "waiting for the set-up: the store has not answered yet (MAILFRONT_STORE)"
	}
	return ""
}

// drainConnections makes ready fail and waits for cfg.drain, so that the load balancer detects the
// failure. The load balancer sends clients to this node until its check fails, and they would be
// refused if the sockets closed at once. drainConnections returns early, with an error, if a
// listener fails.
func (f *frontend) drainConnections() error {
	f.phase.Store(draining)
	if f.cfg.drain == 0 {
		return nil
	}
	f.log.Info("draining: ready fails, new connections are still accepted", "event", "drain", "setting", "MAILFRONT_DRAIN", "duration", f.cfg.drain)
	select {
	case <-time.After(f.cfg.drain):
		return nil
	case err := <-f.broken:
		return err
	}
}

// moveOn closes the connection of a client after the answer while the node drains, so that the load
// balancer sends its next request to another node. HTTP/2 clients get GOAWAY.
func (f *frontend) moveOn(w http.ResponseWriter) {
	if f.phase.Load() == draining {
		w.Header().Set("Connection", "close")
	}
}
