// What to copy: the whole file, when several servers must share one listener.
// What to change: nothing; the choice is the caller's.

package main

import (
	"net"
	"sync"
)

// split hands the connections of l to n listeners, so that n servers stand
// behind one. choose is called for each connection, in a goroutine of its own,
// and may take its time, for a TLS handshake. It returns the connection to serve
// and the listener to give it to, or nil when it closed the connection.
//
// Each of the n has a queue of its own, which takes everything: a server that
// is slow, or closed, does not hold up the others. Closing one closes what waits
// in its queue and what comes to it later; the last one to close closes l. When
// l ends, the n go on until choose has returned for every connection and their
// queues are empty, and Accept returns the error of l then.
func split(l net.Listener, n int, choose func(net.Conn) (net.Conn, int)) []net.Listener {
	s := &splitter{inner: l, open: n}
	sides := make([]net.Listener, n)
	for i := range sides {
		side := &splitSide{s: s}
		side.ready.L = &side.mu
		s.sides = append(s.sides, side)
		sides[i] = side
	}
	go s.run(choose)
	return sides
}

type splitter struct {
	inner net.Listener
	sides []*splitSide

	mu   sync.Mutex
	open int // sides that are not closed
}

func (s *splitter) run(choose func(net.Conn) (net.Conn, int)) {
	var choosing sync.WaitGroup
	for {
		c, err := s.inner.Accept()
		if err != nil {
			choosing.Wait()
			for _, side := range s.sides {
				side.end(err)
			}
			return
		}
		choosing.Go(func() {
			if c, i := choose(c); c != nil {
				s.sides[i].put(c)
			}
		})
	}
}

// A splitSide is one of the listeners.
type splitSide struct {
	s *splitter

	mu     sync.Mutex
	ready  sync.Cond
	queue  []net.Conn
	closed bool
	err    error // why no more will come
}

func (side *splitSide) put(c net.Conn) {
	side.mu.Lock()
	defer side.mu.Unlock()
	if side.closed {
		c.Close()
		return
	}
	side.queue = append(side.queue, c)
	side.ready.Signal()
}

func (side *splitSide) end(err error) {
	side.mu.Lock()
	defer side.mu.Unlock()
	if side.err == nil {
		side.err = err
	}
	side.ready.Broadcast()
}

// Accept returns the next connection that was chosen for this side.
func (side *splitSide) Accept() (net.Conn, error) {
	side.mu.Lock()
	defer side.mu.Unlock()
	for len(side.queue) == 0 && side.err == nil {
		side.ready.Wait()
	}
	if len(side.queue) == 0 {
		return nil, side.err
	}
	c := side.queue[0]
	side.queue[0] = nil
	side.queue = side.queue[1:]
	return c, nil
}

// Close ends this side only, and the listener below with the last side.
func (side *splitSide) Close() error {
	side.mu.Lock()
	if side.closed {
		side.mu.Unlock()
		return nil
	}
	side.closed = true
	queue := side.queue
	side.queue = nil
	side.err = &net.OpError{Op: "accept", Net: side.Addr().Network(), Addr: side.Addr(), Err: net.ErrClosed}
	side.ready.Broadcast()
	side.mu.Unlock()

	for _, c := range queue {
		c.Close()
	}
	side.s.mu.Lock()
	side.s.open--
	last := side.s.open == 0
	side.s.mu.Unlock()
	if last {
		return side.s.inner.Close()
	}
	return nil
}

// Addr returns the address of the listener below.
func (side *splitSide) Addr() net.Addr { return side.s.inner.Addr() }
