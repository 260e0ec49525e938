package proxyproto_test

import "testing"

// BenchmarkRelay prints the throughput of a relay that uses io.Copy, in both directions.
// TestRelaySplices shows the reason.
func BenchmarkRelay(b *testing.B) {
	const rounds, size = 30, 16 << 20
	for _, bm := range []struct {
		way
		down bool
	}{
		{way{name: "trusted-up", trusted: true, header: v2Header(b)}, false},
		{way{name: "trusted-down", trusted: true, header: v2Header(b)}, true},
		{way{name: "direct-up", header: "E"}, false},
		{way{name: "direct-down", header: "E"}, true},
	} {
		b.Run(bm.name, func(b *testing.B) {
			pushTo := map[string]func() float64{}
			for _, c := range contenders {
				r := hop{Front: c, Back: raw, Trusted: bm.trusted, Down: bm.down, Skip: bm.skip(c)}
				if !bm.trusted {
					r.Skip = len(bm.header)
				}
				var addrs []string
				startChild(b, "relay").ask(b, r, &addrs)
				pushTo[c] = func() float64 { return push(b, r, addrs, bm.header, size).Seconds() }
				pushTo[c]()
			}
			seconds := series{}
			for b.Loop() {
				inTurns(rounds, func(contender string) { seconds.add(contender, pushTo[contender]()) })
			}
			b.ReportMetric(size/median(seconds[raw])/1e6, "raw-MB/s")
			seconds.reportRatios(b, "time")
		})
	}
}
