package forwarded_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/seed-94e48765/portico/forwarded"
	"github.com/seed-94e48765/portico/trustnet"
	"github.com/stretchr/testify/require"
)

// handle sends req through r.Handler and returns what the next handler got.
func handle(t *testing.T, r *forwarded.Resolver, req *http.Request) *http.Request {
	t.Helper()
	var got *http.Request
	r.Handler(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { got = req })).
		ServeHTTP(httptest.NewRecorder(), req)
	require.NotNil(t, got)
	return got
}

func TestHandlerPassesResultOn(t *testing.T) {
	type key struct{}
	req := requestFrom(nil, peer, "192.0.2.1")
	req = req.WithContext(context.WithValue(req.Context(), key{}, "kept"))
	got := handle(t, newResolver(t, forwarded.Config{}), req)

	res, ok := forwarded.FromContext(got.Context())
	require.True(t, ok)
	require.Equal(t, result("192.0.2.1", 1, forwarded.UntrustedHop), res)
	require.Equal(t, peer, got.RemoteAddr)
	require.Equal(t, "kept", got.Context().Value(key{}))
	require.Nil(t, got.Context().Value(struct{}{}), "a key of another type")

	res, ok = forwarded.FromContext(req.Context())
	require.False(t, ok, "the request of the caller is another")
	require.Equal(t, forwarded.Result{}, res)

	derived, cancel := context.WithCancel(got.Context())
	cancel()
	res, ok = forwarded.FromContext(derived)
	require.True(t, ok)
	require.Equal(t, addr("192.0.2.1"), res.Client)
}

func TestHandlerContextEndsWithRequest(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	got := handle(t, newResolver(t, forwarded.Config{}), requestFrom(nil, peer).WithContext(ctx))
	require.NoError(t, got.Context().Err())
	cancel()
	require.ErrorIs(t, got.Context().Err(), context.Canceled)
}

func TestHandlerRefusesNil(t *testing.T) {
	require.PanicsWithValue(t, "forwarded: Resolver.Handler needs the handler to call next, got nil",
		func() { newResolver(t, forwarded.Config{}).Handler(nil) })
}

func TestOnResolveGetsRequestAsItCame(t *testing.T) {
	var results []forwarded.Result
	var header http.Header
	r := newResolver(t, forwarded.Config{
		Strip: true,
		OnResolve: func(req *http.Request, res forwarded.Result) {
			results = append(results, res)
			header = req.Header.Clone()
			inContext, ok := forwarded.FromContext(req.Context())
			require.True(t, ok)
			require.Equal(t, res, inContext)
		},
	})
	got := handle(t, r, requestFrom(nil, "203.0.113.9:80", "127.0.0.1"))
	require.Len(t, results, 1)
	require.Equal(t, forwarded.UntrustedHeader, results[0].Reason)
	require.Equal(t, addr("203.0.113.9"), results[0].Client)
	require.Equal(t, http.Header{"X-Forwarded-For": {"127.0.0.1"}}, header)
	require.Empty(t, got.Header)
}

