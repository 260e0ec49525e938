package proxyproto

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	// firstRead is the number of bytes that are read at first. The headers of HAProxy with
	// every option are about 200 bytes long. Bytes after a header stay in the socket, except
	// the rest of these bytes, which is copied.
	firstRead = 256

	// lastLook is the time for a Read of bytes that have arrived already.
	lastLook = 10 * time.Millisecond
)

var (
	// errProbe is for a health check, which ends without a byte.
	errProbe = errors.New("proxyproto: the peer left without a byte")

	// errSilent is for an optional peer that has sent nothing for OptionalWait.
	errSilent = errors.New("proxyproto: the peer sent nothing in time")

	// errPlain is for an optional peer whose first bytes are not a header.
	errPlain = errors.New("proxyproto: the peer sent no header")
)

// A pendingConn is a connection from a trusted or optional peer that may not be served
// yet. It is used again for other connections.
type pendingConn struct {
	l          *Listener
	conn       net.Conn
	optional   bool
	silent     bool      // an optional peer that has sent nothing
	wait       time.Time // when an optional peer that is silent is served
	deadline   time.Time // for the whole header
	noDeadline error     // why it could not be set
	buf        []byte    // the bytes that were read, in first if they fit
	run        func()    // p.readAndDeliver, made once: a go statement with it allocates nothing
	first      [firstRead]byte
	facts      facts // of the header

	// Guarded by l.mu:
	prev, next *pendingConn // in l.pending
	heard      time.Time    // when the last byte came, or the connection
	evicted    bool         // its Read was ended to make room
	cut        bool         // closed by Listener.Close
}

var pendingConns sync.Pool

