package proxyproto

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

const (
	// firstRead is how much is read at first. The headers of HAProxy with every
	// option it has are about 200 bytes long; what follows a header stays in the
	// socket, but for the rest of these bytes, which is copied.
	firstRead = 256

	// maxSilence is how long a peer may send nothing before it has to make room.
	maxSilence = time.Second
)

// errProbe is how a health check ends: without a byte.
var errProbe = errors.New("proxyproto: the peer left without a byte")

// A pendingConn is a connection from a trusted peer whose header is not
// complete. It is used again for other connections.
type pendingConn struct {
	l        *Listener
	conn     net.Conn
	accepted time.Time
	buf      []byte // what was read, in first if that is enough
	run      func() // p.readAndDeliver, made once: a go statement with it allocates nothing
	first    [firstRead]byte

	// Guarded by l.mu:
	prev, next *pendingConn // in l.pending
	listed     bool
	heard      time.Time // when the last byte came, or the connection
	cause      error     // why we closed it while it waited
}

var pendingConns sync.Pool

// receive takes a connection from a trusted peer until its header is there.
func (l *Listener) receive(c net.Conn) {
	p, _ := pendingConns.Get().(*pendingConn)
	if p == nil {
		p = new(pendingConn)
		p.run = p.readAndDeliver
	}
	p.l, p.conn, p.buf, p.accepted = l, c, p.first[:0], time.Now()
	p.heard, p.cause = p.accepted, nil
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase == closed {
		p.cause = net.ErrClosed
		c.Close()
	}
	l.pending.add(p)
	go p.run()
}

// readAndDeliver reads the header, and delivers the connection or refuses it.
func (p *pendingConn) readAndDeliver() {
	l := p.l
	conn, err := p.accept()
	if err != nil {
		p.conn.Close()
	}

	l.mu.Lock()
	if p.cause != nil { // it was closed from outside, whatever came of it
		err = p.cause
	}
	l.pending.remove(p)
	switch {
	case err == nil && conn.info.ClientKnown():
		l.deliver(conn, &l.stats.Proxied)
	case err == nil:
		l.deliver(conn, &l.stats.Local)
	default:
		if c := l.counter(err); c != nil {
			*c++
		}
		l.space.Signal()
		l.checkDrained()
	}
	l.mu.Unlock()

	if err != nil && err != errProbe && !errors.Is(err, net.ErrClosed) {
		l.report(p.conn.RemoteAddr(), err, p.buf)
	}
	p.l, p.conn, p.buf = nil, nil, nil
	pendingConns.Put(p)
}

// counter returns where a refused connection counts: nowhere when the Listener
// was closed over it, or it was counted as evicted.
func (l *Listener) counter(err error) *uint64 {
	switch {
	case err == errEvicted || errors.Is(err, net.ErrClosed):
		return nil
	case err == errProbe:
		return &l.stats.Probes
	case errors.Is(err, ErrNoHeader):
		return &l.stats.NoHeader
	case errors.Is(err, ErrTimeout):
		return &l.stats.TimedOut
	case errors.Is(err, ErrTooLarge):
		return &l.stats.TooLarge
	case errors.Is(err, ErrChecksum):
		return &l.stats.Checksum
	}
	return &l.stats.Malformed
}

// accept turns the connection into one that may be served.
func (p *pendingConn) accept() (*Conn, error) {
	size, err := p.readHeader()
	if err != nil {
		return nil, err
	}
	c, err := parse(p.buf[:size], p.conn)
	if err != nil {
		return nil, err
	}
	c.info.path = p.l.cfg.TLS
	if len(p.buf) > size {
		c.lead.Store(&lead{rest: bytes.NewReader(bytes.Clone(p.buf[size:]))})
	}
	return c, nil
}

