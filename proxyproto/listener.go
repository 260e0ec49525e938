package proxyproto

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// A Listener accepts connections with and without a PROXY header. Accept returns only
// connections that may be served now: a connection from a trusted peer after its header
// has arrived and was verified, a direct client at once.
//
// Layers go in this order: TCP, PROXY, TLS. Wrap a Listener in tls.NewListener,
// not the other way round: TLS below a Listener is not the client's for [Secure].
type Listener struct {
	inner        net.Listener
	cfg          Config
	usesProtocol bool       // a peer can be trusted or optional
	own          unmapper   // used by the accept loop only
	lists        trustLists // used by the accept loop only

	mu          sync.Mutex
	acceptable  sync.Cond // a connection is ready, a deadline has passed, or accepting has ended
	space       sync.Cond // room below MaxPending, or closing
	ready       queue[*Conn]
	pending     pendingList
	stats       Stats
	phase       phase
	deadline    deadline      // of Accept
	deadlineErr error         // a deadline of the listener below, not yet returned
	failure     error         // the error that ended accepting
	accepting   bool          // the accept loop runs
	stopped     bool          // accepting ended for good
	closing     chan struct{} // closed when phase is no longer open
	drained     chan struct{} // closed when a stopped Listener has no connections left
}

type phase uint8

const (
	open     phase = iota
	draining       // Shutdown: no new connections
	closed         // Close: no connections
)

// New returns a Listener on top of l. The Listener owns l: close the Listener, not l.
//
// The Listener accepts nothing from l before the first Accept, so a process may
// open its listeners and let a child process serve them. From then on a goroutine
// accepts up to Config.MaxPending connections in advance.
//
// The error names the field of c that is invalid. It wraps [trustnet.ErrTrustsAll]
// if the trusted peers cover half of the IPv4 or IPv6 Internet; see Config.AllowTrustAll.
func New(l net.Listener, c Config) (*Listener, error) {
	if l == nil {
		return nil, errors.New("proxyproto: New needs a net.Listener, got nil")
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	ln := &Listener{
		inner:        l,
		cfg:          c,
		usesProtocol: c.usesProtocol(),
		closing:      make(chan struct{}),
		drained:      make(chan struct{}),
	}
	if err := ln.lists.check(&c); err != nil {
		return nil, err
	}
	ln.acceptable.L = &ln.mu
	ln.space.L = &ln.mu
	return ln, nil
}

// Addr returns the address of the listener below.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// Accept returns the next connection that is ready to be served, a *[Conn].
//
// An error that is a timeout (os.ErrDeadlineExceeded for errors.Is) reports a
// deadline, of [Listener.SetDeadline] or of the listener below, and Accept may be
// called again. A deadline of the listener below is reported once, and nothing is
// accepted from then until the next Accept.
//
// Any other error is final: net.ErrClosed after
// Close or Shutdown, or the error of the listener below. Temporary errors, such as
// too many open files, are retried. A bad header is not an error of Accept: see
// Config.OnReject.
func (l *Listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if c := l.ready.pop(); c != nil {
			l.space.Signal()
			l.checkDrained()
			return c, nil
		}
		switch {
		case l.phase == closed || l.stopped && l.pending.n == 0:
			if l.phase == open {
				return nil, fmt.Errorf("proxyproto: the listener below failed: %w", l.failure)
			}
			return nil, l.opError("accept", net.ErrClosed)
		case l.deadline.passed:
			return nil, l.opError("accept", os.ErrDeadlineExceeded)
		case l.deadlineErr != nil:
			err := l.deadlineErr
			l.deadlineErr = nil
			return nil, err
		}
		l.startAccepting()
		l.acceptable.Wait()
	}
}

func (l *Listener) opError(op string, err error) error { return opError(l, op, err) }

// opError returns err as the methods of a *net.TCPListener do.
func opError(l net.Listener, op string, err error) error {
	e := &net.OpError{Op: op, Err: err}
	if a := l.Addr(); a != nil {
		e.Net, e.Addr = a.Network(), a
	}
	return e
}

