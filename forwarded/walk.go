package forwarded

import (
	"net/http"
	"net/netip"

	"github.com/seed-94e48765/portico/trustnet"
)

// walk reads the list in the header of a trusted peer from right to left. Without
// TrustedHops, each trusted address lets it read one entry more, and the first address
// that is not trusted is the client. With TrustedHops, the entry at that position is
// the client. An entry that cannot be read ends the walk; none is skipped.
func (r *Resolver) walk(res *Result, set *trustnet.Set, h http.Header, t *trace) {
	count := r.cfg.TrustedHops
	reason, last, hops := NoHeader, res.Peer, 0
	for l := newList(h[r.key]); ; {
		if !l.more() {
			switch {
			case hops > 0 && count > 0:
				reason = TooFewHops
			case hops > 0:
				reason = AllTrusted
			}
			break
		}
		if hops == r.cfg.MaxHops {
			reason = TooManyHops
			break
		}
		if t != nil {
			t.before = l
		}
		var a netip.Addr
		var proto string
		var f fault
		if r.cfg.Header == Forwarded {
			a, proto, f = l.element()
		} else {
			a, f = l.address()
		}
		isClient := false
		if count == 0 {
			isClient = !set.Contains(a)
		} else if isClient = hops+1 == count; isClient && f == faultNone {
			a, f = countable(a)
		}
		if t != nil {
			t.add(l, a, set.Contains(a), f)
		}
		if f != faultNone {
			reason = f.reason()
			break
		}
		hops++
		last = a
		if r.cfg.Proto {
			res.Proto = proto
		}
		if isClient {
			res.Client = a
			reason = UntrustedHop
			if count > 0 {
				reason = CountedHop
			}
			break
		}
	}
	res.Reason, res.Last, res.Hops = reason, last, hops
	if r.usedHops(res) == 0 {
		res.Proto = ""
	}
}

// usedHops returns the number of entries that trusted proxies wrote. With TrustedHops the
// entries are not compared with the list, so the number is 0 unless there are as many as
// configured.
func (r *Resolver) usedHops(res *Result) int {
	if r.cfg.TrustedHops > 0 && !res.ClientKnown() {
		return 0
	}
	return res.Hops
}

// single reads the header of a trusted peer that has one address.
func (r *Resolver) single(res *Result, set *trustnet.Set, h http.Header, t *trace) {
	res.Last = res.Peer
	lines := h[r.key]
	if len(lines) == 0 {
		res.Reason = NoHeader
		return
	}
	a, f := singleAddress(lines)
	if t != nil {
		t.addSingle(lines, a, set.Contains(a), f)
	}
	if f != faultNone {
		res.Reason = Malformed
		return
	}
	res.Client, res.Last, res.Hops = a, a, 1
	res.Reason = CountedHop
}

func singleAddress(lines []string) (netip.Addr, fault) {
	s := lines[0]
	switch {
	case len(lines) > 1:
		return netip.Addr{}, faultLines
	case len(s) > maxToken:
		return netip.Addr{}, faultTooLong
	}
	if s = trim(s); s == "" {
		return netip.Addr{}, faultEmpty
	}
	a, f := parseAddress(s)
	if f != faultNone {
		return a, f
	}
	return countable(a)
}

// countable refuses addresses that no client of a load balancer has. If TrustedHops is
// too large, the client itself writes the entry that is taken for its address.
func countable(a netip.Addr) (netip.Addr, fault) {
	if a.IsLoopback() || a.IsMulticast() {
		return netip.Addr{}, faultLocal
	}
	return a, faultNone
}
