package trustnet_test

import (
	"net/netip"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/trustnet"
)

var (
	_ trustnet.Source = (*trustnet.Set)(nil)
	_ trustnet.Source = (*trustnet.Live)(nil)
)

func TestSetIsItsOwnSource(t *testing.T) {
	s := trustnet.MustParse("::1")
	require.Same(t, s, s.Trusted())
	var none *trustnet.Set
	require.Nil(t, none.Trusted())
}

func TestLiveGivesWhatWasStoredLast(t *testing.T) {
	var live trustnet.Live
	localhost := netip.MustParseAddr("::1")
	require.True(t, live.Trusted().IsEmpty(), "the zero value trusts no peer")
	require.False(t, live.Trusted().Contains(localhost))

	s := trustnet.MustParse("::1")
	live.Store(s)
	require.Same(t, s, live.Trusted())
	snapshot := live.Trusted()

	live.Store(nil)
	require.False(t, live.Trusted().Contains(localhost))
	require.True(t, snapshot.Contains(localhost), "a snapshot does not change")

	var none *trustnet.Live
	require.True(t, none.Trusted().IsEmpty(), "a nil Live trusts no peer")
}

// A snapshot is exactly one of the stored lists.
func TestLiveConcurrentStores(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	sets := []*trustnet.Set{trustnet.MustParse("192.0.2.0/24"), trustnet.MustParse("2001:db8::/32")}
	var live trustnet.Live
	live.Store(sets[0])
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i := range 1000 {
				live.Store(sets[i%2])
			}
		})
	}
	torn := make([]int, 4)
	for i := range torn {
		wg.Go(func() {
			for range 1000 {
				if s := live.Trusted(); s.Contains(a) == s.Contains(b) {
					torn[i]++
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, make([]int, len(torn)), torn)
}
