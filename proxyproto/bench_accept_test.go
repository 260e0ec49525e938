package proxyproto_test

import (
	"net"
	"runtime"
	"testing"
	"time"
)

// BenchmarkAccept prints the cost for a server to accept a connection, read its header, greet
// the client and close, without the clients. A direct client of go-proxyproto sends first,
// because otherwise it would wait for its greeting until the header timeout.
func BenchmarkAccept(b *testing.B) {
	for _, bm := range []struct {
		way
		rounds int
	}{
		{way{name: "trusted-v2", trusted: true, header: v2Header(b)}, 40},
		{way{name: "direct", header: "E"}, 40},
		{way{name: "optional-v2", trusted: true, header: v2Header(b), optional: true}, 20},
		{way{name: "trusted-v1", trusted: true, header: v1Header(b)}, 20},
		{way{name: "trusted-v2-options", trusted: true, header: v2OptsHeader(b)}, 20},
	} {
		b.Run(bm.name, func(b *testing.B) {
			const conns = 250
			clients := startChild(b, "clients")
			listeners := map[string]net.Listener{}
			visit := func(contender string) {
				clients.ask(b, guests{Addr: listeners[contender].Addr().String(), Header: bm.header, Conns: conns, Workers: 4}, new([]time.Duration))
			}
			for _, c := range contenders {
				listeners[c] = bm.mustListen(b, c, 0)
				go greet(listeners[c], bm.skip(c))
				visit(c)
			}
			wall, cpu, allocs, bytes := series{}, series{}, series{}, series{}
			for b.Loop() {
				inTurns(bm.rounds, func(contender string) {
					var before, after runtime.MemStats
					runtime.GC()
					runtime.ReadMemStats(&before)
					cpu0, start := cpuTime(), time.Now()
					visit(contender)
					wall.add(contender, float64(time.Since(start))/conns)
					cpu.add(contender, float64(cpuTime()-cpu0)/conns)
					runtime.ReadMemStats(&after)
					allocs.add(contender, float64(after.Mallocs-before.Mallocs)/conns)
					bytes.add(contender, float64(after.TotalAlloc-before.TotalAlloc)/conns)
				})
			}
			allocs.report(b, "allocs/conn")
			bytes.report(b, "B/conn")
			b.ReportMetric(median(wall[raw]), "raw-ns/conn")
			wall.reportRatios(b, "wall")
			cpu.reportRatios(b, "cpu")
		})
	}
}
