//go:build unix

package proxyproto_test

import (
	"encoding/gob"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
	"github.com/stretchr/testify/require"
)

// If a server reaches its limit of open files, clients wait in the kernel's queue, and all are
// served in the end.
func TestTooManyOpenFilesAreWaitedOut(t *testing.T) {
	const conns = 60
	server := startChild(t, "server with few files")
	state := func() (s scarcity) {
		server.ask(t, "?", &s)
		return s
	}
	addr, err := net.ResolveTCPAddr("tcp", state().Addr)
	require.NoError(t, err)

	leave := make(chan struct{})
	errs := make(chan error)
	for range conns {
		go func() { errs <- ask(addr, proxy4(), leave) }()
	}
	eventually(t, func() bool { return state().Refused > 0 })
	require.Less(t, int(state().Stats.Proxied), conns)
	close(leave)
	for range conns {
		require.NoError(t, <-errs)
	}
	require.Equal(t, proxyproto.Stats{Proxied: conns}, state().Stats)
}

type scarcity struct {
	Addr    string
	Refused int64 // how often accept(2) failed for lack of a descriptor
	Stats   proxyproto.Stats
}

func init() {
	var l *proxyproto.Listener
	inner := new(scarceListener)
	start := func() (err error) {
		if inner.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return err
		}
		// Room for a few more than the descriptors that are in use.
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 32, Max: 32}); err != nil {
			return err
		}
		l, err = proxyproto.New(inner, proxyproto.Config{Trusted: trustnet.MustParse("127.0.0.1")})
		if err == nil {
			go answer(l)
		}
		return err
	}
	roles["server with few files"] = func(in *gob.Decoder) (any, error) {
		var text string
		if err := in.Decode(&text); err != nil {
			return nil, err
		}
		if l == nil {
			if err := start(); err != nil {
				return nil, err
			}
		}
		return scarcity{l.Addr().String(), inner.refused.Load(), l.Stats()}, nil
	}
}

type scarceListener struct {
	net.Listener
	refused atomic.Int64
}

func (l *scarceListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if errors.Is(err, syscall.EMFILE) {
		l.refused.Add(1)
	}
	return c, err
}
