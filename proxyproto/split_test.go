package proxyproto_test

import (
	"bytes"
	"log"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
	"github.com/stretchr/testify/require"
)

// A stubConn has an index of a part, an identity, and no bytes to read.
type stubConn struct {
	net.Conn
	part, id int
	once     sync.Once
	closed   chan struct{}
}

func stub(part, id int) *stubConn { return &stubConn{part: part, id: id, closed: make(chan struct{})} }

func (c *stubConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func (c *stubConn) RemoteAddr() net.Addr { return tcpAddr(clientAddr) }

// Read waits for Close, as a TLS handshake with a silent client does.
func (c *stubConn) Read([]byte) (int, error) {
	<-c.closed
	return 0, net.ErrClosed
}

func (c *stubConn) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

func byPart(c net.Conn) (net.Conn, int) { return c, c.(*stubConn).part }

// acceptIDs accepts n connections and returns their identities.
func acceptIDs(t *testing.T, l net.Listener, n int) []int {
	t.Helper()
	var ids []int
	for range n {
		c, err := l.Accept()
		require.NoError(t, err)
		ids = append(ids, c.(*stubConn).id)
	}
	return ids
}

// acceptor accepts from l until an error.
type acceptor struct {
	mu    sync.Mutex
	conns []net.Conn
	err   error
}

func acceptFrom(l net.Listener) *acceptor {
	a := new(acceptor)
	go func() {
		for {
			c, err := l.Accept()
			a.mu.Lock()
			if err != nil {
				a.err = err
				a.mu.Unlock()
				return
			}
			a.conns = append(a.conns, c)
			a.mu.Unlock()
		}
	}()
	return a
}

// state returns the result of a when all goroutines are blocked.
func (a *acceptor) state() (conns int, err error) {
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.conns), a.err
}

func TestSplitByChoice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newMemListener()
		parts := proxyproto.Split(mem, 2, byPart)
		go func() {
			for id := range 10 {
				mem.conns <- stub(id%2, id)
			}
		}()
		require.ElementsMatch(t, []int{0, 2, 4, 6, 8}, acceptIDs(t, parts[0], 5))
		require.ElementsMatch(t, []int{1, 3, 5, 7, 9}, acceptIDs(t, parts[1], 5))
		require.Equal(t, mem.Addr(), parts[1].Addr())
		require.NoError(t, parts[0].Close())
		require.NoError(t, parts[1].Close())
	})
}

func TestSplitIsLazy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newMemListener()
		parts := proxyproto.Split(mem, 2, byPart)
		came := make(chan struct{})
		go func() {
			mem.conns <- stub(0, 7)
			close(came)
		}()
		synctest.Wait()
		select {
		case <-came:
			t.Fatal("accepted without an Accept")
		default:
		}
		require.Equal(t, []int{7}, acceptIDs(t, parts[0], 1))
		require.NoError(t, parts[0].Close())
		require.NoError(t, parts[1].Close())
	})
}

func TestSplitHoldsAtMostMaxPending(t *testing.T) {
	for name, tt := range map[string]struct {
		listen func(t *testing.T, mem *memListener) net.Listener
		hang   bool // in choose; else in the queue of a part without a server
		want   int
	}{
		"of a Listener, in choose":        {listen: listenerOf(3), hang: true, want: 3},
		"of a Listener, in the queues":    {listen: listenerOf(3), want: 3},
		"of another listener, in choose":  {listen: plain, hang: true, want: proxyproto.DefaultMaxPending},
		"of another listener, in a queue": {listen: plain, want: proxyproto.DefaultMaxPending},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem := newMemListener()
				l := tt.listen(t, mem)
				var mu sync.Mutex
				entered, left := 0, 0
				release := make(chan struct{})
				parts := proxyproto.Split(l, 2, func(c net.Conn) (net.Conn, int) {
					mu.Lock()
					entered++
					mu.Unlock()
					if tt.hang {
						<-release
					}
					mu.Lock()
					left++
					mu.Unlock()
					return c, 0
				})
				go parts[1].Accept() // the server of the other part
				const more = 5
				go func() {
					for range tt.want + more {
						mem.conns <- &memConn{Conn: stub(0, 0), remote: tcpAddr(clientAddr), local: tcpAddr(serverAddr)}
					}
				}()
				synctest.Wait()
				mu.Lock()
				require.Equal(t, tt.want, entered)
				mu.Unlock()
				close(release)
				synctest.Wait()
				mu.Lock()
				require.Equal(t, tt.want, left, "what left choose is in the queue, and counts")
				mu.Unlock()
				for range tt.want + more { // every Accept makes room for one
					_, err := parts[0].Accept()
					require.NoError(t, err)
				}
				require.NoError(t, parts[0].Close())
				require.NoError(t, parts[1].Close())
			})
		})
	}
}

