package proxyproto_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/stretchr/testify/require"
)

func TestClosingOnePartLeavesOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newMemListener()
		parts := proxyproto.Split(mem, 2, byPart)
		a := acceptFrom(parts[1])
		ofClosed, ofOpen := stub(0, 0), stub(1, 1)
		mem.conns <- ofClosed
		mem.conns <- ofOpen
		n, _ := a.state()
		require.Equal(t, 1, n)

		require.NoError(t, parts[0].Close())
		require.NoError(t, parts[0].Close(), "twice")
		require.True(t, ofClosed.isClosed(), "what was in the queue")
		_, err := parts[0].Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		late := stub(0, 2)
		mem.conns <- late
		mem.conns <- stub(1, 3)
		n, err = a.state()
		require.True(t, late.isClosed(), "what comes later")
		require.False(t, ofOpen.isClosed())
		require.Equal(t, 2, n)
		require.NoError(t, err)

		require.NoError(t, parts[1].Close())
		_, err = a.state()
		require.ErrorIs(t, err, net.ErrClosed)
		<-mem.closed // with the last part
	})
}

// The Close of a hangingConn returns when the test permits it, like that of a *tls.Conn, which
// sends an alert first.
type hangingConn struct {
	net.Conn
	closing, release chan struct{}
}

func (c hangingConn) Close() error {
	close(c.closing)
	<-c.release
	return c.Conn.Close()
}

// A connection that choose returns for a closed part is closed, and other parts do not wait for
// the Close. The test does not use synctest, because a blocked mutex there is a deadlock.
func TestSlowCloseOfLateChoice(t *testing.T) {
	mem := newMemListener()
	closing := make(chan struct{})
	slow := hangingConn{stub(0, 0), closing, make(chan struct{})}
	parts := proxyproto.Split(mem, 2, func(c net.Conn) (net.Conn, int) {
		if c == slow {
			return c, 0
		}
		return byPart(c)
	})
	require.NoError(t, parts[0].Close())
	served := make(chan []int, 1)
	go func() { served <- acceptIDs(t, parts[1], 2) }()
	mem.conns <- slow
	<-closing
	go func() {
		mem.conns <- stub(1, 1)
		mem.conns <- stub(1, 2)
	}()
	select {
	case ids := <-served:
		require.ElementsMatch(t, []int{1, 2}, ids)
	case <-time.After(10 * time.Second):
		t.Error("the other part waits for Close")
	}
	close(slow.release)
	<-slow.Conn.(*stubConn).closed
	require.NoError(t, parts[1].Close())
}

func TestClosingAPartMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newMemListener()
		parts := proxyproto.Split(listenerOf(2)(t, mem), 2, func(c net.Conn) (net.Conn, int) {
			return c, c.RemoteAddr().(*net.TCPAddr).Port % 2
		})
		a := acceptFrom(parts[1])
		go func() {
			for _, port := range []string{"2", "4", "6", "1"} {
				mem.dial("203.0.113.7:" + port)
			}
		}()
		n, _ := a.state()
		require.Zero(t, n, "the queue of part 0 is full")
		require.NoError(t, parts[0].Close())
		n, _ = a.state()
		require.Equal(t, 1, n)
		require.NoError(t, parts[1].Close())
	})
}

// A connection that is not queued, because choose closed it, its part is closed or there is no
// such part, makes room for the next one.
func TestClosedPartMakesRoom(t *testing.T) {
	for name, lose := range map[string]func(net.Conn) (net.Conn, int){
		"closed by choose":      func(c net.Conn) (net.Conn, int) { c.Close(); return nil, 0 },
		"of a closed part":      func(c net.Conn) (net.Conn, int) { return c, 0 },
		"of a part of no Split": func(c net.Conn) (net.Conn, int) { return c, 2 },
		"of a choose that panics": func(net.Conn) (net.Conn, int) {
			panic("no part")
		},
	} {
		t.Run(name, func(t *testing.T) {
			log.SetOutput(io.Discard)
			defer log.SetOutput(os.Stderr)
			synctest.Test(t, func(t *testing.T) {
				mem := newMemListener()
				parts := proxyproto.Split(listenerOf(1)(t, mem), 2, func(c net.Conn) (net.Conn, int) {
					elapse(time.Second) // the next connection waits at the limit
					if c.RemoteAddr().(*net.TCPAddr).Port == 1 {
						return c, 1
					}
					return lose(c)
				})
				require.NoError(t, parts[0].Close())
				a := acceptFrom(parts[1])
				go func() {
					mem.dial("203.0.113.7:2")
					mem.dial("203.0.113.7:1")
				}()
				elapse(3 * time.Second)
				n, _ := a.state()
				require.NoError(t, parts[1].Close())
				require.Equal(t, 1, n)
			})
		})
	}
}

