package proxyproto

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// A part is one of the listeners that Split returns. s.mu guards its fields.
type part struct {
	s           *splitter
	changed     sync.Cond
	queue       queue[net.Conn]
	closed      bool
	waiting     int      // Accepts
	deadline    deadline // of Accept
	deadlineErr error    // a deadline of the listener below, not yet returned
}

// Accept returns the next connection that was chosen for this part.
func (p *part) Accept() (net.Conn, error) {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case p.closed:
			return nil, p.opError("accept", net.ErrClosed)
		case p.queue.len() > 0:
			s.queued--
			s.space.Signal()
			return p.queue.pop(), nil
		case s.err != nil && len(s.choosing) == 0:
			return nil, s.err
		case p.deadline.passed:
			return nil, p.opError("accept", os.ErrDeadlineExceeded)
		case p.deadlineErr != nil:
			err := p.deadlineErr
			p.deadlineErr = nil
			return nil, err
		}
		s.start()
		p.waiting++
		p.changed.Wait()
		p.waiting--
	}
}

// Close closes this part, and the listener below with the last one. It is nil if the
// listener below is closed already.
func (p *part) Close() error {
	s := p.s
	s.mu.Lock()
	if p.closed {
		s.mu.Unlock()
		return nil
	}
	p.closed = true
	p.deadline.stop()
	var rest []net.Conn
	for p.queue.len() > 0 {
		rest = append(rest, p.queue.pop())
	}
	s.queued -= len(rest)
	p.changed.Broadcast()
	s.space.Signal()
	s.open--
	last := s.open == 0
	if last {
		close(s.closing)
		for ch := range s.choosing {
			rest = append(rest, ch.conn)
		}
	}
	s.mu.Unlock()
	for _, c := range rest {
		c.Close()
	}
	if !last {
		return nil
	}
	if err := s.inner.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Addr returns the address of the listener below.
func (p *part) Addr() net.Addr { return p.s.inner.Addr() }

// SetDeadline limits Accept as Listener.SetDeadline does. The zero Time means no limit.
func (p *part) SetDeadline(t time.Time) error {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if p.closed {
		return p.opError("set", net.ErrClosed)
	}
	p.deadline.set(t, &p.changed)
	return nil
}

func (p *part) opError(op string, err error) error { return opError(p, op, err) }
