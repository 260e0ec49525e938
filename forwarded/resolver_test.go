package forwarded_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/seed-94e48765/portico/forwarded"
	"github.com/seed-94e48765/portico/trustnet"
	"github.com/stretchr/testify/require"
)

// In the tables, proxies are in 10.0.0.0/8 and 2001:db8:a::/48. The peer is the proxy 10.0.0.1
// unless a row has another peer.
const (
	proxies = "10.0.0.0/8,2001:db8:a::/48"
	peer    = "10.0.0.1:41234"
)

var (
	none  netip.Addr
	peerA = netip.MustParseAddr("10.0.0.1")
)

func addr(s string) netip.Addr {
	if s == "" {
		return none
	}
	return netip.MustParseAddr(s)
}

// result returns the Result of a walk from the proxy 10.0.0.1 that ended at last.
func result(last string, hops int, reason forwarded.Reason) forwarded.Result {
	res := forwarded.Result{Last: addr(last), Peer: peerA, Hops: hops, Reason: reason}
	switch reason {
	case forwarded.UntrustedPeer, forwarded.UntrustedHeader, forwarded.UntrustedHop, forwarded.CountedHop:
		res.Client = res.Last
	}
	return res
}

// direct returns the Result for a peer that is not trusted.
func direct(peer string, reason forwarded.Reason) forwarded.Result {
	return forwarded.Result{Client: addr(peer), Last: addr(peer), Peer: addr(peer), Reason: reason}
}

func newResolver(t testing.TB, c forwarded.Config) *forwarded.Resolver {
	t.Helper()
	if c.Trusted == nil {
		c.Trusted = trustnet.MustParse(proxies)
	}
	r, err := forwarded.New(c)
	require.NoError(t, err)
	return r
}

// header returns a header with the given lines of X-Forwarded-For or Forwarded.
func header(name forwarded.Header, lines ...string) http.Header {
	return http.Header{name.String(): lines}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config forwarded.Config
		is     error
		says   string
	}{
		{name: "all of IPv4", config: forwarded.Config{Trusted: trustnet.MustParse("0.0.0.0/0")}, is: trustnet.ErrTrustsAll, says: `"0.0.0.0/0"`},
		{name: "all of IPv6", config: forwarded.Config{Trusted: trustnet.MustParse("::/0")}, is: trustnet.ErrTrustsAll, says: `"::/0"`},
		{name: "half of IPv4", config: forwarded.Config{Trusted: trustnet.MustParse("0.0.0.0/1")}, is: trustnet.ErrTrustsAll, says: "AllowTrustAll"},
		{name: "an unknown header", config: forwarded.Config{Header: 2}, says: "Config.Header is 2"},
		{name: "a negative header", config: forwarded.Config{Header: -1}, says: "Config.Header is -1"},
		{name: "a negative MaxHops", config: forwarded.Config{MaxHops: -1}, says: "Config.MaxHops is -1"},
		{name: "a negative TrustedHops", config: forwarded.Config{TrustedHops: -1}, says: "Config.TrustedHops is -1"},
		{name: "a TrustedHops above MaxHops", config: forwarded.Config{TrustedHops: 3, MaxHops: 2}, says: "Config.TrustedHops is 3, above Config.MaxHops, which is 2"},
		{name: "a TrustedHops above the default of MaxHops", config: forwarded.Config{TrustedHops: 33}, says: "which is 32"},
		{name: "SingleHeader with TrustedHops", config: forwarded.Config{SingleHeader: "X-Real-IP", TrustedHops: 1}, says: "set one of them"},
		{name: "a SingleHeader with a blank", config: forwarded.Config{SingleHeader: "X Real IP"}, says: `Config.SingleHeader is "X Real IP"`},
		{name: "a SingleHeader with a colon", config: forwarded.Config{SingleHeader: "X-Real-IP:"}, says: `Config.SingleHeader is "X-Real-IP:"`},
		{name: "a SingleHeader that is not ASCII", config: forwarded.Config{SingleHeader: "X-Réal-IP"}, says: "want the name of a header"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := forwarded.New(tt.config)
			require.Nil(t, r)
			require.ErrorContains(t, err, tt.says)
			require.True(t, strings.HasPrefix(err.Error(), "forwarded: "), err)
			if tt.is != nil {
				require.ErrorIs(t, err, tt.is)
			}
		})
	}
}

func TestNewAcceptsUnixKeywordAlone(t *testing.T) {
	_, err := forwarded.New(forwarded.Config{Trusted: trustnet.MustParse("unix")})
	require.NoError(t, err)
}

