package forwarded_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/seed-94e48765/portico/forwarded"
	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
	"github.com/stretchr/testify/require"
)

// The table has at least one row for each Reason.
func TestSetHeaders(t *testing.T) {
	const untrusted = "203.0.113.9:80"
	unix := &net.UnixAddr{Name: "/run/x.sock", Net: "unix"}
	client := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4711}
	proxy := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 41234}
	for _, tt := range []struct {
		name       string
		config     forwarded.Config
		local      net.Addr
		remoteAddr string
		info       *proxyproto.Info
		list       string // X-Forwarded-For, and with for= before each address Forwarded
		element    string // Forwarded, if that is not enough
		reason     forwarded.Reason
		xff, fwd   string
		scheme     string
	}{
		{name: "no peer", remoteAddr: "10.0.0.1", list: "192.0.2.1", reason: forwarded.NoPeer, xff: "unknown", fwd: "for=unknown"},
		{name: "no peer on a unix socket", local: unix, remoteAddr: untrusted, list: "192.0.2.1", reason: forwarded.NoPeer, xff: "unknown", fwd: "for=unknown"},
		{name: "a direct client", remoteAddr: untrusted, reason: forwarded.UntrustedPeer, xff: "203.0.113.9", fwd: "for=203.0.113.9;proto=http", scheme: "http"},
		{name: "a direct IPv6 client", remoteAddr: "[2001:db8::9%eth0]:80", reason: forwarded.UntrustedPeer, xff: "2001:db8::9", fwd: `for="[2001:db8::9]";proto=http`, scheme: "http"},
		{name: "a direct client with a header", remoteAddr: untrusted, list: "10.0.0.1", reason: forwarded.UntrustedHeader, xff: "203.0.113.9", fwd: "for=203.0.113.9;proto=http", scheme: "http"},
		{name: "no header", remoteAddr: peer, reason: forwarded.NoHeader, xff: "unknown, 10.0.0.1", fwd: "for=unknown, for=10.0.0.1"},
		{name: "no header on a unix socket", local: unix, remoteAddr: "@", reason: forwarded.NoHeader, xff: "unknown", fwd: "for=unknown"},
		{name: "a client", remoteAddr: peer, list: "6.6.6.6, 192.0.2.1", reason: forwarded.UntrustedHop, xff: "192.0.2.1, 10.0.0.1", fwd: "for=192.0.2.1, for=10.0.0.1"},
		{name: "a client behind two proxies", remoteAddr: peer, list: "6.6.6.6, 192.0.2.1, 10.0.0.3, 10.0.0.2", reason: forwarded.UntrustedHop,
			xff: "192.0.2.1, 10.0.0.3, 10.0.0.2, 10.0.0.1", fwd: "for=192.0.2.1, for=10.0.0.3, for=10.0.0.2, for=10.0.0.1"},
		{name: "a client that the proxy spelt otherwise", remoteAddr: peer, list: "[2001:DB8:0::1%eth0]:80", element: `For="[2001:DB8:0::1]:80";by=_x`, reason: forwarded.UntrustedHop,
			xff: "2001:db8::1, 10.0.0.1", fwd: `for="[2001:db8::1]", for=10.0.0.1`},
		{name: "a client of a proxy on a unix socket", local: unix, remoteAddr: "@", list: "192.0.2.1", reason: forwarded.UntrustedHop, xff: "192.0.2.1", fwd: "for=192.0.2.1"},
		{name: "a counted client", config: forwarded.Config{TrustedHops: 2}, remoteAddr: peer, list: "6.6.6.6, 192.0.2.1, 198.51.100.3", reason: forwarded.CountedHop,
			xff: "192.0.2.1, 198.51.100.3, 10.0.0.1", fwd: "for=192.0.2.1, for=198.51.100.3, for=10.0.0.1"},
		{name: "all trusted", remoteAddr: peer, list: "10.0.0.3, 10.0.0.2", reason: forwarded.AllTrusted,
			xff: "unknown, 10.0.0.3, 10.0.0.2, 10.0.0.1", fwd: "for=unknown, for=10.0.0.3, for=10.0.0.2, for=10.0.0.1"},
		{name: "too few hops", config: forwarded.Config{TrustedHops: 2}, remoteAddr: peer, list: "192.0.2.1", reason: forwarded.TooFewHops,
			xff: "unknown, 10.0.0.1", fwd: "for=unknown, for=10.0.0.1"},
		{name: "a counted hop that is malformed", config: forwarded.Config{TrustedHops: 2}, remoteAddr: peer, list: "x, 192.0.2.1", reason: forwarded.Malformed,
			xff: "unknown, 10.0.0.1", fwd: "for=unknown, for=10.0.0.1"},
		{name: "malformed", remoteAddr: peer, list: "192.0.2.1, x, 10.0.0.2", reason: forwarded.Malformed, xff: "unknown, 10.0.0.2, 10.0.0.1", fwd: "for=unknown, for=10.0.0.2, for=10.0.0.1"},
		{name: "obfuscated", remoteAddr: peer, list: "192.0.2.1, _x", reason: forwarded.Obfuscated, xff: "unknown, 10.0.0.1", fwd: "for=unknown, for=10.0.0.1"},
		{name: "too many hops", config: forwarded.Config{MaxHops: 1}, remoteAddr: peer, list: "192.0.2.1, 10.0.0.2", reason: forwarded.TooManyHops,
			xff: "unknown, 10.0.0.2, 10.0.0.1", fwd: "for=unknown, for=10.0.0.2, for=10.0.0.1"},
		{name: "a PROXY header", remoteAddr: peer, list: "6.6.6.6", info: &proxyproto.Info{Version: 2, Client: client, Proxy: proxy, TLS: &proxyproto.TLS{Client: true}},
			reason: forwarded.ProxyProtocol, xff: "192.0.2.1", fwd: "for=192.0.2.1;proto=https", scheme: "https"},
		{name: "a PROXY header without TLS facts", remoteAddr: peer, info: &proxyproto.Info{Version: 1, Client: client, Proxy: proxy}, reason: forwarded.ProxyProtocol, xff: "192.0.2.1", fwd: "for=192.0.2.1"},
		{name: "LOCAL", remoteAddr: peer, list: "6.6.6.6", info: &proxyproto.Info{Version: 2, Local: true, Client: proxy, Proxy: proxy}, reason: forwarded.ProxyProtocol, xff: "unknown", fwd: "for=unknown"},
		{name: "no PROXY header from a trusted peer", remoteAddr: peer, list: "6.6.6.6", info: &proxyproto.Info{Client: proxy}, reason: forwarded.ProxyProtocol, xff: "unknown", fwd: "for=unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, tt.config.Header = range []forwarded.Header{forwarded.XForwardedFor, forwarded.Forwarded} {
				tt.config.Trusted = trustnet.MustParse(proxies, "unix")
				r := newResolver(t, tt.config)
				in := requestFrom(tt.local, tt.remoteAddr)
				in.Host = "mail.example.com:8443"
				if tt.list != "" && tt.config.Header == forwarded.XForwardedFor {
					in.Header["X-Forwarded-For"] = []string{tt.list}
				} else if tt.list != "" {
					in.Header["Forwarded"] = forwardedLines(tt.list)
					if tt.element != "" {
						in.Header["Forwarded"] = []string{tt.element}
					}
				}
				if tt.info != nil {
					in = in.WithContext(proxyproto.NewContext(in.Context(), tt.info))
				}
				require.Equal(t, tt.reason, r.ResolveRequest(in).Reason)

				want := http.Header{"X-Forwarded-For": {tt.xff}, "X-Forwarded-Host": {"mail.example.com:8443"}}
				if tt.config.Header == forwarded.Forwarded {
					want = http.Header{"Forwarded": {tt.fwd}, "X-Forwarded-Host": {"mail.example.com:8443"}}
				}
				if tt.scheme != "" {
					want["X-Forwarded-Proto"] = []string{tt.scheme}
				}
				out := in.Clone(context.Background())
				r.SetHeaders(out, in)
				require.Equal(t, want, out.Header)
				r.SetHeaders(out, handle(t, r, in))
				require.Equal(t, want, out.Header, "with the Result in the context")

				require.Equal(t, tt.scheme == "", secureOf(nextHop(t, tt.config.Header, out.Header)) == secure{})
				requireSameClient(t, r.ResolveRequest(in), tt.config.Header, out.Header)
			}
		})
	}
}

