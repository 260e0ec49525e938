package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

// pipeListener accepts connections in memory.
type pipeListener chan net.Conn

func (l pipeListener) Accept() (net.Conn, error) {
	if c, ok := <-l; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l pipeListener) Close() error   { close(l); return nil }
func (l pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// A client that is slow at the end of a long answer gets all of it. The close_notify waits for
// the client as long as other bytes do.
func TestTLSWaitsForASlowClientAtTheEnd(t *testing.T) {
	certFile, keyFile, trust := certificate(t)
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	require.NoError(t, err)
	today := time.Now()
	trust.Time = func() time.Time { return today }
	for _, tt := range []struct {
		name        string
		clientFirst bool // ends its direction first
		waits       time.Duration
		want        error
	}{
		{name: "slow", waits: 30 * time.Second},
		{name: "slow, and ended first", clientFirst: true, waits: 30 * time.Second},
		{name: "stuck", waits: time.Hour, want: errStuck},
		{name: "stuck, and ended first", clientFirst: true, waits: time.Hour, want: errStuck},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				far, near := net.Pipe()
				inner := make(pipeListener, 1)
				inner <- near
				l, err := proxyproto.New(inner, proxyproto.Config{})
				require.NoError(t, err)
				defer l.Close()
				c, err := l.Accept()
				require.NoError(t, err)
				conn := c.(*proxyproto.Conn)
				defer conn.Close()

				client := tls.Client(far, trust)
				shaken := make(chan error, 1)
				go func() { shaken <- client.Handshake() }()
				r := &relay{cfg: new(config), ctx: t.Context()}
				r.cfg.tls, r.cfg.dialTimeout = &tls.Config{Certificates: []tls.Certificate{cert}, SessionTicketsDisabled: true}, time.Minute
				clientEnd, _, err := r.endTLS(conn)
				require.NoError(t, err)
				require.NoError(t, <-shaken)
				_, ok := proxyproto.FromConn(clientEnd)
				require.True(t, ok)

				backend, b := net.Pipe()
				backendEnd := &pipe{b, make(chan struct{})}
				w, done, outcome := new(watch), make(chan struct{}), make(chan error, 1)
				defer close(done)
				go w.run(time.Minute, done)
				tr := &traffic{client: clientEnd, backend: backendEnd, clock: &w.clock}
				tr.ended = func(err error) { w.remove(tr); outcome <- err }
				require.True(t, w.add(tr))
				tr.pass()

				if tt.clientFirst {
					require.NoError(t, client.CloseWrite())
					<-backendEnd.ended
				}
				go fmt.Fprint(backend, "221 bye")
				got := make([]byte, 7)
				_, err = io.ReadFull(client, got)
				require.NoError(t, err)
				require.NoError(t, backend.Close())
				time.Sleep(tt.waits)
				n, err := client.Read(got)
				require.Zero(t, n)
				require.ErrorIs(t, err, io.EOF)
				client.Close()
				require.ErrorIs(t, <-outcome, tt.want)
			})
		})
	}
}
