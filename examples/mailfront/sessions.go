// What to copy: the wrapper, for a server that cannot wait for its sessions, not
// end them, or not end one after an answer, and NetConn on it: without that,
// proxyproto.FromConn would not find the client. What to change: patience.

package main

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
)

const (
	// mailPatience is how long a client may go on without a message or a login
	// where mail comes in. RFC 5321 section 4.5.3.2 gives every step minutes.
	mailPatience = 30 * time.Minute
	// loginPatience is that where nothing goes without a login. It has nothing to
	// do with idle clients: a command a minute does not make it longer.
	loginPatience = 5 * time.Minute
	// loginTries is how many wrong passwords a connection may have.
	loginTries = 3
)

// sessions knows the open connections of a listener.
type sessions struct {
	mu    sync.Mutex
	conns map[*sessionConn]struct{}
	left  chan struct{} // a token when a connection was closed
}

func newSessions() *sessions {
	return &sessions{conns: make(map[*sessionConn]struct{}), left: make(chan struct{}, 1)}
}

// add returns c in a wrapper that takes part in wait. TLS goes on top of it. When
// c was closed, release is called; when patience ended, expired is called first.
func (s *sessions) add(c net.Conn, patience time.Duration, expired, release func()) *sessionConn {
	sc := &sessionConn{Conn: c, sessions: s, patience: patience, release: release}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[sc] = struct{}{}
	sc.timer = time.AfterFunc(patience, func() {
		expired()
		sc.Close()
	})
	return sc
}

// wait returns when all connections are closed. When ctx ends it closes the rest,
// and returns how many that were.
func (s *sessions) wait(ctx context.Context) (cut int) {
	for s.open() > 0 {
		select {
		case <-s.left:
		case <-ctx.Done():
			return s.closeAll()
		}
	}
	return 0
}

func (s *sessions) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (s *sessions) closeAll() int {
	s.mu.Lock()
	var rest []*sessionConn
	for c := range s.conns {
		rest = append(rest, c)
	}
	s.mu.Unlock()
	for _, c := range rest {
		c.Close()
	}
	return len(rest)
}

// A sessionConn is a connection with what is kept of it over STARTTLS. Its
// methods of our own may be called on nil: then nothing is kept.
type sessionConn struct {
	net.Conn
	sessions *sessions
	patience time.Duration
	timer    *time.Timer
	release  func()
	wrong    atomic.Int32 // passwords
	last     atomic.Bool  // the next write is the last
}

// sessionOf finds the sessionConn below c, or nil. Call it when a session starts:
// what a library puts around a connection later may hide it.
func sessionOf(c net.Conn) *sessionConn {
	for {
		if sc, ok := c.(*sessionConn); ok {
			return sc
		}
		below, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = below.NetConn()
	}
}

// useful says that the client did what it came for: patience begins anew.
func (c *sessionConn) useful() { c.setTimer(func() { c.timer.Reset(c.patience) }) }

// loggedIn ends patience. The server's own idle timeout is left.
func (c *sessionConn) loggedIn() { c.setTimer(func() { c.timer.Stop(); c.patience = maxDuration }) }

// maxDuration is some 292 years.
const maxDuration = time.Duration(1<<63 - 1)

func (c *sessionConn) setTimer(set func()) {
	if c == nil {
		return
	}
	c.sessions.mu.Lock()
	defer c.sessions.mu.Unlock()
	if _, open := c.sessions.conns[c]; open { // else nobody would stop it
		set()
	}
}

// wrongLogin counts one, and ends the connection with its answer if there were
// too many, or at once if err is another than ErrWrongPassword.
func (c *sessionConn) wrongLogin(err error) {
	if c != nil && (c.wrong.Add(1) >= loginTries || err != guard.ErrWrongPassword) {
		c.last.Store(true)
	}
}

// Write closes the connection after the last answer.
func (c *sessionConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if c.last.Load() {
		c.Close()
	}
	return n, err
}

// NetConn lets proxyproto see what is below.
func (c *sessionConn) NetConn() net.Conn { return c.Conn }

func (c *sessionConn) Close() error {
	s := c.sessions
	s.mu.Lock()
	_, first := s.conns[c]
	delete(s.conns, c)
	timer := c.timer
	s.mu.Unlock()
	timer.Stop()
	err := c.Conn.Close()
	if first {
		c.release()
	}
	select {
	case s.left <- struct{}{}:
	default:
	}
	return err
}