// Close stops accepting, closes the connections that wait for their header or
// for Accept, and makes Accept return net.ErrClosed. It does not touch
// connections that Accept returned. The error is that of the listener below,
// or nil if the Listener is closed already.
func (l *Listener) Close() error {
	l.mu.Lock()
	first := l.phase == open
	if l.phase == closed {
		l.mu.Unlock()
		return nil
	}
	l.setPhase(closed)
	l.deadline.stop()
	for p := l.pending.first; p != nil; p = p.next {
		p.cut = true
		defer p.conn.Close() // after the lock is released
	}
	for c := l.ready.pop(); c != nil; c = l.ready.pop() {
		defer c.conn.Close()
	}
	l.checkDrained()
	l.mu.Unlock()
	if !first {
		return nil // Shutdown closed it
	}
	return l.inner.Close()
}

// Shutdown closes the listening socket and waits until no connection is left:
// connections that wait for their header get the rest of HeaderTimeout, and Accept
// returns those that are ready before it returns net.ErrClosed. If ctx ends
// earlier, the remaining connections are closed and the error is that of ctx.
//
// Call it before the server's own Shutdown, and wait for Serve to return
// between the two, so that the server has every connection:
//
//	err := listener.Shutdown(ctx)
//	<-served // Serve returned, with net.ErrClosed
//	err = server.Shutdown(ctx)
func (l *Listener) Shutdown(ctx context.Context) error {
	l.mu.Lock()
	first := l.phase == open
	if first {
		l.setPhase(draining)
		l.checkDrained()
	}
	l.mu.Unlock()
	var err error
	if first {
		err = l.inner.Close()
	}
	select {
	case <-l.drained: // even if ctx has ended as well
		return err
	default:
	}
	select {
	case <-l.drained:
		return err
	case <-ctx.Done():
		l.Close()
		return ctx.Err()
	}
}

// setPhase ends the open phase. l.mu is held.
func (l *Listener) setPhase(p phase) {
	if l.phase == open {
		close(l.closing)
	}
	l.phase = p
	if !l.accepting {
		l.stopped = true
	}
	l.acceptable.Broadcast()
	l.space.Broadcast()
}

// checkDrained closes drained when no connection is left. l.mu is held.
func (l *Listener) checkDrained() {
	if l.stopped && l.pending.n == 0 && l.ready.len() == 0 {
		select {
		case <-l.drained:
		default:
			l.deadline.stop()
			close(l.drained)
		}
		l.acceptable.Broadcast()
	}
}

// SetDeadline sets the deadline of Accept, as that of a *net.TCPListener: once t has
// passed, Accept returns an error for which errors.Is(err, os.ErrDeadlineExceeded)
// is true. The zero Time means no deadline. A connection that is ready comes before
// the deadline's error. SetDeadline does not affect header timeouts, nor connections
// that Accept returned. The error is net.ErrClosed after Close.
func (l *Listener) SetDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase == closed || l.stopped && l.phase != open && l.pending.n+l.ready.len() == 0 {
		return l.opError("set", net.ErrClosed)
	}
	l.deadline.set(t, &l.acceptable)
	return nil
}

// A deadline ends Accept. The lock of Accept is held in its methods.
type deadline struct {
	timer  *time.Timer
	passed bool
}

// set sets the deadline. wake wakes Accept, and its L is the lock.
func (d *deadline) set(t time.Time, wake *sync.Cond) {
	d.stop()
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		d.passed = true
		wake.Broadcast()
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(left, func() {
		wake.L.Lock()
		defer wake.L.Unlock()
		if d.timer == timer { // not replaced in the meantime
			d.passed = true
			wake.Broadcast()
		}
	})
	d.timer = timer
}

// stop removes the deadline.
func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
	d.timer, d.passed = nil, false
}
