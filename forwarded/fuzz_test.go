package forwarded_test

import (
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-94e48765/portico/forwarded"
	"github.com/seed-94e48765/portico/trustnet"
	"github.com/stretchr/testify/require"
)

// Each fuzz target is named after a property of the walk.

var fuzzSet = trustnet.MustParse(proxies)

// A variant is a resolver of a list: by address or by count, of each header.
type variant struct {
	*forwarded.Resolver
	header forwarded.Header
	count  int
}

func byAddressAndCount(t testing.TB, c forwarded.Config) (all []variant) {
	c.Trusted = fuzzSet
	for _, c.Header = range []forwarded.Header{forwarded.XForwardedFor, forwarded.Forwarded} {
		for _, c.TrustedHops = range []int{0, 1, 2} {
			all = append(all, variant{newResolver(t, c), c.Header, c.TrustedHops})
		}
	}
	return all
}

// seeds are header values with all kinds of entries.
var seeds = []string{
	"", ",", " ", "192.0.2.1", "10.0.0.2", "6.6.6.6, 192.0.2.1", "192.0.2.1, 10.0.0.3, 10.0.0.2",
	"[2001:db8::1]:80, 10.0.0.2:1", "::ffff:10.0.0.2", "fe80::1%eth0", "[fe80::1%25eth0]", "::1:80", "unknown", "_x", "0.0.0.0", "::",
	"1.2.3.4,\u00a010.0.0.2", "10.0.0.2,\x00", "1.2.3.256", "01.2.3.4", "::1.2.3.4", "::1.2.3.04", "1::2::3", "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:8::",
	"for=192.0.2.1", "for=10.0.0.2;proto=https, for=10.0.0.3;by=_x", `for="[2001:db8:a::1]:4711"`, `for="_x:_y"`, `for="unknown:1"`,
	`for="1.2.3.4, for=192.0.2.1`, `for=192.0.2.1;x="a,b"`, `for=192.0.2.1;x="a\"b\\"`, `for="1\.2.3.4"`, `for=192.0.2.1;x="`, `for=192.0.2.1;x=a"`,
	`for=6.6.6.6;a="`, `for=1.1.1.1;z="x, for=6.6.6.6;a="`, `, for=1.2.3.4;host=a"`, `for=_a;for=_b`, `;;for=10.0.0.2;`, "For=10.0.0.2 ; Proto=HTTP", `a\`, `"`, `\"`,
}

// addSeeds adds each seed as the last of n strings. The fuzzer finds the combinations.
func addSeeds(f *testing.F, n int) {
	for i, s := range seeds {
		for _, step := range []int{1, 7, 19} {
			other := seeds[(i+step)%len(seeds)]
			switch n {
			case 1:
				f.Add(s)
			case 2:
				f.Add(other, s)
			case 3:
				f.Add(seeds[(i+3*step)%len(seeds)], other, s)
			}
		}
	}
}

// FuzzClientIsInHeader compares every Result with that of the oracle.
func FuzzClientIsInHeader(f *testing.F) {
	addSeeds(f, 3)
	resolvers := byAddressAndCount(f, forwarded.Config{MaxHops: 4})
	f.Fuzz(func(t *testing.T, a, b, c string) {
		for _, r := range resolvers {
			for _, lines := range [][]string{nil, {a}, {a, b}, {a, b, c}} {
				res := r.Resolve(header(r.header, lines...), peer)
				require.Equal(t, oracle(r.header, lines, peerA, fuzzSet, 4, r.count), res, "%v %d %q", r.header, r.count, lines)
			}
		}
	})
}

