package proxyproto

import (
	"net"
	"time"
)

// startAccepting starts the accept loop if it does not run: at the first Accept, and
// at the first one after a deadline of the listener below. l.mu is held.
func (l *Listener) startAccepting() {
	if l.phase == open && !l.accepting && !l.stopped {
		l.accepting = true
		go l.acceptLoop()
	}
}

// acceptLoop runs until the listener below is closed, has failed, or has reached a
// deadline of its own.
func (l *Listener) acceptLoop() {
	err := l.acceptAll()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepting = false
	if l.phase == open && isDeadline(err) {
		l.deadlineErr = err
		l.acceptable.Broadcast()
		return
	}
	if l.phase == open {
		l.failure = err
	}
	l.stopped = true
	l.checkDrained()
}

// acceptAll accepts connections and returns the error that ended it, or nil when the
// Listener is no longer open.
func (l *Listener) acceptAll() error {
	for l.waitForSpace() {
		c, err := acceptRetrying(l.inner, l.closing)
		if err != nil {
			return err
		}
		l.admit(c)
	}
	return nil
}

// acceptRetrying accepts one connection. It retries after temporary errors, with delays
// of 5 ms to 1 s, until closing is closed.
func acceptRetrying(l net.Listener, closing <-chan struct{}) (net.Conn, error) {
	for delay := 5 * time.Millisecond; ; delay = min(2*delay, time.Second) {
		c, err := l.Accept()
		if err == nil || isDeadline(err) || !isTemporary(err) {
			return c, err
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-closing:
			timer.Stop()
			return nil, net.ErrClosed
		}
	}
}
