package forwarded_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/seed-94e48765/portico/forwarded"
	"github.com/seed-94e48765/portico/trustnet"
	"github.com/stretchr/testify/require"
)

// The entry at the position is the client, even if it is on the list. The peer 10.0.0.1 is
// trusted.
func TestTrustedHops(t *testing.T) {
	for _, tt := range []struct {
		name   string
		header forwarded.Header
		hops   int
		lines  []string
		want   forwarded.Result
	}{
		{name: "client and load balancer", hops: 2, lines: []string{"192.0.2.1,198.51.100.3"}, want: result("192.0.2.1", 2, forwarded.CountedHop)},
		{name: "a forged entry before them", hops: 2, lines: []string{"6.6.6.6,192.0.2.1,198.51.100.3"}, want: result("192.0.2.1", 2, forwarded.CountedHop)},
		{name: "a forged line before them", hops: 2, lines: []string{"6.6.6.6", "192.0.2.1,198.51.100.3"}, want: result("192.0.2.1", 2, forwarded.CountedHop)},
		{name: "8 KiB of garbage before them", hops: 2, lines: []string{strings.Repeat("x", 8<<10) + ",192.0.2.1,198.51.100.3"}, want: result("192.0.2.1", 2, forwarded.CountedHop)},
		{name: "one hop", hops: 1, lines: []string{"6.6.6.6, 192.0.2.1"}, want: result("192.0.2.1", 1, forwarded.CountedHop)},
		{name: "a client that is on the list", hops: 1, lines: []string{"192.0.2.1, 10.9.9.9"}, want: result("10.9.9.9", 1, forwarded.CountedHop)},
		{name: "hops that are not on the list", hops: 3, lines: []string{"192.0.2.1, 198.51.100.3, 203.0.113.4"}, want: result("192.0.2.1", 3, forwarded.CountedHop)},
		{name: "fewer entries", hops: 2, lines: []string{"192.0.2.1"}, want: result("192.0.2.1", 1, forwarded.TooFewHops)},
		{name: "fewer entries, all on the list", hops: 3, lines: []string{"10.0.0.3, 10.0.0.2"}, want: result("10.0.0.3", 2, forwarded.TooFewHops)},
		{name: "no header", hops: 1, want: result("10.0.0.1", 0, forwarded.NoHeader)},
		{name: "a malformed client", hops: 2, lines: []string{"x, 198.51.100.3"}, want: result("198.51.100.3", 1, forwarded.Malformed)},
		{name: "a malformed hop is not skipped", hops: 2, lines: []string{"6.6.6.6, 192.0.2.1, x"}, want: result("10.0.0.1", 0, forwarded.Malformed)},
		{name: "an empty hop is not skipped", hops: 2, lines: []string{"6.6.6.6, 192.0.2.1,"}, want: result("10.0.0.1", 0, forwarded.Malformed)},
		{name: "unknown", hops: 2, lines: []string{"unknown, 198.51.100.3"}, want: result("198.51.100.3", 1, forwarded.Obfuscated)},
		{name: "the unspecified address", hops: 1, lines: []string{"0.0.0.0"}, want: result("10.0.0.1", 0, forwarded.Obfuscated)},
		{name: "a loopback client", hops: 2, lines: []string{"127.0.0.1, 198.51.100.3"}, want: result("198.51.100.3", 1, forwarded.Malformed)},
		{name: "an IPv6 loopback client", hops: 1, lines: []string{"::1"}, want: result("10.0.0.1", 0, forwarded.Malformed)},
		{name: "a mapped loopback client", hops: 1, lines: []string{"::ffff:127.9.9.9"}, want: result("10.0.0.1", 0, forwarded.Malformed)},
		{name: "a multicast client", hops: 1, lines: []string{"224.0.0.1"}, want: result("10.0.0.1", 0, forwarded.Malformed)},
		{name: "an IPv6 multicast client", hops: 1, lines: []string{"ff02::1"}, want: result("10.0.0.1", 0, forwarded.Malformed)},
		{name: "a loopback hop, such as a sidecar", hops: 2, lines: []string{"192.0.2.1, 127.0.0.1"}, want: result("192.0.2.1", 2, forwarded.CountedHop)},
		{name: "Forwarded", header: forwarded.Forwarded, hops: 2, lines: []string{`for=6.6.6.6;x=", for=192.0.2.1, for="[2001:db8::3]"`}, want: result("192.0.2.1", 2, forwarded.CountedHop)},
		{name: "Forwarded with fewer elements", header: forwarded.Forwarded, hops: 2, lines: []string{"for=192.0.2.1"}, want: result("192.0.2.1", 1, forwarded.TooFewHops)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newResolver(t, forwarded.Config{Header: tt.header, TrustedHops: tt.hops})
			require.Equal(t, tt.want, r.Resolve(header(tt.header, tt.lines...), peer))
			if len(tt.lines) > 0 {
				require.Equal(t, direct("203.0.113.9", forwarded.UntrustedHeader), r.Resolve(header(tt.header, tt.lines...), "203.0.113.9:80"))
			}
		})
	}
}

func TestTrustedHopsMayBeMaxHops(t *testing.T) {
	r := newResolver(t, forwarded.Config{TrustedHops: 3, MaxHops: 3})
	require.Equal(t, result("192.0.2.1", 3, forwarded.CountedHop), r.Resolve(header(forwarded.XForwardedFor, "6.6.6.6, 192.0.2.1, 10.0.0.3, 10.0.0.2"), peer))
}

