package main

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/forwarded"
	"github.com/seed-94e48765/portico/proxyproto"
)

func TestFactsNameTheirSource(t *testing.T) {
	proxy, ip := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("203.0.113.7")
	byHeader := func(known, tls, tlsKnown bool, r forwarded.Reason) client.Client {
		return client.Client{IP: ip, Proxy: proxy, Known: known, TLS: tls, TLSKnown: tlsKnown, Reason: r.String(), Listener: "http", TrustedSetting: "MAILFRONT_TRUSTED_PROXIES_HTTP"}
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
		{name: "direct, forwarded", cl: client.Client{IP: ip, Known: true, TLSKnown: true, Reason: "UntrustedPeer", TrustedSetting: "MAILFRONT_TRUSTED_PROXIES_HTTP"}, forwardedProto: false, path: nil, address: "connection itself: 203.0.113.7 is not on the list of trusted proxies. If it is your proxy, add it to MAILFRONT_TRUSTED_PROXIES_HTTP.", tls: "connection itself"},
		{name: "direct, PROXY", cl: client.Client{IP: ip, Known: true, TLSKnown: true, Info: &proxyproto.Info{}}, forwardedProto: false, path: terminated, address: "connection itself: 203.0.113.7 is not on the list", tls: "connection itself"},
		{name: "forwarded, proto", cl: byHeader(true, true, true, forwarded.UntrustedHop), forwardedProto: true, path: nil, address: "X-Forwarded-For of the proxy 192.0.2.1.", tls: "The header X-Forwarded-Proto"},
		{name: "forwarded, two protos", cl: byHeader(true, false, false, forwarded.UntrustedHop), forwardedProto: true, path: terminated, address: "X-Forwarded-For of the proxy 192.0.2.1.", tls: "contradictory values"},
		{name: "forwarded, terminated", cl: byHeader(true, true, true, forwarded.UntrustedHop), forwardedProto: false, path: terminated, address: "X-Forwarded-For of the proxy 192.0.2.1.", tls: "MAILFRONT_TLS_TERMINATED: every"},
		{name: "forwarded, no word of TLS", cl: byHeader(true, false, false, forwarded.UntrustedHop), forwardedProto: false, path: nil, address: "X-Forwarded-For of the proxy 192.0.2.1.", tls: "If every trusted proxy"},
		{name: "forwarded, no header", cl: byHeader(false, false, false, forwarded.NoHeader), forwardedProto: true, path: nil, address: "did not send the header X-Forwarded-For", tls: "The client is not known"},
		{name: "forwarded, all trusted", cl: byHeader(false, false, false, forwarded.AllTrusted), forwardedProto: true, path: nil, address: "remove it from MAILFRONT_TRUSTED_PROXIES_HTTP.", tls: "The client is not known"},
		{name: "forwarded, counted", cl: byHeader(true, true, true, forwarded.CountedHop), forwardedProto: true, path: nil, address: "X-Forwarded-For of the proxy 192.0.2.1.", tls: "The header X-Forwarded-Proto"},
		{name: "forwarded, too few hops", cl: byHeader(false, false, false, forwarded.TooFewHops), forwardedProto: true, path: nil, address: "fewer entries than MAILFRONT_FORWARDED_HOPS, which is 2", tls: "The client is not known"},
		{name: "forwarded, malformed", cl: byHeader(false, false, false, forwarded.Malformed), forwardedProto: true, path: nil, address: "is not usable (Malformed)", tls: "The client is not known"},
		{name: "forwarded, no peer", cl: client.Client{Reason: "NoPeer", TrustedSetting: "MAILFRONT_TRUSTED_PROXIES_HTTP"}, forwardedProto: true, path: nil, address: "add unix to MAILFRONT_TRUSTED_PROXIES_HTTP.", tls: "connection itself"},
		{name: "forwarded, unix socket", cl: client.Client{IP: ip, Known: true, Reason: forwarded.UntrustedHop.String(), Listener: "http"}, forwardedProto: false, path: nil, address: "X-Forwarded-For of the proxy on the unix socket.", tls: "set MAILFRONT_FORWARDED_PROTO=true"},
		{name: "PROXY, TLS part", cl: byPROXY(true, true, true, &proxyproto.TLS{Client: true}), forwardedProto: false, path: terminated, address: "PROXY header (version 2) of the proxy 192.0.2.1.", tls: "TLS field of the PROXY header"},
		{name: "PROXY, passed through", cl: byPROXY(true, true, true, nil), forwardedProto: false, path: nil, address: "PROXY header (version 2)", tls: "passes TLS on"},
		{name: "PROXY, terminated", cl: byPROXY(true, true, true, nil), forwardedProto: false, path: terminated, address: "PROXY header (version 2)", tls: "MAILFRONT_TLS_TERMINATED: every"},
		{name: "PROXY, no word", cl: byPROXY(true, false, false, nil), forwardedProto: false, path: nil, address: "PROXY header (version 2)", tls: "send-proxy-v2-ssl"},
		{name: "PROXY, LOCAL", cl: byPROXY(false, false, false, nil), forwardedProto: false, path: nil, address: "has no client address", tls: "The client is not known"},
	} {
		f := &frontend{cfg: &config{forwarded: forwarded.Config{Proto: test.forwardedProto, TrustedHops: 2}, tlsPath: test.path}}
		require.Contains(t, f.addressSource(test.cl), test.address, test.name)
		require.Contains(t, f.tlsSource(test.cl), test.tls, test.name)
	}
}
