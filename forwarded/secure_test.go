package forwarded_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"testing"

	"github.com/seed-94e48765/portico/forwarded"
	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
	"github.com/stretchr/testify/require"
)

type secure struct{ secure, known bool }

func secureOf(res forwarded.Result) secure {
	s, known := res.Secure()
	return secure{s, known}
}

func TestSecure(t *testing.T) {
	const untrusted = "203.0.113.9:80"
	unix := &net.UnixAddr{Name: "/run/x.sock", Net: "unix"}
	var (
		yes     = secure{true, true}
		no      = secure{false, true}
		unknown = secure{}
	)
	for _, tt := range []struct {
		name       string
		local      net.Addr
		remoteAddr string
		xff        []string
		proto      []string
		plain, tls secure
	}{
		{name: "an untrusted peer", remoteAddr: untrusted, plain: no, tls: yes},
		{name: "an untrusted peer with headers", remoteAddr: untrusted, xff: []string{"192.0.2.1"}, proto: []string{"https"}, plain: no, tls: yes},
		{name: "a trusted peer without a scheme", remoteAddr: peer, xff: []string{"192.0.2.1"}, plain: unknown, tls: unknown},
		{name: "a trusted peer, https", remoteAddr: peer, xff: []string{"192.0.2.1"}, proto: []string{"https"}, plain: yes, tls: yes},
		{name: "a trusted peer, http", remoteAddr: peer, xff: []string{"192.0.2.1"}, proto: []string{"http"}, plain: no, tls: no},
		{name: "a trusted peer, different schemes", remoteAddr: peer, xff: []string{"192.0.2.1, 10.0.0.2"}, proto: []string{"https, http"}, plain: unknown, tls: unknown},
		{name: "a trusted peer, an unknown client", remoteAddr: peer, xff: []string{"x"}, plain: unknown, tls: unknown},
		{name: "no peer", remoteAddr: "10.0.0.1", xff: []string{"192.0.2.1"}, proto: []string{"https"}, plain: unknown, tls: unknown},
		{name: "a trusted unix socket", local: unix, remoteAddr: "@", xff: []string{"192.0.2.1"}, proto: []string{"https"}, plain: yes, tls: yes},
		{name: "a trusted unix socket without a scheme", local: unix, remoteAddr: "@", xff: []string{"192.0.2.1"}, plain: unknown, tls: unknown},
		{name: "an IP address on a unix socket", local: unix, remoteAddr: untrusted, plain: unknown, tls: unknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newResolver(t, forwarded.Config{Trusted: trustnet.MustParse(proxies, "unix"), Proto: true})
			req := requestFrom(tt.local, tt.remoteAddr, tt.xff...)
			if tt.proto != nil {
				req.Header["X-Forwarded-Proto"] = tt.proto
			}
			require.Equal(t, tt.plain, secureOf(r.ResolveRequest(req)))
			req.TLS = new(tls.ConnectionState)
			require.Equal(t, tt.tls, secureOf(r.ResolveRequest(req)))
		})
	}
}

