// What to copy: this file and pass.go. One timer examines all sessions, because a timer or
// deadline for each session costs more than the bytes of a short session. What to change:
// nothing.

package main

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// looks is the number of times that sessions are examined in an idle timeout.
const looks = 8

// A clock counts the looks. Reading it costs less than time.Now.
type clock struct{ looks atomic.Int64 }

// now returns at least 1.
func (c *clock) now() int64 { return c.looks.Load() + 1 }

// A watch closes sessions that transfer no data for the idle timeout, and all sessions at
// shutdown.
type watch struct {
	clock

	mu       sync.Mutex
	sessions map[*traffic]struct{}
	closed   bool
}

// add reports whether the session may begin.
func (w *watch) add(t *traffic) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	if w.sessions == nil {
		w.sessions = make(map[*traffic]struct{})
	}
	t.moved.Store(w.now())
	w.sessions[t] = struct{}{}
	return true
}

func (w *watch) remove(t *traffic) {
	w.mu.Lock()
	delete(w.sessions, t)
	w.mu.Unlock()
}

// run examines the sessions until done is closed, and then closes all of them.
func (w *watch) run(idle time.Duration, done <-chan struct{}) {
	ticker := time.NewTicker(idle / looks)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			w.look()
		case <-done:
			w.mu.Lock()
			w.closed = true
			w.mu.Unlock()
			w.cut(func(*traffic) error { return errShutdown })
			return
		}
	}
}

// look examines the sessions.
func (w *watch) look() {
	w.looks.Add(1)
	w.cut(func(t *traffic) error {
		t.keepAlive()
		return t.overdue(w.now())
	})
}

// cut closes the sessions for which why returns an error.
func (w *watch) cut(why func(*traffic) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for t := range w.sessions {
		if err := why(t); err != nil {
			t.cut(err)
		}
	}
}

// overdue returns the reason to close the session, or nil. The recorded time may be up to one
// interval too early, so one more interval must pass.
func (t *traffic) overdue(now int64) error {
	for _, d := range []*direction{&t.up, &t.down} {
		if since := d.busy.Load(); since != 0 && now-since > looks {
			return errStuck
		}
	}
	if now-t.moved.Load() > looks {
		return errIdle
	}
	return nil
}

// keepAlive turns on the keep-alive of package net for the connection to the backend. The relay
// dials without it, because most sessions end before the first look, and it costs four system
// calls. watch.mu is held.
func (t *traffic) keepAlive() {
	if t.alive {
		return
	}
	t.alive = true
	if c, ok := lowest(t.backend).(*net.TCPConn); ok {
		c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true})
	}
}
