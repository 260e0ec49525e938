package trustnet

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// A watcher is a Names that is being watched. One goroutine at a time uses it: that of
// Watch, then that of run. A look-up runs in a goroutine of its own and sends its answer, so
// that a look-up that hangs delays no other.
type watcher struct {
	Names
	live     *Live
	names    []*name
	literal  *Set // the items that are not names
	excluded *Set
	timeout  time.Duration
	answers  chan answer // has room for one answer of each name: no sender waits
	ticks    *time.Ticker
	timer    *time.Timer // the next deadline of a look-up or an address
}

// A name is a host and its addresses.
type name struct {
	host    string
	seen    map[netip.Addr]time.Time // when each address was last in an answer
	failing bool                     // the last look-up failed: MaxStale applies

	running  bool      // a look-up has not returned yet
	deadline time.Time // when that look-up counts as failed; zero if watcher does not wait for it
}

type answer struct {
	name  *name
	addrs []netip.Addr
	err   error
}

// grace is the time for a look-up to return after its context has ended. Its error has more
// detail than that of watcher.
const grace = time.Second

// first stores the set after the first look-up of each name has returned or failed.
func (w *watcher) first(ctx context.Context) {
	w.ticks, w.timer = time.NewTicker(w.Interval), time.NewTimer(w.MaxStale)
	w.ticks.Stop() // a second look-up of one name would delay the end of the first of another
	defer w.ticks.Reset(w.Interval)
	w.lookUp(ctx)
	for w.isWaiting() && w.step(ctx) {
	}
	if ctx.Err() != nil {
		for _, n := range w.names {
			if !n.deadline.IsZero() {
				w.receive(answer{name: n, err: fmt.Errorf("the context of Watch ended before an answer: %w", context.Cause(ctx))})
			}
		}
	}
	s, before := w.set(), w.live.Trusted()
	w.live.Store(s)
	w.changed(before, s)
}

// run keeps the set up to date until ctx ends.
func (w *watcher) run(ctx context.Context) {
	defer w.ticks.Stop()
	defer w.timer.Stop()
	for w.step(ctx) {
		s, before := w.set(), w.live.Trusted()
		if s.equal(before) {
			continue
		}
		if !w.live.storeUnlessDone(ctx, s) {
			return
		}
		w.changed(before, s)
	}
}

func (w *watcher) changed(before, s *Set) {
	if w.OnChange != nil && !s.equal(before) {
		w.OnChange(s)
	}
}

