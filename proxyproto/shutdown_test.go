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
			wg.Wait() // if one hangs, the bubble fails the test
			require.NoError(t, <-done)
		})
	}
}

type deaf struct{ net.Conn }

func (c deaf) Close() error { return nil } // does not end Read

func TestCloseWakesAcceptors(t *testing.T) {
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

// The listener below returns a connection that it accepted while it was being closed.
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

func TestAcceptedWhileClosing(t *testing.T) {
	for _, from := range []string{proxyAddr, clientAddr} {
		synctest.Test(t, func(t *testing.T) {
			a, b := net.Pipe()
			inner := &lateListener{memListener: newMemListener(), late: &memConn{b, tcpAddr(from), tcpAddr(serverAddr)}}
			l, err := proxyproto.New(inner, proxyproto.Config{Trusted: trustnet.MustParse("192.0.2.10")})
			require.NoError(t, err)
			l.Start()
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

func TestCloseReturnsInnerError(t *testing.T) {
	l, err := proxyproto.New(closeFails{newMemListener()}, proxyproto.Config{})
	require.NoError(t, err)
	require.ErrorContains(t, l.Close(), "close fails")
	l, err = proxyproto.New(closeFails{newMemListener()}, proxyproto.Config{})
	require.NoError(t, err)
	require.ErrorContains(t, l.Shutdown(context.Background()), "close fails")
}

func TestCloseOfBrokenListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		f.mem.errs <- errors.New("broken")
		synctest.Wait()
		f.Close()
		_, err := f.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

func TestShutdownOfNothing(t *testing.T) {
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

func TestCloseEndsPendingConns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		mine, served := direct(t, f)
		pending := f.mem.dial(proxyAddr)
		half := f.mem.dial(proxyAddr)
		io.WriteString(half, "PROXY ")
		undelivered := f.mem.dial(clientAddr)
		synctest.Wait()
		waiting := make(chan error)
		f2 := newFixture(t, proxyproto.Config{})
		go func() { _, err := f2.Accept(); waiting <- err }()
		synctest.Wait()

		require.NoError(t, f2.Close())
		require.ErrorIs(t, <-waiting, net.ErrClosed)
		require.NoError(t, f.Close())
		for _, c := range []net.Conn{pending, half, undelivered} {
			_, err := c.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
		}
		for range 3 {
			_, err := f.Accept()
			require.ErrorIs(t, err, net.ErrClosed)
		}
		require.NoError(t, f.Close(), "Close may be called again")
		require.NoError(t, f.Shutdown(t.Context()))
		require.Nil(t, f.mem.dial(clientAddr))
		require.Empty(t, f.rejected(), "no connection was refused")

		send(t, served, "still here") // the application owns it now
		require.Equal(t, "still here", read(t, mine))
	})
}

func TestShutdownHandsOutConns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{MaxPending: 4})
		ready := f.mem.dial(clientAddr)
		slow, bad, silent := f.mem.dial(proxyAddr), f.mem.dial(proxyAddr), f.mem.dial(proxyAddr)
		synctest.Wait()
		done := make(chan error)
		start := time.Now()
		go func() { done <- f.Shutdown(context.Background()) }()
		synctest.Wait()
		require.Nil(t, f.mem.dial(clientAddr), "nothing new is accepted")
		go func() {
			elapse(2 * time.Second)
			io.WriteString(slow, proxy4())
			io.WriteString(bad, "EHLO x\r\n")
		}()
		first, err := f.Accept()
		require.NoError(t, err)
		second, err := f.Accept()
		require.NoError(t, err)
		_, err = f.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		require.Equal(t, 5*time.Second, time.Since(start), "the silent one has its header timeout")
		require.NoError(t, <-done)

		send(t, first, "1")
		send(t, second, "2")
		require.Equal(t, "1", read(t, ready))
		require.Equal(t, "2", read(t, slow))
		for _, c := range []net.Conn{bad, silent} {
			_, err = c.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
		}
		require.Equal(t, proxyproto.Stats{Proxied: 1, Direct: 1, NoHeader: 1, TimedOut: 1}, f.Stats())
	})
}

func TestShutdownOfIdleListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		require.NoError(t, f.Shutdown(context.Background()))
		require.NoError(t, f.Shutdown(context.Background()))
		require.NoError(t, f.Close())
	})
}

func TestShutdownPastItsContextClosesRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		pending, ready := f.mem.dial(proxyAddr), f.mem.dial(clientAddr)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		require.ErrorIs(t, f.Shutdown(ctx), context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
		for _, c := range []net.Conn{pending, ready} {
			_, err := c.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
		}
		_, err := f.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

func TestCloseEndsShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		f.mem.dial(proxyAddr)
		done := make(chan error)
		go func() { done <- f.Shutdown(context.Background()) }()
		synctest.Wait()
		require.NoError(t, f.Close())
		require.NoError(t, <-done)
	})
}

func TestShutdownAtBoundAccepts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{MaxPending: 1})
		f.mem.dial(clientAddr) // the accept loop waits for room
		synctest.Wait()
		done := make(chan error)
		go func() { done <- f.Shutdown(context.Background()) }()
		synctest.Wait()
		_, err := f.Accept()
		require.NoError(t, err)
		require.NoError(t, <-done)
	})
}
