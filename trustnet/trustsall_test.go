package trustnet_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/trustnet"
)

func TestTrustsAllHalves(t *testing.T) {
	tests := []struct {
		name string
		list string
		want bool
	}{
		{name: "all of IPv4", list: "0.0.0.0/0", want: true},
		{name: "all of IPv4, mapped", list: "::ffff:0.0.0.0/96", want: true},
		{name: "both halves of IPv4", list: "0.0.0.0/1, 128.0.0.0/1", want: true},
		{name: "one half of IPv4", list: "128.0.0.0/1", want: true},
		{name: "all of IPv4 but one eighth", list: "0.0.0.0/1, 128.0.0.0/2, 192.0.0.0/3", want: true},
		{name: "all of IPv4 with exclusions", list: "0.0.0.0/0, !10.0.0.0/8, !127.0.0.0/8, !224.0.0.0/3", want: true},
		{name: "half of IPv4 in pieces", list: "0.0.0.0/2, 128.0.0.0/3, 224.0.0.0/3", want: true},
		{name: "half of IPv4 without one address", list: "0.0.0.0/1, !0.0.0.0", want: false},
		{name: "a quarter of IPv4 twice", list: "0.0.0.0/2, 0.0.0.0/2, 0.0.0.0/3", want: false},
		{name: "all of IPv6", list: "::/0", want: true},
		{name: "both halves of IPv6", list: "::/1, 8000::/1", want: true},
		{name: "the half of IPv6 that is in use", list: "::/1", want: true},
		{name: "the other half of IPv6", list: "8000::/1", want: false},
		{name: "global unicast", list: "2000::/3", want: true},
		{name: "half of global unicast", list: "3000::/4", want: true},
		{name: "half of global unicast in pieces", list: "2000::/5, 3000::/5", want: true},
		{name: "global unicast with exclusions", list: "2000::/3, !2001:db8::/32, !2002::/16", want: true},
		{name: "half of global unicast without one address", list: "3000::/4, !3000::1", want: false},
		{name: "all of IPv6 without global unicast", list: "::/0, !2000::/3", want: false},
		{name: "a quarter of each", list: "0.0.0.0/2, 2000::/5", want: false},
		{name: "the keywords", list: "loopback, private, linklocal, unix", want: false},
		{name: "the ends of both", list: "0.0.0.0, ::, 255.255.255.255, ffff::1", want: false},
		{name: "all of IPv4, excluded again", list: "0.0.0.0/0, !0.0.0.0/0", want: false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, trustnet.MustParse(tt.list).TrustsAll())
		})
	}
}

func TestTrustsAllOfUnions(t *testing.T) {
	low, high := trustnet.MustParse("0.0.0.0/2"), trustnet.MustParse("128.0.0.0/2")
	require.False(t, low.TrustsAll())
	require.False(t, high.TrustsAll())
	require.True(t, low.Union(high).TrustsAll())
	require.False(t, low.Union(high).Without(trustnet.MustParse("0.0.0.0")).TrustsAll())
}

func TestTrustsAllCountsToLastAddress(t *testing.T) {
	for _, last := range []string{"127.255.255.255", "2fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"} {
		end := netip.MustParseAddr(last)
		half := netip.PrefixFrom(end, map[bool]int{true: 1, false: 4}[end.Is4()])
		var items []string
		for bits := half.Bits() + 1; bits <= end.BitLen(); bits++ {
			p := netip.PrefixFrom(end, bits).Masked()
			items = append(items, netip.PrefixFrom(p.Addr().Prev(), bits).Masked().String())
		}
		require.False(t, trustnet.MustParse(items...).TrustsAll(), last)
		require.True(t, trustnet.MustParse(append(items, last)...).TrustsAll(), last)
	}
}
