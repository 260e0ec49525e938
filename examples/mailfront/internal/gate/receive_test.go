package gate

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

// accept returns the server's side of a connection that begins with a header.
func accept(t *testing.T, h proxyproto.Header, path proxyproto.TLSPath) net.Conn {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l, err := proxyproto.New(socket, proxyproto.Config{Trusted: trustnet.MustParse("loopback"), TLS: path})
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, proxyproto.WriteHeader(c, h))
	server, err := l.Accept()
	require.NoError(t, err)
	return server
}

func clientHeader(t *proxyproto.TLS) proxyproto.Header {
	return proxyproto.Header{
		Source:      &net.TCPAddr{IP: net.ParseIP("192.0.2.7"), Port: 4567},
		Destination: &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 25},
		TLS:         t,
	}
}

func TestOfferDependsOnClientTLS(t *testing.T) {
	for _, tc := range []struct {
		name   string
		header proxyproto.Header
		path   proxyproto.TLSPath
		want   Offer
	}{
		{name: "passed through", header: clientHeader(nil), path: proxyproto.PassthroughTLS, want: StartTLS},
		{name: "ended by the proxy", header: clientHeader(nil), path: proxyproto.TerminatedTLS, want: Login},
		{name: "re-encrypted by the proxy", header: clientHeader(nil), path: proxyproto.ReencryptedTLS, want: Neither},
		{name: "the header has the client's TLS", header: clientHeader(&proxyproto.TLS{Client: true}), path: proxyproto.ReencryptedTLS, want: Login},
		{name: "the header has a client without TLS", header: clientHeader(&proxyproto.TLS{}), path: proxyproto.TerminatedTLS, want: StartTLS},
		{name: "the proxy's own connection", header: proxyproto.Header{Local: true}, path: proxyproto.TerminatedTLS, want: StartTLS},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var log strings.Builder
			r := newReceiver(guard.DefaultLimits, &log)
			c, place := r.Receive(accept(t, tc.header, tc.path))
			require.NotNil(t, c)
			defer c.Close()
			require.Equal(t, tc.want, Offer(place))
			require.Contains(t, log.String(), "proto=imap event=accept")
			require.NotNil(t, SessionOf(c))
		})
	}
}

func newReceiver(limits guard.Limits, log *strings.Builder) *Receiver {
	l := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return &Receiver{
		Context: context.Background(), Listener: client.Listener{Name: "imap"}, Patience: time.Hour,
		Sessions: NewSessions(), Guard: guard.New(limits, nil, l), Log: l,
	}
}

// The error of a handshake may contain text of the client.
func TestHandshakeErrorIsQuoted(t *testing.T) {
	var log strings.Builder
	r := newReceiver(guard.DefaultLimits, &log)
	r.TLS = &tls.Config{NextProtos: []string{"imap"}}
	here, there := net.Pipe()
	go tls.Client(there, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"x event=accept"}}).Handshake()
	c, _ := r.Receive(here)
	require.Nil(t, c)
	require.Contains(t, log.String(), "x event%3Daccept")
	require.Zero(t, r.Sessions.Open())
	require.Zero(t, r.Guard.Counts().Connections)
}

func TestSilentClientDuringHandshake(t *testing.T) {
	for _, tc := range []struct {
		name     string
		shutdown time.Duration // the receiver's context ends; 0: never
		want     time.Duration
	}{
		{name: "timeout", want: HandshakeTimeout},
		{name: "shutdown", shutdown: time.Second, want: time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log strings.Builder
				r := newReceiver(guard.DefaultLimits, &log)
				r.TLS = new(tls.Config)
				if tc.shutdown > 0 {
					ctx, cancel := context.WithTimeout(t.Context(), tc.shutdown)
					defer cancel()
					r.Context = ctx
				}
				here, there := net.Pipe()
				defer there.Close()
				began := time.Now()
				c, _ := r.Receive(here)
				require.Nil(t, c)
				require.Equal(t, tc.want, time.Since(began))
				require.Zero(t, r.Sessions.Open())
				require.Zero(t, r.Guard.Counts().Connections)
				require.NotContains(t, log.String(), "event=accept")
			})
		})
	}
}

func TestAServerDoesNotSeeTheTLSOfAProxy(t *testing.T) {
	c, _ := net.Pipe()
	defer c.Close()
	tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	hidden := hideTLS(tc)
	_, seen := hidden.(*tls.Conn)
	require.False(t, seen)
	require.Equal(t, net.Conn(tc), hidden.(interface{ NetConn() net.Conn }).NetConn(), "package proxyproto does")
}

func TestRefusedConnectionIsClosed(t *testing.T) {
	limits := guard.DefaultLimits
	limits.Total = 1
	var log strings.Builder
	r := newReceiver(limits, &log)
	first, _ := r.Receive(accept(t, clientHeader(nil), proxyproto.TerminatedTLS))
	require.NotNil(t, first)
	refused := accept(t, clientHeader(nil), proxyproto.TerminatedTLS)
	c, _ := r.Receive(refused)
	require.Nil(t, c)
	_, err := refused.Read(make([]byte, 1))
	require.ErrorIs(t, err, net.ErrClosed)
	require.Contains(t, log.String(), "event=refuse")
	first.Close()
	c, _ = r.Receive(accept(t, clientHeader(nil), proxyproto.TerminatedTLS))
	require.NotNil(t, c, "the first has given its place back")
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	require.Equal(t, 1, r.Sessions.Wait(ended), "the open one was cut")
	require.Zero(t, r.Guard.Counts().Connections)
}
