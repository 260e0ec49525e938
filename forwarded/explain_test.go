package forwarded_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/seed-94e48765/portico/forwarded"
	"github.com/seed-94e48765/portico/trustnet"
	"github.com/stretchr/testify/require"
)

func TestExplain(t *testing.T) {
	unix := &net.UnixAddr{Name: "/run/x.sock", Net: "unix"}
	for _, tt := range []struct {
		name       string
		config     forwarded.Config
		local      net.Addr
		remoteAddr string
		lines      []string
		want       []string
	}{
		{name: "a client behind two proxies", config: forwarded.Config{}, local: nil, remoteAddr: peer, lines: []string{"6.6.6.6, 192.0.2.1", "10.0.0.2"}, want: []string{
			`connection "10.0.0.1:41234": trusted, so its X-Forwarded-For is read`,
			`X-Forwarded-For line 2 of 2, entry 1 from the right "10.0.0.2": trusted, so the next entry is read`,
			`X-Forwarded-For line 1 of 2, entry 2 from the right "192.0.2.1": not trusted, so it is the client; nothing to the left of it is read [UntrustedHop]`,
		}},
		{name: "an untrusted peer", config: forwarded.Config{}, local: nil, remoteAddr: "203.0.113.9:80", lines: nil, want: []string{
			`connection "203.0.113.9:80": not trusted, so it is the client [UntrustedPeer]`,
		}},
		{name: "an untrusted peer with a header", config: forwarded.Config{}, local: nil, remoteAddr: "203.0.113.9:80", lines: []string{"127.0.0.1"}, want: []string{
			`connection "203.0.113.9:80": not trusted, so it is the client, and its forwarding headers are ignored; if it is a proxy, add it to Config.Trusted [UntrustedHeader]`,
		}},
		{name: "no header", config: forwarded.Config{}, local: nil, remoteAddr: peer, lines: nil, want: []string{
			`connection "10.0.0.1:41234": trusted, but the request has no X-Forwarded-For [NoHeader]`,
		}},
		{name: "all trusted", config: forwarded.Config{}, local: nil, remoteAddr: peer, lines: []string{"10.0.0.2"}, want: []string{
			`connection "10.0.0.1:41234": trusted, so its X-Forwarded-For is read`,
			`X-Forwarded-For line 1 of 1, entry 1 from the right "10.0.0.2": trusted, but there is no further entry [AllTrusted]`,
		}},
		{name: "too many hops", config: forwarded.Config{MaxHops: 1}, local: nil, remoteAddr: peer, lines: []string{"192.0.2.1, 10.0.0.2"}, want: []string{
			`connection "10.0.0.1:41234": trusted, so its X-Forwarded-For is read`,
			`X-Forwarded-For line 1 of 1, entry 1 from the right "10.0.0.2": trusted, but Config.MaxHops is 1 and there are more entries [TooManyHops]`,
		}},
		{name: "a malformed entry, quoted", config: forwarded.Config{}, local: nil, remoteAddr: peer, lines: []string{"192.0.2.1, a\x00\"\n"}, want: []string{
			`connection "10.0.0.1:41234": trusted, so its X-Forwarded-For is read`,
			`X-Forwarded-For line 1 of 1, entry 1 from the right "a\x00\"\n": not an address in a form that the header allows, so the hop before it is the last one that is known [Malformed]`,
		}},
		{name: "an empty entry", config: forwarded.Config{}, local: nil, remoteAddr: peer, lines: []string{"192.0.2.1,"}, want: []string{
			`connection "10.0.0.1:41234": trusted, so its X-Forwarded-For is read`,
			`X-Forwarded-For line 1 of 1, entry 1 from the right "": the entry is empty, so the hop before it is the last one that is known [Malformed]`,
		}},
		{name: "a hidden hop", config: forwarded.Config{Header: forwarded.Forwarded}, local: nil, remoteAddr: peer, lines: []string{`for=_x, for="[2001:db8:a::2]:80";proto=https`}, want: []string{
			`connection "10.0.0.1:41234": trusted, so its Forwarded is read`,
			`Forwarded line 1 of 1, entry 1 from the right "for=\"[2001:db8:a::2]:80\";proto=https": trusted, so the next entry is read`,
			`Forwarded line 1 of 1, entry 2 from the right "for=_x": the proxy withholds the address, so the hop before it is the last one that is known [Obfuscated]`,
		}},
		{name: "an element over lines", config: forwarded.Config{Header: forwarded.Forwarded}, local: nil, remoteAddr: peer, lines: []string{`for=_x, for=192.0.2.1;a="b`, "c", `d"`}, want: []string{
			`connection "10.0.0.1:41234": trusted, so its Forwarded is read`,
			`Forwarded line 3 of 3, entry 1 from the right "for=192.0.2.1;a=\"b,c,d\"": not trusted, so it is the client; nothing to the left of it is read [UntrustedHop]`,
		}},
		{name: "an element from the beginning of a line before", config: forwarded.Config{Header: forwarded.Forwarded}, local: nil, remoteAddr: peer, lines: []string{`for=_x`, `for=192.0.2.1;a="b`, `d"`}, want: []string{
			`connection "10.0.0.1:41234": trusted, so its Forwarded is read`,
			`Forwarded line 3 of 3, entry 1 from the right "for=192.0.2.1;a=\"b,d\"": not trusted, so it is the client; nothing to the left of it is read [UntrustedHop]`,
		}},
		{name: "a trusted unix socket", config: forwarded.Config{Trusted: trustnet.MustParse("unix")}, local: unix, remoteAddr: "@", lines: []string{"192.0.2.1"}, want: []string{
			`connection "@": trusted, so its X-Forwarded-For is read`,
			`X-Forwarded-For line 1 of 1, entry 1 from the right "192.0.2.1": not trusted, so it is the client; nothing to the left of it is read [UntrustedHop]`,
		}},
		{name: "a unix socket without the keyword", config: forwarded.Config{}, local: unix, remoteAddr: "@", lines: []string{"192.0.2.1"}, want: []string{
			`connection "@": a peer on a unix socket, and Config.Trusted does not have the keyword unix, so the headers are ignored [NoPeer]`,
		}},
		{name: "an IP address on a unix socket", config: forwarded.Config{Trusted: trustnet.MustParse("unix")}, local: unix, remoteAddr: "10.0.0.1:80", lines: nil, want: []string{
			`connection "10.0.0.1:80": an IP address on a unix socket, which proves nothing, so the headers are ignored [NoPeer]`,
		}},
		{name: "an unspecified peer", config: forwarded.Config{}, local: nil, remoteAddr: "0.0.0.0:80", lines: nil, want: []string{
			`connection "0.0.0.0:80": the unspecified address identifies no host, so nothing is known and the headers are ignored [NoPeer]`,
		}},
		{name: "counted hops", config: forwarded.Config{TrustedHops: 2}, local: nil, remoteAddr: peer, lines: []string{"6.6.6.6, 192.0.2.1, 198.51.100.3"}, want: []string{
			`connection "10.0.0.1:41234": trusted, so its X-Forwarded-For is read`,
			`X-Forwarded-For line 1 of 1, entry 1 from the right "198.51.100.3": Config.TrustedHops is 2, so the next entry is read`,
			`X-Forwarded-For line 1 of 1, entry 2 from the right "192.0.2.1": Config.TrustedHops is 2, so it is the client; nothing to the left of it is read [CountedHop]`,
		}},
		{name: "too few hops", config: forwarded.Config{TrustedHops: 2}, local: nil, remoteAddr: peer, lines: []string{"192.0.2.1"}, want: []string{
			`connection "10.0.0.1:41234": trusted, so its X-Forwarded-For is read`,
			`X-Forwarded-For line 1 of 1, entry 1 from the right "192.0.2.1": Config.TrustedHops is 2, but there is no further entry [TooFewHops]`,
		}},
		{name: "a loopback address at the counted hop", config: forwarded.Config{TrustedHops: 1}, local: nil, remoteAddr: peer, lines: []string{"127.0.0.1"}, want: []string{
			`connection "10.0.0.1:41234": trusted, so its X-Forwarded-For is read`,
			`X-Forwarded-For line 1 of 1, entry 1 from the right "127.0.0.1": a loopback or multicast address, which no client of a load balancer has, so the hop before it is the last one that is known [Malformed]`,
		}},
		{name: "no peer", config: forwarded.Config{}, local: nil, remoteAddr: "10.0.0.1", lines: nil, want: []string{
			`connection "10.0.0.1": not an address and a port, so nothing is known and the headers are ignored [NoPeer]`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newResolver(t, tt.config)
			req := requestFrom(tt.local, tt.remoteAddr)
			if tt.lines != nil {
				req.Header[tt.config.Header.String()] = tt.lines
			}
			var got []string
			for _, hop := range r.Explain(req) {
				got = append(got, hop.String())
			}
			require.Equal(t, tt.want, got)
		})
	}
}

