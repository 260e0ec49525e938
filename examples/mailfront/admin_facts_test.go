package main

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/forwarded"
	"github.com/seed-94e48765/portico/proxyproto"
)

func TestTheFactsSayWhoSaidThem(t *testing.T) {
	proxy, ip := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("203.0.113.7")
	byHeader := func(known, tls, tlsKnown bool, r forwarded.Reason) client.Client {
		return client.Client{IP: ip, Proxy: proxy, Known: known, TLS: tls, TLSKnown: tlsKnown, Reason: r.String(), Listener: "http"}
	}
	byPROXY := func(known, tls, tlsKnown bool, said *proxyproto.TLS) client.Client {
		return client.Client{IP: ip, Proxy: proxy, Version: 2, Known: known, TLS: tls, TLSKnown: tlsKnown, Listener: "https", Info: &proxyproto.Info{Version: 2, TLS: said}}
	}
	terminated := map[string]proxyproto.TLSPath{"http": proxyproto.TerminatedTLS, "https": proxyproto.TerminatedTLS}
	for _, test := range []struct {
		name           string
		cl             client.Client
		forwardedProto bool
		path           map[string]proxyproto.TLSPath
		address, tls   string
	}{
		{"direct, forwarded", client.Client{IP: ip, Known: true, TLSKnown: true, Reason: "UntrustedPeer"}, false, nil, "connection itself: 203.0.113.7 is not on the list", "connection itself"},
		{"direct, PROXY", client.Client{IP: ip, Known: true, TLSKnown: true, Info: &proxyproto.Info{}}, false, terminated, "connection itself: 203.0.113.7 is not on the list", "connection itself"},
		{"forwarded, proto", byHeader(true, true, true, forwarded.UntrustedHop), true, nil, "X-Forwarded-For of the proxy 192.0.2.1.", "The header X-Forwarded-Proto"},
		{"forwarded, two protos", byHeader(true, false, false, forwarded.UntrustedHop), true, terminated, "X-Forwarded-For of the proxy 192.0.2.1.", "contradictory values"},
		{"forwarded, terminated", byHeader(true, true, true, forwarded.UntrustedHop), false, terminated, "X-Forwarded-For of the proxy 192.0.2.1.", "MAILFRONT_TLS_TERMINATED: every"},
		{"forwarded, no word of TLS", byHeader(true, false, false, forwarded.UntrustedHop), false, nil, "X-Forwarded-For of the proxy 192.0.2.1.", "If every trusted proxy"},
		{"forwarded, no header", byHeader(false, false, false, forwarded.NoHeader), true, nil, "did not send the header X-Forwarded-For", "The client is not known"},
		{"forwarded, all trusted", byHeader(false, false, false, forwarded.AllTrusted), true, nil, "remove it from MAILFRONT_TRUSTED_PROXIES", "The client is not known"},
		{"forwarded, counted", byHeader(true, true, true, forwarded.CountedHop), true, nil, "X-Forwarded-For of the proxy 192.0.2.1.", "The header X-Forwarded-Proto"},
		{"forwarded, too few hops", byHeader(false, false, false, forwarded.TooFewHops), true, nil, "fewer entries than MAILFRONT_FORWARDED_HOPS, which is 2", "The client is not known"},
		{"forwarded, malformed", byHeader(false, false, false, forwarded.Malformed), true, nil, "is not usable (Malformed)", "The client is not known"},
		{"forwarded, no peer", client.Client{Reason: "NoPeer"}, true, nil, "add unix to MAILFRONT_TRUSTED_PROXIES", "connection itself"},
		{"forwarded, unix socket", client.Client{IP: ip, Known: true, Reason: forwarded.UntrustedHop.String(), Listener: "http"}, false, nil, "X-Forwarded-For of the proxy on the unix socket.", "set MAILFRONT_FORWARDED_PROTO=true"},
		{"PROXY, TLS part", byPROXY(true, true, true, &proxyproto.TLS{Client: true}), false, terminated, "PROXY header (version 2) of the proxy 192.0.2.1.", "TLS field of the PROXY header"},
		{"PROXY, passed through", byPROXY(true, true, true, nil), false, nil, "PROXY header (version 2)", "passes TLS on"},
		{"PROXY, terminated", byPROXY(true, true, true, nil), false, terminated, "PROXY header (version 2)", "MAILFRONT_TLS_TERMINATED: every"},
		{"PROXY, no word", byPROXY(true, false, false, nil), false, nil, "PROXY header (version 2)", "send-proxy-v2-ssl"},
		{"PROXY, LOCAL", byPROXY(false, false, false, nil), false, nil, "has no client address", "The client is not known"},
	} {
		f := &frontend{cfg: &config{forwarded: forwarded.Config{Proto: test.forwardedProto, TrustedHops: 2}, tlsPath: test.path}}
		require.Contains(t, f.addressLearned(test.cl), test.address, test.name)
		require.Contains(t, f.tlsLearned(test.cl), test.tls, test.name)
	}
}
