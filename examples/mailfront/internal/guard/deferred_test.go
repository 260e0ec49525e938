package guard

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
)

// numbered returns a different client for each number.
func numbered(i int) client.Client {
	return client.Client{IP: netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), Known: true}
}

func TestWhoWaitsForTheStore(t *testing.T) {
	guess := func(n node, cl client.Client) { n.LogIn(cl, "", isWrong) }
	for _, tc := range []struct {
		name   string
		before func(node, client.Client)
		others int // connections before
		waits  bool
	}{
		{name: "a first connection"},
		{name: "less than half of the limit", others: 1},
		{name: "half of the limit", others: 2, waits: true},
		{name: "the rest of the limit", others: 5, waits: true},
		{name: "a wrong password", before: guess, waits: true},
		{name: "a wrong password long ago", before: func(n node, cl client.Client) { guess(n, cl); time.Sleep(time.Hour) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				limits := DefaultLimits
				limits.Rates[Connecting] = Rate{6, 24 * time.Hour}
				s, cl := newTestStore(), knownClient("198.51.100.7")
				n := startNodes(t, 1, s, limits)[0]
				admit := func() {
					_, err := n.Admit(cl)
					require.NoError(t, err)
				}
				if tc.before != nil {
					tc.before(n, cl)
				}
				for range tc.others {
					admit()
				}
				time.Sleep(payDelay)
				synctest.Wait()
				const late = 10 * time.Millisecond
				s.admits.Store(0)
				s.delay.Store(int64(late))
				began := time.Now()
				admit()
				if tc.waits {
					require.Equal(t, late, time.Since(began))
					require.EqualValues(t, 1, s.admits.Load())
				} else {
					require.Zero(t, time.Since(began))
					time.Sleep(payDelay - 1)
					synctest.Wait()
					require.Zero(t, s.admits.Load(), "several connections share a call")
				}
				time.Sleep(time.Minute)
				require.EqualValues(t, 1, s.admits.Load(), "a connection is charged once")
			})
		})
	}
}

func TestManyClientsAreChargedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const delay = 10 * time.Millisecond
		s := newTestStore()
		n := startNodes(t, 1, s, DefaultLimits)[0]
		s.delay.Store(int64(delay))
		for i := range payAtOnce + 1 {
			_, err := n.Admit(numbered(i))
			require.NoError(t, err)
		}
		time.Sleep(payDelay)
		synctest.Wait()
		require.EqualValues(t, payAtOnce, s.admits.Load())
		time.Sleep(delay)
		synctest.Wait()
		require.EqualValues(t, payAtOnce+1, s.admits.Load())
		time.Sleep(delay)
	})
}

// A node ends after its charges are made.
func TestDeferredChargesAtShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const delay = 10 * time.Millisecond
		s := newTestStore()
		g, _ := testGuard(DefaultLimits)
		g.Share(s)
		ctx, cancel := context.WithCancel(t.Context())
		var ended atomic.Bool
		go func() { g.Mirror(ctx); ended.Store(true) }()
		admit := func(i int) {
			_, err := g.Admit(numbered(i))
			require.NoError(t, err)
		}
		synctest.Wait()
		s.delay.Store(int64(delay))
		admit(1)
		time.Sleep(payDelay)
		synctest.Wait()
		require.EqualValues(t, 1, s.admits.Load())
		admit(2) // while the first one is charged
		cancel()
		time.Sleep(delay)
		synctest.Wait()
		require.EqualValues(t, 2, s.admits.Load())
		require.False(t, ended.Load())
		time.Sleep(delay)
		synctest.Wait()
		require.True(t, ended.Load())
	})
}

// A node that ends does not wait for payDelay.
func TestShutdownDoesNotWaitToCollectCharges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStore()
		g, _ := testGuard(DefaultLimits)
		g.Share(s)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := g.Admit(numbered(1))
		require.NoError(t, err)
		began := time.Now()
		cancel()
		g.Mirror(ctx)
		require.EqualValues(t, 1, s.admits.Load())
		require.Zero(t, time.Since(began))
	})
}

// owed returns the number of connections that the store does not have yet.
func (n node) owed() (owed int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, of := range n.clients.Values() {
		if of[Connecting] != nil {
			owed += of[Connecting].owed
		}
	}
	return owed
}

func TestDeferredChargesWhileStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 4 * payAtOnce
		s := newTestStore()
		n := startNodes(t, 1, s, DefaultLimits)[0]
		admit := func() {
			for i := range clients {
				_, err := n.Admit(numbered(i))
				require.NoError(t, err)
			}
			time.Sleep(payDelay)
			synctest.Wait()
		}
		s.away.Store(true)
		admit()
		require.LessOrEqual(t, s.admits.Load(), int64(2*payAtOnce), "a store that is away is not called")
		require.GreaterOrEqual(t, n.owed(), clients-2*payAtOnce)
		s.away.Store(false)
		time.Sleep(2 * retryInterval)
		admit()
		require.Zero(t, n.owed(), "they are charged with the next connection")
	})
}

// The memory for deferred charges is bounded, also if clients come faster than the store answers.
func TestDeferredChargesOfForgottenClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := DefaultLimits
		limits.Clients = 2
		s := newTestStore()
		n := startNodes(t, 1, s, limits)[0]
		for i := range 10 {
			_, err := n.Admit(numbered(i))
			require.NoError(t, err)
			require.LessOrEqual(t, len(n.unpaid), limits.Clients)
		}
		require.NoError(t, n.Allow(numbered(0), Sending), "it is in the list, but its connection is forgotten")
		time.Sleep(payDelay)
		synctest.Wait()
		require.Zero(t, s.admits.Load())
		for i := range 3 {
			_, err := n.Admit(numbered(i))
			require.NoError(t, err)
			time.Sleep(payDelay)
			synctest.Wait()
			require.EqualValues(t, i+1, s.admits.Load(), "there is room again")
		}
	})
}

// A tcpConn is a connection of a client that connects directly.
type tcpConn struct {
	net.Conn
	peer netip.Addr
}

func (c tcpConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.peer, 4567))
}
func (tcpConn) Close() error { return nil }

// A connListener returns one connection.
type connListener struct {
	net.Listener
	conn net.Conn
}

func (l connListener) Accept() (net.Conn, error) { return l.conn, nil }

func TestListenerDoesNotWaitForTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, cl := newTestStore(), knownClient("198.51.100.7")
		n := startNodes(t, 1, s, DefaultLimits)[0]
		requireRefused(t, ErrWrongPassword, n.LogIn(cl, "", isWrong))
		s.admits.Store(0)
		c, err := n.Listen(client.Listener{Name: "http"}, connListener{conn: tcpConn{peer: cl.IP}}).Accept()
		require.NoError(t, err)
		require.Equal(t, 1, n.Counts().Connections)
		time.Sleep(time.Second)
		require.Zero(t, s.admits.Load())
		require.NoError(t, c.Close())
		require.NoError(t, c.Close())
		require.Zero(t, n.Counts().Connections)
	})
}
