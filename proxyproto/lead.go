package proxyproto

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// A lead handles the beginning of a connection's stream:
//
//   - After a header, held has the bytes that were read with it.
//   - Of a direct client, match compares the bytes that Read returns with the signatures.
//   - Of a direct client whose header is to be dropped, held has bytes that may become one.
type lead struct {
	mu      sync.Mutex
	l       *Listener
	held    *held   // does not change
	match   matcher // of a direct client
	why     reason  // why a direct client may not send a header
	refused bool    // a direct client sent a header, see refusal
}

// read and what it calls until it waits have small frames: a goroutine that waits for a
// client's first byte needs no larger stack then.
func (l *lead) read(c *Conn, b []byte) (int, error) {
	l.mu.Lock()
	n, err := l.readLocked(c, b)
	l.mu.Unlock()
	return n, err
}

// hasHeld reports whether read returns bytes without the socket, and whether it may wait
// although the socket has bytes.
func (l *lead) hasHeld() (held, waits bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		return false, false
	}
	return len(l.held.b) > 0 && l.held.state != collecting, l.held.state == collecting
}

func (l *lead) readLocked(c *Conn, b []byte) (int, error) {
	switch {
	case c.lead.Load() != l: // finished or closed while Read waited for the lock
		return c.conn.Read(b)
	case l.held != nil && l.held.state != matching:
		return l.readHeld(c, b)
	case l.refused:
		return 0, l.refusal(c)
	}
	n, err := c.conn.Read(b)
	if refused := l.examine(c, b[:n]); refused != nil {
		return 0, refused
	}
	return n, err
}

// examine compares what was read with the signatures.
func (l *lead) examine(c *Conn, b []byte) error {
	before := l.match.pos
	switch l.match.feed(b) {
	case noHeader:
		c.lead.Store(nil)
	case isHeader:
		return l.refuse(c, b, before)
	}
	return nil
}

// refuse closes the connection, whose stream has the first before bytes of a signature, and
// then b.
func (l *lead) refuse(c *Conn, b []byte, before uint8) error {
	l.refused = true
	c.conn.Close()
	seen := append([]byte(signatures[l.match.found][:before]), b...)
	l.l.reject(Rejection{Peer: c.conn.RemoteAddr(), Err: l.refusal(c), Prefix: seen}, &l.l.stats.Untrusted)
	clear(b)
	return l.refusal(c)
}

func (l *lead) refusal(c *Conn) error {
	if l.why == tooLate {
		return &lateHeader{c.conn.RemoteAddr(), l.l.cfg.OptionalWait}
	}
	return fmt.Errorf("%w: %v %s; the connection was closed", ErrUntrustedHeader, c.conn.RemoteAddr(), l.why)
}

// lateHeader is the error for a header that began after Config.OptionalWait.
type lateHeader struct {
	peer net.Addr
	wait time.Duration
}

func (e *lateHeader) Error() string {
	return fmt.Sprintf("%v: %v sent nothing for %v (OptionalWait) and was served as a direct client; make the proxy send its header at once",
		ErrTimeout, e.peer, e.wait)
}

func (e *lateHeader) Unwrap() []error { return []error{ErrTimeout, ErrUntrustedHeader} }