func TestStrip(t *testing.T) {
	const (
		untrusted = "203.0.113.9:80"
		xff       = "X-Forwarded-For"
		xfp       = "X-Forwarded-Proto"
		fwd       = "Forwarded"
		example   = "X-Example"
	)
	// always lists headers that are always removed.
	always := []string{
		"X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server", "X-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "Cf-Connecting-Ipv6", "Fly-Client-Ip", "CF_CONNECTING_IP", "fly_client-ip", "X-Forwarded-By",
		"X-Forwarded-Ssl", "X-Forwarded-Scheme", "X-Forwarded-Client-Cert", "X-Forwarded", "X-Real-Ip",
		"X_forwarded_for", "X_forwarded-For", "X-Forwarded_for", "X_FORWARDED_PROTO", "x-forwarded-for", "X_real_ip", "x-real-ip",
		"FORWARDED", "forwarded", "Forwarded-For", "Forwarded_for",
	}
	keep := []string{"Accept", "Host", "X-Forward", "X-Forwardeds", "Forwarder", "X.Forwarded-For", "X-Real-Ip2", "Cf-Connecting-Ipv", "Cf-Ray", "Client-Ip", "X-Original-Forwarded-For", "Via"}

	for _, tt := range []struct {
		name       string
		config     forwarded.Config
		remoteAddr string
		xff, fwd   string
		proto      []string
		kept       []string
	}{
		{name: "X-Forwarded-For was used", config: forwarded.Config{}, remoteAddr: peer, xff: "192.0.2.1", fwd: "for=6.6.6.6", proto: []string{"https"}, kept: []string{xff}},
		{name: "X-Forwarded-For and -Proto were used", config: forwarded.Config{Proto: true}, remoteAddr: peer, xff: "192.0.2.1", fwd: "for=6.6.6.6", proto: []string{"https"}, kept: []string{xff, xfp}},
		{name: "X-Forwarded-Proto was not valid", config: forwarded.Config{Proto: true}, remoteAddr: peer, xff: "192.0.2.1", fwd: "", proto: []string{"https", "http"}, kept: []string{xff}},
		{name: "X-Forwarded-For was used in part", config: forwarded.Config{}, remoteAddr: peer, xff: "x, 10.0.0.2", fwd: "", proto: nil, kept: []string{xff}},
		{name: "X-Forwarded-For was not used", config: forwarded.Config{}, remoteAddr: peer, xff: "192.0.2.1, x", fwd: "", proto: nil, kept: nil},
		{name: "only X-Forwarded-Proto was used", config: forwarded.Config{Proto: true}, remoteAddr: peer, xff: "unknown", fwd: "", proto: []string{"http"}, kept: []string{xfp}},
		{name: "Forwarded was used", config: forwarded.Config{Header: forwarded.Forwarded}, remoteAddr: peer, xff: "192.0.2.1", fwd: "for=192.0.2.1", proto: []string{"https"}, kept: []string{fwd}},
		{name: "X-Forwarded-Proto is not used with Forwarded", config: forwarded.Config{Header: forwarded.Forwarded, Proto: true}, remoteAddr: peer, xff: "", fwd: "for=192.0.2.1;proto=https", proto: []string{"https"}, kept: []string{fwd}},
		{name: "Forwarded was not used", config: forwarded.Config{Header: forwarded.Forwarded, Proto: true}, remoteAddr: peer, xff: "192.0.2.1", fwd: "for=x", proto: []string{"https"}, kept: nil},
		{name: "X-Forwarded-For with TrustedHops", config: forwarded.Config{TrustedHops: 1, Proto: true}, remoteAddr: peer, xff: "192.0.2.1", fwd: "for=6.6.6.6", proto: []string{"https"}, kept: []string{xff, xfp}},
		{name: "X-Forwarded-For with too few hops", config: forwarded.Config{TrustedHops: 2}, remoteAddr: peer, xff: "192.0.2.1", fwd: "for=6.6.6.6", proto: nil, kept: nil},
		{name: "SingleHeader was used", config: forwarded.Config{SingleHeader: "X-Example", Proto: true}, remoteAddr: peer, xff: "6.6.6.6", fwd: "for=6.6.6.6", proto: []string{"https"}, kept: []string{example, xfp}},
		{name: "a SingleHeader of a list", config: forwarded.Config{SingleHeader: "X-Example", Header: forwarded.Forwarded, Proto: true}, remoteAddr: peer, xff: "6.6.6.6", fwd: "for=6.6.6.6", proto: []string{"https"}, kept: []string{example, xfp}},
		{name: "a SingleHeader of an untrusted peer", config: forwarded.Config{SingleHeader: "X-Example", Proto: true}, remoteAddr: untrusted, xff: "6.6.6.6", fwd: "", proto: []string{"https"}, kept: nil},
		{name: "an untrusted peer", config: forwarded.Config{Proto: true}, remoteAddr: untrusted, xff: "192.0.2.1", fwd: "for=192.0.2.1", proto: []string{"https"}, kept: nil},
		{name: "no peer", config: forwarded.Config{Proto: true}, remoteAddr: "@", xff: "192.0.2.1", fwd: "for=192.0.2.1", proto: []string{"https"}, kept: nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := requestFrom(nil, tt.remoteAddr)
			for _, name := range append(append([]string{}, always...), keep...) {
				req.Header[name] = []string{"127.0.0.1"}
			}
			if tt.config.SingleHeader != "" {
				req.Header[example] = []string{"192.0.2.1"}
				req.Header["x_example"] = []string{"192.0.2.1"}
			}
			for name, value := range map[string]string{xff: tt.xff, fwd: tt.fwd} {
				if value != "" {
					req.Header[name] = []string{value}
				}
			}
			if tt.proto != nil {
				req.Header[xfp] = tt.proto
			}
			before := req.Header.Clone()
			want := http.Header{}
			for _, name := range append(append([]string{}, keep...), tt.kept...) {
				want[name] = before[name]
			}

			off := tt.config
			require.Equal(t, before, handle(t, newResolver(t, off), req).Header, "Config.Strip is off")

			on := tt.config
			on.Strip = true
			require.Equal(t, want, handle(t, newResolver(t, on), req).Header)
			require.Equal(t, before, req.Header, "the caller's request is not modified")
		})
	}
}

func TestStripDoesNotShareValues(t *testing.T) {
	req := requestFrom(nil, "203.0.113.9:80", "127.0.0.1")
	req.Header["Accept"] = append(make([]string, 0, 2), "text/html")
	got := handle(t, newResolver(t, forwarded.Config{Strip: true}), req)
	got.Header.Add("Accept", "of the next handler")
	req.Header.Add("Accept", "of the caller")
	require.Equal(t, []string{"text/html", "of the next handler"}, got.Header["Accept"])
	require.Equal(t, []string{"text/html", "of the caller"}, req.Header["Accept"])
}

func TestStripTwiceIsStripOnce(t *testing.T) {
	r := newResolver(t, forwarded.Config{Strip: true, Proto: true})
	req := requestFrom(nil, peer, "6.6.6.6, 192.0.2.1")
	req.Header["X-Forwarded-Proto"] = []string{"https"}
	req.Header["X-Real-Ip"] = []string{"6.6.6.6"}
	once := handle(t, r, req)
	want, _ := forwarded.FromContext(once.Context())
	twice := handle(t, r, once)
	got, _ := forwarded.FromContext(twice.Context())
	require.Equal(t, want, got)
	require.Equal(t, http.Header{"X-Forwarded-For": {"6.6.6.6, 192.0.2.1"}, "X-Forwarded-Proto": {"https"}}, twice.Header)
}

func TestStripOnProxyProtocolConnection(t *testing.T) {
	req := marked(t, requestFrom(nil, peer, "192.0.2.1"))
	got := handle(t, newResolver(t, forwarded.Config{Strip: true, Trusted: trustnet.MustParse("10.0.0.0/8,loopback")}), req)
	require.Empty(t, got.Header)
}