// set returns the set that is in force according to the last answers.
func (w *watcher) set() *Set {
	p := w.literal.Prefixes()
	for _, n := range w.names {
		for a := range n.seen {
			p = append(p, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return newSet(p, w.literal.Unix()).Without(w.excluded)
}

func (w *watcher) isWaiting() bool {
	return slices.ContainsFunc(w.names, func(n *name) bool { return !n.deadline.IsZero() })
}

// step waits for one event and handles it. It reports false when ctx has ended.
func (w *watcher) step(ctx context.Context) bool {
	w.timer.Reset(time.Until(w.next()))
	select {
	case <-ctx.Done():
		return false
	case <-w.ticks.C:
		w.lookUp(ctx)
	case a := <-w.answers:
		w.receive(a)
	case <-w.timer.C:
		w.expire()
	}
	return true
}

// lookUp starts a look-up of every name without a running look-up.
func (w *watcher) lookUp(ctx context.Context) {
	for _, n := range w.names {
		if n.running {
			continue
		}
		n.running, n.deadline = true, time.Now().Add(w.timeout+grace)
		go func() {
			ctx, cancel := context.WithTimeout(ctx, w.timeout)
			defer cancel()
			addrs, err := w.Lookup(ctx, n.host)
			w.answers <- answer{n, addrs, err}
		}()
	}
}

// next returns the time of the next deadline.
func (w *watcher) next() time.Time {
	next := time.Now().Add(w.MaxStale)
	earlier := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	for _, n := range w.names {
		if !n.deadline.IsZero() {
			earlier(n.deadline)
		}
		if n.failing {
			for _, seen := range n.seen {
				earlier(seen.Add(w.MaxStale))
			}
		}
	}
	return next
}

// expire handles the deadlines that have passed.
func (w *watcher) expire() {
	now := time.Now()
	for _, n := range w.names {
		if !n.deadline.IsZero() && !now.Before(n.deadline) {
			n.deadline = time.Time{}
			w.fail(n, fmt.Errorf("no answer after %v", w.timeout+grace))
		}
		if stale := w.dropStale(n); len(stale) > 0 {
			w.report(n, fmt.Errorf("look-ups have failed for %v%s", w.MaxStale, consequence("no longer trusted", stale)))
		}
	}
}

// dropStale removes the addresses that have outlived failing look-ups for MaxStale.
func (w *watcher) dropStale(n *name) (stale []netip.Addr) {
	if !n.failing {
		return nil
	}
	now := time.Now()
	for a, seen := range n.seen {
		if now.Sub(seen) >= w.MaxStale {
			delete(n.seen, a)
			stale = append(stale, a)
		}
	}
	return stale
}

// receive handles the answer to the look-up of a name.
func (w *watcher) receive(a answer) {
	n := a.name
	late := n.deadline.IsZero()
	n.running, n.deadline = false, time.Time{}
	if late { // reported as failed already, and of any age
		return
	}
	addrs, refused := w.filter(a.addrs)
	if refused != nil {
		w.report(n, refused)
	}
	switch {
	case isNotFound(a.err):
		w.report(n, fmt.Errorf("no such name: %w%s", a.err, consequence("no longer trusted", n.addrs())))
		n.seen, n.failing = nil, false
	case a.err == nil && len(a.addrs) == 0:
		w.report(n, fmt.Errorf("the name has no address%s", consequence("no longer trusted", n.addrs())))
		n.seen, n.failing = nil, false
	case a.err == nil:
		n.seen, n.failing = nil, false
		n.add(addrs)
	default:
		n.removeFamilies(a.addrs)
		n.add(addrs)
		w.fail(n, a.err)
	}
}

// fail notes and reports that a look-up has failed.
func (w *watcher) fail(n *name, err error) {
	n.failing = true
	stale := w.dropStale(n)
	w.report(n, fmt.Errorf("look-up failed: %w%s%s", err,
		consequence("no longer trusted", stale), consequence("still trusted", n.addrs())))
}

func (w *watcher) report(n *name, err error) {
	if w.OnError != nil {
		w.OnError(fmt.Errorf("trustnet: dns:%s: %w", n.host, err))
	}
}

func (n *name) addrs() []netip.Addr { return slices.Collect(maps.Keys(n.seen)) }

// add notes that addrs were in the answer of now.
func (n *name) add(addrs []netip.Addr) {
	if n.seen == nil {
		n.seen = make(map[netip.Addr]time.Time)
	}
	now := time.Now()
	for _, a := range addrs {
		n.seen[a] = now
	}
}

// removeFamilies removes the addresses of each family of which answer has addresses, because
// answer is complete for that family.
func (n *name) removeFamilies(answer []netip.Addr) {
	var has4, has6 bool
	for _, a := range answer {
		has4 = has4 || a.Unmap().Is4()
		has6 = has6 || a.Unmap().Is6()
	}
	maps.DeleteFunc(n.seen, func(a netip.Addr, _ time.Time) bool { return a.Is4() && has4 || a.Is6() && has6 })
}

// consequence returns the end of an error text that lists addresses.
func consequence(what string, addrs []netip.Addr) string {
	if len(addrs) == 0 {
		return ""
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	var texts []string
	for _, a := range addrs[:min(len(addrs), mostListed)] {
		texts = append(texts, a.String())
	}
	return "; " + what + ": " + list(texts, len(addrs))
}
