package guard

import (
	"sync"
	"time"
)

// mostLate is the number of consecutive late answers of the store after which the guard decides
// without the store.
const mostLate = 3

// lateAnswers counts consecutive late answers of the store. Of calls that overlap it counts one,
// because a single stall of the store makes all of them late.
type lateAnswers struct {
	mu    sync.Mutex
	n     int
	since time.Time // when the last answer arrived in time, or the last late call was counted
}

// reset records that the store has answered in time.
func (l *lateAnswers) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n, l.since = 0, time.Now()
}

// add records that a call which began at the given time is late. It reports whether that is the
// last late answer that is tolerated.
func (l *lateAnswers) add(began time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if began.Before(l.since) {
		return false
	}
	l.n, l.since = l.n+1, time.Now()
	return l.n >= mostLate
}
