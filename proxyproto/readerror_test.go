package proxyproto_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
	"github.com/stretchr/testify/require"
)

type readFails struct {
	net.Conn
	err error
}

func (c readFails) Read([]byte) (int, error) { return 0, c.err }

func TestOnlyEndResetAndCloseAreProbes(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name  string
		err   error
		probe bool
	}{
		{name: "EOF", err: io.EOF, probe: true},
		{name: "EOF, wrapped", err: &net.OpError{Op: "read", Err: io.EOF}, probe: true},
		{name: "reset", err: &net.OpError{Op: "read", Err: os.NewSyscallError("read", errReset)}, probe: true},
		{name: "closed", err: &net.OpError{Op: "read", Err: net.ErrClosed}, probe: true},
		{name: "closed pipe", err: io.ErrClosedPipe, probe: true},
		{name: "a TLS listener below", err: tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, probe: false},
		{name: "a limit of a wrapper", err: broken, probe: false},
		{name: "EIO", err: syscall.EIO, probe: false},
		{name: "unexpected EOF of a layer below", err: io.ErrUnexpectedEOF, probe: false},
	} {
		for _, list := range []string{"trusted", "optional"} {
			t.Run(tt.name+"/"+list, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFixture(t, proxyproto.Config{})
					if list == "optional" {
						f = newFixture(t, optionalConfig(proxyproto.Config{}))
					}
					a, b := net.Pipe()
					defer a.Close()
					f.mem.conns <- &memConn{readFails{b, tt.err}, tcpAddr(proxyAddr), tcpAddr(serverAddr)}
					_, err := a.Read(make([]byte, 1))
					require.ErrorIs(t, err, io.EOF, "closed")
					synctest.Wait()
					if tt.probe {
						require.Equal(t, proxyproto.Stats{Probes: 1}, f.Stats())
						require.Empty(t, f.rejected())
						return
					}
					require.Equal(t, proxyproto.Stats{NoHeader: 1}, f.Stats())
					require.Len(t, f.rejected(), 1)
					r := f.rejected()[0]
					require.ErrorIs(t, r.Err, proxyproto.ErrNoHeader)
					require.ErrorContains(t, r.Err, tt.err.Error())
					require.Equal(t, proxyAddr, r.Peer.String())
				})
			})
		}
	}
}

// The layers are in the wrong order: TLS is below the PROXY protocol.
func TestPlaintextHeaderBelowTLS(t *testing.T) {
	var mu sync.Mutex
	var got []proxyproto.Rejection
	l, err := proxyproto.New(tls.NewListener(listen(t), &tls.Config{}), proxyproto.Config{
		Trusted: trustnet.MustParse("127.0.0.1"),
		OnReject: func(r proxyproto.Rejection) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, r)
		},
	})
	require.NoError(t, err)
	defer l.Close()
	l.Start()
	connect(t, l, 1, proxy4())
	eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(got) == 1 })
	require.ErrorIs(t, got[0].Err, proxyproto.ErrNoHeader)
	require.ErrorContains(t, got[0].Err, "first record does not look like a TLS handshake")
	require.Equal(t, proxyproto.Stats{NoHeader: 1}, l.Stats())
}

func TestPeersThatResetBeforeByteAreProbes(t *testing.T) {
	l := wrapped(t, fromLoopback(t))
	for range 20 {
		c := connect(t, l, 1, "")[0]
		require.NoError(t, c.(*net.TCPConn).SetLinger(0))
		eventually(t, func() bool { return l.Stats().Pending == 1 })
		require.NoError(t, c.Close())
		eventually(t, func() bool { return l.Stats().Pending == 0 })
	}
	require.Equal(t, proxyproto.Stats{Probes: 20}, l.Stats())
}
