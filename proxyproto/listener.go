package proxyproto

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// A Listener accepts connections of which some have a PROXY header. Accept
// returns only those that may be served now: a connection from a trusted peer
// after its header arrived and was verified, any other at once.
//
// Layers go in this order: TCP, PROXY, TLS. Wrap a Listener in tls.NewListener,
// not the other way round: TLS below a Listener is not the client's for [Secure].
type Listener struct {
	inner net.Listener
	cfg   Config
	own   unmapper // of the accept loop

	mu         sync.Mutex
	acceptable sync.Cond // ready, or no more to come
	space      sync.Cond // room below MaxPending, or closing
	ready      queue
	pending    pendingList
	stats      Stats
	phase      phase
	failure    error         // why accepting ended, if by itself
	stopped    bool          // accepting ended
	closing    chan struct{} // closed when phase is no longer open
	drained    chan struct{} // closed when nothing is left of a Listener that stopped
}

type phase uint8

const (
	open     phase = iota
	draining       // Shutdown: no new connections
	closed         // Close: no connections
)

// New returns a Listener on top of l and begins to accept from it. The Listener
// owns l: close the Listener, not l.
//
// The error names the field of c that makes no sense.
func New(l net.Listener, c Config) (*Listener, error) {
	if l == nil {
		return nil, errors.New("proxyproto: New needs a net.Listener, got nil")
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	ln := &Listener{
		inner:   l,
		cfg:     c,
		closing: make(chan struct{}),
		drained: make(chan struct{}),
	}
	ln.acceptable.L = &ln.mu
	ln.space.L = &ln.mu
	go ln.acceptLoop()
	return ln, nil
}

// Addr returns the address of the listener below.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// Accept returns the next connection that is ready to be served, a *[Conn].
//
// An error means that no more will come: net.ErrClosed (for errors.Is) after
// Close or Shutdown, or what broke the listener below. Conditions that pass,
// such as too many open files, are waited out. A bad header is no error: see
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
		if l.phase == closed || l.stopped && l.pending.n == 0 {
			if l.phase == open {
				return nil, fmt.Errorf("proxyproto: the listener below is broken: %w", l.failure)
			}
			err := &net.OpError{Op: "accept", Err: net.ErrClosed}
			if a := l.inner.Addr(); a != nil {
				err.Net, err.Addr = a.Network(), a
			}
			return nil, err
		}
		l.acceptable.Wait()
	}
}

// Close stops accepting, closes the connections that wait for their header or
// for Accept, and makes Accept return net.ErrClosed. It does not touch
// connections that Accept returned. The error is that of the listener below,
// and nil when the Listener is closed already.
func (l *Listener) Close() error {
	l.mu.Lock()
	first := l.phase == open
	if l.phase == closed {
		l.mu.Unlock()
		return nil
	}
	l.setPhase(closed)
	for p := l.pending.first; p != nil; p = p.next {
		p.cut = true
		defer p.conn.Close() // after the lock is released
	}
	for c := l.ready.pop(); c != nil; c = l.ready.pop() {
		defer c.Close()
	}
	l.checkDrained()
	l.mu.Unlock()
	if !first {
		return nil // Shutdown closed it
	}
	return l.inner.Close()
}

// Shutdown closes the listening socket and returns when nothing is left: the
// connections that wait for their header finish, or fail, in their time, and
// Accept hands out what is ready before it returns net.ErrClosed. When ctx ends
// earlier the rest is closed, and the error is that of ctx.
//
// Call it before the server's own Shutdown, and wait for Serve to return
// between the two, so that the server knows every connection:
//
//	err := listener.Shutdown(ctx)
//	<-served // Serve returned, with net.ErrClosed
//	err = server.Shutdown(ctx)
func (l *Listener) Shutdown(ctx context.Context) error {
	l.mu.Lock()
	first := l.phase == open
	if first {
		l.setPhase(draining)
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
	l.acceptable.Broadcast()
	l.space.Broadcast()
}

// checkDrained notices when the last connection is gone. l.mu is held.
func (l *Listener) checkDrained() {
	if l.stopped && l.pending.n == 0 && l.ready.len() == 0 {
		select {
		case <-l.drained:
		default:
			close(l.drained)
		}
		l.acceptable.Broadcast()
	}
}

// acceptLoop runs until the listener below is closed, or broken.
func (l *Listener) acceptLoop() {
	var failure error
	delay := time.Duration(0)
	for l.waitForSpace() {
		c, err := l.inner.Accept()
		if err == nil {
			delay = 0
			l.admit(c)
			continue
		}
		if !passing(err) {
			failure = err
			break
		}
		delay = min(max(2*delay, 5*time.Millisecond), time.Second)
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-l.closing:
			timer.Stop()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase == open {
		l.failure = failure
	}
	l.stopped = true
	l.checkDrained()
}

// admit decides what a connection is, with one snapshot of the trusted set.
func (l *Listener) admit(c net.Conn) {
	peer := c.RemoteAddr()
	switch {
	case l.trusts(peer):
		l.receive(c)
	case l.cfg.Untrusted == Refuse:
		c.Close()
		l.reject(&l.stats.Refused, peer, fmt.Errorf("%w: %v is %s", ErrRefused, peer, l.notTrusted()), nil)
	default:
		conn := newDirectConn(l, c)
		l.mu.Lock()
		late := l.phase == closed
		if !late {
			l.deliver(conn)
		}
		l.mu.Unlock()
		if late {
			c.Close()
		}
	}
}

func (l *Listener) trusts(peer net.Addr) bool {
	if l.cfg.Trusted == nil {
		return false
	}
	set := l.cfg.Trusted.Trusted()
	if set.TrustsAll() && !l.cfg.AllowTrustAll {
		l.mu.Lock()
		l.stats.TrustAll++
		l.mu.Unlock()
		return false
	}
	return set.ContainsAddr(peer)
}

// notTrusted says why a peer is not, for an error.
func (l *Listener) notTrusted() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stats.TrustAll > 0 {
		return "not trusted (Config.Trusted covered a whole address family, see Config.AllowTrustAll)"
	}
	return "not in Config.Trusted"
}

// deliver counts c and makes it ready for Accept. l.mu is held, and the phase is
// not closed.
func (l *Listener) deliver(c *Conn) {
	switch {
	case c.info.Version == 0:
		l.stats.Direct++
	case c.info.Local || c.info.unknown:
		l.stats.Local++
	default:
		l.stats.Proxied++
	}
	l.ready.push(c)
	l.acceptable.Signal()
}

// reject counts and reports a connection that is closed already.
func (l *Listener) reject(counter *uint64, peer net.Addr, err error, seen []byte) {
	l.mu.Lock()
	*counter++
	l.mu.Unlock()
	l.report(peer, err, seen)
}

func (l *Listener) report(peer net.Addr, err error, seen []byte) {
	if l.cfg.OnReject != nil {
		l.cfg.OnReject(Rejection{Peer: unmap(peer), Err: err, Prefix: bytes.Clone(seen[:min(len(seen), 64)])})
	}
}

// passing reports whether Accept may work again later (accept(2), "Error
// handling", and what net calls temporary).
func passing(err error) bool {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return passingErrno(errno)
	}
	var temp interface{ Temporary() bool }
	return errors.As(err, &temp) && temp.Temporary()
}
