package proxyproto_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/stretchr/testify/require"
)

// A gated connection reads only after its turn has come, as on a loaded machine.
type gated struct {
	*net.TCPConn
	turn chan struct{}
}

func (c gated) Read(b []byte) (int, error) { <-c.turn; return c.TCPConn.Read(b) }

type gatedListener struct {
	net.Listener
	turn chan struct{}
}

func (l gatedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return gated{c.(*net.TCPConn), l.turn}, nil
}

// acceptUnread lets a header wait in the socket for d before the Listener reads it, as on a
// loaded machine. The time is real, because the kernel has the bytes of a socket.
func acceptUnread(t *testing.T, cfg proxyproto.Config, d time.Duration) net.Conn {
	t.Helper()
	turn := make(chan struct{})
	l, err := proxyproto.New(gatedListener{listen(t), turn}, cfg)
	require.NoError(t, err)
	defer l.Close()
	l.Start()
	connect(t, l, 1, proxy4())
	<-time.After(d)
	close(turn)
	c, err := l.Accept()
	require.NoError(t, err)
	return c
}

func TestUnreadHeaderIsNotSilence(t *testing.T) {
	cfg := fromLoopback(t)
	cfg.MaxPending = 1
	acceptUnread(t, cfg, 1200*time.Millisecond) // longer than maxSilence
}

func TestEvictionTakesOldestOfSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{MaxPending: 4})
		var clients []net.Conn
		for range 3 {
			clients = append(clients, f.mem.dial(proxyAddr))
		}
		elapse(2 * time.Second)                          // all three are silent, and there is room
		clients = append(clients, f.mem.dial(proxyAddr)) // the fourth reaches the bound
		_, err := clients[0].Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		synctest.Wait()
		require.Equal(t, proxyproto.Stats{Evicted: 1, Pending: 3}, f.Stats(), "one is enough")
		for _, c := range clients[1:] {
			c.SetReadDeadline(time.Now().Add(time.Millisecond))
			_, err := c.Read(make([]byte, 1))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		}
	})
}

func TestRefusedHeaderMakesRoomAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{MaxPending: 1})
		start := time.Now()
		bad := f.mem.dial(proxyAddr)
		synctest.Wait() // the accept loop waits for room
		send(t, bad, "EHLO x\r\n")
		require.NotNil(t, f.mem.dial(clientAddr))
		require.Zero(t, time.Since(start))
	})
}

func TestCloseAtBoundEndsAcceptLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{MaxPending: 1})
		f.mem.dial(clientAddr)
		synctest.Wait()
		require.NoError(t, f.Close())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.NoError(t, f.Shutdown(ctx), "nothing is left")
	})
}

type slowClear struct {
	net.Conn
	hold chan struct{}
}

func (c slowClear) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	<-c.hold
	return n, err
}

func TestHeaderThatWasReadIsNotEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{MaxPending: 1})
		a, b := net.Pipe()
		hold := make(chan struct{})
		f.mem.conns <- &memConn{slowClear{b, hold}, tcpAddr(proxyAddr), tcpAddr(serverAddr)}
		elapse(999 * time.Millisecond)
		send(t, a, proxy4())
		elapse(2 * time.Second)
		close(hold)
		c, err := f.Accept()
		require.NoError(t, err)
		send(t, a, "still usable: no deadline is left")
		require.Equal(t, "still usable: no deadline is left", read(t, c))
		require.Equal(t, proxyproto.Stats{Proxied: 1}, f.Stats())
	})
}

type noDeadline struct{ net.Conn }

func (noDeadline) SetReadDeadline(time.Time) error { return errors.New("not supported") }

func TestConnWithoutDeadlinesIsNotAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		a, b := net.Pipe()
		send(t, a, proxy4())
		f.mem.conns <- &memConn{noDeadline{b}, tcpAddr(proxyAddr), tcpAddr(serverAddr)}
		synctest.Wait()
		require.Equal(t, proxyproto.Stats{TimedOut: 1}, f.Stats())
		require.ErrorContains(t, f.rejected()[0].Err, "read deadlines: not supported")
	})
}

type statsOnClose struct {
	net.Conn
	l **proxyproto.Listener
}

func (c statsOnClose) Close() error {
	(*c.l).Stats()
	return c.Conn.Close()
}

func TestConnectionsAreClosedOutsideLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{MaxPending: 1})
		a, b := net.Pipe()
		defer a.Close()
		f.mem.conns <- &memConn{statsOnClose{b, &f.Listener}, tcpAddr(proxyAddr), tcpAddr(serverAddr)}
		elapse(2 * time.Second)
		require.Equal(t, proxyproto.Stats{Evicted: 1}, f.Stats())
	})
}

// In the following three tests, the Read of a peer may be ended after a second of silence, and
// its last Read takes at most 10 ms.

func TestEvictedPeerThatSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{MaxPending: 1})
		c := f.mem.dial(proxyAddr)
		elapse(1005 * time.Millisecond)
		send(t, c, proxy4()[:1])
		elapse(1005 * time.Millisecond) // its Read was ended for the second time 5 ms ago
		send(t, c, proxy4()[1:])
		_, err := f.Accept()
		require.NoError(t, err)
		require.Equal(t, proxyproto.Stats{Proxied: 1}, f.Stats())
	})
}

func TestEvictionGoesToNextPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{MaxPending: 2})
		start := time.Now()
		c := f.mem.dial(proxyAddr)
		f.mem.dial(proxyAddr)
		elapse(1005 * time.Millisecond)
		send(t, c, proxy4()[:1])
		f.mem.dial(proxyAddr)
		require.Equal(t, 1015*time.Millisecond, time.Since(start), "there is room when the second has not spoken either")
		synctest.Wait()
		require.Equal(t, proxyproto.Stats{Evicted: 1, Pending: 2}, f.Stats())
	})
}

func TestEvictionTimeOfPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{MaxPending: 2})
		first, second := f.mem.dial(proxyAddr), f.mem.dial(proxyAddr)
		elapse(1005 * time.Millisecond) // the Read of the first was ended 5 ms ago
		send(t, second, proxy4())
		elapse(3 * time.Millisecond)
		send(t, first, proxy4())
		synctest.Wait()
		require.Equal(t, proxyproto.Stats{Proxied: 2, Ready: 2}, f.Stats())
	})
}

// The race detector checks a Close while a connection becomes pending.
func TestCloseWithNewConn(t *testing.T) {
	for range fewer(500) {
		l := wrapped(t, fromLoopback(t))
		connect(t, l, 1, "")
		for range rand.IntN(200) { // from before it is accepted to after
			runtime.Gosched()
		}
		require.NoError(t, l.Close())
	}
}

func TestHeaderTimeoutIsAbsolute(t *testing.T) {
	for name, drip := range map[string]string{"silence": "", "v1": "PROXY UNKNOWN " + strings.Repeat("x", 50), "v2": proxy4(tlv(4, strings.Repeat("x", 200)))} {
		for want, configured := range map[time.Duration]time.Duration{5 * time.Second: 0, 300 * time.Millisecond: 300 * time.Millisecond} {
			t.Run(fmt.Sprint(name, " ", want), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFixture(t, proxyproto.Config{HeaderTimeout: configured})
					start := time.Now()
					client := f.mem.dial(proxyAddr)
					var wg sync.WaitGroup
					defer wg.Wait()
					wg.Go(func() { // a byte from time to time does not extend it
						for i := range len(drip) {
							elapse(want / 20)
							if _, err := io.WriteString(client, drip[i:i+1]); err != nil {
								return
							}
						}
					})
					_, err := client.Read(make([]byte, 1))
					require.ErrorIs(t, err, io.EOF)
					require.Equal(t, want, time.Since(start))
					synctest.Wait()
					require.Len(t, f.rejected(), 1)
					require.ErrorIs(t, f.rejected()[0].Err, proxyproto.ErrTimeout)
					require.Equal(t, drip == "", strings.Contains(f.rejected()[0].Err.Error(), "configure the proxy to send a header"))
					require.Equal(t, proxyproto.Stats{TimedOut: 1}, f.Stats())
				})
			})
		}
	}
}

func TestSilentPeersDelayNoOtherPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		for range 1000 {
			f.mem.dial(proxyAddr)
		}
		start := time.Now()
		send(t, f.mem.dial(proxyAddr), proxy4())
		c, err := f.Accept()
		require.NoError(t, err)
		require.Equal(t, clientAddr, c.RemoteAddr().String())
		direct(t, f)
		require.Zero(t, time.Since(start))
		require.Equal(t, 1000, f.Stats().Pending)
		elapse(6 * time.Second)
		require.Equal(t, uint64(1000), f.Stats().TimedOut)
	})
}

func TestSilentPeersMakeRoomOldestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{MaxPending: 3})
		var clients []net.Conn
		for range 3 {
			clients = append(clients, f.mem.dial(proxyAddr))
			elapse(100 * time.Millisecond)
		}
		io.WriteString(clients[0], "PROXY ") // at 0.3 s
		start := time.Now()
		send(t, f.mem.dial(proxyAddr), proxy4()) // waits for room
		c, err := f.Accept()
		require.NoError(t, err)
		require.Equal(t, clientAddr, c.RemoteAddr().String())
		// The second had been silent since 0.1 s, so its Read is ended at 1.1 s, and its
		// last Read takes 10 ms.
		require.Equal(t, 810*time.Millisecond, time.Since(start))
		_, err = clients[1].Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		synctest.Wait()
		require.Len(t, f.rejected(), 1)
		require.ErrorIs(t, f.rejected()[0].Err, proxyproto.ErrTimeout)
		require.Equal(t, proxyproto.Stats{Proxied: 1, Evicted: 1, Pending: 2}, f.Stats())

		io.WriteString(clients[0], "UNKNOWN\r\n") // the others are served
		io.WriteString(clients[2], proxy4())
		for range 2 {
			_, err := f.Accept()
			require.NoError(t, err)
		}
	})
}

func TestReadyConnectionsAreNeverEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{MaxPending: 3})
		for range 2 {
			send(t, f.mem.dial(proxyAddr), proxy4())
		}
		f.mem.dial(clientAddr) // direct
		synctest.Wait()
		require.Equal(t, 3, f.Stats().Ready)
		more := make(chan net.Conn)
		go func() { more <- f.mem.dial(clientAddr) }()
		elapse(time.Minute)
		select {
		case <-more:
			t.Fatal("accepted over the bound")
		default:
		}
		for range 4 {
			_, err := f.Accept()
			require.NoError(t, err)
			synctest.Wait()
		}
		require.NotNil(t, <-more)
		require.Zero(t, f.Stats().Evicted)
	})
}

func TestBurstBeyondMaxPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound, burst = 8, 500
		f := newFixture(t, proxyproto.Config{MaxPending: bound})
		for range burst {
			go func() {
				c := f.mem.dial(proxyAddr)
				elapse(10 * time.Millisecond)
				send(t, c, proxy4())
			}()
		}
		for range burst {
			s := f.Stats()
			require.LessOrEqual(t, s.Pending+s.Ready, bound)
			_, err := f.Accept()
			require.NoError(t, err)
		}
		require.Equal(t, proxyproto.Stats{Proxied: burst}, f.Stats())
	})
}
