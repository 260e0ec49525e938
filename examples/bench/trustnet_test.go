package bench

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"go4.org/netipx"

	"github.com/seed-94e48765/portico/examples/bench/internal/measure"
	"github.com/seed-94e48765/portico/trustnet"
)

// BenchmarkContains compares trustnet.Set.Contains with netipx.IPSet.Contains.
// There are many random queries, so that the branch predictor cannot learn them. A server
// cannot predict the next peer's address either.
func BenchmarkContains(b *testing.B) {
	for _, family := range []string{"ipv4", "ipv6"} {
		for _, networks := range []int{3, 20, 200, 10_000} {
			rnd := rand.New(rand.NewPCG(uint64(networks), 1))
			ours, theirs, prefixes := randomSets(b, rnd, family, networks)
			for _, want := range []bool{true, false} {
				name := map[bool]string{true: "hit", false: "miss"}[want]
				queries := randomQueries(rnd, theirs, prefixes, want)
				b.Run(fmt.Sprintf("%s/networks=%d/%s", family, networks, name), func(b *testing.B) {
					compareContains(b, ours, theirs, queries, want)
				})
			}
		}
	}
}

// compareContains times both on blocks of the same queries. They take turns to be first, so
// that caches favour neither. The medians over the blocks are reported, which other load on
// the machine disturbs little.
func compareContains(b *testing.B, ours *trustnet.Set, theirs *netipx.IPSet, queries []netip.Addr, want bool) {
	const block = 512
	wrong := 0
	timeOurs := func(q []netip.Addr) float64 {
		start := time.Now()
		for _, a := range q {
			if ours.Contains(a) != want {
				wrong++
			}
		}
		return float64(time.Since(start)) / float64(len(q))
	}
	timeTheirs := func(q []netip.Addr) float64 {
		start := time.Now()
		for _, a := range q {
			if theirs.Contains(a) != want {
				wrong++
			}
		}
		return float64(time.Since(start)) / float64(len(q))
	}

	turns := max((b.N+block-1)/block, len(queries)/block) // with -benchtime 1x, too, each query once
	oursTimes, theirsTimes, ratios := make([]float64, turns), make([]float64, turns), make([]float64, turns)
	b.ResetTimer()
	for i := range turns {
		at := i * block % len(queries)
		q := queries[at : at+block]
		if i%2 == 0 {
			oursTimes[i] = timeOurs(q)
			theirsTimes[i] = timeTheirs(q)
		} else {
			theirsTimes[i] = timeTheirs(q)
			oursTimes[i] = timeOurs(q)
		}
		ratios[i] = oursTimes[i] / theirsTimes[i]
	}
	b.StopTimer()
	if wrong > 0 {
		b.Fatalf("%d wrong answers", wrong)
	}
	b.ReportMetric(0, "ns/op") // hides the sum of both
	b.ReportMetric(measure.Median(oursTimes), "portico-ns/op")
	b.ReportMetric(measure.Median(theirsTimes), "netipx-ns/op")
	b.ReportMetric(measure.Median(ratios), "ratio")
}

// randomSets returns n random networks of one family, and the same set of them for both
// packages. The networks have /12 to /32 for IPv4 and /29 to /128 for IPv6.
func randomSets(b *testing.B, rnd *rand.Rand, family string, n int) (*trustnet.Set, *netipx.IPSet, []netip.Prefix) {
	var prefixes []netip.Prefix
	var builder netipx.IPSetBuilder
	for len(prefixes) < n {
		bits := 12 + rnd.IntN(21)
		if family == "ipv6" {
			bits = 29 + rnd.IntN(100)
		}
		p := netip.PrefixFrom(randomAddr(rnd, family), bits).Masked()
		prefixes = append(prefixes, p)
		builder.AddPrefix(p)
	}
	ours, err := trustnet.FromPrefixes(prefixes...)
	if err != nil {
		b.Fatal(err)
	}
	theirs, err := builder.IPSet()
	if err != nil {
		b.Fatal(err)
	}
	return ours, theirs, prefixes
}

// randomQueries returns addresses that are all in the set if hit is true, and otherwise all
// outside.
func randomQueries(rnd *rand.Rand, set *netipx.IPSet, prefixes []netip.Prefix, hit bool) []netip.Addr {
	queries := make([]netip.Addr, 0, 1<<15)
	for len(queries) < cap(queries) {
		p := prefixes[rnd.IntN(len(prefixes))]
		var a netip.Addr
		switch {
		case hit: // random host in a random network
			a = within(rnd, p)
		case p.Addr().Is4():
			a = randomAddr(rnd, "ipv4")
		default:
			a = randomAddr(rnd, "ipv6")
		}
		if set.Contains(a) == hit {
			queries = append(queries, a)
		}
	}
	return queries
}

// randomAddr returns an address between 1.0.0.0 and 223.255.255.255 or in 2000::/3.
func randomAddr(rnd *rand.Rand, family string) netip.Addr {
	if family == "ipv4" {
		return netip.AddrFrom4([4]byte{byte(1 + rnd.IntN(223)), byte(rnd.Uint32()), byte(rnd.Uint32()), byte(rnd.Uint32())})
	}
	return within(rnd, netip.MustParsePrefix("2000::/3"))
}

// within returns a random address of p.
func within(rnd *rand.Rand, p netip.Prefix) netip.Addr {
	bytes := p.Addr().AsSlice()
	for i := range bytes {
		free := max(0, min(8, 8*(i+1)-p.Bits())) // low bits of this byte that are the host's
		bytes[i] |= byte(rnd.UintN(1 << free))
	}
	a, _ := netip.AddrFromSlice(bytes)
	return a
}
