package proxyproto_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/stretchr/testify/require"
)

// When a Listener accepts, and the deadlines of Accept.

// acceptsFrom counts the calls of Accept below.
type acceptsFrom struct {
	*memListener
	calls int
}

func (l *acceptsFrom) Accept() (net.Conn, error) { l.calls++; return l.memListener.Accept() }

func TestNothingIsAcceptedBeforeFirstAccept(t *testing.T) {
	for _, tt := range []struct {
		name  string
		do    func(t *testing.T, l *proxyproto.Listener)
		calls int
	}{
		{name: "New", do: func(*testing.T, *proxyproto.Listener) {}},
		{name: "Addr, Stats and SetDeadline", do: func(t *testing.T, l *proxyproto.Listener) {
			require.Equal(t, serverAddr, l.Addr().String())
			require.Zero(t, l.Stats())
			require.NoError(t, l.SetDeadline(time.Now().Add(time.Second)))
			elapse(2 * time.Second)
		}},
		{name: "Accept after its deadline", do: func(t *testing.T, l *proxyproto.Listener) {
			require.NoError(t, l.SetDeadline(time.Now()))
			_, err := l.Accept()
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		}},
		{name: "Accept after Close", do: func(t *testing.T, l *proxyproto.Listener) {
			require.NoError(t, l.Close())
			_, err := l.Accept()
			require.ErrorIs(t, err, net.ErrClosed)
		}},
		{name: "Accept after Shutdown", do: func(t *testing.T, l *proxyproto.Listener) {
			require.NoError(t, l.Shutdown(t.Context()))
			_, err := l.Accept()
			require.ErrorIs(t, err, net.ErrClosed)
		}},
		{name: "the first Accept", calls: 1, do: func(t *testing.T, l *proxyproto.Listener) {
			go l.Accept()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := &acceptsFrom{memListener: newMemListener()}
				l, err := proxyproto.New(inner, proxyproto.Config{})
				require.NoError(t, err)
				defer l.Close()
				elapse(time.Minute)
				tt.do(t, l)
				synctest.Wait()
				require.Equal(t, tt.calls, inner.calls)
			})
		})
	}
}

// A parent process wraps a listener that a child serves. The parent must not accept the child's
// clients.
func TestUnusedListenerAcceptsNothing(t *testing.T) {
	inner := listen(t)
	parent, err := proxyproto.New(inner, fromLoopback(t))
	require.NoError(t, err)
	file, err := inner.(*net.TCPListener).File() // what a child inherits
	require.NoError(t, err)
	defer file.Close()
	inherited, err := net.FileListener(file)
	require.NoError(t, err)
	child, err := proxyproto.New(inherited, fromLoopback(t))
	require.NoError(t, err)
	answers(t, child)
	for range 50 {
		require.NoError(t, ask(parent.Addr(), proxy4(), now))
	}
	require.Zero(t, parent.Stats())
	require.Equal(t, proxyproto.Stats{Proxied: 50}, child.Stats())
	require.NoError(t, parent.Close())
}

func TestCloseBeforeAccept(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(l *proxyproto.Listener) error
	}{
		{name: "Close", end: func(l *proxyproto.Listener) error { return l.Close() }},
		{name: "Shutdown", end: func(l *proxyproto.Listener) error { return l.Shutdown(context.Background()) }},
		{name: "Shutdown, then Close", end: func(l *proxyproto.Listener) error {
			return errors.Join(l.Shutdown(context.Background()), l.Close())
		}},
		{name: "Close, then Shutdown", end: func(l *proxyproto.Listener) error {
			return errors.Join(l.Close(), l.Shutdown(context.Background()))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := lazyFixture(t, proxyproto.Config{})
				start := time.Now()
				require.NoError(t, tt.end(f.Listener))
				require.Zero(t, time.Since(start))
				require.Nil(t, f.mem.dial(clientAddr), "the listener below is closed")
				for range 2 {
					_, err := f.Accept()
					require.ErrorIs(t, err, net.ErrClosed)
				}
				require.ErrorIs(t, f.SetDeadline(time.Time{}), net.ErrClosed)
			})
		})
	}
}

func requireTimeout(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Timeout())
}

func TestSetDeadlineBoundsAccept(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, f *fixture)
		want time.Duration // until Accept returns the deadline's error
	}{
		{name: "in a second", do: func(t *testing.T, f *fixture) {
			require.NoError(t, f.SetDeadline(time.Now().Add(time.Second)))
		}, want: time.Second},
		{name: "in the past", do: func(t *testing.T, f *fixture) {
			require.NoError(t, f.SetDeadline(time.Unix(1, 0)))
		}, want: 0},
		{name: "extended", do: func(t *testing.T, f *fixture) {
			require.NoError(t, f.SetDeadline(time.Now().Add(time.Second)))
			require.NoError(t, f.SetDeadline(time.Now().Add(time.Minute)))
		}, want: time.Minute},
		{name: "extended after it passed", do: func(t *testing.T, f *fixture) {
			require.NoError(t, f.SetDeadline(time.Unix(1, 0)))
			_, err := f.Accept()
			requireTimeout(t, err)
			require.NoError(t, f.SetDeadline(time.Now().Add(time.Second)))
		}, want: time.Second},
		{name: "set while Accept waits", do: func(t *testing.T, f *fixture) {
			go func() {
				elapse(time.Second)
				f.SetDeadline(time.Now().Add(time.Second))
			}()
		}, want: 2 * time.Second},
		{name: "brought forward to now while Accept waits", do: func(t *testing.T, f *fixture) {
			require.NoError(t, f.SetDeadline(time.Now().Add(time.Minute)))
			go func() {
				elapse(time.Second)
				f.SetDeadline(time.Now())
			}()
		}, want: time.Second},
		{name: "while a header is pending", do: func(t *testing.T, f *fixture) {
			require.NoError(t, f.SetDeadline(time.Now().Add(time.Second)))
			go f.mem.dial(proxyAddr)
		}, want: time.Second},
		{name: "while Shutdown waits for a header", do: func(t *testing.T, f *fixture) {
			require.NoError(t, f.SetDeadline(time.Now().Add(time.Second)))
			go f.Accept()
			f.mem.dial(proxyAddr)
			go f.Shutdown(context.Background())
			synctest.Wait()
		}, want: time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := lazyFixture(t, proxyproto.Config{})
				start := time.Now()
				tt.do(t, f)
				for range 2 { // and it lasts
					_, err := f.Accept()
					requireTimeout(t, err)
					require.Equal(t, tt.want, time.Since(start))
				}
			})
		})
	}
}

func TestDeadlineIsNotEndOfListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := lazyFixture(t, proxyproto.Config{})
		require.NoError(t, f.SetDeadline(time.Now().Add(time.Second)))
		_, err := f.Accept()
		requireTimeout(t, err)
		require.NoError(t, f.SetDeadline(time.Time{}))
		go func() {
			elapse(time.Hour)
			f.mem.dial(clientAddr)
		}()
		_, err = f.Accept()
		require.NoError(t, err)
	})
}

func TestReadyConnectionsComeBeforeDeadline(t *testing.T) {
	for name, expire := range map[string]func(f *fixture){
		"of Accept":             func(f *fixture) { f.SetDeadline(time.Unix(1, 0)) },
		"of the listener below": func(f *fixture) { f.mem.errs <- os.ErrDeadlineExceeded },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, proxyproto.Config{})
				for range 3 {
					f.mem.dial(clientAddr)
				}
				synctest.Wait()
				expire(f)
				synctest.Wait()
				for range 3 {
					_, err := f.Accept()
					require.NoError(t, err)
				}
				_, err := f.Accept()
				requireTimeout(t, err)
			})
		})
	}
}

func TestInnerDeadlineIsReturnedOnce(t *testing.T) {
	for name, below := range map[string]error{
		"os.ErrDeadlineExceeded": os.ErrDeadlineExceeded,
		"as package net returns": &net.OpError{Op: "accept", Err: os.ErrDeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := &acceptsFrom{memListener: newMemListener()}
				l, err := proxyproto.New(inner, proxyproto.Config{})
				require.NoError(t, err)
				defer l.Close()
				for n := 1; n < 4; n++ {
					go func() { inner.errs <- below }()
					_, err := l.Accept()
					require.Equal(t, below, err)
					requireTimeout(t, err)
					elapse(time.Minute)
					require.Equal(t, n, inner.calls, "nothing is accepted before the next Accept")
				}
				go inner.dial(clientAddr)
				_, err = l.Accept()
				require.NoError(t, err)
			})
		})
	}
}

func TestETIMEDOUTIsNotADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		f.mem.errs <- &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.ETIMEDOUT)}
		direct(t, f)
	})
}

func TestInnerDeadlineEndsAccepts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := lazyFixture(t, proxyproto.Config{})
		errs := make(chan error)
		for range 4 {
			go func() { _, err := f.Accept(); errs <- err }()
		}
		for range 4 {
			synctest.Wait()
			f.mem.errs <- os.ErrDeadlineExceeded
			requireTimeout(t, <-errs)
		}
	})
}

func TestCloseDuringPause(t *testing.T) {
	for name, end := range map[string]func(f *fixture) error{
		"Close":    func(f *fixture) error { return f.Close() },
		"Shutdown": func(f *fixture) error { return f.Shutdown(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, proxyproto.Config{})
				f.mem.errs <- os.ErrDeadlineExceeded
				synctest.Wait()
				start := time.Now()
				require.NoError(t, end(f))
				require.Zero(t, time.Since(start))
				_, err := f.Accept()
				require.ErrorIs(t, err, net.ErrClosed)
			})
		})
	}
}

func TestShutdownDuringPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		f.mem.dial(clientAddr)
		slow := f.mem.dial(proxyAddr)
		f.mem.errs <- os.ErrDeadlineExceeded
		synctest.Wait()
		done := make(chan error)
		go func() { done <- f.Shutdown(context.Background()) }()
		go func() {
			elapse(time.Second)
			io.WriteString(slow, proxy4())
		}()
		_, err := f.Accept()
		require.NoError(t, err)
		c, err := f.Accept()
		for errors.Is(err, os.ErrDeadlineExceeded) { // once, of the listener below
			c, err = f.Accept()
		}
		require.NoError(t, err)
		require.Equal(t, clientAddr, c.RemoteAddr().String())
		require.NoError(t, <-done)
		_, err = f.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

// SFTPGo sets a deadline on the socket itself for passive FTP.
func TestDeadlineOfSocketReachesAccept(t *testing.T) {
	for name, set := range map[string]func(l *proxyproto.Listener, inner net.Listener, at time.Time) error{
		"of the Listener": func(l *proxyproto.Listener, _ net.Listener, at time.Time) error { return l.SetDeadline(at) },
		"of the listener below": func(_ *proxyproto.Listener, l net.Listener, at time.Time) error {
			return l.(*net.TCPListener).SetDeadline(at)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inner := listen(t)
			l, err := proxyproto.New(inner, fromLoopback(t))
			require.NoError(t, err)
			defer l.Close()
			require.NoError(t, set(l, inner, time.Now().Add(20*time.Millisecond)))
			_, err = l.Accept()
			requireTimeout(t, err)
			require.NoError(t, set(l, inner, time.Time{}))
			connect(t, l, 1, proxy4())
			_, err = l.Accept()
			require.NoError(t, err)
		})
	}
}