// receive keeps a connection from a trusted or optional peer until it may be served.
func (l *Listener) receive(c net.Conn, r role) {
	p, _ := pendingConns.Get().(*pendingConn)
	if p == nil {
		p = new(pendingConn)
		p.run = p.readAndDeliver
	}
	now := time.Now()
	p.l, p.conn, p.buf = l, c, p.first[:0]
	p.optional, p.silent = r == optional, r == optional
	p.deadline, p.heard, p.evicted = now.Add(l.cfg.HeaderTimeout), now, false
	if p.optional {
		// The last look comes before the time is over.
		p.wait = now.Add(l.cfg.OptionalWait)
		p.noDeadline = c.SetReadDeadline(p.wait.Add(-lastLook))
	} else {
		p.noDeadline = c.SetReadDeadline(p.deadline)
	}
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

// readAndDeliver delivers the connection, or refuses it. The stack of its goroutine stays small,
// because readHeader has returned when accept is called.
func (p *pendingConn) readAndDeliver() {
	size, err := p.readHeader()
	p.end(size, err)
}

// end is called with the result of readHeader.
func (p *pendingConn) end(size int, err error) {
	l := p.l
	conn, counter, err := p.accept(size, err)

	l.mu.Lock()
	l.pending.remove(p)
	deliver := err == nil && !p.cut
	switch {
	case p.cut: // Close came first, whatever was read
	case err != nil:
		*l.counter(err)++
	default:
		// An error here is that of a closed connection, and Read will return it. The lock is
		// held, so that evictOldest sets no other deadline.
		p.conn.SetReadDeadline(time.Time{})
		l.deliver(conn, counter)
	}
	l.space.Signal()
	l.checkDrained()
	l.mu.Unlock()

	if !deliver {
		p.conn.Close()
	}
	if err != nil && err != errProbe && !p.cut {
		l.report(Rejection{Peer: p.conn.RemoteAddr(), Err: err, Prefix: p.buf})
	}
	p.l, p.conn, p.buf, p.facts = nil, nil, nil, facts{}
	pendingConns.Put(p)
}

// counter returns the counter for a refused connection.
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

// accept makes the Conn that may be served, and returns its counter.
func (p *pendingConn) accept(size int, err error) (*Conn, *uint64, error) {
	stats := &p.l.stats
	switch err {
	case nil:
	case errSilent:
		return newDirectConn(p.l, p.conn, unmap(p.conn.LocalAddr()), tooLate, false), &stats.Direct, nil
	case errPlain:
		return newPlainConn(p.l, p.conn, p.buf), &stats.Direct, nil
	default:
		return nil, nil, err
	}
	f := &p.facts
	if err := parse(p.buf[:size], f); err != nil {
		return nil, nil, err
	}
	c := newHeaderConn(p.conn, f)
	c.info.path = p.l.cfg.TLS
	if len(p.buf) > size {
		c.hold(p.buf[size:])
	}
	if f.local || f.unknown {
		return c, &stats.Local, nil
	}
	return c, &stats.Proxied, nil
}

// readHeader reads until p.buf holds a whole header, and returns its size.
func (p *pendingConn) readHeader() (int, error) {
	if p.noDeadline != nil && !isClosed(p.noDeadline) {
		return 0, fmt.Errorf("%w: a %T does not support read deadlines: %w", ErrTimeout, p.conn, p.noDeadline)
	}
	size, looked := 0, false
	for {
		room := firstRead
		if size > 0 {
			room = size // and not into the application's data
		}
		if room > cap(p.buf) {
			p.buf = append(make([]byte, 0, room), p.buf...)
		}
		n, err := p.conn.Read(p.buf[len(p.buf):room])
		if n == 0 {
			if err != nil {
				err = p.afterError(err, &looked)
			}
			if err != nil {
				return 0, err
			}
			continue
		}
		looked = false
		p.buf = p.buf[:len(p.buf)+n]
		if p.optional && beginning(p.buf) == noHeader {
			return 0, errPlain
		}
		if size, err = scan(p.buf, p.l.cfg.MaxHeaderSize); err != nil {
			return 0, err
		}
		if size > 0 && size <= len(p.buf) {
			return size, nil
		}
		p.goOn()
	}
}

// afterError returns the error for a failed Read, or nil if another Read may succeed. After a
// deadline Read does not return bytes that have arrived, and on a loaded machine this
// goroutine may not have run since they arrived. Therefore it reads once more before a silent
// peer is refused.
func (p *pendingConn) afterError(err error, looked *bool) error {
	if !isTimeout(err) {
		return p.readError(err)
	}
	silent, evicted := p.silent, p.wasEvicted()
	if !silent && !evicted {
		return p.readError(err)
	}
	has, known := hasData(p.conn)
	switch {
	case has:
		p.goOn()
	case !*looked && (silent || !known): // a wrapper, or not unix
		*looked = true
		until := time.Now().Add(lastLook)
		if silent && until.Before(p.wait) {
			until = p.wait
		}
		p.conn.SetReadDeadline(until)
	case silent:
		return errSilent
	default:
		return errEvicted
	}
	return nil
}

// goOn notes that the peer has sent bytes.
func (p *pendingConn) goOn() {
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	p.heard = time.Now()
	if !p.silent && !p.evicted {
		return
	}
	p.conn.SetReadDeadline(p.deadline)
	if p.evicted {
		p.l.space.Signal() // for another that is silent
	}
	p.silent, p.evicted = false, false
}

func (p *pendingConn) wasEvicted() bool {
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	return p.evicted
}

// readError returns the reason why a connection whose Read failed is refused.
func (p *pendingConn) readError(err error) error {
	n := len(p.buf)
	begun := n > 0 && beginning(p.buf) == isHeader || n >= len(v1Signature) && p.buf[0] == v1Signature[0]
	switch {
	case isTimeout(err) && n == 0:
		return fmt.Errorf("%w: no byte in %v; configure the proxy to send a header, or remove its address from the list of trusted proxies",
			ErrTimeout, p.l.cfg.HeaderTimeout)
	case isTimeout(err):
		return fmt.Errorf("%w: %d bytes in %v", ErrTimeout, n, p.l.cfg.HeaderTimeout)
	case n == 0 && (isEnd(err) || isReset(err) || isClosed(err)):
		return errProbe
	case n == 0: // of a layer below, such as TLS
		return fmt.Errorf("%w: cannot read from the connection: %w", ErrNoHeader, err)
	case p.optional && isEnd(err) && beginning(p.buf) == undecided:
		return errPlain
	case !begun:
		return fmt.Errorf("%w: the connection ended after %q: %w", ErrNoHeader, p.buf, err)
	default:
		return fmt.Errorf("%w: the connection ended after %d bytes of it: %w", ErrMalformed, n, err)
	}
}