func FuzzHeadersOfUntrustedPeer(f *testing.F) {
	for _, remoteAddr := range []string{"", "@", "nonsense", "203.0.113.9:80", "[::1]:80", "10.0.0.1", "[::ffff:203.0.113.9]:1", "fe80::1%eth0"} {
		for _, value := range seeds {
			f.Add(remoteAddr, value)
		}
	}
	resolvers := byAddressAndCount(f, forwarded.Config{Proto: true})
	f.Fuzz(func(t *testing.T, remoteAddr, value string) {
		for _, r := range resolvers {
			bare := r.Resolve(nil, remoteAddr)
			if bare.Reason == forwarded.NoHeader {
				require.True(t, fuzzSet.Contains(bare.Peer))
				continue
			}
			h := header(r.header, value)
			h["X-Forwarded-Proto"] = []string{"https"}
			want := bare
			if want.Reason == forwarded.UntrustedPeer {
				want.Reason = forwarded.UntrustedHeader
			}
			require.Equal(t, want, r.Resolve(h, remoteAddr))
			require.Zero(t, bare.Hops)
			require.Empty(t, bare.Proto)
			require.Equal(t, bare.Peer, bare.Client)
			if ap, err := netip.ParseAddrPort(remoteAddr); err != nil {
				require.Equal(t, forwarded.NoPeer, bare.Reason, "%q", remoteAddr)
			} else if bare.Reason != forwarded.NoPeer {
				require.Equal(t, forwarded.UntrustedPeer, bare.Reason)
				require.Equal(t, ap.Addr().WithZone("").Unmap(), bare.Client)
			}
		}
	})
}

func FuzzEnlargingTrustedNeverLowersHops(f *testing.F) {
	for _, value := range seeds {
		f.Add(value, []byte{192, 0, 2, 1, 24}, uint8(3))
		f.Add("192.0.2.1, 192.0.2.2,"+value, []byte{192, 0, 2, 2, 32, 192, 0, 2, 1, 8}, uint8(1))
	}
	f.Fuzz(func(t *testing.T, value string, extra []byte, maxHops uint8) {
		networks := fuzzSet.Prefixes()
		for len(extra) >= 5 && len(networks) < 10 {
			p, err := netip.AddrFrom4([4]byte(extra)).Prefix(int(extra[4]) % 33)
			require.NoError(t, err)
			networks = append(networks, p)
			extra = extra[5:]
		}
		larger, err := trustnet.FromPrefixes(networks...)
		require.NoError(t, err)
		for _, name := range []forwarded.Header{forwarded.XForwardedFor, forwarded.Forwarded} {
			c := forwarded.Config{Header: name, MaxHops: int(maxHops), AllowTrustAll: true, Trusted: fuzzSet}
			before := newResolver(t, c).Resolve(header(name, value), peer)
			c.Trusted = larger
			after := newResolver(t, c).Resolve(header(name, value), peer)
			require.GreaterOrEqual(t, after.Hops, before.Hops, "%v", larger)
			if before.Reason != forwarded.UntrustedHop {
				require.Equal(t, before, after, "trusted as far as it could be read")
			}
		}
	})
}

func FuzzClientIsUnmappedAndZoneFree(f *testing.F) {
	addSeeds(f, 2)
	resolvers := byAddressAndCount(f, forwarded.Config{})
	f.Fuzz(func(t *testing.T, value, remoteAddr string) {
		for _, r := range resolvers {
			for _, from := range []string{peer, remoteAddr} {
				res := r.Resolve(header(r.header, value), from)
				for _, a := range []netip.Addr{res.Client, res.Last, res.Peer} {
					require.Equal(t, a, a.Unmap().WithZone(""))
				}
			}
		}
	})
}

