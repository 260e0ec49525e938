package proxyproto

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// held has the bytes that were read of a stream and not delivered yet.
type held struct {
	state  holdState
	b      []byte
	header bool  // b begins with a signature
	err    error // the result of Read in state failed

	ignoring bool // does not change: the deadline below is in use
	deadline holdDeadline
}

type holdState uint8

const (
	delivering holdState = iota // b is data; then Read is the socket's
	collecting                  // b may become a header, which is dropped
	releasing                   // b is data; then matching
	matching                    // the rest is matched as from any direct client
	failed
)

func (l *lead) readHeld(c *Conn, b []byte) (int, error) {
	h := l.held
	switch h.state {
	case collecting:
		return l.collect(c, b)
	case failed:
		return 0, h.err
	}
	if len(b) == 0 {
		return 0, nil
	}
	n := copy(b, h.b)
	h.b = h.b[n:]
	if len(h.b) == 0 {
		h.b = nil
		if h.state == releasing {
			h.state = matching
		} else {
			c.lead.Store(nil)
		}
	}
	return n, nil
}

// collect reads until it is certain whether the stream begins with a header.
func (l *lead) collect(c *Conn, b []byte) (int, error) {
	h := l.held
	limit := max(maxV1Line, v2FixedSize+l.l.cfg.MaxHeaderSize) // of any header
	for !h.deadline.over() {
		n, err := c.conn.Read(b[:min(len(b), limit)])
		switch {
		case n == 0 && len(h.b) > 0 && isEnd(err) && h.header:
			return 0, l.fail(c, fmt.Errorf("%w: the connection ended after %d bytes of it", ErrMalformed, len(h.b)))
		case n == 0 && len(h.b) > 0 && isEnd(err):
			return l.deliver(c, b, delivering) // err comes again
		case n == 0 && isTimeout(err) && h.deadline.over():
			continue
		case n == 0:
			return 0, err
		}
		if !h.header {
			switch l.match.feed(b[:n]) {
			case noHeader:
				if len(h.b) == 0 {
					c.lead.Store(nil)
					return n, err
				}
				h.b = append(h.b, b[:n]...)
				return l.deliver(c, b, delivering)
			case isHeader:
				h.header = true
			}
		}
		h.b = append(h.b, b[:n]...)
		clear(b[:n])
		if h.header {
			size, err := l.drop(c)
			if err != nil {
				return 0, l.fail(c, err)
			}
			if size > 0 {
				h.b = h.b[size:]
				return l.deliver(c, b, delivering)
			}
		}
		if err := h.deadline.start(c.conn, l.l.cfg.HeaderTimeout); err != nil {
			return 0, l.fail(c, err)
		}
	}
	if h.header {
		return 0, l.fail(c, fmt.Errorf("%w: %d bytes in %v", ErrTimeout, len(h.b), l.l.cfg.HeaderTimeout))
	}
	return l.deliver(c, b, releasing)
}

// drop reports the header at the beginning of the held bytes and returns its size, or 0 if
// it is incomplete.
func (l *lead) drop(c *Conn) (int, error) {
	b := l.held.b
	size, err := scan(b, l.l.cfg.MaxHeaderSize)
	// A header of another family than TCP can be dropped as well.
	foreign := errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrMalformed)
	if foreign {
		size, err = v2Size(b, l.l.cfg.MaxHeaderSize, 0)
	}
	if err != nil || size == 0 || size > len(b) {
		return 0, err
	}
	if !foreign {
		if err := parse(b[:size], new(facts)); err != nil {
			return 0, err
		}
	}
	peer := c.conn.RemoteAddr()
	l.l.reject(Rejection{
		Peer: peer, Prefix: b[:size], Served: true,
		Err: fmt.Errorf("%w: %v %s; the header was ignored", ErrUntrustedHeader, peer, l.why),
	}, &l.l.stats.Untrusted, &l.l.stats.Ignored)
	return size, nil
}

// deliver ends collecting: the held bytes are data.
func (l *lead) deliver(c *Conn, b []byte, next holdState) (int, error) {
	l.held.deadline.stop(c.conn)
	l.held.state = next
	if len(l.held.b) == 0 {
		c.lead.Store(nil)
		return c.conn.Read(b)
	}
	return l.readHeld(c, b)
}

// fail closes the connection, which began with a header that cannot be dropped.
func (l *lead) fail(c *Conn, err error) error {
	h := l.held
	peer := c.conn.RemoteAddr()
	h.state = failed
	h.err = fmt.Errorf("%w: %v %s, and the header cannot be ignored: %w; the connection was closed", ErrUntrustedHeader, peer, l.why, err)
	c.conn.Close()
	l.l.reject(Rejection{Peer: peer, Err: h.err, Prefix: h.b}, &l.l.stats.Untrusted)
	h.b = nil
	return h.err
}

// A holdDeadline limits how long bytes are held. The deadline of the socket is the earlier of
// this and the application's own read deadline.
type holdDeadline struct {
	mu   sync.Mutex
	hold time.Time // zero while nothing is held
	app  time.Time // zero: no deadline
}

// setApp sets the application's deadline.
func (d *holdDeadline) setApp(c net.Conn, t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.app = t
	return d.set(c)
}

// start begins to count with the first byte.
func (d *holdDeadline) start(c net.Conn, timeout time.Duration) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.hold.IsZero() {
		return nil
	}
	d.hold = time.Now().Add(timeout)
	err := d.set(c)
	if err != nil && !isClosed(err) {
		return fmt.Errorf("%w: a %T does not support read deadlines: %w", ErrTimeout, c, err)
	}
	return nil
}

// stop restores the application's deadline.
func (d *holdDeadline) stop(c net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.hold.IsZero() {
		d.hold = time.Time{}
		d.set(c)
	}
}

func (d *holdDeadline) set(c net.Conn) error {
	t := d.app
	if !d.hold.IsZero() && (t.IsZero() || d.hold.Before(t)) {
		t = d.hold
	}
	return c.SetReadDeadline(t)
}

func (d *holdDeadline) over() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.hold.IsZero() && !time.Now().Before(d.hold)
}
