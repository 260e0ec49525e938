package proxyproto

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
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

	// lastLook is how long a Read may take that only looks whether bytes are there.
	lastLook = 10 * time.Millisecond
)

// errProbe is how a health check ends: without a byte.
var errProbe = errors.New("proxyproto: the peer left without a byte")

// A pendingConn is a connection from a trusted peer whose header is not
// complete. It is used again for other connections.
type pendingConn struct {
	l          *Listener
	conn       net.Conn
	deadline   time.Time // for the whole header
	noDeadline error     // why it could not be set
	buf        []byte    // what was read, in first if that is enough
	run        func()    // p.readAndDeliver, made once: a go statement with it allocates nothing
	first      [firstRead]byte

	// Guarded by l.mu:
	prev, next *pendingConn // in l.pending
	heard      time.Time    // when the last byte came, or the connection
	asked      bool         // to make room, by a deadline that is over
	cut        bool         // closed by Listener.Close
}

var pendingConns sync.Pool

// receive takes a connection from a trusted peer until its header is there.
func (l *Listener) receive(c net.Conn) {
	p, _ := pendingConns.Get().(*pendingConn)
	if p == nil {
		p = new(pendingConn)
		p.run = p.readAndDeliver
	}
	now := time.Now()
	p.l, p.conn, p.buf = l, c, p.first[:0]
	p.deadline, p.heard, p.asked = now.Add(l.cfg.HeaderTimeout), now, false
	p.noDeadline = c.SetReadDeadline(p.deadline)
	l.mu.Lock()
	late := l.phase == closed
	p.cut = late
	l.pending.add(p)
	l.mu.Unlock()
	if late {
		c.Close()
	}
	go p.run()
}

// readAndDeliver reads the header, and delivers the connection or refuses it.
func (p *pendingConn) readAndDeliver() {
	l := p.l
	conn, err := p.accept()

	l.mu.Lock()
	l.pending.remove(p)
	deliver := err == nil && !p.cut
	switch {
	case p.cut: // Close came first, whatever was read
	case err != nil:
		*l.counter(err)++
	default:
		// An error here is one of a connection that is gone, which its Read will
		// tell. Under the lock, so that no evictor sets another deadline.
		p.conn.SetReadDeadline(time.Time{})
		l.deliver(conn)
	}
	l.space.Signal()
	l.checkDrained()
	l.mu.Unlock()

	if !deliver {
		p.conn.Close()
	}
	if err != nil && err != errProbe && !p.cut {
		l.report(p.conn.RemoteAddr(), err, p.buf)
	}
	p.l, p.conn, p.buf = nil, nil, nil
	pendingConns.Put(p)
}

// counter returns where a refused connection counts.
func (l *Listener) counter(err error) *uint64 {
	switch {
	case err == errProbe:
		return &l.stats.Probes
	case err == errEvicted:
		return &l.stats.Evicted
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
	f, err := parse(p.buf[:size])
	if err != nil {
		return nil, err
	}
	c := newHeaderConn(p.conn, &f)
	c.info.path = p.l.cfg.TLS
	if len(p.buf) > size {
		c.lead.Store(&lead{rest: bytes.NewReader(bytes.Clone(p.buf[size:]))})
	}
	return c, nil
}

// readHeader reads until p.buf holds a whole header, and returns its size.
func (p *pendingConn) readHeader() (int, error) {
	if p.noDeadline != nil && !errors.Is(p.noDeadline, net.ErrClosed) && !errors.Is(p.noDeadline, io.ErrClosedPipe) {
		return 0, fmt.Errorf("%w: a %T takes no read deadline: %w", ErrTimeout, p.conn, p.noDeadline)
	}
	size, looked := 0, false
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
			if !isTimeout(err) || !p.wasAsked() {
				return 0, p.readError(err)
			}
			// It was asked to make room. A deadline that is over keeps Read from
			// bytes that are there, and on a loaded machine this goroutine may
			// not have had its turn since they came: look once more.
			switch has, known := hasData(p.conn); {
			case has:
				p.goOn()
			case known || looked:
				return 0, errEvicted
			default: // a wrapper, or not unix
				looked = true
				p.conn.SetReadDeadline(time.Now().Add(lastLook))
			}
			continue
		}
		looked = false
		p.buf = p.buf[:len(p.buf)+n]
		if size, err = scan(p.buf, p.l.cfg.MaxHeaderSize); err != nil {
			return 0, err
		}
		if size > 0 && size <= len(p.buf) {
			return size, nil
		}
		p.goOn()
	}
}

// goOn notes that the peer is not silent.
func (p *pendingConn) goOn() {
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	p.heard = time.Now()
	if p.asked {
		p.asked = false
		p.conn.SetReadDeadline(p.deadline)
		p.l.space.Signal() // for another that is silent
	}
}

func (p *pendingConn) readError(err error) error {
	switch n := len(p.buf); {
	case isTimeout(err) && n == 0:
		return fmt.Errorf("%w: no byte in %v; tell the proxy to send a header, or do not trust its address", ErrTimeout, p.l.cfg.HeaderTimeout)
	case isTimeout(err):
		return fmt.Errorf("%w: %d bytes in %v", ErrTimeout, n, p.l.cfg.HeaderTimeout)
	case n == 0:
		return errProbe
	case n < len(v1Signature) || n < len(v2Signature) && p.buf[0] == v2Signature[0]:
		return fmt.Errorf("%w: the peer left after %q", ErrNoHeader, p.buf)
	default:
		return fmt.Errorf("%w: the peer left after %d bytes of it: %w", ErrMalformed, n, err)
	}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

func (p *pendingConn) wasAsked() bool {
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	return p.asked
}

// errEvicted wraps ErrTimeout: the time was up earlier than usual.
var errEvicted = fmt.Errorf("%w: silent for %v when Config.MaxPending was reached", ErrTimeout, maxSilence)

// waitForSpace waits until fewer than Config.MaxPending connections are pending
// or ready. It returns false when the Listener is no longer open.
func (l *Listener) waitForSpace() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.phase == open && l.pending.n+l.ready.len() >= l.cfg.MaxPending {
		var timer *time.Timer
		if wait := l.askSilent(time.Now()); wait > 0 {
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

// askSilent asks the oldest pending connection that seems silent to make room, by
// ending its Read, one at a time. It returns how long to wait until there may be
// one, or 0 when one was asked or nothing is pending. l.mu is held.
func (l *Listener) askSilent(now time.Time) (wait time.Duration) {
	var oldest *pendingConn
	for p := l.pending.first; p != nil; p = p.next {
		if p.asked {
			return 0
		}
		left := maxSilence - now.Sub(p.heard)
		if left <= 0 && oldest == nil {
			oldest = p
		}
		if wait == 0 || left < wait {
			wait = left
		}
	}
	if oldest == nil {
		return wait
	}
	oldest.asked = true
	oldest.conn.SetReadDeadline(now)
	return 0
}

// A pendingList holds the pending connections, the oldest first.
type pendingList struct {
	first, last *pendingConn
	n           int
}

func (q *pendingList) add(p *pendingConn) {
	p.prev = q.last
	if q.last == nil {
		q.first = p
	} else {
		q.last.next = p
	}
	q.last = p
	q.n++
}

func (q *pendingList) remove(p *pendingConn) {
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
