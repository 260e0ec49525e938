package forwarded_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-94e48765/portico/forwarded"
	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
	"github.com/stretchr/testify/require"
)

// serve runs a server on l until the test ends. It answers with the Result that
// r.Handler stores, in one line for each request.
func serve(t *testing.T, l net.Listener, r *forwarded.Resolver, connContext func(context.Context, net.Conn) context.Context) {
	t.Helper()
	srv := &http.Server{
		Handler: r.Handler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			res, ok := forwarded.FromContext(req.Context())
			fmt.Fprintf(w, "%v last=%v peer=%v hops=%d %v ok=%v\n", res.Client, res.Last, res.Peer, res.Hops, res.Reason, ok)
		})),
		ConnContext: connContext,
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l)
	}()
	t.Cleanup(func() {
		srv.Close()
		<-done
	})
}

// get sends a request with the given X-Forwarded-For on c and returns the answer.
func get(t *testing.T, c net.Conn, br *bufio.Reader, xff string) string {
	t.Helper()
	_, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: %s\r\n\r\n", xff)
	require.NoError(t, err)
	resp, err := http.ReadResponse(br, nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(body)
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

func dial(t *testing.T, a net.Addr) net.Conn {
	t.Helper()
	c, err := net.Dial(a.Network(), a.String())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestResultIsNotRememberedForConnection(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	serve(t, l, newResolver(t, forwarded.Config{Trusted: trustnet.MustParse("loopback")}), nil)
	c := dial(t, l.Addr())
	br := bufio.NewReader(c)
	require.Equal(t, "192.0.2.1 last=192.0.2.1 peer=127.0.0.1 hops=1 UntrustedHop ok=true\n", get(t, c, br, "192.0.2.1"))
	require.Equal(t, "192.0.2.2 last=192.0.2.2 peer=127.0.0.1 hops=1 UntrustedHop ok=true\n", get(t, c, br, "192.0.2.2"))
	require.Equal(t, "invalid IP last=127.0.0.1 peer=127.0.0.1 hops=0 Malformed ok=true\n", get(t, c, br, "x"))
}

func TestUnixSockets(t *testing.T) {
	for _, tt := range []struct {
		name    string
		trusted string
		want    string
	}{
		{name: "with the keyword the header counts", trusted: "unix,10.0.0.0/8", want: "192.0.2.1 last=192.0.2.1 peer=invalid IP hops=2 UntrustedHop ok=true\n"},
		{name: "without it nothing is known", trusted: "loopback,private", want: "invalid IP last=invalid IP peer=invalid IP hops=0 NoPeer ok=true\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := listen(t, "unix", filepath.Join(t.TempDir(), "s"))
			serve(t, l, newResolver(t, forwarded.Config{Trusted: trustnet.MustParse(tt.trusted)}), nil)
			c := dial(t, l.Addr())
			require.Equal(t, tt.want, get(t, c, bufio.NewReader(c), "192.0.2.1, 10.0.0.3"))
		})
	}
}

// requestFrom returns a request as net/http would make it for a connection.
func requestFrom(local net.Addr, remoteAddr string, xff ...string) *http.Request {
	req := httptest.NewRequest("GET", "/", nil)
	req.RemoteAddr = remoteAddr
	if xff != nil {
		req.Header["X-Forwarded-For"] = xff
	}
	if local != nil {
		req = req.WithContext(context.WithValue(req.Context(), http.LocalAddrContextKey, local))
	}
	return req
}

func TestUnixPeers(t *testing.T) {
	tcp := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}
	unix := &net.UnixAddr{Name: "/run/x.sock", Net: "unix"}
	via := forwarded.Result{Client: addr("192.0.2.1"), Last: addr("192.0.2.1"), Hops: 1, Reason: forwarded.UntrustedHop}
	var noUnix *net.UnixAddr
	for _, tt := range []struct {
		name       string
		local      net.Addr
		remoteAddr string
		xff        []string
		want       forwarded.Result
	}{
		{name: "@ on a unix socket", local: unix, remoteAddr: "@", xff: []string{"192.0.2.1"}, want: via},
		{name: "nothing on a unix socket", local: unix, remoteAddr: "", xff: []string{"192.0.2.1"}, want: via},
		{name: "a path on a unix socket", local: unix, remoteAddr: "/tmp/c", xff: []string{"192.0.2.1"}, want: via},
		{name: "no header on a unix socket", local: unix, remoteAddr: "@", xff: nil, want: forwarded.Result{Reason: forwarded.NoHeader}},
		{name: "a bad header on a unix socket", local: unix, remoteAddr: "@", xff: []string{"x"}, want: forwarded.Result{Reason: forwarded.Malformed}},
		{name: "@ proves nothing on a TCP socket", local: tcp, remoteAddr: "@", xff: []string{"192.0.2.1"}, want: forwarded.Result{}},
		{name: "@ proves nothing on an unknown socket", local: nil, remoteAddr: "@", xff: []string{"192.0.2.1"}, want: forwarded.Result{}},
		{name: "a nil address is not a unix socket", local: noUnix, remoteAddr: "@", xff: []string{"192.0.2.1"}, want: forwarded.Result{}},
		{name: "a client socket named like a trusted address", local: unix, remoteAddr: "10.0.0.1:80", xff: []string{"192.0.2.1"}, want: forwarded.Result{}},
		{name: "a client socket named like another address", local: unix, remoteAddr: "203.0.113.9:80", xff: []string{"192.0.2.1"}, want: forwarded.Result{}},
		{name: "a TCP peer", local: tcp, remoteAddr: "10.0.0.1:80", xff: []string{"192.0.2.1"}, want: result("192.0.2.1", 1, forwarded.UntrustedHop)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newResolver(t, forwarded.Config{Trusted: trustnet.MustParse("unix,10.0.0.0/8")})
			require.Equal(t, tt.want, r.ResolveRequest(requestFrom(tt.local, tt.remoteAddr, tt.xff...)))
		})
	}
}