// forwardedLines returns a list of addresses as a Forwarded header.
func forwardedLines(list string) (lines []string) {
	for _, a := range strings.Split(list, ", ") {
		if ip, err := netip.ParseAddr(a); err == nil && ip.Is6() {
			a = `"[` + a + `]"`
		}
		lines = append(lines, "for="+a)
	}
	return lines
}

// nextHop resolves a request with the header h from this proxy, 10.0.0.77, on a server
// that trusts all proxies and load balancers.
func nextHop(t *testing.T, list forwarded.Header, h http.Header) forwarded.Result {
	t.Helper()
	r := newResolver(t, forwarded.Config{Header: list, Trusted: trustnet.MustParse(proxies, "198.51.100.3"), Proto: true})
	return r.Resolve(h, "10.0.0.77:80")
}

// requireSameClient checks that the next server finds the same client, or no client if this
// one found none.
func requireSameClient(t *testing.T, here forwarded.Result, list forwarded.Header, h http.Header) {
	t.Helper()
	require.Equal(t, here.Client, nextHop(t, list, h).Client)
}

func TestSetHeadersRemovesWhatClientSent(t *testing.T) {
	forged := []string{
		"X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip",
		"Cf-Connecting-Ip", "Cf-Connecting-Ipv6", "Fly-Client-Ip", "x-forwarded-for", "X_Forwarded_For", "X_REAL_IP", "cf_connecting-ip",
		"X-Example-Client", "x_example_client", "Forwarded", "Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-For",
	}
	r := newResolver(t, forwarded.Config{SingleHeader: "X-Example-Client", Proto: true})
	in := requestFrom(nil, "203.0.113.9:80")
	in.TLS = new(tls.ConnectionState)
	for _, name := range forged {
		in.Header[name] = []string{"127.0.0.1"}
	}
	in.Header["Accept"] = []string{"*/*"}
	in.Header["Via"] = []string{"1.1 example"}
	before := in.Header.Clone()
	out := in.Clone(context.Background())
	r.SetHeaders(out, in)
	require.Equal(t, http.Header{
		"Accept":            {"*/*"},
		"Via":               {"1.1 example"},
		"X-Forwarded-For":   {"203.0.113.9"},
		"X-Forwarded-Host":  {in.Host},
		"X-Forwarded-Proto": {"https"},
	}, out.Header)
	require.Equal(t, before, in.Header, "in is not modified")
}

