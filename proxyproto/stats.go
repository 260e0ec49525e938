package proxyproto

// Stats counts what became of a listener's connections since New. Every one
// that was accepted ends up in exactly one of the counters from Proxied to
// Evicted, except Untrusted and Ignored, unless Close cut it off before it was ready.
// A connection that is counted in Direct is counted in Untrusted as well if it then
// sends a header.
type Stats struct {
	Proxied uint64 // a header with the client's address
	Local   uint64 // a header without one: LOCAL, UNKNOWN
	Direct  uint64 // served as direct clients: also optional peers without a header

	Probes    uint64 // trusted and optional peers that left without a byte: health checks
	NoHeader  uint64 // ErrNoHeader
	Malformed uint64 // ErrMalformed, ErrUnsupported
	TimedOut  uint64 // ErrTimeout, after Config.HeaderTimeout, or without read deadlines
	TooLarge  uint64 // ErrTooLarge
	Checksum  uint64 // ErrChecksum
	Untrusted uint64 // ErrUntrustedHeader, also if the header was dropped
	Ignored   uint64 // headers that were dropped (Ignore)
	Refused   uint64 // ErrRefused
	Evicted   uint64 // ErrTimeout, silent when room was needed

	// TrustAll counts the connections of peers that may have been meant to be trusted:
	// a list covers half of an address family or more (see Config.AllowTrustAll).
	TrustAll uint64

	Pending int // connections that wait for their header, now
	Ready   int // connections that wait for Accept, now
}

// Stats returns the counters, all of one moment.
func (l *Listener) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Pending, s.Ready = l.pending.n, l.ready.len()
	return s
}