// Servers whose list of proxies is optional need no branch.
func TestWithoutTrustedPeers(t *testing.T) {
	var nilSet *trustnet.Set
	for name, trusted := range map[string]trustnet.Source{
		"no list":                           nil,
		"a nil set":                         nilSet,
		"an empty set":                      &trustnet.Set{},
		"a live list that was never filled": new(trustnet.Live),
	} {
		t.Run(name, func(t *testing.T) {
			r, err := forwarded.New(forwarded.Config{Trusted: trusted, Proto: true, Strip: true})
			require.NoError(t, err)
			require.Equal(t, direct("10.0.0.1", forwarded.UntrustedPeer), r.Resolve(nil, peer))
			require.Equal(t, direct("10.0.0.1", forwarded.UntrustedHeader), r.Resolve(header(forwarded.XForwardedFor, "192.0.2.1"), peer))
			require.Equal(t, forwarded.Result{}, r.Resolve(nil, "@"))
		})
	}
}

func TestMaxHops(t *testing.T) {
	hops := func(n int) string { return strings.TrimSuffix(strings.Repeat("10.0.0.9, ", n), ", ") }
	for _, tt := range []struct {
		name   string
		max    int
		value  string
		last   string
		hops   int
		reason forwarded.Reason
	}{
		{name: "the default is enough for 32", max: 0, value: hops(32), last: "10.0.0.9", hops: 32, reason: forwarded.AllTrusted},
		{name: "the default is not enough for 33", max: 0, value: hops(33), last: "10.0.0.9", hops: 32, reason: forwarded.TooManyHops},
		{name: "the client may be the last one read", max: 3, value: "192.0.2.1, 10.0.0.9, 10.0.0.8", last: "192.0.2.1", hops: 3, reason: forwarded.UntrustedHop},
		{name: "the client may not be one further", max: 2, value: "192.0.2.1, 10.0.0.9, 10.0.0.8", last: "10.0.0.9", hops: 2, reason: forwarded.TooManyHops},
		{name: "garbage one further is not read", max: 2, value: "\x00, 10.0.0.9, 10.0.0.8", last: "10.0.0.9", hops: 2, reason: forwarded.TooManyHops},
		{name: "an empty entry is one further", max: 1, value: ",10.0.0.8", last: "10.0.0.8", hops: 1, reason: forwarded.TooManyHops},
		{name: "one hop", max: 1, value: "192.0.2.1", last: "192.0.2.1", hops: 1, reason: forwarded.UntrustedHop},
		{name: "as many as one likes", max: 5000, value: hops(5000), last: "10.0.0.9", hops: 5000, reason: forwarded.AllTrusted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newResolver(t, forwarded.Config{MaxHops: tt.max})
			res := r.Resolve(header(forwarded.XForwardedFor, tt.value), peer)
			require.Equal(t, result(tt.last, tt.hops, tt.reason), res)
			require.Equal(t, tt.reason == forwarded.UntrustedHop, res.ClientKnown())
		})
	}
}

