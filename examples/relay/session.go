// What to copy: connect, for the timeouts and the order of its steps, and log, which gets the
// client's address from its Info. What to change: connect, to choose a backend by client or
// server name.

package main

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
)

// A session is one client and its connection to the backend.
type session struct {
	traffic
	relay *relay
	conn  *proxyproto.Conn
	route *route
	state *tls.ConnectionState // of TLS that ends here
	began time.Time
}

// serve connects one client to the backend. It returns when the session runs on its own
// goroutines.
func (r *relay) serve(rt *route, conn *proxyproto.Conn) {
	s := &session{relay: r, conn: conn, route: rt}
	s.clock = &r.watch.clock
	s.ended = func(err error) { r.give(job{ended: s, err: err}) }
	if !s.connect() {
		conn.Close()
		r.leave()
		return
	}
	s.log(slog.LevelDebug, "session begins")
	s.began = time.Now()
	if !r.watch.add(&s.traffic) {
		s.cut(errShutdown)
	}
	s.pass()
}

// end is called when both directions have ended.
func (s *session) end(err error) {
	s.relay.watch.remove(&s.traffic)
	s.conn.Close()
	s.backend.Close()
	s.report(err)
	s.relay.leave()
}

// firsts has buffers for the data that clients send before the relay dials.
var firsts = sync.Pool{New: func() any { return new([1024]byte) }}

// connect ends the client's TLS if configured, and dials the backend.
func (s *session) connect() bool {
	var err error
	if s.client, s.state, err = s.relay.endTLS(s.conn); err != nil {
		s.noTLS(err)
		return false
	}
	h := newHeader(s.conn.Info(), s.state)
	h.Version = s.relay.cfg.version
	first := firsts.Get().(*[1024]byte)
	defer firsts.Put(first)
	n := 0
	if s.state == nil {
		n, err = s.conn.ReadArrived(first[:])
		if err != nil && err != io.EOF { // an untrusted header, or a reset
			s.notDialed(err)
			return false
		}
	}
	s.up.bytes = int64(n)
	ctx, cancel := context.WithTimeout(s.relay.ctx, s.relay.cfg.dialTimeout)
	defer cancel()
	d := proxyproto.Dialer{Dial: s.relay.dial, Payload: first[:n]}
	backend, err := d.DialContext(ctx, "tcp", s.route.backend.Text, h)
	if err != nil {
		s.noBackend(err)
		return false
	}
	s.backend = backend.(*net.TCPConn)
	return true
}

// level returns the level for the end of a session. The proxy's own connections are mostly
// health checks, one every few seconds.
func (s *session) level() slog.Level {
	if s.conn.Info().Local {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// report logs a session that has ended.
func (s *session) report(err error) {
	s.log(s.level(), "session ended", slog.String("reason", s.reason(err)), slog.Int64("up", s.up.bytes), slog.Int64("down", s.down.bytes),
		slog.String("duration", time.Since(s.began).Round(time.Millisecond).String()))
}

// log writes a line about the session. It collects the attributes only if the level is logged.
func (s *session) log(level slog.Level, message string, more ...slog.Attr) {
	if !s.relay.log.Enabled(s.relay.ctx, level) {
		return
	}
	attrs := append(make([]slog.Attr, 0, 12), slog.String("listener", s.conn.NetConn().LocalAddr().String()))
	attrs = append(attrs, clientAttrs(s.conn.Info(), s.state)...)
	attrs = append(attrs, slog.String("backend", s.route.backend.Text))
	s.relay.log.LogAttrs(s.relay.ctx, level, message, append(attrs, more...)...)
}

// endTLS ends the TLS of a client, if the relay has a certificate. It returns conn itself
// otherwise, for which proxyproto.Forward uses splice(2).
//
// A client that ends TCP without a close_notify, but after a whole record, has ended its stream
// for crypto/tls. Within a record it is an error.
func (r *relay) endTLS(conn *proxyproto.Conn) (duplex, *tls.ConnectionState, error) {
	if r.cfg.tls == nil {
		return conn, nil, nil
	}
	ctx, cancel := context.WithTimeout(r.ctx, r.cfg.dialTimeout)
	defer cancel()
	tc := tls.Server(patient{conn}, r.cfg.tls)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, nil, err
	}
	state := tc.ConnectionState()
	return tc, &state, nil
}

// A patient connection has no deadline for writing. crypto/tls sets one of 5 s for its
// close_notify: a slow client, whose socket is full, would lose what is in the socket. The
// watch cuts clients that take nothing.
type patient struct{ *proxyproto.Conn }

func (patient) SetWriteDeadline(time.Time) error { return nil }

// NetConn returns the Conn, so that proxyproto.FromConn finds it.
func (p patient) NetConn() net.Conn { return p.Conn }

// clientAttrs returns the attributes of every line about a session.
func clientAttrs(info *proxyproto.Info, state *tls.ConnectionState) []slog.Attr {
	secure, known := info.Secure(state != nil)
	proxy := "none"
	if info.Proxy != nil {
		proxy = host(info.Proxy)
	}
	return []slog.Attr{
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
