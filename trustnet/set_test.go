package trustnet_test

import (
	"cmp"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/trustnet"
)

func TestContains(t *testing.T) {
	tests := []struct {
		name string
		set  string
		in   []string
		out  []string
	}{
		{name: "one IPv4 address", set: "192.0.2.1",
			in:  []string{"192.0.2.1", "::ffff:192.0.2.1"},
			out: []string{"192.0.2.0", "192.0.2.2", "::192.0.2.1", "2001:db8::1"}},
		{name: "one IPv6 address", set: "2001:db8::1",
			in:  []string{"2001:db8::1"},
			out: []string{"2001:db8::", "2001:db8::2", "2001:db8:0:1::1", "192.0.2.1"}},
		{name: "IPv4 network, its ends and beyond", set: "10.0.0.0/8",
			in:  []string{"10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"},
			out: []string{"9.255.255.255", "11.0.0.0", "::ffff:11.0.0.0"}},
		{name: "IPv6 network, its ends and beyond", set: "2001:db8::/32",
			in:  []string{"2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"},
			out: []string{"2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"}},
		{name: "IPv6 network longer than /64", set: "2001:db8::a:0/112",
			in:  []string{"2001:db8::a:0", "2001:db8::a:ffff"},
			out: []string{"2001:db8::9:ffff", "2001:db8::b:0", "2001:db8:0:1::a:0", "2001:db7:ffff:ffff::a:0"}},
		{name: "zones are ignored", set: "fe80::/10",
			in:  []string{"fe80::1%eth0", "fe80::1", "febf::%1"},
			out: []string{"fec0::1%eth0"}},
		{name: "zone on an IPv4-mapped address", set: "10.0.0.0/8",
			in: []string{"::ffff:10.0.0.1%eth0"}, out: []string{"::ffff:11.0.0.1%eth0"}},
		{name: "last IPv4 address", set: "255.255.255.255",
			in: []string{"255.255.255.255"}, out: []string{"255.255.255.254", "0.0.0.0", "::"}},
		{name: "last IPv6 address", set: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
			in:  []string{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
			out: []string{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", "::", "255.255.255.255"}},
		{name: "first addresses", set: "0.0.0.0, ::",
			in: []string{"0.0.0.0", "::"}, out: []string{"0.0.0.1", "::1", "255.255.255.255"}},
		{name: "all of IPv4 is not IPv6", set: "0.0.0.0/0",
			in:  []string{"0.0.0.0", "255.255.255.255", "::ffff:1.2.3.4"},
			out: []string{"::", "::1", "::fffe:ffff:ffff", "::1:0:0:0", "64:ff9b::1.2.3.4"}},
		{name: "all of IPv6 is not IPv4", set: "::/0",
			in:  []string{"::", "::fffe:ffff:ffff", "::1:0:0:0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
			out: []string{"1.2.3.4", "::ffff:1.2.3.4", "::ffff:0.0.0.0", "::ffff:255.255.255.255"}},
		{name: "loopback", set: "loopback",
			in:  []string{"127.0.0.0", "127.255.255.255", "::1", "::ffff:127.0.0.1"},
			out: []string{"126.255.255.255", "128.0.0.0", "::", "::2"}},
		{name: "private", set: "private",
			in: []string{"10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0", "192.168.255.255",
				"fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
			out: []string{"172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0", "100.64.0.1",
				"fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe00::", "127.0.0.1", "169.254.0.1"}},
		{name: "linklocal", set: "linklocal",
			in:  []string{"169.254.0.0", "169.254.255.255", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
			out: []string{"169.253.255.255", "169.255.0.0", "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fec0::"}},
		{name: "unix is not a network", set: "unix", in: nil, out: []string{"127.0.0.1", "::1", "0.0.0.0", "::"}},
		{name: "the empty set", set: "", in: nil, out: []string{"0.0.0.0", "127.0.0.1", "255.255.255.255", "::", "::1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s trustnet.Set
			require.NoError(t, s.UnmarshalText([]byte(tt.set)))
			for _, a := range tt.in {
				require.True(t, s.Contains(netip.MustParseAddr(a)), "%q in %s", a, tt.set)
			}
			for _, a := range tt.out {
				require.False(t, s.Contains(netip.MustParseAddr(a)), "%q not in %s", a, tt.set)
			}
			require.False(t, s.Contains(netip.Addr{}), "the invalid Addr")
		})
	}
}

// The searches have different code for each size.
func TestContainsAtEverySize(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	sizes := map[int]bool{} // of one family, after merging
	for n := range 200 {
		var prefixes []netip.Prefix
		for range n {
			prefixes = append(prefixes, randomPrefix(rnd))
		}
		s, err := trustnet.FromPrefixes(prefixes...)
		require.NoError(t, err)
		merged := s.Prefixes()
		v4 := 0
		for v4 < len(merged) && merged[v4].Addr().Is4() {
			v4++
		}
		sizes[v4], sizes[len(merged)-v4] = true, true
		for range 200 {
			a := randomPrefix(rnd).Addr()
			if n > 0 && rnd.IntN(2) == 0 { // near a border
				p := prefixes[rnd.IntN(n)]
				a = []netip.Addr{p.Addr(), p.Addr().Prev(), lastAddr(p), lastAddr(p).Next()}[rnd.IntN(4)]
			}
			require.Equal(t, scan(prefixes, a), s.Contains(a), "%v in %v", a, s)
		}
	}
	for size := range 40 {
		require.True(t, sizes[size], "no set had %d networks of one family", size)
	}
}

// randomPrefix makes prefixes that are dense enough to nest, to touch and to
// share their upper 64 bits.
func randomPrefix(rnd *rand.Rand) netip.Prefix {
	if rnd.IntN(2) == 0 {
		a := netip.AddrFrom4([4]byte{10, byte(rnd.IntN(4)), byte(rnd.IntN(64)), byte(rnd.IntN(256))})
		return netip.PrefixFrom(a, 23+rnd.IntN(10)).Masked()
	}
	b := [16]byte{0: 0x20, 7: byte(rnd.IntN(32)), 8: byte(rnd.IntN(4)), 15: byte(rnd.IntN(256))}
	return netip.PrefixFrom(netip.AddrFrom16(b), 62+rnd.IntN(67)).Masked()
}

// lastAddr returns the last address of p.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// scan is a slow implementation of Contains.
func scan(prefixes []netip.Prefix, a netip.Addr) bool {
	a = a.WithZone("").Unmap()
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

func TestContainsAddr(t *testing.T) {
	ip4 := net.IPv4(10, 1, 2, 3) // 16 bytes, the mapped form
	ip6 := net.ParseIP("fe80::1")
	tests := []struct {
		name string
		set  string
		addr net.Addr
		want bool
	}{
		{name: "TCP, IPv4 in 16 bytes", set: "10.0.0.0/8", addr: &net.TCPAddr{IP: ip4, Port: 25}, want: true},
		{name: "TCP, IPv4 in 4 bytes", set: "10.0.0.0/8", addr: &net.TCPAddr{IP: ip4.To4(), Port: 25}, want: true},
		{name: "TCP, IPv6 with zone", set: "linklocal", addr: &net.TCPAddr{IP: ip6, Zone: "eth0"}, want: true},
		{name: "TCP, outside", set: "192.0.2.0/24", addr: &net.TCPAddr{IP: ip4}, want: false},
		{name: "UDP", set: "10.0.0.0/8", addr: &net.UDPAddr{IP: ip4}, want: true},
		{name: "UDP, outside", set: "192.0.2.0/24", addr: &net.UDPAddr{IP: ip4}, want: false},
		{name: "IP", set: "linklocal", addr: &net.IPAddr{IP: ip6, Zone: "1"}, want: true},
		{name: "IP, outside", set: "private", addr: &net.IPAddr{IP: ip6}, want: false},
		{name: "TCP without an address", set: "0.0.0.0/0, ::/0", addr: &net.TCPAddr{}, want: false},
		{name: "TCP with an address of 5 bytes", set: "0.0.0.0/0, ::/0", addr: &net.TCPAddr{IP: net.IP{1, 2, 3, 4, 5}}, want: false},
		{name: "unix stream", set: "unix", addr: &net.UnixAddr{Name: "/run/x", Net: "unix"}, want: true},
		{name: "unix stream, unnamed", set: "unix", addr: &net.UnixAddr{Net: "unix"}, want: true},
		{name: "unix packet", set: "unix", addr: &net.UnixAddr{Name: "@", Net: "unixpacket"}, want: true},
		{name: "unix datagram", set: "unix", addr: &net.UnixAddr{Name: "@", Net: "unixgram"}, want: true},
		{name: "unix of an unknown kind", set: "unix", addr: &net.UnixAddr{Name: "@", Net: "tcp"}, want: false},
		{name: "unix of no kind", set: "unix", addr: &net.UnixAddr{Name: "@"}, want: false},
		{name: "unix without the keyword", set: "0.0.0.0/0, ::/0", addr: &net.UnixAddr{Name: "@", Net: "unix"}, want: false},
		{name: "TCP in a set of unix only", set: "unix", addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, want: false},
		{name: "nil", set: "0.0.0.0/0, ::/0, unix", addr: nil, want: false},
		{name: "nil TCPAddr", set: "0.0.0.0/0, ::/0, unix", addr: (*net.TCPAddr)(nil), want: false},
		{name: "nil UDPAddr", set: "0.0.0.0/0, ::/0, unix", addr: (*net.UDPAddr)(nil), want: false},
		{name: "nil IPAddr", set: "0.0.0.0/0, ::/0, unix", addr: (*net.IPAddr)(nil), want: false},
		{name: "nil UnixAddr", set: "0.0.0.0/0, ::/0, unix", addr: (*net.UnixAddr)(nil), want: false},
		{name: "a foreign type that says tcp", set: "0.0.0.0/0, ::/0, unix", addr: foreignAddr{"tcp", "10.1.2.3:25"}, want: false},
		{name: "a foreign type that says unix", set: "0.0.0.0/0, ::/0, unix", addr: foreignAddr{"unix", "@"}, want: false},
		{name: "a network is not a peer", set: "0.0.0.0/0, ::/0, unix", addr: &net.IPNet{IP: ip4.To4(), Mask: net.CIDRMask(32, 32)}, want: false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, trustnet.MustParse(tt.set).ContainsAddr(tt.addr))
		})
	}
}

type foreignAddr [2]string

func (a foreignAddr) Network() string { return a[0] }
func (a foreignAddr) String() string  { return a[1] }

func TestContainsAddrOfRealConnections(t *testing.T) {
	tests := []struct{ network, address, set, other string }{
		{network: "tcp4", address: "127.0.0.1:0", set: "127.0.0.1", other: "::1, unix"},
		{network: "unix", address: t.TempDir() + "/s", set: "unix", other: "loopback"},
	}
	for _, tt := range tests {
		t.Run(tt.network, func(t *testing.T) {
			l, err := net.Listen(tt.network, tt.address)
			require.NoError(t, err)
			defer l.Close()
			client, err := net.Dial(tt.network, l.Addr().String())
			require.NoError(t, err)
			defer client.Close()
			server, err := l.Accept()
			require.NoError(t, err)
			defer server.Close()
			require.True(t, trustnet.MustParse(tt.set).ContainsAddr(server.RemoteAddr()))
			require.False(t, trustnet.MustParse(tt.other).ContainsAddr(server.RemoteAddr()))
		})
	}
}

func TestNilAndZeroSetTrustNoPeer(t *testing.T) {
	parsed, err := trustnet.Parse()
	require.NoError(t, err)
	for name, s := range map[string]*trustnet.Set{"nil": nil, "zero": {}, "Parse()": parsed} {
		t.Run(name, func(t *testing.T) {
			require.False(t, s.Contains(netip.MustParseAddr("127.0.0.1")))
			require.False(t, s.Contains(netip.MustParseAddr("::1")))
			require.False(t, s.Contains(netip.MustParseAddr("::ffff:127.0.0.1")))
			require.False(t, s.Contains(netip.Addr{}))
			require.False(t, s.ContainsAddr(&net.TCPAddr{IP: net.IPv6loopback}))
			require.False(t, s.ContainsAddr(&net.UnixAddr{Net: "unix"}))
			require.False(t, s.ContainsAddr(nil))
			require.False(t, s.TrustsAll())
			require.False(t, s.Unix())
			require.True(t, s.IsEmpty())
			require.Empty(t, s.Prefixes())
			require.Equal(t, "", s.String())
			require.Same(t, s, s.Trusted())
			text, err := s.MarshalText()
			require.NoError(t, err)
			require.Equal(t, "", string(text))
			text, err = s.MarshalJSON()
			require.NoError(t, err)
			require.Equal(t, `""`, string(text))
		})
	}
}

func TestPrefixesAreMinimalAndSorted(t *testing.T) {
	tests := []struct{ name, set, want string }{
		{name: "duplicates", set: "10.0.0.0/8, 10.0.0.0/8, ::1, ::1", want: "10.0.0.0/8,::1"},
		{name: "nested", set: "10.1.0.0/16, 10.0.0.0/8, 10.1.2.3", want: "10.0.0.0/8"},
		{name: "halves", set: "10.0.0.0/9, 10.128.0.0/9", want: "10.0.0.0/8"},
		{name: "neighbours that are not halves", set: "10.1.0.0/16, 10.2.0.0/16", want: "10.1.0.0/16,10.2.0.0/16"},
		{name: "neighbours of unlike size", set: "10.0.0.0/9, 10.128.0.0/10", want: "10.0.0.0/9,10.128.0.0/10"},
		{name: "merging goes on upwards", set: "10.0.0.3, 10.0.0.2, 10.0.0.0/31, 10.0.0.4/30", want: "10.0.0.0/29"},
		{name: "a part in a merged network", set: "10.0.0.0/9, 10.128.0.0/9, 10.200.0.0/16, 11.0.0.0/8", want: "10.0.0.0/7"},
		{name: "the end of IPv4", set: "255.255.255.255, 255.255.255.254, 255.255.255.252/31", want: "255.255.255.252/30"},
		{name: "the end of IPv6", set: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff, ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe",
			want: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127"},
		{name: "both ends do not join", set: "255.255.255.255, 0.0.0.0, ::, ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
			want: "0.0.0.0,255.255.255.255,::,ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{name: "all of IPv4", set: "0.0.0.0/1, 128.0.0.0/1", want: "0.0.0.0/0"},
		{name: "all of both", set: "::/0, 0.0.0.0/0", want: "0.0.0.0/0,::/0"},
		{name: "families do not join", set: "128.0.0.0/1, ::/1", want: "128.0.0.0/1,::/1"},
		{name: "mapped joins IPv4", set: "::ffff:10.0.0.0/105, 10.128.0.0/9", want: "10.0.0.0/8"},
		{name: "IPv4 before IPv6, by address", set: "fc00::/7, 192.168.0.0/16, ::1, 10.0.0.0/8", want: "10.0.0.0/8,192.168.0.0/16,::1,fc00::/7"},
		{name: "unix last", set: "unix, ::1, 10.0.0.1, unix", want: "10.0.0.1,::1,unix"},
		{name: "unix alone", set: "unix", want: "unix"},
		{name: "keywords spelt out", set: "private, loopback, linklocal",
			want: "10.0.0.0/8,127.0.0.0/8,169.254.0.0/16,172.16.0.0/12,192.168.0.0/16,::1,fc00::/7,fe80::/10"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := trustnet.MustParse(tt.set)
			require.Equal(t, tt.want, s.String())
			requireMinimal(t, s)
		})
	}
}

// requireMinimal checks that no prefix of s is redundant and that no two can be merged.
func requireMinimal(t *testing.T, s *trustnet.Set) {
	t.Helper()
	p := s.Prefixes()
	for i := 1; i < len(p); i++ {
		require.Negative(t, cmp.Or(p[i-1].Addr().Compare(p[i].Addr()), cmp.Compare(p[i-1].Bits(), p[i].Bits())), "sorted: %v", p)
		require.False(t, p[i-1].Overlaps(p[i]), "disjoint: %v", p)
		if p[i-1].Bits() == p[i].Bits() && p[i].Bits() > 0 {
			require.NotEqual(t, netip.PrefixFrom(p[i-1].Addr(), p[i].Bits()-1).Masked(),
				netip.PrefixFrom(p[i].Addr(), p[i].Bits()-1).Masked(), "two halves left: %v", p)
		}
	}
}

func TestSetIsImmutable(t *testing.T) {
	given := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("10.0.0.0/8")}
	s, err := trustnet.FromPrefixes(given...)
	require.NoError(t, err)
	require.Equal(t, "192.0.2.0/24", given[0].String(), "the caller's slice keeps its order")

	given[0] = netip.MustParsePrefix("0.0.0.0/0")
	taken := s.Prefixes()
	taken[0] = netip.MustParsePrefix("0.0.0.0/0")
	_ = append(taken[:0], netip.MustParsePrefix("::/0"))
	require.Equal(t, "10.0.0.0/8,192.0.2.0/24", s.String())
	require.False(t, s.Contains(netip.MustParseAddr("8.8.8.8")))

	// Keywords are shared by all sets.
	trustnet.MustParse("private").Prefixes()[0] = netip.MustParsePrefix("8.0.0.0/8")
	require.False(t, trustnet.MustParse("private").Contains(netip.MustParseAddr("8.8.8.8")))
}

func TestIsEmptyAndUnix(t *testing.T) {
	require.False(t, trustnet.MustParse("unix").IsEmpty())
	require.True(t, trustnet.MustParse("unix").Unix())
	require.False(t, trustnet.MustParse("::1").IsEmpty())
	require.False(t, trustnet.MustParse("::1").Unix())
	require.Empty(t, trustnet.MustParse("unix").Prefixes())
}

func TestContainsDoesNotAllocate(t *testing.T) {
	for _, list := range []string{"unix", "loopback, private, linklocal, 2001:db8::5, 2001:db8::7, unix"} {
		s := trustnet.MustParse(list)
		for _, a := range []string{"10.1.2.3", "8.8.8.8", "::ffff:10.1.2.3", "fd00::1", "2001:db8::6", "2001:db8::7", "fe80::1%eth0"} {
			addr := netip.MustParseAddr(a)
			require.Zero(t, testing.AllocsPerRun(100, func() { s.Contains(addr) }), "%v in %v", addr, s)
			for _, ip := range []net.IP{addr.AsSlice(), net.ParseIP(addr.WithZone("").String())} { // 4 and 16 bytes
				for _, peer := range []net.Addr{
					&net.TCPAddr{IP: ip, Port: 25, Zone: "eth0"}, &net.UDPAddr{IP: ip}, &net.IPAddr{IP: ip},
				} {
					require.Zero(t, testing.AllocsPerRun(100, func() { s.ContainsAddr(peer) }), "%v in %v", peer, s)
				}
			}
		}
		peer := &net.UnixAddr{Name: "@", Net: "unix"}
		require.Zero(t, testing.AllocsPerRun(100, func() { s.ContainsAddr(peer) }))
	}
}
