package forwarded_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/seed-94e48765/portico/forwarded"
	"github.com/seed-94e48765/portico/trustnet"
)

// plain is a naive resolver that is neither strict nor safe: it skips entries that it cannot
// parse, and does not support ports, brackets, limits or sockets.
func plain(h http.Header, remoteAddr string, trusted *trustnet.Set) netip.Addr {
	host, _, err := net.SplitHostPort(remoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	client, err := netip.ParseAddr(host)
	if err != nil || !trusted.Contains(client) {
		return client
	}
	entries := strings.Split(strings.Join(h.Values("X-Forwarded-For"), ","), ",")
	for i := len(entries) - 1; i >= 0; i-- {
		a, err := netip.ParseAddr(strings.TrimSpace(entries[i]))
		if err != nil {
			continue
		}
		client = a
		if !trusted.Contains(a) {
			break
		}
	}
	return client
}

// compare runs ours and base alternately in small batches. It reports the time of the fastest
// batch of each, which other load affects least, and ours as a multiple of base.
func compare(b *testing.B, unit string, ours, base func()) {
	const batch = 100
	fastest := [2]time.Duration{1 << 62, 1 << 62}
	for n := 0; n < b.N; n += batch {
		for i, f := range []func(){ours, base} {
			start := time.Now()
			for range batch {
				f()
			}
			fastest[i] = min(fastest[i], time.Since(start))
		}
	}
	b.ReportMetric(float64(fastest[0].Nanoseconds())/batch, "ns/op")
	b.ReportMetric(float64(fastest[1].Nanoseconds())/batch, "base-ns/op")
	b.ReportMetric(float64(fastest[0])/float64(fastest[1]), unit)
}

var (
	sinkResult forwarded.Result
	sinkAddr   netip.Addr
)

const benchPeer = "10.0.0.1:41234"

func benchResolver(b *testing.B, header forwarded.Header) (*forwarded.Resolver, *trustnet.Set) {
	set := trustnet.MustParse("10.0.0.0/8", "192.168.0.0/16", "2001:db8:1::/48")
	r, err := forwarded.New(forwarded.Config{Trusted: set, Header: header})
	if err != nil {
		b.Fatal(err)
	}
	return r, set
}

func one(name, value string) http.Header { return http.Header{name: {value}} }

// BenchmarkXForwardedFor reports x/plain, the time as a multiple of the plain
// resolver's.
func BenchmarkXForwardedFor(b *testing.B) {
	r, set := benchResolver(b, forwarded.XForwardedFor)
	for name, h := range map[string]http.Header{
		"1-hop":       one("X-Forwarded-For", "203.0.113.7"),
		"3-hops":      one("X-Forwarded-For", "203.0.113.7, 192.168.4.5, 10.0.0.2"),
		"3-lines":     {"X-Forwarded-For": {"203.0.113.7", "192.168.4.5", "10.0.0.2"}},
		"1-hop-IPv6":  one("X-Forwarded-For", "2001:db8:ffff::1234:5678"),
		"forged-left": one("X-Forwarded-For", "127.0.0.1, 198.51.100.4, 203.0.113.7"),
	} {
		b.Run(name, func(b *testing.B) {
			if got, want := r.Resolve(h, benchPeer).Client, plain(h, benchPeer, set); got != want {
				b.Fatalf("%v, and the plain resolver says %v", got, want)
			}
			compare(b, "x/plain",
				func() { sinkResult = r.Resolve(h, benchPeer) },
				func() { sinkAddr = plain(h, benchPeer, set) })
		})
	}
}

const hostileSize = 8 << 10

// hostileXFF and hostileForwarded are headers of 8 KiB. Some have the client's address at the
// right end, where the nearest proxy wrote it, and some have no start of an entry.
var (
	hostileXFF = map[string]string{
		"client-at-right-end":       fill("9.9.9.9, ") + ", 203.0.113.7",
		"commas-then-client":        fill(",") + ", 203.0.113.7",
		"no-separator":              fill("a"),
		"no-separator-blanks":       "1" + fill(" "),
		"no-separator-digits":       fill("1"),
		"no-separator-colons":       fill(":"),
		"10000-commas":              strings.Repeat(",", 10000),
		"trusted-hops-without-end":  fill("10.0.0.3,") + "10.0.0.3",
		"non-ASCII-without-a-comma": fill("\u00a0"),
	}
	hostileForwarded = map[string]string{
		"client-at-right-end":      fill(`for=9.9.9.9, `) + `, for=203.0.113.7`,
		"open-quote-then-client":   `for="` + fill(`\`) + `, for=203.0.113.7`,
		"no-separator":             fill("a"),
		"no-separator-equals":      fill("a=") + "a",
		"no-separator-blanks":      "a" + fill(" "),
		"one-quoted-string":        `for="` + fill("a") + `"`,
		"unopened-quote":           fill("a") + `"`,
		"escaped-quotes":           `for="` + fill(`\"`) + `"`,
		"backslashes":              fill(`\`) + `"`,
		"pairs-without-end":        fill("a=b;") + "for=203.0.113.7",
		"semicolons":               fill(";"),
		"10000-commas":             strings.Repeat(",", 10000),
		"trusted-hops-without-end": fill("for=10.0.0.3,") + "for=10.0.0.3",
	}
)

func fill(s string) string { return strings.Repeat(s, hostileSize/len(s)) }

// BenchmarkHostile reports x/1-hop, the time as a multiple of that for one
// well-formed entry.
func BenchmarkHostile(b *testing.B) {
	for _, tt := range []struct {
		header forwarded.Header
		one    string
		values map[string]string
	}{
		{header: forwarded.XForwardedFor, one: "203.0.113.7", values: hostileXFF},
		{header: forwarded.Forwarded, one: "for=203.0.113.7", values: hostileForwarded},
	} {
		r, _ := benchResolver(b, tt.header)
		base := one(tt.header.String(), tt.one)
		for name, value := range tt.values {
			h := one(tt.header.String(), value)
			b.Run(tt.header.String()+"/"+name, func(b *testing.B) {
				compare(b, "x/1-hop",
					func() { sinkResult = r.Resolve(h, benchPeer) },
					func() { sinkResult = r.Resolve(base, benchPeer) })
			})
		}
	}
}

func BenchmarkForwarded(b *testing.B) {
	r, _ := benchResolver(b, forwarded.Forwarded)
	for name, value := range map[string]string{
		"1-hop":      `for=203.0.113.7`,
		"1-hop-full": `for=203.0.113.7;host="mail.example.com:8443";proto=https;by="[2001:db8:1::1]:443"`,
		"3-hops":     `for=203.0.113.7;proto=https, for=192.168.4.5, for="[2001:db8:1::1]:4711"`,
	} {
		h := one("Forwarded", value)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sinkResult = r.Resolve(h, benchPeer)
			}
		})
	}
}

func BenchmarkHandler(b *testing.B) {
	for name, c := range map[string]forwarded.Config{
		"plain": {},
		"strip": {Strip: true, Proto: true},
	} {
		c.Trusted = trustnet.MustParse("10.0.0.0/8")
		r, err := forwarded.New(c)
		if err != nil {
			b.Fatal(err)
		}
		h := r.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		req := httptest.NewRequest("GET", "/", nil)
		req.RemoteAddr = benchPeer
		req.Header = http.Header{
			"X-Forwarded-For":   {"203.0.113.7"},
			"X-Forwarded-Proto": {"https"},
			"Accept":            {"*/*"},
			"User-Agent":        {"Mozilla/5.0"},
			"Cookie":            {"a=b"},
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(nil, req)
			}
		})
	}
}
