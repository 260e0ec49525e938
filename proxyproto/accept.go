package proxyproto

import (
	"errors"
	"syscall"
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
	delay := time.Duration(0)
	for l.waitForSpace() {
		c, err := l.inner.Accept()
		if err == nil {
			delay = 0
			l.admit(c)
			continue
		}
		if isDeadline(err) || !isTemporary(err) {
			return err
		}
		delay = min(max(2*delay, 5*time.Millisecond), time.Second)
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-l.closing:
			timer.Stop()
		}
	}
	return nil
}

// isDeadline reports whether err of an Accept is a deadline that was set on the
// listener below. ETIMEDOUT, which accept(2) may return for one connection, is not.
func isDeadline(err error) bool {
	var errno syscall.Errno
	return err != nil && !errors.As(err, &errno) && isTimeout(err)
}

// isTemporary reports whether Accept may work again later (accept(2), "Error
// handling", and what package net calls temporary).
func isTemporary(err error) bool {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return isTemporaryErrno(errno)
	}
	var temp interface{ Temporary() bool }
	return errors.As(err, &temp) && temp.Temporary()
}
