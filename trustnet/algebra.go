package trustnet

import (
	"cmp"
	"net/netip"
	"slices"
)

// Union returns the set of the peers that are in s, in o or in both.
func (s *Set) Union(o *Set) *Set {
	return newSet(append(s.Prefixes(), o.Prefixes()...), s.Unix() || o.Unix())
}

// Without returns the set of the peers that are in s and not in o.
func (s *Set) Without(o *Set) *Set {
	var left []netip.Prefix
	excluded := o.Prefixes()
	for _, p := range s.Prefixes() {
		// Both lists are sorted and disjoint. Prefixes that end before p are not needed
		// again; those that overlap p come first then.
		for len(excluded) > 0 && comparePrefixes(excluded[0], p) < 0 && !excluded[0].Contains(p.Addr()) {
			excluded = excluded[1:]
		}
		n := 0
		for n < len(excluded) && excluded[n].Overlaps(p) {
			n++
		}
		left = appendWithout(left, p, excluded[:n])
	}
	return newSet(left, s.Unix() && !o.Unix())
}

// equal reports whether s and o contain the same peers.
func (s *Set) equal(o *Set) bool {
	return s.Unix() == o.Unix() && slices.Equal(s.Prefixes(), o.Prefixes())
}

// appendWithout appends the parts of p that are not in excluded. The prefixes in excluded
// overlap p, are sorted and are disjoint.
func appendWithout(left []netip.Prefix, p netip.Prefix, excluded []netip.Prefix) []netip.Prefix {
	switch {
	case len(excluded) == 0:
		return append(left, p)
	case excluded[0].Bits() <= p.Bits(): // all of p
		return left
	}
	low, high := halves(p)
	i := 0
	for i < len(excluded) && low.Contains(excluded[i].Addr()) {
		i++
	}
	left = appendWithout(left, low, excluded[:i])
	return appendWithout(left, high, excluded[i:])
}

// halves returns the two halves of p, which has more than one address.
func halves(p netip.Prefix) (low, high netip.Prefix) {
	b := p.Addr().AsSlice()
	b[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	a, _ := netip.AddrFromSlice(b)
	return netip.PrefixFrom(p.Addr(), p.Bits()+1), netip.PrefixFrom(a, p.Bits()+1)
}

// comparePrefixes orders IPv4 before IPv6, then by address, then a network before
// its parts.
func comparePrefixes(p, q netip.Prefix) int {
	return cmp.Or(p.Addr().Compare(q.Addr()), cmp.Compare(p.Bits(), q.Bits()))
}

// minimal reduces p to the fewest prefixes that cover the same addresses, sorted.
// Two prefixes are either nested or disjoint, so minimal needs no arithmetic on addresses.
func minimal(p []netip.Prefix) []netip.Prefix {
	slices.SortFunc(p, comparePrefixes)
	var out []netip.Prefix
	for _, p := range p {
		if n := len(out); n > 0 && out[n-1].Contains(p.Addr()) {
			continue
		}
		out = append(out, p)
		// Two halves make one network, which may be half of another one.
		for n := len(out); n > 1; n-- {
			parent := netip.PrefixFrom(p.Addr(), out[n-1].Bits()-1).Masked()
			if out[n-2].Bits() != out[n-1].Bits() || !parent.Contains(out[n-2].Addr()) {
				break
			}
			out = append(out[:n-2], parent)
		}
	}
	return out
}
