package proxyproto_test

import (
	"net"
	"slices"
	"testing"
	"time"

	peer "github.com/pires/go-proxyproto"
	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/stretchr/testify/require"
)

// BenchmarkBannerLatency prints the time from connect to banner for a direct client of a server
// that sends first. go-proxyproto with the policy REJECT, which refuses forged headers, waits
// for its header timeout first. The timeout is 20 ms here. Its default is printed, too.
func BenchmarkBannerLatency(b *testing.B) {
	const timeout = 20 * time.Millisecond
	benchLatency(b, way{name: "direct"}, timeout, func(net.Listener) {})
	b.ReportMetric(timeout.Seconds()*1e3, pires+"-timeout-ms")
	b.ReportMetric(peer.DefaultReadHeaderTimeout.Seconds()*1e3, pires+"-default-timeout-ms")
}

// BenchmarkLatencyWithSilentPeers prints the time from connect to banner for a client behind a
// proxy while 1,000 other connections from the proxy are silent.
func BenchmarkLatencyWithSilentPeers(b *testing.B) {
	const silent = 1000
	benchLatency(b, way{name: "trusted", trusted: true, header: v2Header(b)}, time.Minute, func(l net.Listener) {
		connect(b, l, silent, "")
		if l, ok := l.(*proxyproto.Listener); ok {
			require.Eventually(b, func() bool { return l.Stats().Pending == silent }, patience, time.Millisecond)
			b.Cleanup(func() { require.Equal(b, silent, l.Stats().Pending) })
		}
	})
}

// benchLatency prints the latency of 200 clients of each contender, one at a time.
func benchLatency(b *testing.B, w way, timeout time.Duration, prepare func(net.Listener)) {
	const rounds, each = 20, 10
	clients := startChild(b, "clients")
	listeners := map[string]net.Listener{}
	visit := func(contender string) (waited []time.Duration) {
		clients.ask(b, guests{Addr: listeners[contender].Addr().String(), Header: w.header, Conns: each, Workers: 1, Timed: true}, &waited)
		return waited
	}
	for _, c := range contenders {
		listeners[c] = w.mustListen(b, c, timeout)
		go greet(listeners[c], w.skip(c))
		prepare(listeners[c])
		visit(c)
	}
	ms := series{}
	for b.Loop() {
		inTurns(rounds, func(contender string) {
			for _, d := range visit(contender) {
				ms.add(contender, d.Seconds()*1e3)
			}
		})
	}
	for _, c := range contenders {
		b.ReportMetric(percentile(ms[c], 50), c+"-p50-ms")
		b.ReportMetric(percentile(ms[c], 99), c+"-p99-ms")
		b.ReportMetric(slices.Max(ms[c]), c+"-max-ms")
	}
	b.ReportMetric(0, "ns/op")
}
