package trustnet_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/trustnet"
)

func TestUnionAndWithout(t *testing.T) {
	tests := []struct {
		name, s, o     string
		union, without string
	}{
		{name: "disjoint", s: "10.0.0.0/8", o: "192.0.2.1", union: "10.0.0.0/8,192.0.2.1", without: "10.0.0.0/8"},
		{name: "equal", s: "10.0.0.0/8,unix", o: "10.0.0.0/8,unix", union: "10.0.0.0/8,unix", without: ""},
		{name: "a part", s: "10.0.0.0/30", o: "10.0.0.1", union: "10.0.0.0/30", without: "10.0.0.0,10.0.0.2/31"},
		{name: "the whole", s: "10.0.0.1,10.0.0.3", o: "10.0.0.0/30", union: "10.0.0.0/30", without: ""},
		{name: "halves join", s: "10.0.0.0/9", o: "10.128.0.0/9", union: "10.0.0.0/8", without: "10.0.0.0/9"},
		{name: "one excluded network over several", s: "10.0.0.0/16,10.2.0.0/16,11.0.0.0/8", o: "10.0.0.0/8", union: "10.0.0.0/7", without: "11.0.0.0/8"},
		{name: "several excluded in one", s: "10.0.0.0/29", o: "9.0.0.0/8,10.0.0.0,10.0.0.4/31,10.0.0.7,11.0.0.0/8", union: "9.0.0.0/8,10.0.0.0/29,11.0.0.0/8", without: "10.0.0.1,10.0.0.2/31,10.0.0.6"},
		{name: "families apart", s: "0.0.0.0/0,::/0", o: "::/0", union: "0.0.0.0/0,::/0", without: "0.0.0.0/0"},
		{name: "the ends", s: "255.255.255.254/31,::/127", o: "255.255.255.255,::", union: "255.255.255.254/31,::/127", without: "255.255.255.254,::1"},
		{name: "unix added", s: "::1", o: "unix", union: "::1,unix", without: "::1"},
		{name: "unix removed", s: "::1,unix", o: "unix", union: "::1,unix", without: "::1"},
		{name: "unix stays", s: "unix", o: "::1", union: "::1,unix", without: "unix"},
		{name: "nothing added", s: "::1,unix", o: "", union: "::1,unix", without: "::1,unix"},
		{name: "from nothing", s: "", o: "::1,unix", union: "::1,unix", without: ""},
	}
	parse := func(list string) *trustnet.Set {
		if list == "" {
			return nil
		}
		return trustnet.MustParse(list)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, o := parse(tt.s), parse(tt.o)
			require.Equal(t, tt.union, s.Union(o).String())
			require.Equal(t, tt.union, o.Union(s).String())
			require.Equal(t, tt.without, s.Without(o).String())
			require.Equal(t, tt.s, s.String(), "the operands do not change")
			require.Equal(t, tt.o, o.String(), "the operands do not change")
		})
	}
}

func TestContainsOfUnionAndWithout(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		var lists [3][]netip.Prefix
		var sets [3]*trustnet.Set
		var all []netip.Prefix
		for i := range lists {
			for range rnd.IntN(30) {
				lists[i] = append(lists[i], randomPrefix(rnd))
			}
			var err error
			sets[i], err = trustnet.FromPrefixes(lists[i]...)
			require.NoError(t, err)
			all = append(all, lists[i]...)
		}
		s := sets[0].Without(sets[1]).Union(sets[2])
		requireMinimal(t, s)
		for _, p := range append(all, s.Prefixes()...) {
			for _, a := range []netip.Addr{p.Addr(), p.Addr().Prev(), lastAddr(p), lastAddr(p).Next(), randomPrefix(rnd).Addr()} {
				want := scan(lists[0], a) && !scan(lists[1], a) || scan(lists[2], a)
				require.Equal(t, want, s.Contains(a), "%v in %v", a, s)
			}
		}
	}
}
