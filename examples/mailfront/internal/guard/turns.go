package guard

import (
	"context"
	"slices"
)

// turns are the attempts of a bucket that are compared or wait.
type turns struct {
	running int
	waiting []chan struct{} // closed to make an attempt check again
}

// begin waits until the bucket allows the comparison of one more password. Passwords that are being
// compared count as wrong. Call end after every begin without an error.
func (g *Guard) begin(ctx context.Context, b bucket) error {
	if b.isZero() {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		t := g.turns[b]
		if t == nil {
			t = new(turns)
		}
		switch {
		case g.bannedKey(b.who) != nil:
			g.settle(b, t)
			return g.bannedKey(b.who)
		case ctx.Err() != nil:
			g.settle(b, t) // let another attempt use the place
			return refused(ErrBusy, busyFor)
		case g.free(b, t) > 0:
			t.running++
			g.turns[b] = t
			return nil
		case t.running == 0:
			g.settle(b, t)
			return tooFast(g.limiter(b))
		case len(t.waiting) >= g.limits.Waiting:
			return refused(ErrBusy, busyFor)
		}
		again := make(chan struct{})
		t.waiting = append(t.waiting, again)
		g.mu.Unlock()
		select {
		case <-again:
		case <-ctx.Done():
		}
		g.mu.Lock()
		t.leave(again)
	}
}

// free returns how many more passwords of the bucket may be compared now. If the bucket can cause a
// ban, the password that exceeds the limit is compared, too. g.mu is held.
func (g *Guard) free(b bucket, t *turns) int {
	left, atOnce := g.limiter(b).left(), g.limits.Comparing
	if b.bans {
		left++
	}
	if _, shared := g.sharedCharge(b); shared && g.isShared() {
		atOnce = 1 // every node may exceed the limit by this number
	}
	return min(left, atOnce) - t.running
}

// isFree reports whether begin would neither wait nor refuse.
func (g *Guard) isFree(b bucket) bool {
	if b.isZero() {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.turns[b]
	if t == nil {
		t = new(turns)
	}
	return g.free(b, t) > 0
}

// end ends a turn that begin has started.
func (g *Guard) end(b bucket) {
	if b.isZero() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.turns[b]
	t.running--
	g.settle(b, t)
}

// settle wakes as many attempts as may be compared now, and all if they have to be refused. It removes
// the turns of a bucket without attempts. g.mu is held.
func (g *Guard) settle(b bucket, t *turns) {
	n := g.free(b, t)
	if t.running == 0 && n < 1 || g.bannedKey(b.who) != nil {
		n = len(t.waiting)
	}
	for range min(n, len(t.waiting)) {
		close(t.waiting[0])
		t.waiting = t.waiting[1:]
	}
	if t.running == 0 && len(t.waiting) == 0 && g.turns[b] == t {
		delete(g.turns, b)
	}
}

// leave removes an attempt that waits.
func (t *turns) leave(waiting chan struct{}) {
	t.waiting = slices.DeleteFunc(t.waiting, func(c chan struct{}) bool { return c == waiting })
}
