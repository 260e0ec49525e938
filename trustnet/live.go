package trustnet

import "sync/atomic"

// A Source gives the set of trusted networks that is in force now. A [*Set] is a
// Source of itself; a [Live] is one whose set can be replaced while in use.
//
// A caller takes one snapshot with Trusted for each decision and asks only that
// snapshot, so that a decision is never made half by an old and half by a new
// list. Trusted may be called concurrently and may return nil, which trusts
// nobody.
type Source interface {
	Trusted() *Set
}

// Trusted returns s itself, nil included, so that a fixed *Set is a [Source].
func (s *Set) Trusted() *Set { return s }

// A Live is a [Source] whose set is replaced as a whole while others read it.
// The zero value is ready to use and trusts nobody. A Live must not be copied
// after first use; all its methods are safe for concurrent use.
//
// A reload that fails must leave the old set in force: call Store only with the
// result of a Parse or Read that returned no error.
type Live struct {
	set atomic.Pointer[Set]
}

// Store puts s in force for every later call of Trusted. Snapshots taken before
// keep their set. Store(nil) trusts nobody.
func (l *Live) Store(s *Set) { l.set.Store(s) }

// Trusted returns the set stored last, or nil, which trusts nobody, when there
// was none or l is nil.
func (l *Live) Trusted() *Set {
	if l == nil {
		return nil
	}
	return l.set.Load()
}
