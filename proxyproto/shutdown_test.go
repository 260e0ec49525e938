package proxyproto_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
	"github.com/stretchr/testify/require"
)

func TestShutdownWakesEveryAcceptor(t *testing.T) {
	for _, pending := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, proxyproto.Config{})
			var silent net.Conn
			if pending {
				silent = f.mem.dial(proxyAddr)
			}
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					_, err := f.Accept()
					require.ErrorIs(t, err, net.ErrClosed)
				})
			}
			synctest.Wait()
			done := make(chan error, 1)
			go func() { done <- f.Shutdown(context.Background()) }()
			if pending {
				synctest.Wait()
				silent.Close()
			}
			wg.Wait() // a bubble in which one hangs ends the test
			require.NoError(t, <-done)
		})
	}
}

type deaf struct{ net.Conn }

func (c deaf) Close() error { return nil } // does not end Read

func TestCloseWakesEveryAcceptorThoughAConnectionHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		a, b := net.Pipe()
		f.mem.conns <- &memConn{deaf{b}, tcpAddr(proxyAddr), tcpAddr(serverAddr)}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { _, err := f.Accept(); require.ErrorIs(t, err, net.ErrClosed) })
		}
		synctest.Wait()
		start := time.Now()
		f.Close()
		wg.Wait()
		require.Zero(t, time.Since(start))
		a.Close()
	})
}

// The listener below hands out a connection that it accepted while it was closed.
type lateListener struct {
	*memListener
	late net.Conn
	once sync.Once
}

func (l *lateListener) Accept() (net.Conn, error) {
	c, err := l.memListener.Accept()
	if err != nil {
		l.once.Do(func() { c, err = l.late, nil })
	}
	return c, err
}

func TestConnectionAcceptedWhileClosingIsClosed(t *testing.T) {
	for _, from := range []string{proxyAddr, clientAddr} {
		synctest.Test(t, func(t *testing.T) {
			a, b := net.Pipe()
			inner := &lateListener{memListener: newMemListener(), late: &memConn{b, tcpAddr(from), tcpAddr(serverAddr)}}
			l, err := proxyproto.New(inner, proxyproto.Config{Trusted: trustnet.MustParse("192.0.2.10")})
			require.NoError(t, err)
			synctest.Wait()
			start := time.Now()
			require.NoError(t, l.Close())
			_, err = a.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
			require.Zero(t, time.Since(start))
			synctest.Wait()
			s := l.Stats()
			require.Zero(t, s.Pending+s.Ready)
		})
	}
}

type closeFails struct{ *memListener }

func (l closeFails) Close() error { l.memListener.Close(); return errors.New("close fails") }

func TestErrorOfTheListenerBelowIsReturnedByClose(t *testing.T) {
	l, err := proxyproto.New(closeFails{newMemListener()}, proxyproto.Config{})
	require.NoError(t, err)
	require.ErrorContains(t, l.Close(), "close fails")
	l, err = proxyproto.New(closeFails{newMemListener()}, proxyproto.Config{})
	require.NoError(t, err)
	require.ErrorContains(t, l.Shutdown(context.Background()), "close fails")
}

func TestCloseOfABrokenListenerEndsAcceptWithErrClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		f.mem.errs <- errors.New("broken")
		synctest.Wait()
		f.Close()
		_, err := f.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

func TestShutdownOfNothingIgnoresAContextThatHasEnded(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, proxyproto.Config{})
			require.NoError(t, f.Shutdown(context.Background()))
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			require.NoError(t, f.Shutdown(ctx))
		})
	}
}