// spell writes a in one of the ways that the header allows.
func spell(rnd *rand.Rand, name forwarded.Header, a netip.Addr) string {
	if a.Is4() && rnd.IntN(3) == 0 {
		a = netip.AddrFrom16(a.As16())
	}
	s := a.String()
	if a.Is6() {
		switch rnd.IntN(3) {
		case 0:
			s = strings.ToUpper(s)
		case 1:
			s = a.StringExpanded()
		}
		if rnd.IntN(3) == 0 {
			s += "%eth" + strconv.Itoa(rnd.IntN(10))
		}
		if name == forwarded.Forwarded || rnd.IntN(2) == 0 {
			s = "[" + s + "]"
		}
	}
	port := ""
	if a.Is4() || s[0] == '[' {
		switch rnd.IntN(4) {
		case 0:
			port = ":" + strconv.Itoa(rnd.IntN(1<<16))
		case 1:
			if name == forwarded.Forwarded {
				port = ":_p" + strconv.Itoa(rnd.IntN(10))
			}
		}
	}
	s += port
	if name == forwarded.Forwarded {
		if s[0] == '[' || port != "" || rnd.IntN(2) == 0 {
			if rnd.IntN(4) == 0 {
				i := rnd.IntN(len(s))
				s = s[:i] + `\` + s[i:]
			}
			s = `"` + s + `"`
		}
		s = []string{"for=", "For=", "FOR=", "proto=http;for=", `x="a,\"b" ; fOR=`}[rnd.IntN(5)] + s
		s += []string{"", ";", ";proto=https", `;by="_x:_y";host="h:1"`, "\t;x=1"}[rnd.IntN(5)]
		if strings.Count(s, "proto=") > 1 {
			s = strings.Replace(s, "proto=", "ext=", 1)
		}
	}
	blank := []string{"", " ", "\t", " \t "}
	return blank[rnd.IntN(4)] + s + blank[rnd.IntN(4)]
}

func FuzzRespellingHopChangesNothing(f *testing.F) {
	f.Add([]byte{192, 0, 2, 1, 10, 0, 0, 3}, uint64(1))
	f.Add([]byte{192, 0, 2, 1, 10, 0, 0, 3, 10, 0, 0, 2, 10, 9, 8, 7}, uint64(7))
	f.Add([]byte("\xff 01\r\xb8\x00\x0a\x00\x00\x00\x00\x00\x00\x00\x01 \x01\r\xb8\x00\x0a\x00\x00\x00\x00\x00\x00\x00\x02"), uint64(3))
	resolvers := byAddressAndCount(f, forwarded.Config{})
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		var hops []netip.Addr
		for len(data) >= 4 && len(hops) < 6 {
			if data[0]%3 == 0 && len(data) >= 16 {
				a := netip.AddrFrom16([16]byte(data)).Unmap()
				hops, data = append(hops, a), data[16:]
			} else {
				a := netip.AddrFrom4([4]byte(data))
				if data[0]%3 == 1 { // trusted, so that the walk continues
					a = netip.AddrFrom4([4]byte{10, data[1], data[2], data[3]})
				}
				hops, data = append(hops, a), data[4:]
			}
		}
		rnd := rand.New(rand.NewPCG(seed, 0))
		for _, r := range resolvers {
			var plain, respelled []string
			for _, a := range hops {
				switch {
				case r.header == forwarded.XForwardedFor:
					plain = append(plain, a.String())
				case a.Is6():
					plain = append(plain, `for="[`+a.String()+`]"`)
				default:
					plain = append(plain, "for="+a.String())
				}
				respelled = append(respelled, spell(rnd, r.header, a))
			}
			require.Equal(t, r.Resolve(header(r.header, plain...), peer), r.Resolve(header(r.header, respelled...), peer), "%q", respelled)
		}
	})
}

func FuzzLinesEqualOneLineWithCommas(f *testing.F) {
	addSeeds(f, 3)
	resolvers := byAddressAndCount(f, forwarded.Config{Proto: true, MaxHops: 5})
	f.Fuzz(func(t *testing.T, a, b, c string) {
		for _, r := range resolvers {
			want := r.Resolve(header(r.header, a+","+b+","+c), peer)
			for _, lines := range [][]string{{a, b, c}, {a + "," + b, c}, {a, b + "," + c}} {
				require.Equal(t, want, r.Resolve(header(r.header, lines...), peer), "%v %d %q", r.header, r.count, lines)
			}
		}
	})
}

// An application that does not check ClientKnown must not use another address as the client's.
func FuzzUnknownClientIsZeroAddr(f *testing.F) {
	for i, value := range seeds {
		f.Add(value, seeds[(i+5)%len(seeds)], peer)
		f.Add("192.0.2.1, "+value, "", []string{peer, "0.0.0.0:80", "@", "203.0.113.9:80"}[i%4])
	}
	all := byAddressAndCount(f, forwarded.Config{Proto: true, MaxHops: 4})
	all = append(all, variant{Resolver: newResolver(f, forwarded.Config{SingleHeader: "X-Forwarded-For"})})
	known := map[forwarded.Reason]bool{forwarded.UntrustedPeer: true, forwarded.UntrustedHeader: true, forwarded.UntrustedHop: true, forwarded.CountedHop: true}
	f.Fuzz(func(t *testing.T, a, b, remoteAddr string) {
		for _, r := range all {
			for _, lines := range [][]string{nil, {a}, {a, b}} {
				res := r.Resolve(header(r.header, lines...), remoteAddr)
				require.Equal(t, known[res.Reason], res.ClientKnown(), "%v", res.Reason)
				if !res.ClientKnown() {
					require.Equal(t, netip.Addr{}, res.Client)
					continue
				}
				require.Equal(t, res.Last, res.Client)
				require.False(t, res.Client.IsUnspecified())
				if res.Reason == forwarded.CountedHop {
					require.False(t, res.Client.IsLoopback() || res.Client.IsMulticast(), "%v", res.Client)
				}
			}
		}
	})
}

// The proxies wrote value, and the client sent left, in the same line and in a separate line.
func FuzzBytesLeftOfKnownClient(f *testing.F) {
	addSeeds(f, 2)
	resolvers := byAddressAndCount(f, forwarded.Config{Proto: true, MaxHops: 5})
	f.Fuzz(func(t *testing.T, left, value string) {
		for _, r := range resolvers {
			want := r.Resolve(header(r.header, value), peer)
			if !want.ClientKnown() {
				continue
			}
			for _, lines := range [][]string{{left + "," + value}, {left, value}, {left, left, left + ",," + value}} {
				require.Equal(t, want, r.Resolve(header(r.header, lines...), peer), "%v %d %q", r.header, r.count, lines)
			}
		}
	})
}

// Elements to the left do not remove or change a hop, and an entry that ended the walk still
// ends it. The exception is a Forwarded element with a closing quote and no opening quote. Its
// meaning depends on the text to its left.
func FuzzElementsLeftOfUnknownClient(f *testing.F) {
	addSeeds(f, 2)
	resolvers := byAddressAndCount(f, forwarded.Config{MaxHops: 5})
	f.Fuzz(func(t *testing.T, left, value string) {
		for _, r := range resolvers {
			if _, ok := leftToRight(left); !ok && r.header == forwarded.Forwarded {
				continue // not whole elements
			}
			before := r.Resolve(header(r.header, value), peer)
			if before.ClientKnown() {
				continue
			}
			extended := header(r.header, left, value)
			after := r.Resolve(extended, peer)
			switch before.Reason {
			case forwarded.AllTrusted, forwarded.TooFewHops:
			case forwarded.Malformed:
				if r.header == forwarded.Forwarded && strings.Contains(value, `"`) {
					break
				}
				require.Equal(t, before, after)
			default:
				require.Equal(t, before, after)
			}
			require.GreaterOrEqual(t, after.Hops, before.Hops)
			walked := func(h http.Header) []netip.Addr {
				req := requestFrom(nil, peer)
				req.Header = h
				var addrs []netip.Addr
				for _, hop := range r.Explain(req)[:before.Hops+1] {
					addrs = append(addrs, hop.Addr)
				}
				return addrs
			}
			require.Equal(t, walked(header(r.header, value)), walked(extended))
		}
	})
}