func TestClosingLastPartEndsChoices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newMemListener()
		returned := make(chan error, 1)
		parts := proxyproto.Split(mem, 2, func(c net.Conn) (net.Conn, int) {
			_, err := c.Read(nil) // a handshake with a silent client
			returned <- err
			return c, 1
		})
		a := acceptFrom(parts[0])
		c := stub(0, 0)
		mem.conns <- c
		a.state()
		require.NoError(t, parts[0].Close())
		synctest.Wait()
		require.False(t, c.isClosed(), "part 1 may get it")
		require.NoError(t, parts[1].Close())
		synctest.Wait()
		require.True(t, c.isClosed())
		require.ErrorIs(t, <-returned, net.ErrClosed)
	})
}

func TestClosePartAfterListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	parts := proxyproto.Split(l, 1, func(c net.Conn) (net.Conn, int) { return c, 0 })
	require.NoError(t, l.Close())
	_, err = parts[0].Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	require.NoError(t, parts[0].Close())
}

func TestErrorReachesEveryPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		mem := newMemListener()
		parts := proxyproto.Split(mem, 3, byPart)
		waiting := acceptFrom(parts[2])
		waiting.state()
		for id := range 20 {
			mem.conns <- stub(id%2, id)
		}
		mem.errs <- broken
		for _, part := range parts[:2] {
			require.Len(t, acceptIDs(t, part, 10), 10)
		}
		_, err := waiting.state()
		require.ErrorIs(t, err, broken)
		for _, part := range parts {
			for range 2 { // every time
				_, err := part.Accept()
				require.ErrorIs(t, err, broken)
			}
			require.NoError(t, part.Close())
		}
	})
}

func TestTemporaryErrorsAreRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newMemListener()
		parts := proxyproto.Split(mem, 1, byPart)
		a := acceptFrom(parts[0])
		for range 3 {
			mem.errs <- &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
		}
		mem.conns <- stub(0, 0)
		n, err := a.state()
		require.Equal(t, 1, n)
		require.NoError(t, err)
		mem.errs <- &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
		synctest.Wait()
		require.NoError(t, parts[0].Close(), "does not wait for the end of the delay")
		_, err = a.state()
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

func TestInnerDeadlineOfSplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timeout := &net.OpError{Op: "accept", Err: os.ErrDeadlineExceeded}
		mem := newMemListener()
		parts := proxyproto.Split(mem, 2, byPart)
		first, second := acceptFrom(parts[0]), acceptFrom(parts[1])
		first.state()
		mem.errs <- timeout
		for _, a := range []*acceptor{first, second} {
			_, err := a.state()
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		}
		select {
		case mem.conns <- stub(0, 0):
			t.Fatal("accepted without an Accept")
		case <-time.After(time.Minute):
		}
		a := acceptFrom(parts[0]) // continues
		mem.conns <- stub(0, 0)
		n, err := a.state()
		require.Equal(t, 1, n)
		require.NoError(t, err)
		require.NoError(t, parts[0].Close())
		require.NoError(t, parts[1].Close())
	})
}

func TestInnerDeadlineIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newMemListener()
		parts := proxyproto.Split(mem, 2, byPart)
		first := acceptFrom(parts[0])
		first.state()
		mem.errs <- &net.OpError{Op: "accept", Err: os.ErrDeadlineExceeded}
		_, err := first.state()
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		second := acceptFrom(parts[1]) // did not wait when the deadline passed
		mem.conns <- stub(1, 0)
		n, err := second.state()
		require.Equal(t, 1, n)
		require.NoError(t, err)
		require.NoError(t, parts[0].Close())
		require.NoError(t, parts[1].Close())
	})
}

// A closingListener accepts one connection while it is being closed.
type closingListener struct {
	*memListener
	late net.Conn
}

