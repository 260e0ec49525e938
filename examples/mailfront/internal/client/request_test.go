package client

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/forwarded"
	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

var webListener = Listener{Name: "http", TrustedSetting: "MAILFRONT_TRUSTED_PROXIES_HTTP"}

func TestFromProxyHeader(t *testing.T) {
	proxy, address := &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 25}, &net.TCPAddr{IP: net.ParseIP("198.51.100.7"), Port: 4567}
	clientIP, proxyIP := netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("192.0.2.1")
	for _, tc := range []struct {
		name string
		info *proxyproto.Info // nil: none
		tls  bool             // of the request
		want Client
	}{
		{name: "no Info", want: Client{Listener: "http"}},
		{name: "direct", info: &proxyproto.Info{Client: address}, tls: true,
			want: Client{Listener: "http", IP: clientIP, Last: clientIP, Known: true, TLS: true, TLSKnown: true}},
		{name: "a client of a proxy", info: &proxyproto.Info{Client: address, Proxy: proxy, Version: 2, TLS: &proxyproto.TLS{Client: true}},
			want: Client{Listener: "http", IP: clientIP, Last: clientIP, Known: true, TLS: true, TLSKnown: true, Proxy: proxyIP, Version: 2}},
		{name: "the proxy's own connection", info: &proxyproto.Info{Client: proxy, Proxy: proxy, Version: 2, Local: true},
			want: Client{Listener: "http", Last: proxyIP, Proxy: proxyIP, Version: 2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			if tc.tls {
				r.TLS = new(tls.ConnectionState)
			}
			if tc.info != nil {
				r = r.WithContext(proxyproto.NewContext(r.Context(), tc.info))
			}
			tc.want.Info, tc.want.Host, tc.want.TrustedSetting = tc.info, r.Host, webListener.TrustedSetting
			require.Equal(t, tc.want, FromProxyHeader(webListener, r))
		})
	}
}

func TestFromForwarded(t *testing.T) {
	peer, clientIP := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.7")
	for _, tc := range []struct {
		name     string
		header   string // X-Forwarded-For
		trusted  string
		tlsEnded bool
		want     Client
	}{
		{name: "an untrusted peer", trusted: "203.0.113.1", header: "198.51.100.7", tlsEnded: true,
			want: Client{IP: peer, Last: peer, Known: true, TLSKnown: true, Reason: forwarded.UntrustedHeader.String(), ForwardedBy: "X-Forwarded-For"}},
		{name: "a client of a proxy", trusted: "192.0.2.1", header: "198.51.100.7",
			want: Client{IP: clientIP, Last: clientIP, Known: true, Proxy: peer, Reason: forwarded.UntrustedHop.String(), ForwardedBy: "X-Forwarded-For"}},
		{name: "a client of a proxy that ends TLS", trusted: "192.0.2.1", header: "198.51.100.7", tlsEnded: true,
			want: Client{IP: clientIP, Last: clientIP, Known: true, Proxy: peer, TLS: true, TLSKnown: true, Reason: forwarded.UntrustedHop.String(), ForwardedBy: "X-Forwarded-For"}},
		{name: "a proxy's own request", trusted: "192.0.2.1", tlsEnded: true,
			want: Client{Last: peer, Proxy: peer, Reason: forwarded.NoHeader.String()}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resolver, err := forwarded.New(forwarded.Config{Trusted: trustnet.MustParse(tc.trusted), Strip: true})
			require.NoError(t, err)
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = "192.0.2.1:4567"
			if tc.header != "" {
				r.Header.Set("X-Forwarded-For", tc.header)
			}
			var got Client
			RememberForwarding(resolver.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				got = FromRequest(WithRequest(r, FromForwarded(webListener, r, tc.tlsEnded)))
			}))).ServeHTTP(httptest.NewRecorder(), r)
			tc.want.Listener, tc.want.Host, tc.want.TrustedSetting = webListener.Name, r.Host, webListener.TrustedSetting
			require.Equal(t, tc.want, got)
		})
	}
}