// CGI uses Client-IP as the header too.
func TestSingleHeaderSpellings(t *testing.T) {
	for _, single := range []string{"Client-IP", "client_ip", "CLIENT_IP"} {
		r := newResolver(t, forwarded.Config{SingleHeader: single, Strip: true})
		in := requestFrom(nil, "203.0.113.9:80")
		for _, name := range []string{"Client-Ip", "Client_ip", "client-ip", "CLIENT_IP"} {
			in.Header[name] = []string{"127.0.0.1"}
		}
		require.Equal(t, forwarded.UntrustedHeader, r.ResolveRequest(in).Reason)
		out := in.Clone(context.Background())
		r.SetHeaders(out, in)
		require.Equal(t, http.Header{"X-Forwarded-For": {"203.0.113.9"}, "X-Forwarded-Host": {in.Host}, "X-Forwarded-Proto": {"http"}}, out.Header, single)
		require.Empty(t, handle(t, r, in).Header, single)
	}
}

func TestSetHeadersOfSingleHeader(t *testing.T) {
	for list, want := range map[forwarded.Header]string{
		forwarded.XForwardedFor: "192.0.2.1, 10.0.0.1",
		forwarded.Forwarded:     "for=192.0.2.1;proto=https, for=10.0.0.1",
	} {
		r := newResolver(t, forwarded.Config{SingleHeader: "CF-Connecting-IP", Header: list, Proto: true})
		in := requestFrom(nil, peer, "6.6.6.6")
		in.Header["Cf-Connecting-Ip"] = []string{"192.0.2.1"}
		in.Header["X-Forwarded-Proto"] = []string{"https"}
		out := in.Clone(context.Background())
		r.SetHeaders(out, in)
		require.Equal(t, http.Header{list.String(): {want}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {in.Host}}, out.Header)
	}
}