func TestExplainOfProxyProtocolConnection(t *testing.T) {
	req := marked(t, requestFrom(nil, peer, "192.0.2.1"))
	require.Equal(t, []forwarded.Hop{
		{Addr: addr("127.0.0.1"), Where: "connection", Text: "127.0.0.1",
			Verdict: "the connection came through a PROXY protocol listener, so no forwarding header is read"},
		{Addr: addr("127.0.0.1"), Where: "PROXY protocol", Text: "127.0.0.1", Verdict: "the client [ProxyProtocol]"},
	}, newResolver(t, forwarded.Config{}).Explain(req))
	require.Equal(t, []forwarded.Hop{
		{Addr: addr("127.0.0.1"), Where: "connection", Text: "127.0.0.1",
			Verdict: "the connection came through a PROXY protocol listener, so no forwarding header is read"},
		{Where: "PROXY protocol", Verdict: "the client is not known: the connection has no PROXY header, and its peer is in Config.Trusted, so it is a proxy [ProxyProtocol]"},
	}, newResolver(t, forwarded.Config{Trusted: trustnet.MustParse("loopback")}).Explain(req))
}

func TestExplainNamesListThatTrustsAll(t *testing.T) {
	var live trustnet.Live
	live.Store(trustnet.MustParse("10.0.0.0/8"))
	r := newResolver(t, forwarded.Config{Trusted: &live})
	live.Store(trustnet.MustParse("0.0.0.0/0"))
	hops := r.Explain(requestFrom(nil, peer, "192.0.2.1").WithContext(context.Background()))
	require.Len(t, hops, 1)
	require.Contains(t, hops[0].Verdict, "no peer is trusted, because Config.Trusted covers at least half of the Internet and AllowTrustAll is not set")
}

func TestExplainCutsLongTexts(t *testing.T) {
	r := newResolver(t, forwarded.Config{})
	hops := r.Explain(requestFrom(nil, peer, strings.Repeat("9", 8<<10)+"end"))
	require.Len(t, hops, 2)
	require.Less(t, len(hops[1].Text), 200)
	require.True(t, strings.HasPrefix(hops[1].Text, "…"))
	require.True(t, strings.HasSuffix(hops[1].Text, "99end"))
	require.Contains(t, hops[1].Verdict, "longer than what a proxy writes")
}
