// What to copy: serve, for what is bounded by which time, and that everything that
// is logged of a client is read from its Info. What to change: a backend that
// depends on the client, or on the name that it asks for, would be chosen here.

package main

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
)

// serve passes one client on to the backend.
func (r *relay) serve(rt route, conn *proxyproto.Conn) {
	defer conn.Close()
	log := r.log.With("listener", conn.NetConn().LocalAddr().String())
	client, state, err := r.endTLS(conn)
	log = log.With(clientAttrs(conn.Info(), state)...)
	if err != nil {
		log.Debug("no TLS handshake", "reason", err.Error())
		return
	}

	h := newHeader(conn.Info(), state)
	h.Version = r.cfg.version
	ctx, cancel := context.WithTimeout(r.ctx, r.cfg.dialTimeout)
	defer cancel()
	d := proxyproto.Dialer{Dial: r.dial}
	server, err := d.DialContext(ctx, "tcp", rt.backend.value, h)
	if err != nil {
		log.Warn("backend does not answer, client turned away", "backend", rt.backend.value, "reason", err.Error())
		return
	}
	backend := server.(*net.TCPConn)
	defer backend.Close()
	log = log.With("backend", rt.backend.value)

	// The proxy's own connections are health checks, mostly: one every few seconds.
	level := slog.LevelInfo
	if conn.Info().Local {
		level = slog.LevelDebug
	}
	log.Log(r.ctx, level, "session begins")
	stop := context.AfterFunc(r.ctx, func() {
		reset(conn)
		reset(backend)
	})
	defer stop()
	began := time.Now()
	t := traffic{idle: r.cfg.idleTimeout}
	reason := "both sides closed"
	if err := t.pass(client, backend); err != nil {
		reason = err.Error()
	}
	if r.ctx.Err() != nil {
		reason = "cut at shutdown"
	}
	log.Log(r.ctx, level, "session ended", "reason", reason, "up", t.up, "down", t.down,
		"duration", time.Since(began).Round(time.Millisecond).String())
}

// endTLS ends the TLS of a client, if that is the relay's job. Without, conn itself
// is passed on, which lets io.Copy use splice(2).
func (r *relay) endTLS(conn *proxyproto.Conn) (duplex, *tls.ConnectionState, error) {
	if r.cfg.tls == nil {
		return conn, nil, nil
	}
	ctx, cancel := context.WithTimeout(r.ctx, r.cfg.dialTimeout)
	defer cancel()
	tc := tls.Server(conn, r.cfg.tls)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, nil, err
	}
	state := tc.ConnectionState()
	return tc, &state, nil
}

// clientAttrs are what every line about a session says.
func clientAttrs(info *proxyproto.Info, state *tls.ConnectionState) []any {
	secure, known := info.Secure(state != nil)
	proxy := "none"
	if info.Proxy != nil {
		proxy = host(info.Proxy)
	}
	return []any{
		slog.String("client_ip", host(info.Client)), slog.Bool("client_known", info.ClientKnown()),
		slog.String("proxy", proxy), slog.Int("version", info.Version),
		slog.Bool("tls", secure && known), slog.Bool("tls_known", known),
	}
}

// host returns a without its port.
func host(a net.Addr) string {
	h, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String() // a unix socket
	}
	return h
}

func newLogger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}
