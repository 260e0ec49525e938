package proxyproto

// Stats has the counters of a Listener since New. Every connection that was accepted is
// counted in exactly one of the counters from Proxied to Evicted, except Untrusted and
// Ignored, unless Close closed it before it was ready. A connection that is counted in Direct
// is counted in Untrusted as well if it then sends a header.
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

	// TrustAll counts connections that were accepted while a list was ignored because it
	// covers half of an address family or more (see Config.AllowTrustAll). Their peers may
	// be proxies.
	TrustAll uint64

	Pending int // connections that wait for their header, now
	Ready   int // connections that wait for Accept, now
}

// Stats returns a consistent snapshot of the counters.
func (l *Listener) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Pending, s.Ready = l.pending.n, l.ready.len()
	return s
}
