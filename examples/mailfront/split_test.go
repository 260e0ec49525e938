package main

import (
	"errors"
	"net"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A fakeListener hands out what is sent to conns, and ends with err.
type fakeListener struct {
	conns  chan net.Conn
	err    error
	once   sync.Once
	closed chan struct{}
}

func newFakeListener() *fakeListener {
	return &fakeListener{conns: make(chan net.Conn), err: net.ErrClosed, closed: make(chan struct{})}
}

func (l *fakeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, l.err
	}
}

func (l *fakeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *fakeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 25} }

// A numbered connection says which side it is for, and whether it is closed.
type numberedConn struct {
	net.Conn
	side   int
	id     int
	once   sync.Once
	closed chan struct{}
}

func newNumbered(side, id int) *numberedConn {
	return &numberedConn{side: side, id: id, closed: make(chan struct{})}
}

func (c *numberedConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func bySide(c net.Conn) (net.Conn, int) { return c, c.(*numberedConn).side }

// waitQueued returns when n connections wait at a side.
func waitQueued(side net.Listener, n int) {
	s := side.(*splitSide)
	for {
		s.mu.Lock()
		have := len(s.queue)
		s.mu.Unlock()
		if have >= n {
			return
		}
		// The goroutine that chooses has not had its turn.
		runtime.Gosched()
	}
}

func acceptIDs(t *testing.T, l net.Listener, n int) []int {
	t.Helper()
	var ids []int
	for range n {
		c, err := l.Accept()
		require.NoError(t, err)
		ids = append(ids, c.(*numberedConn).id)
	}
	return ids
}

func TestSplitGivesEachConnectionToTheSideThatWasChosen(t *testing.T) {
	l := newFakeListener()
	sides := split(l, 2, bySide)
	for id := range 10 {
		l.conns <- newNumbered(id%2, id)
	}
	require.ElementsMatch(t, []int{0, 2, 4, 6, 8}, acceptIDs(t, sides[0], 5))
	require.ElementsMatch(t, []int{1, 3, 5, 7, 9}, acceptIDs(t, sides[1], 5))
	require.Equal(t, l.Addr(), sides[1].Addr())
	l.Close()
}

func TestASideThatNobodyAcceptsFromDoesNotHoldUpTheOther(t *testing.T) {
	l := newFakeListener()
	sides := split(l, 2, bySide)
	for id := range 10_000 {
		l.conns <- newNumbered(0, id)
	}
	l.conns <- newNumbered(1, -1)
	require.Equal(t, []int{-1}, acceptIDs(t, sides[1], 1))
	l.Close()
	require.Len(t, acceptIDs(t, sides[0], 10_000), 10_000)
}

func TestASlowChoiceHoldsUpNobodyElse(t *testing.T) {
	l := newFakeListener()
	goOn := make(chan struct{})
	sides := split(l, 1, func(c net.Conn) (net.Conn, int) {
		if c.(*numberedConn).id == 0 {
			<-goOn
		}
		return c, 0
	})
	l.conns <- newNumbered(0, 0)
	l.conns <- newNumbered(0, 1)
	require.Equal(t, []int{1}, acceptIDs(t, sides[0], 1))
	l.Close() // the slow one was accepted: it is not lost
	close(goOn)
	require.Equal(t, []int{0}, acceptIDs(t, sides[0], 1))
	_, err := sides[0].Accept()
	require.ErrorIs(t, err, net.ErrClosed)
}

func TestClosingOneSideClosesItsQueueAndLeavesTheOthersAlone(t *testing.T) {
	l := newFakeListener()
	sides := split(l, 2, bySide)
	ofClosed, ofOpen := newNumbered(0, 0), newNumbered(1, 1)
	l.conns <- ofClosed
	l.conns <- ofOpen
	waitQueued(sides[0], 1)
	waitQueued(sides[1], 1)

	require.NoError(t, sides[0].Close())
	require.NoError(t, sides[0].Close(), "twice")
	<-ofClosed.closed
	_, err := sides[0].Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	late := newNumbered(0, 2)
	l.conns <- late
	<-late.closed // what comes later for the closed side, too

	select {
	case <-ofOpen.closed:
		t.Fatal("the queue of the other side was closed")
	case <-l.closed:
		t.Fatal("the listener was closed with the first side")
	default:
	}
	l.conns <- newNumbered(1, 3)
	require.Equal(t, []int{1, 3}, acceptIDs(t, sides[1], 2))

	require.NoError(t, sides[1].Close())
	<-l.closed // with the last side
}

func TestWhenTheListenerEndsEachSideEndsAfterItsQueue(t *testing.T) {
	broken := errors.New("broken")
	l := newFakeListener()
	l.err = broken
	sides := split(l, 3, bySide)
	for id := range 20 {
		l.conns <- newNumbered(id%2, id)
	}
	l.Close()
	for _, side := range sides[:2] {
		require.Len(t, acceptIDs(t, side, 10), 10)
	}
	for _, side := range sides {
		for range 2 { // and stays so
			_, err := side.Accept()
			require.ErrorIs(t, err, broken)
		}
	}
}

func TestAConnectionThatTheChoiceClosedGoesNowhere(t *testing.T) {
	l := newFakeListener()
	sides := split(l, 1, func(c net.Conn) (net.Conn, int) {
		if c.(*numberedConn).id == 0 {
			return nil, 0
		}
		return c, 0
	})
	l.conns <- newNumbered(0, 0)
	l.conns <- newNumbered(0, 1)
	l.Close()
	require.Equal(t, []int{1}, acceptIDs(t, sides[0], 1))
	_, err := sides[0].Accept()
	require.ErrorIs(t, err, net.ErrClosed)
}

func TestCloseWakesAnAcceptThatWaits(t *testing.T) {
	l := newFakeListener()
	sides := split(l, 2, bySide)
	ended := make(chan error)
	go func() {
		_, err := sides[0].Accept()
		ended <- err
	}()
	require.NoError(t, sides[0].Close())
	require.ErrorIs(t, <-ended, net.ErrClosed)
	l.Close()
}
