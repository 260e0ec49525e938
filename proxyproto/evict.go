package proxyproto

import (
	"fmt"
	"time"
)

// maxSilence is how long a peer may send nothing before it may be evicted.
const maxSilence = time.Second

// errEvicted is the ErrTimeout of a peer that was evicted before its time was over.
var errEvicted = fmt.Errorf("%w: silent for %v while too many connections waited for a header", ErrTimeout, maxSilence)

// waitForSpace waits until fewer than Config.MaxPending connections are pending
// or ready. It returns false when the Listener is no longer open.
func (l *Listener) waitForSpace() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.phase == open && l.pending.n+l.ready.len() >= l.cfg.MaxPending {
		var timer *time.Timer
		if wait := l.evictOldest(time.Now()); wait > 0 {
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

// evictOldest ends the Read of the oldest pending connection that seems silent, one at a
// time. It returns how long to wait until there may be such a connection, or 0 if the Read
// of one was ended or nothing is pending. l.mu is held.
func (l *Listener) evictOldest(now time.Time) (wait time.Duration) {
	var oldest *pendingConn
	for p := l.pending.first; p != nil; p = p.next {
		if p.evicted {
			return 0
		}
		left := maxSilence - now.Sub(p.heard)
		if p.optional { // a silent one is served by then
			left = max(left, p.wait.Sub(now))
		}
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
	oldest.evicted = true
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