// The result is that of Info.Secure. The exception is a direct connection from a trusted peer,
// which comes from a proxy.
func TestSecureOnProxyProtocolConnection(t *testing.T) {
	client := &net.TCPAddr{IP: net.IPv4(203, 0, 113, 7), Port: 4711}
	proxy := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 41234}
	for _, tt := range []struct {
		name       string
		info       proxyproto.Info
		plain, tls secure
	}{
		{name: "the header says TLS", info: proxyproto.Info{Version: 2, Client: client, Proxy: proxy, TLS: &proxyproto.TLS{Client: true}}, plain: secure{true, true}, tls: secure{true, true}},
		{name: "the header says no TLS", info: proxyproto.Info{Version: 2, Client: client, Proxy: proxy, TLS: &proxyproto.TLS{}}, plain: secure{false, true}, tls: secure{true, true}},
		{name: "the header says nothing", info: proxyproto.Info{Version: 2, Client: client, Proxy: proxy}, plain: secure{}, tls: secure{true, true}},
		{name: "LOCAL", info: proxyproto.Info{Version: 2, Local: true, Client: proxy, Proxy: proxy}, plain: secure{}, tls: secure{true, true}},
		{name: "direct", info: proxyproto.Info{Client: client}, plain: secure{false, true}, tls: secure{true, true}},
		{name: "direct from a trusted peer", info: proxyproto.Info{Client: proxy}, plain: secure{}, tls: secure{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newResolver(t, forwarded.Config{Proto: true})
			req := requestFrom(nil, peer, "192.0.2.1")
			req.Header["X-Forwarded-Proto"] = []string{"https"} // never read
			req = req.WithContext(proxyproto.NewContext(req.Context(), &tt.info))
			require.Equal(t, tt.plain, secureOf(r.ResolveRequest(req)))
			req.TLS = new(tls.ConnectionState)
			require.Equal(t, tt.tls, secureOf(r.ResolveRequest(req)))
		})
	}
}

func TestSecureWithoutConnection(t *testing.T) {
	r := newResolver(t, forwarded.Config{Proto: true})
	require.Equal(t, secure{}, secureOf(forwarded.Result{}))
	require.Equal(t, secure{}, secureOf(r.Resolve(nil, "203.0.113.9:80")), "Resolve does not see TLS")
	require.Equal(t, secure{}, secureOf(r.Resolve(nil, peer)))
	require.Equal(t, secure{true, true}, secureOf(r.Resolve(http.Header{"X-Forwarded-Proto": {"https"}}, peer)))
}

// The client of a direct connection is not known if the peer is a proxy.
func TestKnownProxyProtocolClient(t *testing.T) {
	client := &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 4711} // trusted as well
	proxy := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 41234}
	untrusted := &net.TCPAddr{IP: net.IPv4(203, 0, 113, 7), Port: 4711}
	unspecified := &net.TCPAddr{IP: net.IPv4zero, Port: 4711}
	for _, tt := range []struct {
		name               string
		trusted            string
		info               proxyproto.Info
		client, last, peer string
	}{
		{name: "a header", info: proxyproto.Info{Version: 1, Client: client, Proxy: proxy}, client: "10.1.2.3", last: "10.1.2.3", peer: "10.0.0.1"},
		{name: "a header with an unspecified source", info: proxyproto.Info{Version: 1, Client: unspecified, Proxy: proxy}, last: "10.0.0.1", peer: "10.0.0.1"},
		{name: "LOCAL", info: proxyproto.Info{Version: 2, Local: true, Client: proxy, Proxy: proxy}, last: "10.0.0.1", peer: "10.0.0.1"},
		{name: "direct", info: proxyproto.Info{Client: untrusted}, client: "203.0.113.7", last: "203.0.113.7", peer: "203.0.113.7"},
		{name: "direct from a trusted peer", info: proxyproto.Info{Client: proxy}, last: "10.0.0.1", peer: "10.0.0.1"},
		{name: "direct on a unix socket", info: proxyproto.Info{Client: &net.UnixAddr{Name: "@", Net: "unix"}}},
		{name: "direct on a trusted unix socket", trusted: "unix", info: proxyproto.Info{Client: &net.UnixAddr{Name: "@", Net: "unix"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.trusted == "" {
				tt.trusted = proxies
			}
			r := newResolver(t, forwarded.Config{Trusted: trustnet.MustParse(tt.trusted)})
			req := requestFrom(nil, "192.0.2.77:80", "192.0.2.1")
			res := r.ResolveRequest(req.WithContext(proxyproto.NewContext(req.Context(), &tt.info)))
			require.Equal(t, forwarded.ProxyProtocol, res.Reason)
			require.Equal(t, addr(tt.client), res.Client)
			require.Equal(t, addr(tt.last), res.Last)
			require.Equal(t, addr(tt.peer), res.Peer)
			require.Zero(t, res.Hops)
		})
	}
}
