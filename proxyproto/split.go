package proxyproto

import (
	"log"
	"net"
	"runtime/debug"
	"sync"
)

// Split returns n listeners that share the connections of l, so that several servers
// can use one listener. It is for server packages that offer passwords only on a *tls.Conn
// unless a field of the server allows them everywhere, such as AllowInsecureAuth of go-smtp.
// One server with that field set gets the secure connections, and another one the rest.
//
// Split calls choose for every connection, each time in a goroutine of its own, so that
// a TLS handshake in choose delays no other connection. choose returns the connection
// to serve, which may be a wrapper of its argument, and the index of the listener that
// gets it, 0 to n-1. If choose has closed the connection, it returns a nil net.Conn. choose
// must limit its own time, for example with tls.Conn.HandshakeContext. If choose panics or
// returns an index that is out of range, the connection is closed and the log package's
// standard logger reports it; other connections are not affected.
//
// At most Config.MaxPending connections are in choose and in the queues of the n
// listeners together, DefaultMaxPending of them if l is not a *[Listener]. At the limit
// nothing more is accepted from l, so every one of the n needs a server that accepts.
// Nothing is accepted from l before the first Accept of one of the n.
//
// Closing one of the n closes the connections in its queue and those that choose
// returns for it later. The others are not affected. Closing the last one closes l and
// the connections that are in choose. If l is a *Listener, Listener.Shutdown is the
// graceful end: Accept of the n continues until choose has returned for every
// connection and the queues are empty.
//
// If Accept of l returns an error, the n listeners return the connections in their queues
// and then this error. Temporary errors, such as too many open files, are retried.
//
// Each of the n has a method SetDeadline(time.Time) error, as *net.TCPListener does. It
// limits the Accept of that one only. A deadline that is set on l ends the waiting Accept
// of each of the n, and every later Accept too until the deadline of l is moved or cleared.
// The Addr of the n is that of l.
//
// Split owns l. It panics if n is less than 1, or l or choose is nil.
func Split(l net.Listener, n int, choose func(net.Conn) (net.Conn, int)) []net.Listener {
	if l == nil || choose == nil || n < 1 {
		panic("proxyproto: Split needs a listener, at least one part and a choose function")
	}
	s := &splitter{
		inner:    l,
		choose:   choose,
		limit:    DefaultMaxPending,
		open:     n,
		choosing: make(map[*choice]struct{}),
		closing:  make(chan struct{}),
	}
	if pl, ok := l.(*Listener); ok {
		s.limit = pl.cfg.MaxPending
	}
	s.space.L = &s.mu
	parts := make([]net.Listener, n)
	for i := range parts {
		p := &part{s: s}
		p.changed.L = &s.mu
		s.parts = append(s.parts, p)
		parts[i] = p
	}
	return parts
}

// A splitter accepts from the listener that the parts share.
type splitter struct {
	inner  net.Listener
	choose func(net.Conn) (net.Conn, int)
	parts  []*part
	limit  int

	mu       sync.Mutex
	running  bool // accept runs
	open     int  // parts that are not closed
	queued   int  // connections in the queues of all parts
	choosing map[*choice]struct{}
	space    sync.Cond     // queued or choosing decreased, or closing
	closing  chan struct{} // closed when the last part is
	err      error         // why accept ended for good
}

// A choice is a connection for which choose has not returned.
type choice struct{ conn net.Conn }

// start makes the splitter accept, for the first time or after a deadline of inner.
// s.mu is held.
func (s *splitter) start() {
	if !s.running && s.err == nil {
		s.running = true
		go s.accept()
	}
}

func (s *splitter) accept() {
	for s.waitForSpace() {
		c, err := acceptRetrying(s.inner, s.closing)
		if err != nil {
			s.stop(err)
			return
		}
		ch := &choice{c}
		s.mu.Lock()
		late := s.open == 0
		if !late {
			s.choosing[ch] = struct{}{}
		}
		s.mu.Unlock()
		if late {
			c.Close()
		} else {
			go s.place(ch)
		}
	}
	s.stop(net.ErrClosed)
}

// stop is the end of accept. After a deadline of inner the next Accept starts it again;
// one Accept of each part returns the error if it waits.
func (s *splitter) stop(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = false
	if !isDeadline(err) {
		s.err = err
	}
	for _, p := range s.parts {
		if s.err == nil && p.waiting > 0 {
			p.deadlineErr = err
		}
		p.changed.Broadcast()
	}
}

// waitForSpace waits until fewer than limit connections are in choose and the queues.
// It returns false when all parts are closed.
func (s *splitter) waitForSpace() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.open > 0 && s.queued+len(s.choosing) >= s.limit {
		s.space.Wait()
	}
	return s.open > 0
}

// place calls choose and puts the connection into a queue.
func (s *splitter) place(ch *choice) {
	var c net.Conn
	var i int
	returned := false
	defer func() {
		if !returned { // a panic, or runtime.Goexit
			if v := recover(); v != nil {
				log.Printf("proxyproto: Split: panic in choose for %v: %v\n%s", ch.conn.RemoteAddr(), v, debug.Stack())
			}
			c = nil
			ch.conn.Close()
		} else if c != nil && (i < 0 || i >= len(s.parts)) {
			log.Printf("proxyproto: Split: choose returned index %d for %v, want 0 to %d; the connection was closed", i, ch.conn.RemoteAddr(), len(s.parts)-1)
			c.Close()
			c = nil
		}
		s.put(ch, c, i)
	}()
	c, i = s.choose(ch.conn)
	returned = true
}

// put moves a connection from choose to the queue of a part. A nil c was closed.
func (s *splitter) put(ch *choice, c net.Conn, i int) {
	if !s.queue(ch, c, i) {
		c.Close() // without the lock: Close of a *tls.Conn can take seconds
	}
}

// queue reports false if the part of c is closed.
func (s *splitter) queue(ch *choice, c net.Conn, i int) (ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.choosing, ch)
	ok = true
	switch {
	case c == nil:
		s.space.Signal()
	case s.parts[i].closed:
		s.space.Signal()
		ok = false
	default:
		s.queued++
		s.parts[i].queue.push(c)
		s.parts[i].changed.Signal()
	}
	if s.err != nil && len(s.choosing) == 0 {
		for _, p := range s.parts {
			p.changed.Broadcast()
		}
	}
	return ok
}