func plain(_ *testing.T, mem *memListener) net.Listener { return mem }

func listenerOf(maxPending int) func(*testing.T, *memListener) net.Listener {
	return func(t *testing.T, mem *memListener) net.Listener {
		l, err := proxyproto.New(mem, proxyproto.Config{Trusted: trustnet.MustParse("192.0.2.10"), MaxPending: maxPending})
		require.NoError(t, err)
		return l
	}
}

func TestSlowChoiceDelaysNoOtherConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newMemListener()
		goOn := make(chan struct{})
		parts := proxyproto.Split(mem, 1, func(c net.Conn) (net.Conn, int) {
			if c.(*stubConn).id == 0 {
				<-goOn
			}
			return c, 0
		})
		go func() {
			mem.conns <- stub(0, 0)
			mem.conns <- stub(0, 1)
		}()
		require.Equal(t, []int{1}, acceptIDs(t, parts[0], 1))
		a := acceptFrom(parts[0])
		mem.Close() // the slow one has been accepted and is not lost
		n, err := a.state()
		require.Zero(t, n)
		require.NoError(t, err, "choose may still return a connection")
		close(goOn)
		n, err = a.state()
		require.Equal(t, 1, n)
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

func TestBadChoiceLosesItsOwnConnectionOnly(t *testing.T) {
	for name, tt := range map[string]struct {
		choose func(c net.Conn) (net.Conn, int)
		logged string
	}{
		"closed by choose":   {choose: func(c net.Conn) (net.Conn, int) { c.Close(); return nil, 7 }},
		"an index too high":  {choose: func(c net.Conn) (net.Conn, int) { return c, 1 }, logged: "proxyproto: Split: choose returned index 1 for 203.0.113.7:50000, want 0 to 0"},
		"a negative index":   {choose: func(c net.Conn) (net.Conn, int) { return c, -1 }, logged: "proxyproto: Split: choose returned index -1"},
		"a panic":            {choose: func(net.Conn) (net.Conn, int) { panic("oops") }, logged: "proxyproto: Split: panic in choose for 203.0.113.7:50000: oops"},
		"the goroutine ends": {choose: func(net.Conn) (net.Conn, int) { runtime.Goexit(); return nil, 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			log.SetOutput(&out)
			defer log.SetOutput(os.Stderr)
			synctest.Test(t, func(t *testing.T) {
				mem := newMemListener()
				parts := proxyproto.Split(mem, 1, func(c net.Conn) (net.Conn, int) {
					if c.(*stubConn).id < 0 {
						return tt.choose(c)
					}
					return c, 0
				})
				a := acceptFrom(parts[0])
				var bad []*stubConn
				for range proxyproto.DefaultMaxPending + 1 { // one more than there is room for
					c := stub(0, -1)
					bad = append(bad, c)
					mem.conns <- c
				}
				mem.conns <- stub(0, 3)
				n, err := a.state()
				require.NoError(t, err)
				require.Equal(t, 1, n)
				for _, c := range bad {
					require.True(t, c.isClosed())
				}
				mem.Close()
				_, err = a.state()
				require.ErrorIs(t, err, net.ErrClosed, "the end does not wait for it")
			})
			if tt.logged == "" {
				require.Empty(t, out.String())
			} else {
				require.Contains(t, out.String(), tt.logged)
			}
		})
	}
}

func TestSplitPanics(t *testing.T) {
	mem := newMemListener()
	require.Panics(t, func() { proxyproto.Split(nil, 1, byPart) })
	require.Panics(t, func() { proxyproto.Split(mem, 0, byPart) })
	require.Panics(t, func() { proxyproto.Split(mem, 1, nil) })
}