func TestPeer(t *testing.T) {
	for _, tt := range []struct {
		name       string
		remoteAddr string
		peer       string
		client     string
		reason     forwarded.Reason
	}{
		{name: "a trusted peer", remoteAddr: "10.0.0.1:80", peer: "10.0.0.1", client: "192.0.2.1", reason: forwarded.UntrustedHop},
		{name: "a trusted IPv6 peer", remoteAddr: "[2001:db8:a::1]:80", peer: "2001:db8:a::1", client: "192.0.2.1", reason: forwarded.UntrustedHop},
		{name: "a trusted mapped peer", remoteAddr: "[::ffff:10.0.0.1]:80", peer: "10.0.0.1", client: "192.0.2.1", reason: forwarded.UntrustedHop},
		{name: "a trusted peer with a zone", remoteAddr: "[2001:db8:a::1%eth0]:80", peer: "2001:db8:a::1", client: "192.0.2.1", reason: forwarded.UntrustedHop},
		{name: "an untrusted peer is the client", remoteAddr: "203.0.113.9:80", peer: "203.0.113.9", client: "203.0.113.9", reason: forwarded.UntrustedHeader},
		{name: "an untrusted mapped peer is the client", remoteAddr: "[::ffff:203.0.113.9]:80", peer: "203.0.113.9", client: "203.0.113.9", reason: forwarded.UntrustedHeader},
		{name: "an untrusted peer with a zone is the client", remoteAddr: "[fe80::9%eth0]:80", peer: "fe80::9", client: "fe80::9", reason: forwarded.UntrustedHeader},
		{name: "localhost is not trusted by itself", remoteAddr: "127.0.0.1:80", peer: "127.0.0.1", client: "127.0.0.1", reason: forwarded.UntrustedHeader},
		{name: "an unspecified address", remoteAddr: "0.0.0.0:80", peer: "", client: "", reason: forwarded.NoPeer},
		{name: "an unspecified IPv6 address", remoteAddr: "[::]:80", peer: "", client: "", reason: forwarded.NoPeer},
		{name: "an unspecified mapped address", remoteAddr: "[::ffff:0.0.0.0]:80", peer: "", client: "", reason: forwarded.NoPeer},
		{name: "no address", remoteAddr: "", peer: "", client: "", reason: forwarded.NoPeer},
		{name: "a unix socket", remoteAddr: "@", peer: "", client: "", reason: forwarded.NoPeer},
		{name: "the path of a unix socket", remoteAddr: "/run/x.sock", peer: "", client: "", reason: forwarded.NoPeer},
		{name: "no port, as middleware leaves it", remoteAddr: "10.0.0.1", peer: "", client: "", reason: forwarded.NoPeer},
		{name: "no port on IPv6", remoteAddr: "2001:db8:a::1", peer: "", client: "", reason: forwarded.NoPeer},
		{name: "IPv6 without brackets", remoteAddr: "2001:db8:a::1:80", peer: "", client: "", reason: forwarded.NoPeer},
		{name: "no port in brackets", remoteAddr: "[2001:db8:a::1]", peer: "", client: "", reason: forwarded.NoPeer},
		{name: "an empty port", remoteAddr: "10.0.0.1:", peer: "", client: "", reason: forwarded.NoPeer},
		{name: "invalid port", remoteAddr: "10.0.0.1:http", peer: "", client: "", reason: forwarded.NoPeer},
		{name: "a port alone", remoteAddr: ":80", peer: "", client: "", reason: forwarded.NoPeer},
		{name: "an obfuscated port", remoteAddr: "10.0.0.1:_x", peer: "", client: "", reason: forwarded.NoPeer},
		{name: "an obfuscated port on IPv6", remoteAddr: "[2001:db8:a::1]:_x", peer: "", client: "", reason: forwarded.NoPeer},
		{name: "a blank", remoteAddr: " 10.0.0.1:80", peer: "", client: "", reason: forwarded.NoPeer},
		{name: "a host name", remoteAddr: "localhost:80", peer: "", client: "", reason: forwarded.NoPeer},
		{name: "a list", remoteAddr: "10.0.0.1:80,10.0.0.1:80", peer: "", client: "", reason: forwarded.NoPeer},
		{name: "garbage", remoteAddr: "\x00\xff[", peer: "", client: "", reason: forwarded.NoPeer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newResolver(t, forwarded.Config{})
			want := forwarded.Result{Client: addr(tt.client), Last: addr(tt.client), Peer: addr(tt.peer), Reason: tt.reason}
			if tt.reason == forwarded.UntrustedHop {
				want.Hops = 1
			}
			h := header(forwarded.XForwardedFor, "192.0.2.1")
			h["Forwarded"] = []string{"for=198.51.100.77"}
			h["X-Real-Ip"] = []string{"198.51.100.78"}
			res := r.Resolve(h, tt.remoteAddr)
			require.Equal(t, want, res)
			require.Equal(t, tt.reason != forwarded.NoPeer, res.ClientKnown())
			if res.Reason == forwarded.UntrustedHeader {
				want.Reason = forwarded.UntrustedPeer
				require.Equal(t, want, r.Resolve(http.Header{"Accept": {"*/*"}}, tt.remoteAddr), "no forwarding header")
			}
		})
	}
}

func TestOnlyConfiguredHeaderIsRead(t *testing.T) {
	all := http.Header{
		"X-Forwarded-For":  {"192.0.2.1"},
		"Forwarded":        {"for=192.0.2.2"},
		"X-Real-Ip":        {"192.0.2.3"},
		"X_forwarded_for":  {"192.0.2.4"},
		"x-forwarded-for":  {"192.0.2.5"},
		"X-Client-Ip":      {"192.0.2.6"},
		"True-Client-Ip":   {"192.0.2.7"},
		"Cf-Connecting-Ip": {"192.0.2.8"},
		"X-Forwarded":      {"for=192.0.2.9"},
	}
	for _, tt := range []struct {
		header forwarded.Header
		want   string
	}{
		{header: forwarded.XForwardedFor, want: "192.0.2.1"},
		{header: forwarded.Forwarded, want: "192.0.2.2"},
	} {
		t.Run(tt.header.String(), func(t *testing.T) {
			r := newResolver(t, forwarded.Config{Header: tt.header})
			require.Equal(t, addr(tt.want), r.Resolve(all, peer).Client)

			rest := all.Clone()
			delete(rest, tt.header.String())
			require.Equal(t, result("10.0.0.1", 0, forwarded.NoHeader), r.Resolve(rest, peer))
		})
	}
}

