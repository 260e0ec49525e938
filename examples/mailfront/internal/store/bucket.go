package store

import "time"

// charge takes l.Cost from a bucket that is full again at the time full. It returns
// the time at which the bucket is full after that, or how long to wait until it has
// enough. This is the generic cell rate algorithm: a bucket is a single time, and
// one whose time has passed need not be kept. The script of [Redis] does the same.
func (l Limit) charge(full, now time.Time) (next time.Time, wait time.Duration) {
	refill := l.Every * time.Duration(l.Burst)
	if full.Before(now) {
		full = now
	}
	if latest := now.Add(refill); full.After(latest) {
		full = latest // a larger limit, or a clock that was set back
	}
	next = full.Add(l.Every * time.Duration(l.Cost))
	if wait = next.Sub(now) - refill; wait > 0 {
		return full, wait
	}
	return next, 0
}