func TestTrustsAllAndUnixPeers(t *testing.T) {
	var live trustnet.Live
	live.Store(trustnet.MustParse("unix"))
	r := newResolver(t, forwarded.Config{Trusted: &live})
	req := requestFrom(&net.UnixAddr{Name: "/run/x.sock", Net: "unix"}, "@", "192.0.2.1")
	require.Equal(t, forwarded.UntrustedHop, r.ResolveRequest(req).Reason)
	live.Store(trustnet.MustParse("unix", "::/0"))
	require.Equal(t, forwarded.Result{}, r.ResolveRequest(req))
}

// Every kind of connection that a proxyproto.Listener accepts carries a forged X-Forwarded-For.
// The proxy and the address in its header are on the list of forwarded.
func TestProxyProtocolConnections(t *testing.T) {
	client := &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 4711}
	server := &net.TCPAddr{IP: net.IPv4(10, 9, 9, 9), Port: 80}
	known := proxyproto.Header{Source: client, Destination: server}
	for _, tt := range []struct {
		name    string
		trusted string // by proxyproto
		header  *proxyproto.Header
		want    string
	}{
		{name: "a client in forwarded's list", trusted: "loopback", header: &known,
			want: "10.1.2.3 last=10.1.2.3 peer=127.0.0.1 hops=0 ProxyProtocol ok=true\n"},
		{name: "LOCAL", trusted: "loopback", header: &proxyproto.Header{Local: true},
			want: "invalid IP last=127.0.0.1 peer=127.0.0.1 hops=0 ProxyProtocol ok=true\n"},
		{name: "UNKNOWN", trusted: "loopback", header: &proxyproto.Header{Version: 1},
			want: "invalid IP last=127.0.0.1 peer=127.0.0.1 hops=0 ProxyProtocol ok=true\n"},
		{name: "direct, from a peer on forwarded's list", trusted: "192.0.2.99", header: nil,
			want: "invalid IP last=127.0.0.1 peer=127.0.0.1 hops=0 ProxyProtocol ok=true\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inner := listen(t, "tcp", "127.0.0.1:0")
			l, err := proxyproto.New(inner, proxyproto.Config{Trusted: trustnet.MustParse(tt.trusted)})
			require.NoError(t, err)
			r := newResolver(t, forwarded.Config{Trusted: trustnet.MustParse("loopback,10.0.0.0/8")})
			serve(t, l, r, proxyproto.ConnContext)
			c := dial(t, inner.Addr())
			if tt.header != nil {
				require.NoError(t, proxyproto.WriteHeader(c, *tt.header))
			}
			br := bufio.NewReader(c)
			require.Equal(t, tt.want, get(t, c, br, "192.0.2.1"))
			require.Equal(t, tt.want, get(t, c, br, "192.0.2.2"))
		})
	}
}