// readHeader reads until p.buf holds a whole header, and returns its size.
func (p *pendingConn) readHeader() (int, error) {
	timeout := p.l.cfg.HeaderTimeout
	if err := p.conn.SetReadDeadline(p.accepted.Add(timeout)); err != nil {
		return 0, p.readError(err)
	}
	size := 0
	for {
		room := firstRead
		if size > 0 {
			room = size // and no byte of the application's
		}
		if room > cap(p.buf) {
			p.buf = append(make([]byte, 0, room), p.buf...)
		}
		n, err := p.conn.Read(p.buf[len(p.buf):room])
		if n == 0 && err != nil {
			return 0, p.readError(err)
		}
		p.buf = p.buf[:len(p.buf)+n]
		if size, err = scan(p.buf, p.l.cfg.MaxHeaderSize); err != nil {
			return 0, err
		}
		if size > 0 && size <= len(p.buf) {
			// An error here is one of a connection that is gone, which its Read
			// will tell.
			p.conn.SetReadDeadline(time.Time{})
			return size, nil
		}
		p.l.mu.Lock()
		p.heard = time.Now()
		p.l.mu.Unlock()
	}
}

func (p *pendingConn) readError(err error) error {
	switch n := len(p.buf); {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: %d bytes in %v", ErrTimeout, n, p.l.cfg.HeaderTimeout)
	case n == 0:
		return errProbe
	case n < len(v1Signature) || n < len(v2Signature) && p.buf[0] == v2Signature[0]:
		return fmt.Errorf("%w: the peer left after %q", ErrNoHeader, p.buf)
	default:
		return fmt.Errorf("%w: the peer left after %d bytes of it: %w", ErrMalformed, n, err)
	}
}

// errEvicted wraps ErrTimeout: the time was up earlier than usual.
var errEvicted = fmt.Errorf("%w: silent for %v when Config.MaxPending was reached", ErrTimeout, maxSilence)

// waitForSpace waits until fewer than Config.MaxPending connections are pending
// or ready. It returns false when the Listener is no longer open.
func (l *Listener) waitForSpace() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.phase == open && l.pending.n+l.ready.len() >= l.cfg.MaxPending {
		p, wait := l.silent(time.Now())
		if p != nil {
			p.cause = errEvicted
			l.pending.remove(p)
			l.stats.Evicted++
			p.conn.Close() // which ends p.readAndDeliver
			continue
		}
		var timer *time.Timer
		if wait > 0 {
			timer = time.AfterFunc(wait, func() {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.space.Signal()
			})
		}
		l.space.Wait()
		if timer != nil {
			timer.Stop()
		}
	}
	return l.phase == open
}

// silent returns the oldest pending connection that proved silent, or how long
// to wait until one may have. l.mu is held.
func (l *Listener) silent(now time.Time) (*pendingConn, time.Duration) {
	wait := time.Duration(0)
	for p := l.pending.first; p != nil; p = p.next {
		left := maxSilence - now.Sub(p.heard)
		if left <= 0 {
			// On a loaded machine the header may be there and its goroutine not have
			// had its turn: silence is when the socket is empty.
			if !hasData(p.conn) {
				return p, 0
			}
			left = maxSilence / 100
		}
		if wait == 0 || left < wait {
			wait = left
		}
	}
	return nil, wait
}

// A pendingList holds the pending connections, the oldest first.
type pendingList struct {
	first, last *pendingConn
	n           int
}

func (q *pendingList) add(p *pendingConn) {
	p.listed = true
	p.prev = q.last
	if q.last == nil {
		q.first = p
	} else {
		q.last.next = p
	}
	q.last = p
	q.n++
}

// remove may be called again for a connection that was removed.
func (q *pendingList) remove(p *pendingConn) {
	if !p.listed {
		return
	}
	p.listed = false
	if p.prev == nil {
		q.first = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next == nil {
		q.last = p.prev
	} else {
		p.next.prev = p.prev
	}
	p.prev, p.next = nil, nil
	q.n--
}