func TestEverySnapshotIsCheckedAgain(t *testing.T) {
	h := header(forwarded.XForwardedFor, "192.0.2.1")
	resolve := func(t *testing.T, allow bool, set *trustnet.Set) forwarded.Result {
		var live trustnet.Live
		live.Store(trustnet.MustParse("10.0.0.0/8"))
		r := newResolver(t, forwarded.Config{Trusted: &live, AllowTrustAll: allow})
		require.Equal(t, forwarded.UntrustedHop, r.Resolve(h, peer).Reason)
		live.Store(set)
		return r.Resolve(h, peer)
	}
	untrusted := direct("10.0.0.1", forwarded.UntrustedHeader)
	t.Run("a list without the peer", func(t *testing.T) {
		require.Equal(t, untrusted, resolve(t, false, trustnet.MustParse("10.0.0.2")))
	})
	t.Run("an empty list", func(t *testing.T) {
		require.Equal(t, untrusted, resolve(t, false, &trustnet.Set{}))
	})
	t.Run("no list", func(t *testing.T) {
		require.Equal(t, untrusted, resolve(t, false, nil))
	})
	t.Run("a list that trusts all trusts no peer", func(t *testing.T) {
		require.Equal(t, untrusted, resolve(t, false, trustnet.MustParse("0.0.0.0/0", "unix")))
	})
	t.Run("a list that trusts all of the other family trusts no peer", func(t *testing.T) {
		require.Equal(t, untrusted, resolve(t, false, trustnet.MustParse("10.0.0.0/8", "::/0")))
	})
	t.Run("a list that trusts all, allowed", func(t *testing.T) {
		require.Equal(t,
			result("192.0.2.1", 1, forwarded.AllTrusted),
			resolve(t, true, trustnet.MustParse("0.0.0.0/0")))
	})
}

// changing returns another set at each call.
type changing struct {
	sets  []*trustnet.Set
	calls int
}

func (c *changing) Trusted() *trustnet.Set {
	c.calls++
	return c.sets[(c.calls-1)%len(c.sets)]
}

func TestOneSnapshotForOneDecision(t *testing.T) {
	src := &changing{sets: []*trustnet.Set{trustnet.MustParse("10.0.0.0/8"), trustnet.MustParse("192.0.2.0/24")}}
	r := newResolver(t, forwarded.Config{Trusted: src})
	require.Equal(t, 1, src.calls, "New")
	res := r.Resolve(header(forwarded.XForwardedFor, "10.0.0.3, 192.0.2.1"), "192.0.2.9:80")
	require.Equal(t, 2, src.calls)
	require.Equal(t, forwarded.Result{Client: addr("10.0.0.3"), Last: addr("10.0.0.3"), Peer: addr("192.0.2.9"), Hops: 2, Reason: forwarded.UntrustedHop}, res)
}

func TestZeroValuesGrantNothing(t *testing.T) {
	var r forwarded.Resolver
	require.Equal(t,
		direct("10.0.0.1", forwarded.UntrustedHeader),
		r.Resolve(header(forwarded.XForwardedFor, "192.0.2.1"), peer))

	var zero forwarded.Result
	require.False(t, zero.ClientKnown())
	require.Equal(t, forwarded.NoPeer, zero.Reason)
	require.False(t, zero.Client.IsValid())
}

func TestClientKnown(t *testing.T) {
	require.True(t, forwarded.Result{Client: peerA}.ClientKnown())
	require.False(t, forwarded.Result{Last: peerA, Peer: peerA, Hops: 1, Reason: forwarded.UntrustedHop}.ClientKnown())
}

func TestNames(t *testing.T) {
	require.Equal(t, "X-Forwarded-For", forwarded.XForwardedFor.String())
	require.Equal(t, "Forwarded", forwarded.Forwarded.String())
	require.Equal(t, "Header(7)", forwarded.Header(7).String())
	for i, want := range []string{
		"NoPeer", "UntrustedPeer", "UntrustedHeader", "NoHeader", "UntrustedHop", "CountedHop", "AllTrusted", "TooFewHops", "Malformed",
		"Obfuscated", "TooManyHops", "ProxyProtocol", "Reason(12)",
	} {
		require.Equal(t, want, forwarded.Reason(i).String())
	}
}

func TestResolveDoesNotModifyHeader(t *testing.T) {
	h := http.Header{"X-Forwarded-For": {"a, 10.0.0.2", "10.0.0.3"}, "X-Forwarded-Proto": {"https"}}
	before := h.Clone()
	newResolver(t, forwarded.Config{Strip: true, Proto: true}).Resolve(h, peer)
	require.Equal(t, before, h)
}