// The mark decides even if RemoteAddr and the socket have other addresses.
func TestProxyProtocolComesFirst(t *testing.T) {
	inner := listen(t, "unix", filepath.Join(t.TempDir(), "s"))
	l, err := proxyproto.New(inner, proxyproto.Config{Trusted: trustnet.MustParse("192.0.2.99")})
	require.NoError(t, err)
	dial(t, inner.Addr())
	conn, err := l.Accept()
	require.NoError(t, err)
	defer conn.Close()

	req := requestFrom(&net.UnixAddr{Name: "s", Net: "unix"}, "10.0.0.1:80", "192.0.2.1")
	req = req.WithContext(proxyproto.ConnContext(req.Context(), conn))
	r := newResolver(t, forwarded.Config{Trusted: trustnet.MustParse("unix,10.0.0.0/8"), Proto: true})
	req.Header["X-Forwarded-Proto"] = []string{"https"}
	res := r.ResolveRequest(req)
	require.Equal(t, forwarded.ProxyProtocol, res.Reason)
	require.False(t, res.Client.IsValid())
	require.False(t, res.ClientKnown(), "a direct client on a unix socket has no address")
	require.Empty(t, res.Proto)
	require.Equal(t, []forwarded.Hop{
		{Where: "connection", Verdict: "the connection came through a PROXY protocol listener, so no forwarding header is read"},
		{Where: "PROXY protocol", Verdict: "the client is not known: the connection has no PROXY header, and its peer is in Config.Trusted, so it is a proxy [ProxyProtocol]"},
	}, r.Explain(req))
}

// MIGRATION.md and doc.go warn of middleware that copies a header into RemoteAddr: with such
// middleware a direct client can name another client.
func TestRemoteAddrMiddlewareForges(t *testing.T) {
	copyLeftmost := func(next http.Handler) http.Handler { // as ProxyHeaders of gorilla/handlers does
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			first, _, _ := strings.Cut(req.Header.Get("X-Forwarded-For"), ", ")
			req.RemoteAddr = first
			next.ServeHTTP(w, req)
		})
	}
	const direct = "203.0.113.66:50000"
	for _, tt := range []struct {
		name, xff string
		client    string
		reason    forwarded.Reason
	}{
		{name: "a proxy with a port", xff: "10.0.0.1:1, 198.51.100.66", client: "198.51.100.66", reason: forwarded.UntrustedHop},
		{name: "a proxy without a port", xff: "10.0.0.1, 198.51.100.66", reason: forwarded.NoPeer},
		{name: "another client with a port", xff: "198.51.100.66:1, 10.0.0.1", client: "198.51.100.66", reason: forwarded.UntrustedHeader},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newResolver(t, forwarded.Config{})
			var res forwarded.Result
			h := r.Handler(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { res, _ = forwarded.FromContext(req.Context()) }))
			copyLeftmost(h).ServeHTTP(httptest.NewRecorder(), requestFrom(nil, direct, tt.xff))
			require.Equal(t, tt.reason, res.Reason)
			require.Equal(t, addr(tt.client), res.Client)

			h.ServeHTTP(httptest.NewRecorder(), requestFrom(nil, direct, tt.xff))
			require.Equal(t, addr("203.0.113.66"), res.Client, "without the middleware")
		})
	}
}
