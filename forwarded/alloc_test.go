package forwarded_test

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/seed-94e48765/portico/forwarded"
	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
	"github.com/stretchr/testify/require"
)

// marked returns req on a direct connection of a proxyproto.Listener.
func marked(t testing.TB, req *http.Request) *http.Request {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l, err := proxyproto.New(inner, proxyproto.Config{Trusted: trustnet.MustParse("192.0.2.99")})
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	c, err := net.Dial("tcp", inner.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	conn, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return req.WithContext(proxyproto.ConnContext(req.Context(), conn))
}

// Resolve does not allocate for a valid header. For a malformed header it allocates at most
// the error of net/netip.
func TestResolveAllocations(t *testing.T) {
	type values map[string]string
	for _, tt := range []struct {
		header forwarded.Header
		most   float64
		values values
	}{
		{header: forwarded.XForwardedFor, most: 0, values: values{
			"one": "192.0.2.1", "three": "192.0.2.1, 10.0.0.3, 2001:db8:a::2", "zone": "fe80::1%eth0", "zone in brackets": "[fe80::1%eth0]:80",
			"port": "[2001:db8::1]:80", "v4 port": "192.0.2.1:80", "mapped": "::ffff:192.0.2.1", "unknown": "unknown", "hidden": "_x",
			"all trusted": "10.0.0.2, 10.0.0.3", "unspecified": "0.0.0.0", "garbage left of the client": "x, y, 192.0.2.1",
		}},
		{header: forwarded.XForwardedFor, most: 1, values: values{
			"empty": "", "malformed v4": "192.0.2.256", "malformed v6": "2001:db8::1::2", "malformed v6 tail": "::1.2.3",
			"malformed zone": "fe80::1%", "malformed port": "192.0.2.1:99999", "host": "client.example.com", "NUL": "\x00",
		}},
		{header: forwarded.XForwardedFor, most: 1, values: hostileXFF},
		{header: forwarded.Forwarded, most: 0, values: values{
			"one": "for=192.0.2.1", "full": `for="[2001:db8::1]:80";by=_x;host="a.example";proto=https;ext="\"a,b\""`,
			"two": "for=192.0.2.1,for=10.0.0.2", "unknown": "for=unknown", "hidden": `for="_x:_y"`, "escapes in proto": `for=192.0.2.1;proto="http\s"`,
		}},
		{header: forwarded.Forwarded, most: 1, values: values{
			"escapes in an address": `for="192.\0.2.1"`, "long escaped node": `for="` + strings.Repeat(`\a`, 200) + `"`, "empty": "", "malformed": "for",
			"twice": "for=_a;for=_b", "no for": "by=_a", "malformed node": `for="[::1"`, "unopened": `a"`, "NUL": "\x00",
		}},
		{header: forwarded.Forwarded, most: 1, values: hostileForwarded},
	} {
		r := newResolver(t, forwarded.Config{Header: tt.header, Proto: true})
		for name, value := range tt.values {
			h := header(tt.header, value)
			h["X-Forwarded-Proto"] = []string{"https"}
			lines := header(tt.header, strings.Split(value, ",")...)
			for _, remoteAddr := range []string{peer, "[2001:db8:a::1]:80", "203.0.113.9:80", "[fe80::1%eth0]:80"} {
				require.LessOrEqual(t, testing.AllocsPerRun(10, func() { sinkResult = r.Resolve(h, remoteAddr) }), tt.most, "%v %s from %q", tt.header, name, remoteAddr)
			}
			require.LessOrEqual(t, testing.AllocsPerRun(10, func() { sinkResult = r.Resolve(lines, peer) }), tt.most, "%v %s in lines", tt.header, name)
			for _, remoteAddr := range []string{"", "@", "nonsense", "10.0.0.1:x"} {
				require.LessOrEqual(t, testing.AllocsPerRun(10, func() { sinkResult = r.Resolve(h, remoteAddr) }), 1.0, "%v %s from %q", tt.header, name, remoteAddr)
			}
		}
	}
}

func TestResolveRequestDoesNotAllocate(t *testing.T) {
	r := newResolver(t, forwarded.Config{Trusted: trustnet.MustParse("unix,10.0.0.0/8"), Proto: true})
	for name, req := range map[string]*http.Request{
		"TCP":            requestFrom(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 9), Port: 80}, peer, "192.0.2.1"),
		"unix":           requestFrom(&net.UnixAddr{Name: "s", Net: "unix"}, "@", "192.0.2.1"),
		"PROXY protocol": marked(t, requestFrom(nil, peer, "192.0.2.1")),
	} {
		require.Zero(t, testing.AllocsPerRun(10, func() { sinkResult = r.ResolveRequest(req) }), name)
	}
}

// Handler allocates the context, the request and, if it removes fields, a copy of the header
// (two allocations).
func TestHandlerAllocations(t *testing.T) {
	nop := http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		sinkResult, _ = forwarded.FromContext(req.Context())
	})
	onResolve := func(_ *http.Request, res forwarded.Result) { sinkResult = res }
	for _, tt := range []struct {
		name   string
		config forwarded.Config
		forged bool
		want   float64
	}{
		{name: "plain", want: 2},
		{name: "all features, nothing to remove", config: forwarded.Config{Strip: true, Proto: true, OnResolve: onResolve}, want: 2},
		{name: "all features, a header to remove", config: forwarded.Config{Strip: true, Proto: true, OnResolve: onResolve}, forged: true, want: 4},
	} {
		h := newResolver(t, tt.config).Handler(nop)
		req := requestFrom(nil, peer, "192.0.2.1, 10.0.0.2")
		if tt.forged {
			req.Header["X-Real-Ip"] = []string{"127.0.0.1"}
		}
		require.Equal(t, tt.want, testing.AllocsPerRun(100, func() { h.ServeHTTP(nil, req) }), tt.name)
	}
}
