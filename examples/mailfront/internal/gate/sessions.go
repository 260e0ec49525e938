package gate

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
)

// LoginTries is the number of wrong passwords after which a connection is closed.
const LoginTries = 3

// Sessions has the open connections of a listener.
type Sessions struct {
	mu    sync.Mutex
	conns map[*Session]struct{}
	left  chan struct{} // gets a value when a connection is closed
}

// NewSessions returns Sessions without connections.
func NewSessions() *Sessions {
	return &Sessions{conns: make(map[*Session]struct{}), left: make(chan struct{}, 1)}
}

// Add returns a wrapper of c for which Wait waits. TLS must be a layer above the wrapper. The wrapper
// calls release when it is closed. After patience it calls expired and closes itself, unless
// [Session.Useful] or [Session.LoggedIn] is called before.
func (s *Sessions) Add(c net.Conn, patience time.Duration, expired, release func()) *Session {
	sc := &Session{Conn: c, sessions: s, patience: patience, release: release}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[sc] = struct{}{}
	sc.timer = time.AfterFunc(patience, func() {
		expired()
		sc.Close()
	})
	return sc
}

// Wait returns when all connections are closed. If ctx ends before, it closes the remaining
// connections and returns their number.
func (s *Sessions) Wait(ctx context.Context) (cut int) {
	for s.Open() > 0 {
		select {
		case <-s.left:
		case <-ctx.Done():
			return s.closeAll()
		}
	}
	return 0
}

// Open returns the number of connections that are open.
func (s *Sessions) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (s *Sessions) closeAll() int {
	s.mu.Lock()
	var rest []*Session
	for c := range s.conns {
		rest = append(rest, c)
	}
	s.mu.Unlock()
	for _, c := range rest {
		c.Close()
	}
	return len(rest)
}

// A Session is a connection with the facts that stay the same after STARTTLS. Useful, LoggedIn and
// WrongLogin do nothing on a nil Session.
type Session struct {
	net.Conn
	sessions *Sessions
	patience time.Duration
	timer    *time.Timer
	release  func()
	wrong    atomic.Int32 // number of wrong passwords
	last     atomic.Bool  // close the connection after the next write
}

// SessionOf returns the Session below c, or nil. Call it when a session starts, because a wrapper that
// a library adds later may hide it.
func SessionOf(c net.Conn) *Session {
	for {
		if sc, ok := c.(*Session); ok {
			return sc
		}
		below, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = below.NetConn()
	}
}

// Useful records a success of the client, such as a message, and restarts the time of patience.
func (c *Session) Useful() { c.setTimer(func() { c.timer.Reset(c.patience) }) }

// LoggedIn records a login. From now on only the server's own idle timeout applies.
func (c *Session) LoggedIn() { c.setTimer(func() { c.timer.Stop(); c.patience = maxDuration }) }

// maxDuration is about 292 years.
const maxDuration = time.Duration(1<<63 - 1)

func (c *Session) setTimer(set func()) {
	if c == nil {
		return
	}
	c.sessions.mu.Lock()
	defer c.sessions.mu.Unlock()
	if _, open := c.sessions.conns[c]; open { // a timer of a closed connection would not be stopped
		set()
	}
}

// WrongLogin records a failed login. The connection is closed after the next write if it has reached
// LoginTries, or if err is not guard.ErrWrongPassword.
func (c *Session) WrongLogin(err error) {
	if c != nil && (c.wrong.Add(1) >= LoginTries || err != guard.ErrWrongPassword) {
		c.last.Store(true)
	}
}

// Write closes the connection after the last answer. It then returns net.ErrClosed, so that the server
// does not execute commands that it has already read.
func (c *Session) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if c.last.Load() {
		c.Close()
		if err == nil {
			err = net.ErrClosed
		}
	}
	return n, err
}

// NetConn lets package proxyproto find the connection below.
func (c *Session) NetConn() net.Conn { return c.Conn }

func (c *Session) Close() error {
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
