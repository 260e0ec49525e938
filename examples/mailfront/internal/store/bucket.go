package store

import "time"

// refill returns the time in which the empty bucket becomes full.
func (l Limit) refill() time.Duration { return l.Every * time.Duration(l.Burst) }

// apply takes c.Cost from a bucket that is full again at the time full. It returns the time at
// which the bucket is full after that, and the time to wait until it would have had enough.
//
// This is the generic cell rate algorithm: a bucket is a single time, which need not be kept
// once it has passed. The script of [Redis] does the same.
func (c Charge) apply(full, now time.Time) (next time.Time, wait time.Duration) {
	if full.Before(now) {
		full = now
	}
	latest := now.Add(2 * c.refill()) // a bucket owes at most Burst
	if full.After(latest) {
		full = latest // the limit was larger before, or the clock was set back
	}
	next = full.Add(c.Every * time.Duration(c.Cost))
	wait = max(0, next.Sub(now)-c.refill())
	switch {
	case wait > 0 && !c.Owed:
		next = full
	case next.After(latest):
		next = latest
	}
	return next, wait
}
