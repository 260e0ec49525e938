package trustnet

import (
	"math/bits"
	"net/netip"
)

// globalUnicast is the part of IPv6 whose addresses are assigned, RFC 4291 section 2.5.4.
var globalUnicast = netip.MustParsePrefix("2000::/3")

// TrustsAll reports whether at least half of all IPv4 addresses or at least half
// of the IPv6 addresses of the Internet (2000::/3) are in the set, after exclusions have
// been applied. Such a set trusts nearly every peer of that family and is
// nearly always a mistake.
func (s *Set) TrustsAll() bool { return s != nil && s.all }

// trustsAll counts the addresses of prefixes that do not overlap.
func trustsAll(prefixes []netip.Prefix) bool {
	var v4 uint64
	var v6 uint128
	for _, p := range prefixes {
		switch {
		case p.Addr().Is4():
			v4 += 1 << (32 - p.Bits())
		case p.Overlaps(globalUnicast):
			v6 = v6.add(powerOf2(128 - max(p.Bits(), globalUnicast.Bits())))
		}
	}
	return v4 >= 1<<31 || v6.hi >= 1<<(124-64)
}

func powerOf2(n int) uint128 {
	if n >= 64 {
		return uint128{hi: 1 << (n - 64)}
	}
	return uint128{lo: 1 << n}
}

func (x uint128) add(y uint128) uint128 {
	lo, carry := bits.Add64(x.lo, y.lo, 0)
	hi, _ := bits.Add64(x.hi, y.hi, carry)
	return uint128{hi, lo}
}