// The Result comes from a resolver that reads Forwarded. SetHeaders writes X-Forwarded-For.
func TestSetHeadersUsesResolverOfHandler(t *testing.T) {
	in := requestFrom(nil, peer)
	in.Header["Forwarded"] = []string{"for=192.0.2.1, for=10.0.0.2"}
	in = handle(t, newResolver(t, forwarded.Config{Header: forwarded.Forwarded}), in)
	out := in.Clone(context.Background())
	newResolver(t, forwarded.Config{}).SetHeaders(out, in)
	require.Equal(t, http.Header{"X-Forwarded-For": {"192.0.2.1, 10.0.0.2, 10.0.0.1"}, "X-Forwarded-Host": {in.Host}}, out.Header)
}

func TestSetHeadersRemovesSingleHeaders(t *testing.T) {
	in := requestFrom(nil, "203.0.113.9:80")
	in.Header = http.Header{"X-Example-Client": {"127.0.0.1"}, "X-Example-Address": {"127.0.0.1"}}
	in = handle(t, newResolver(t, forwarded.Config{SingleHeader: "X-Example-Client"}), in)
	out := in.Clone(context.Background())
	newResolver(t, forwarded.Config{SingleHeader: "X-Example-Address"}).SetHeaders(out, in)
	require.Equal(t, http.Header{"X-Forwarded-For": {"203.0.113.9"}, "X-Forwarded-Host": {in.Host}, "X-Forwarded-Proto": {"http"}}, out.Header)
}

// The Result does not change. The hops between are lost.
func TestSetHeadersAfterHeaderWasChanged(t *testing.T) {
	r := newResolver(t, forwarded.Config{})
	for _, lines := range [][]string{nil, {"6.6.6.6, 10.0.0.2"}, {"x"}} {
		in := handle(t, r, requestFrom(nil, peer, "192.0.2.1, 10.0.0.2"))
		in.Header["X-Forwarded-For"] = lines
		out := in.Clone(context.Background())
		r.SetHeaders(out, in)
		require.Equal(t, []string{"192.0.2.1, 10.0.0.1"}, out.Header["X-Forwarded-For"], "%q", lines)
	}
}

func TestSetHeadersWithoutHostAndHeader(t *testing.T) {
	in := requestFrom(nil, peer)
	in.Host = ""
	out := new(http.Request)
	newResolver(t, forwarded.Config{}).SetHeaders(out, in)
	require.Equal(t, http.Header{"X-Forwarded-For": {"unknown, 10.0.0.1"}}, out.Header)
}

// A client's Connection header makes ReverseProxy remove headers, except those that Rewrite
// sets.
func TestSetHeadersInReverseProxy(t *testing.T) {
	var got http.Header
	backend := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { got = req.Header }))
	defer backend.Close()
	target, err := url.Parse(backend.URL)
	require.NoError(t, err)
	r := newResolver(t, forwarded.Config{})
	front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(pr *httputil.ProxyRequest) {
		pr.SetURL(target)
		r.SetHeaders(pr.Out, pr.In)
	}})
	defer front.Close()
	req, err := http.NewRequest("GET", front.URL, nil)
	require.NoError(t, err)
	req.Host = "mail.example.com"
	req.Header = http.Header{
		"Connection":       {"X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host"},
		"X-Forwarded-For":  {"10.0.0.1"},
		"Cf-Connecting-Ip": {"10.0.0.1"},
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, []string{"127.0.0.1"}, got["X-Forwarded-For"])
	require.Equal(t, []string{"http"}, got["X-Forwarded-Proto"])
	require.Equal(t, []string{"mail.example.com"}, got["X-Forwarded-Host"])
	require.NotContains(t, got, "Cf-Connecting-Ip")
}
