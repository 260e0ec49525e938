package trustnet

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"
)

// Names keeps a [Live] up to date with the addresses of peers that have a DNS name
// but no fixed address, such as a proxy under Docker Compose or Kubernetes. Watch
// starts it. A Names is not changed by its methods and may be used again.
//
// The answers of the DNS decide which peers are trusted. Set Within if other
// parties can influence them. Every answer must have all addresses of the name; a name
// whose answers have a changing part of its addresses is not suitable.
// Loopback, unspecified and multicast addresses in an answer are refused: see
// [Names.Watch].
type Names struct {
	// Items are the items of [Parse] and, in addition, names: dns:proxy includes every
	// address of the host proxy. A name that does not end in a dot is looked up with the
	// search domains of the system. Exclusions also apply to the addresses of names. A
	// name cannot be excluded.
	Items []string

	// Interval is the time between the look-ups of a name; 0 means 30 seconds. A
	// look-up that takes longer than Interval or 10 seconds, whichever is less,
	// has failed.
	Interval time.Duration

	// MaxStale is the time for which an address stays in the set after the last
	// answer with that address while look-ups fail; 0 means 10 × Interval. An
	// answer without the address removes it at once.
	MaxStale time.Duration

	// Within, if it is not nil, is the only range in which addresses of names are
	// accepted. Others are refused and reported to OnError.
	Within *Set

	// Lookup returns the addresses of a host. Nil means [net.DefaultResolver], A
	// and AAAA records. A Lookup must return when its context ends. It runs
	// concurrently for several names, but only once at a time for each.
	//
	// If it returns neither addresses nor an error, or a [*net.DNSError] with
	// IsNotFound, the name does not exist or has no address, and its addresses are
	// removed at once. Every other error is temporary. Addresses together with an error are
	// the complete answer for their address family, IPv4 or IPv6, and the other
	// family has failed.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)

	// OnChange, if it is not nil, is called with every set that Watch stores and
	// that differs from the one before.
	OnChange func(*Set)

	// OnError, if it is not nil, is called for every failed look-up, every answer
	// with addresses that are refused, and when the addresses of a name are no
	// longer trusted after MaxStale. The errors of Lookup are wrapped.
	//
	// OnChange and OnError are called one at a time. They must not block: look-ups
	// wait for them, and so does the end of MaxStale.
	OnError func(error)
}

const (
	defaultInterval  = 30 * time.Second
	defaultStale     = 10 // times Interval
	maxLookupTimeout = 10 * time.Second
)

// Watch looks the names up, stores the set of all items and addresses in live, and
// returns. It then goes on in a goroutine until ctx ends: it looks the names up
// every Interval and stores the set whenever it has changed. It waits for the first
// answers for at most the time that a look-up may take, and one second. A name that
// has not been answered by then is not trusted yet and is reported. The last set
// stays in live after ctx has ended.
//
// An address that is unspecified, multicast or loopback is refused and reported to
// OnError, whatever its name; a loopback address is accepted if it is also in an
// item that is not a name.
//
// An error is returned for bad Items, as a [*ParseError], a negative duration or a
// nil live. Nothing has been stored or started then. While one Watch is running for
// live, nothing else may store sets there. To replace the Items, end ctx and call
// Watch again with the same live, which keeps its set until the first answers are in.
func (n *Names) Watch(ctx context.Context, live *Live) error {
	w, err := newWatcher(n, live)
	if err != nil {
		return err
	}
	w.first(ctx)
	if len(w.names) > 0 {
		go w.run(ctx)
	}
	return nil
}

// newWatcher checks n and returns a watcher that has looked nothing up yet. It
// copies what it needs, so that n may change afterwards.
func newWatcher(n *Names, live *Live) (*watcher, error) {
	w := &watcher{Names: *n, live: live}
	switch {
	case live == nil:
		return nil, errors.New("trustnet: Names.Watch has a nil *Live: pass the one of the configuration")
	case n.Interval < 0:
		return nil, fmt.Errorf("trustnet: Names.Interval is %v: use a positive duration, or 0 for %v", n.Interval, defaultInterval)
	case n.MaxStale < 0:
		return nil, fmt.Errorf("trustnet: Names.MaxStale is %v: use a positive duration, or 0 for %d × Interval", n.MaxStale, defaultStale)
	}
	if w.Interval == 0 {
		w.Interval = defaultInterval
	}
	w.timeout = min(w.Interval, maxLookupTimeout)
	if w.MaxStale == 0 {
		w.MaxStale = defaultStale * min(w.Interval, math.MaxInt64/defaultStale)
	}
	if w.Lookup == nil {
		w.Lookup = lookupBoth
	}
	b := builder{names: true}
	if err := b.addAll(n.Items); err != nil {
		return nil, err
	}
	slices.Sort(b.hosts)
	for _, host := range slices.Compact(b.hosts) {
		w.names = append(w.names, &name{host: host})
	}
	w.literal = newSet(b.included.prefixes, b.included.unix)
	w.excluded = newSet(b.excluded.prefixes, b.excluded.unix)
	w.answers = make(chan answer, len(w.names))
	return w, nil
}