// In a valid header, the walk from right to left finds the elements that the grammar finds
// from left to right.
func FuzzForwardedReadsSameFromBothEnds(f *testing.F) {
	addSeeds(f, 1)
	r := newResolver(f, forwarded.Config{Header: forwarded.Forwarded, Trusted: trustnet.MustParse("0.0.0.0/0", "::/0"), AllowTrustAll: true, MaxHops: 1 << 20})
	f.Fuzz(func(t *testing.T, value string) {
		elements, ok := leftToRight(value)
		if !ok || len(value) > forwarded.MaxElement || strings.Count(value, "=") > forwarded.MaxPairs {
			return
		}
		want := result("10.0.0.1", 0, forwarded.AllTrusted)
		for _, e := range slices.Backward(elements) {
			a, reason, _, _ := oracleElement(e)
			if reason != forwarded.UntrustedHop {
				want.Reason = reason
				break
			}
			want.Last, want.Hops = a, want.Hops+1
		}
		require.Equal(t, want, r.Resolve(header(forwarded.Forwarded, value), peer))
	})
}

// A next server that trusts this one finds the same client, or no client if this one did not
// find it.
func FuzzSetHeadersPassesOnClientOrUnknown(f *testing.F) {
	addSeeds(f, 2)
	resolvers := byAddressAndCount(f, forwarded.Config{MaxHops: 5, Proto: true})
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, r := range resolvers {
			next := forwarded.Config{Header: r.header, Proto: true}
			if r.count > 0 {
				next.TrustedHops = r.count + 1
			}
			for _, from := range []string{peer, "203.0.113.9:80", "@"} {
				in := requestFrom(nil, from)
				in.Header = header(r.header, a, b)
				in.Header["X-Forwarded-Proto"] = []string{b}
				out := in.Clone(t.Context())
				r.SetHeaders(out, in)
				here, there := r.ResolveRequest(in), newResolver(t, next).Resolve(out.Header, "10.0.0.77:80")
				if r.count > 0 && from != peer {
					require.False(t, there.ClientKnown(), "fewer hops than the next server expects")
				} else {
					require.Equal(t, here.Client, there.Client, "%v", out.Header)
				}
				secure, known := here.Secure()
				if _, ok := out.Header["X-Forwarded-Proto"]; !known {
					require.False(t, ok)
					_, known = there.Secure()
					require.False(t, known)
				} else if there.ClientKnown() {
					thereSecure, thereKnown := there.Secure()
					require.True(t, thereKnown)
					require.Equal(t, secure, thereSecure)
				}
			}
		}
	})
}

func FuzzExplainAgreesWithResolveRequest(f *testing.F) {
	addSeeds(f, 3)
	resolvers := byAddressAndCount(f, forwarded.Config{MaxHops: 5, Proto: true})
	resolvers = append(resolvers, variant{Resolver: newResolver(f, forwarded.Config{SingleHeader: "X-Forwarded-For"})})
	f.Fuzz(func(t *testing.T, a, b, remoteAddr string) {
		for _, r := range resolvers {
			for _, from := range []string{peer, remoteAddr} {
				req := requestFrom(nil, from)
				req.Header = header(r.header, a, b)
				res, hops := r.ResolveRequest(req), r.Explain(req)
				require.Equal(t, res.Peer, hops[0].Addr)
				require.Equal(t, res.Last, hops[res.Hops].Addr)
				for i, hop := range hops {
					require.Equal(t, fuzzSet.Contains(hop.Addr), hop.Trusted)
					require.Equal(t, i > res.Hops || i == 0 && res.Reason == forwarded.NoPeer, !hop.Addr.IsValid())
				}
				require.True(t, strings.HasSuffix(hops[len(hops)-1].String(), "["+res.Reason.String()+"]"))
			}
		}
	})
}
