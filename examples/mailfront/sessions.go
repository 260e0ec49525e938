// What to copy: the wrapper, for a server that cannot wait for its sessions or
// not end them, and NetConn on it: without that, proxyproto.FromConn would not
// find the client. What to change: limits for each client would stand here, too.

package main

import (
	"context"
	"net"
	"sync"
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

// add returns c in a wrapper that takes part in wait. TLS goes on top of it.
func (s *sessions) add(c net.Conn) net.Conn {
	sc := &sessionConn{Conn: c, sessions: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[sc] = struct{}{}
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

type sessionConn struct {
	net.Conn
	sessions *sessions
}

func (c *sessionConn) NetConn() net.Conn { return c.Conn }

func (c *sessionConn) Close() error {
	s := c.sessions
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	select {
	case s.left <- struct{}{}:
	default:
	}
	return c.Conn.Close()
}
