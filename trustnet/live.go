package trustnet

import (
	"context"
	"sync"
	"sync/atomic"
)

// A Source returns the set of trusted networks that is in force now. A [*Set] is a Source
// that returns itself; the set of a [Live] can be replaced while in use.
//
// A caller takes one snapshot with Trusted for each decision and uses only that
// snapshot, so that no decision mixes an old and a new list. Trusted may be called
// concurrently and may return nil, which trusts no peer.
type Source interface {
	Trusted() *Set
}

// Trusted returns s itself, nil included, so that a fixed *Set is a [Source].
func (s *Set) Trusted() *Set { return s }

// A Live is a [Source] whose set is replaced as a whole while others read it.
// The zero value is ready to use and trusts no peer. A Live must not be copied
// after first use. All its methods are safe for concurrent use.
//
// A reload that fails must leave the old set in force: call Store only with the
// result of a Parse or Read that returned no error.
type Live struct {
	set     atomic.Pointer[Set]
	writers sync.Mutex
}

// Store puts s in force for every later call of Trusted. Snapshots that were taken
// before keep their set. Store(nil) trusts no peer.
func (l *Live) Store(s *Set) {
	l.writers.Lock()
	defer l.writers.Unlock()
	l.set.Store(s)
}

// storeUnlessDone stores s and returns true, or returns false if ctx has ended. If a caller
// ends ctx and then calls Store, s does not replace that set.
func (l *Live) storeUnlessDone(ctx context.Context, s *Set) bool {
	l.writers.Lock()
	defer l.writers.Unlock()
	if ctx.Err() != nil {
		return false
	}
	l.set.Store(s)
	return true
}

// Trusted returns the set that was stored last. It returns nil, which trusts no
// peer, if there is no such set or l is nil.
func (l *Live) Trusted() *Set {
	if l == nil {
		return nil
	}
	return l.set.Load()
}
