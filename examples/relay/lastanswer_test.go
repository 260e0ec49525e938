package main

import (
	"net"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A heldClient takes nothing before release is closed.
type heldClient struct {
	duplex
	writes  chan struct{}
	release chan struct{}
}

func (c *heldClient) Write(b []byte) (int, error) {
	select {
	case c.writes <- struct{}{}:
	default:
	}
	<-c.release
	return c.duplex.Write(b)
}

func (c *heldClient) NetConn() net.Conn { return c.duplex }

// A server that refuses the rest of what a client sends answers and closes, and its system
// sends a reset.
func TestTheLastAnswerIsNotLostToTheReset(t *testing.T) {
	pair := func() (near, far *net.TCPConn) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		far = dialAddress(t, l.Addr().String())
		c, err := l.Accept()
		require.NoError(t, err)
		return prepare(t, c).(*net.TCPConn), far
	}
	clientEnd, client := pair()
	backendEnd, server := pair()
	held := &heldClient{clientEnd, make(chan struct{}, 1), make(chan struct{})}
	ended := make(chan error, 1)
	var w watch
	tr := &traffic{client: held, backend: backendEnd, clock: &w.clock, ended: func(err error) { ended <- err }}
	tr.pass()

	write(t, client, "DATA")
	requireRead(t, server, "DA") // the rest is not read
	write(t, server, "552 too ")
	<-held.writes // the client does not take it yet
	write(t, server, "large")
	require.NoError(t, server.Close())
	for tr.first.Load() == nil {
		client.Write([]byte("more")) // which the relay cannot forward
		runtime.Gosched()
	}
	close(held.release)
	requireRead(t, client, "552 too large")
	_, err := client.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET, "the client does not take it for the end")
	require.Error(t, <-ended)
}
