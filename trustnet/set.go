package trustnet

import (
	"encoding/binary"
	"math/bits"
	"net"
	"net/netip"
	"slices"
)

// A Set is an immutable set of networks whose peers may name a client. A nil *Set and the
// zero Set trust no peer, and every method may be called on them. A Set is safe for
// concurrent use.
type Set struct {
	prefixes []netip.Prefix // the fewest that cover the set: sorted, disjoint
	unix     bool
	all      bool

	// The prefixes again by family, for Contains: the first address of each, and the
	// number of its host bits.
	first4 []uint32
	host4  []uint8
	first6 []uint128
	host6  []hostBits
}

type uint128 struct{ hi, lo uint64 }

type hostBits struct{ hi, lo uint8 } // of each half of a uint128

// Contains reports whether a is in the set. An IPv4-mapped IPv6 address counts as
// the IPv4 address, the zone is ignored, and the invalid Addr is in no set.
func (s *Set) Contains(a netip.Addr) bool {
	if s == nil {
		return false
	}
	// AsSlice is inlined and its bytes stay in this frame. As16 is slower: its
	// result is copied as one word, which must wait for two narrower stores.
	switch b := a.AsSlice(); len(b) {
	case 4:
		return s.contains4(binary.BigEndian.Uint32(b))
	case 16:
		x := makeUint128(b)
		if x.hi == 0 && x.lo>>32 == 0xffff { // IPv4-mapped, RFC 4291 section 2.5.5.2
			return s.contains4(uint32(x.lo))
		}
		return s.contains6(x)
	}
	return false
}

// contains4 and contains6 check one prefix: the last that starts at or below x. Prefixes
// are disjoint, so no other prefix can contain x.
//
// The result of each comparison is unpredictable, so a branch on it would be mispredicted
// half of the time. Masks move i instead. Comparisons that do not depend on each other are
// made together: three while many prefixes are left, then the last few. go test -bench
// Contains ./examples/bench measures it.

func (s *Set) contains4(x uint32) bool {
	if len(s.first4) == 0 {
		return false
	}
	i, n := 0, len(s.first4)
	for n > 7 {
		q := n / 4
		i += q&atLeast4(x, s.first4[i+q]) + q&atLeast4(x, s.first4[i+2*q]) + q&atLeast4(x, s.first4[i+3*q])
		n -= 3 * q
	}
	for _, y := range s.first4[i+1 : i+n] {
		i -= atLeast4(x, y)
	}
	return (x^s.first4[i])>>s.host4[i] == 0
}

func (s *Set) contains6(x uint128) bool {
	if len(s.first6) == 0 {
		return false
	}
	i, n := 0, len(s.first6)
	for n > 7 {
		q := n / 4
		i += q&atLeast6(x, s.first6[i+q]) + q&atLeast6(x, s.first6[i+2*q]) + q&atLeast6(x, s.first6[i+3*q])
		n -= 3 * q
	}
	for _, y := range s.first6[i+1 : i+n] {
		i -= atLeast6(x, y)
	}
	first, host := s.first6[i], s.host6[i]
	return (x.hi^first.hi)>>host.hi|(x.lo^first.lo)>>host.lo == 0
}

// atLeast4 returns -1, which is all ones, if x >= y, else 0.
func atLeast4(x, y uint32) int { return int((uint64(x)-uint64(y))>>63) - 1 }

// atLeast6 returns -1, which is all ones, if x >= y, else 0.
func atLeast6(x, y uint128) int {
	_, borrow := bits.Sub64(x.lo, y.lo, 0)
	_, borrow = bits.Sub64(x.hi, y.hi, borrow)
	return int(borrow) - 1
}

func makeUint128(b []byte) uint128 {
	return uint128{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// ContainsAddr reports whether a peer with the address a is in the set. The type of a
// is *net.TCPAddr, *net.UDPAddr, *net.IPAddr or *net.UnixAddr. A *net.UnixAddr (of a
// stream, packet or datagram socket) is in the set if the set has the keyword unix. An
// address of any other type, or nil, is not in the set.
func (s *Set) ContainsAddr(a net.Addr) bool {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a != nil && s.containsIP(a.IP)
	case *net.UDPAddr:
		return a != nil && s.containsIP(a.IP)
	case *net.IPAddr:
		return a != nil && s.containsIP(a.IP)
	case *net.UnixAddr:
		return a != nil && s.Unix() && (a.Net == "unix" || a.Net == "unixpacket" || a.Net == "unixgram")
	}
	return false
}

func (s *Set) containsIP(ip net.IP) bool {
	a, _ := netip.AddrFromSlice(ip) // the zero Addr if ip is neither 4 nor 16 bytes
	return s.Contains(a)
}

// Unix reports whether the set holds the keyword unix.
func (s *Set) Unix() bool { return s != nil && s.unix }

// IsEmpty reports whether the set trusts no peer.
func (s *Set) IsEmpty() bool { return s == nil || len(s.prefixes) == 0 && !s.unix }

// Prefixes returns the smallest list of networks that covers exactly the IP
// addresses of the set, IPv4 before IPv6 and each in the order of addresses. The
// caller owns the slice. The keyword unix is not in it; see [Set.Unix].
func (s *Set) Prefixes() []netip.Prefix {
	if s == nil {
		return nil
	}
	return slices.Clone(s.prefixes)
}

// newSet returns the Set of the given prefixes, which it sorts.
func newSet(p []netip.Prefix, unix bool) *Set {
	s := &Set{prefixes: minimal(p), unix: unix}
	s.all = trustsAll(s.prefixes)
	for _, p := range s.prefixes {
		first, host := p.Addr().AsSlice(), uint8(p.Addr().BitLen()-p.Bits())
		if p.Addr().Is4() {
			s.first4 = append(s.first4, binary.BigEndian.Uint32(first))
			s.host4 = append(s.host4, host)
		} else {
			s.first6 = append(s.first6, makeUint128(first))
			s.host6 = append(s.host6, hostBits{hi: max(host, 64) - 64, lo: min(host, 64)})
		}
	}
	return s
}