func (l *closingListener) Accept() (net.Conn, error) {
	<-l.closed
	if c := l.late; c != nil {
		l.late = nil
		return c, nil
	}
	return nil, net.ErrClosed
}

func TestConnDuringCloseIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stub(0, 0)
		l := &closingListener{memListener: newMemListener(), late: c}
		parts := proxyproto.Split(l, 1, func(net.Conn) (net.Conn, int) {
			t.Error("choose was called")
			return nil, 0
		})
		a := acceptFrom(parts[0])
		a.state()
		require.NoError(t, parts[0].Close())
		_, err := a.state()
		require.ErrorIs(t, err, net.ErrClosed)
		require.True(t, c.isClosed())
	})
}

func TestSetDeadlineOfPart(t *testing.T) {
	type deadliner interface{ SetDeadline(time.Time) error }
	synctest.Test(t, func(t *testing.T) {
		mem := newMemListener()
		parts := proxyproto.Split(mem, 2, byPart)
		other := acceptFrom(parts[1])
		p := parts[0].(deadliner)

		require.NoError(t, p.SetDeadline(time.Now().Add(time.Minute)))
		began := time.Now()
		_, err := parts[0].Accept()
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		require.True(t, timeout.Timeout())
		require.Equal(t, time.Minute, time.Since(began))
		_, err = parts[0].Accept()
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "until another one is set")

		mem.conns <- stub(0, 1)
		synctest.Wait()
		require.Equal(t, []int{1}, acceptIDs(t, parts[0], 1), "a ready connection comes before a deadline")

		require.NoError(t, p.SetDeadline(time.Time{}))
		a := acceptFrom(parts[0])
		require.NoError(t, p.SetDeadline(time.Now().Add(time.Second)))
		require.NoError(t, p.SetDeadline(time.Now().Add(time.Hour)), "replaces the second")
		time.Sleep(time.Minute)
		_, err = a.state()
		require.NoError(t, err)
		require.NoError(t, p.SetDeadline(time.Now().Add(-time.Second)), "ends an Accept that waits")
		_, err = a.state()
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)

		_, err = other.state()
		require.NoError(t, err)
		require.NoError(t, parts[0].Close())
		require.ErrorIs(t, p.SetDeadline(time.Time{}), net.ErrClosed)
		require.NoError(t, parts[1].Close())
	})
}

func TestSplitShutdownLosesNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newMemListener()
		l := listenerOf(4)(t, mem).(*proxyproto.Listener)
		parts := proxyproto.Split(l, 2, func(c net.Conn) (net.Conn, int) {
			time.Sleep(time.Second) // a handshake
			return c, c.RemoteAddr().(*net.TCPAddr).Port % 2
		})
		first, second := acceptFrom(parts[0]), acceptFrom(parts[1])
		for port := range 4 {
			mem.dial(fmt.Sprintf("203.0.113.7:%d", port))
		}
		require.NoError(t, l.Shutdown(t.Context()))
		time.Sleep(2 * time.Second)
		for _, a := range []*acceptor{first, second} {
			n, err := a.state()
			require.Equal(t, 2, n)
			require.ErrorIs(t, err, net.ErrClosed)
		}
	})
}

func TestPartsEndUnderLoad(t *testing.T) {
	mem := newMemListener()
	parts := proxyproto.Split(mem, 3, byPart)
	var conns []*stubConn
	var mu sync.Mutex
	go func() {
		for id := 0; ; id++ {
			c := stub(id%3, id)
			select {
			case mem.conns <- c:
				mu.Lock()
				conns = append(conns, c)
				mu.Unlock()
			case <-mem.closed:
				return
			}
		}
	}()
	var serving sync.WaitGroup
	for i, part := range parts {
		serving.Go(func() {
			for {
				c, err := part.Accept()
				if err != nil {
					require.ErrorIs(t, err, net.ErrClosed)
					return
				}
				if s := c.(*stubConn); s.part != i {
					t.Errorf("connection of part %d in part %d", s.part, i)
				} else if s.id >= 1000*(i+1) {
					part.Close()
				}
				c.Close()
			}
		})
	}
	serving.Wait()
	mu.Lock()
	defer mu.Unlock()
	for _, c := range conns {
		<-c.closed // no connection remains open
	}
}
