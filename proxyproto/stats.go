package proxyproto

// Stats counts what became of a listener's connections since New. Every one
// that was accepted ends up in exactly one of the counters from Proxied to
// Evicted, save those that Close cut off before they were ready. One
// that is counted in Direct is counted in Untrusted as well if it then sends a
// header.
type Stats struct {
	Proxied uint64 // a header with the client's address
	Local   uint64 // a header named no client: LOCAL, UNKNOWN
	Direct  uint64 // from a peer that is not trusted

	Probes    uint64 // trusted peers that left without a byte: health checks
	NoHeader  uint64 // ErrNoHeader
	Malformed uint64 // ErrMalformed, ErrUnsupported
	TimedOut  uint64 // ErrTimeout, after Config.HeaderTimeout, or without read deadlines
	TooLarge  uint64 // ErrTooLarge
	Checksum  uint64 // ErrChecksum
	Untrusted uint64 // ErrUntrustedHeader
	Refused   uint64 // ErrRefused
	Evicted   uint64 // ErrTimeout, silent when room was needed

	// TrustAll counts the connections whose peers were not trusted because the
	// trusted set covers a whole address family (see Config.AllowTrustAll).
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