// A load balancer whose addresses cannot be listed: every peer is trusted.
func TestCountedHopsWithEveryPeerTrusted(t *testing.T) {
	everyPeer := trustnet.MustParse("0.0.0.0/0", "::/0")
	for _, tt := range []struct {
		name   string
		config forwarded.Config
	}{
		{name: "TrustedHops", config: forwarded.Config{TrustedHops: 1}},
		{name: "SingleHeader", config: forwarded.Config{SingleHeader: "X-Forwarded-For"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.config.Trusted = everyPeer
			_, err := forwarded.New(tt.config)
			require.ErrorIs(t, err, trustnet.ErrTrustsAll)
			tt.config.AllowTrustAll = true
			r := newResolver(t, tt.config)
			res := r.Resolve(header(forwarded.XForwardedFor, "192.0.2.1"), "203.0.113.9:80")
			require.Equal(t, forwarded.CountedHop, res.Reason)
			require.Equal(t, addr("192.0.2.1"), res.Client)
		})
	}
}

func TestSingleHeader(t *testing.T) {
	const name = "cf-connecting-IP" // the case does not matter
	malformed := result("10.0.0.1", 0, forwarded.Malformed)
	for _, tt := range []struct {
		name  string
		lines []string
		want  forwarded.Result
	}{
		{name: "an address", lines: []string{"192.0.2.1"}, want: result("192.0.2.1", 1, forwarded.CountedHop)},
		{name: "an IPv6 address", lines: []string{" 2001:db8::7\t"}, want: result("2001:db8::7", 1, forwarded.CountedHop)},
		{name: "an address with a port", lines: []string{"192.0.2.1:4711"}, want: result("192.0.2.1", 1, forwarded.CountedHop)},
		{name: "a mapped address", lines: []string{"::ffff:192.0.2.1"}, want: result("192.0.2.1", 1, forwarded.CountedHop)},
		{name: "an address that is on the list", lines: []string{"10.9.9.9"}, want: result("10.9.9.9", 1, forwarded.CountedHop)},
		{name: "no line", want: result("10.0.0.1", 0, forwarded.NoHeader)},
		{name: "two lines", lines: []string{"192.0.2.1", "192.0.2.1"}, want: malformed},
		{name: "a list", lines: []string{"6.6.6.6, 192.0.2.1"}, want: malformed},
		{name: "an empty line", lines: []string{""}, want: malformed},
		{name: "blanks", lines: []string{" \t"}, want: malformed},
		{name: "garbage", lines: []string{"client.example.com"}, want: malformed},
		{name: "unknown", lines: []string{"unknown"}, want: malformed},
		{name: "the unspecified address", lines: []string{"::"}, want: malformed},
		{name: "loopback", lines: []string{"127.0.0.1"}, want: malformed},
		{name: "multicast", lines: []string{"ff02::1"}, want: malformed},
		{name: "an element of Forwarded", lines: []string{"for=192.0.2.1"}, want: malformed},
		{name: "8 KiB of blanks", lines: []string{strings.Repeat(" ", 8<<10) + "192.0.2.1"}, want: malformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{
				"X-Forwarded-For":  {"6.6.6.6"}, // not read
				"Forwarded":        {"for=6.6.6.6"},
				"Cf_connecting_ip": {"6.6.6.6"},
				name:               {"6.6.6.6"}, // net/http never makes such a key
			}
			if tt.lines != nil {
				h["Cf-Connecting-Ip"] = tt.lines
			}
			for _, list := range []forwarded.Header{forwarded.XForwardedFor, forwarded.Forwarded} {
				r := newResolver(t, forwarded.Config{SingleHeader: name, Header: list})
				require.Equal(t, tt.want, r.Resolve(h, peer))
				require.Equal(t, direct("203.0.113.9", forwarded.UntrustedHeader), r.Resolve(h, "203.0.113.9:80"))
			}
		})
	}
}

func TestUntrustedSingleHeader(t *testing.T) {
	h := http.Header{"X-Example-Client": {"192.0.2.1"}}
	require.Equal(t, direct("203.0.113.9", forwarded.UntrustedPeer), newResolver(t, forwarded.Config{}).Resolve(h, "203.0.113.9:80"))
	r := newResolver(t, forwarded.Config{SingleHeader: "X-Example-Client"})
	require.Equal(t, direct("203.0.113.9", forwarded.UntrustedHeader), r.Resolve(h, "203.0.113.9:80"))
}

func TestExplainOfASingleHeader(t *testing.T) {
	r := newResolver(t, forwarded.Config{SingleHeader: "CF-Connecting-IP"})
	req := requestFrom(nil, peer, "6.6.6.6")
	explain := func(lines ...string) (texts []string) {
		req.Header["Cf-Connecting-Ip"] = lines
		for _, hop := range r.Explain(req) {
			texts = append(texts, hop.String())
		}
		return texts
	}
	const connection = `connection "10.0.0.1:41234": trusted, so its CF-Connecting-IP is read`
	require.Equal(t, []string{connection, `CF-Connecting-IP "192.0.2.1": the header has one address, so it is the client [CountedHop]`}, explain("192.0.2.1"))
	require.Equal(t, []string{connection, `CF-Connecting-IP "192.0.2.1, 192.0.2.2": the header has more than one line, so the hop before it is the last one that is known [Malformed]`}, explain("192.0.2.1", "192.0.2.2"))
	require.Equal(t, []string{`connection "10.0.0.1:41234": trusted, but the request has no CF-Connecting-IP [NoHeader]`}, explain())
}
