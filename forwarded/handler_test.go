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

func TestHandlerPassesTheResultOn(t *testing.T) {
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

func TestHandlerContextEndsWithTheRequest(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	got := handle(t, newResolver(t, forwarded.Config{}), requestFrom(nil, peer).WithContext(ctx))
	require.NoError(t, got.Context().Err())
	cancel()
	require.ErrorIs(t, got.Context().Err(), context.Canceled)
}

func TestHandlerRefusesNil(t *testing.T) {
	require.PanicsWithValue(t, "forwarded: Resolver.Handler was called with a nil handler: pass the one to call next",
		func() { newResolver(t, forwarded.Config{}).Handler(nil) })
}

func TestOnResolveGetsTheRequestAsItCame(t *testing.T) {
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
	// always is deleted whatever happens.
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
		{"X-Forwarded-For was believed", forwarded.Config{}, peer, "192.0.2.1", "for=6.6.6.6", []string{"https"}, []string{xff}},
		{"X-Forwarded-For and -Proto were believed", forwarded.Config{Proto: true}, peer, "192.0.2.1", "for=6.6.6.6", []string{"https"}, []string{xff, xfp}},
		{"X-Forwarded-Proto was not valid", forwarded.Config{Proto: true}, peer, "192.0.2.1", "", []string{"https", "http"}, []string{xff}},
		{"X-Forwarded-For was believed in part", forwarded.Config{}, peer, "x, 10.0.0.2", "", nil, []string{xff}},
		{"X-Forwarded-For was not believed", forwarded.Config{}, peer, "192.0.2.1, x", "", nil, nil},
		{"only X-Forwarded-Proto was believed", forwarded.Config{Proto: true}, peer, "unknown", "", []string{"http"}, []string{xfp}},
		{"Forwarded was believed", forwarded.Config{Header: forwarded.Forwarded}, peer, "192.0.2.1", "for=192.0.2.1", []string{"https"}, []string{fwd}},
		{"X-Forwarded-Proto does not count beside Forwarded", forwarded.Config{Header: forwarded.Forwarded, Proto: true}, peer, "", "for=192.0.2.1;proto=https", []string{"https"}, []string{fwd}},
		{"Forwarded was not believed", forwarded.Config{Header: forwarded.Forwarded, Proto: true}, peer, "192.0.2.1", "for=x", []string{"https"}, nil},
		{"X-Forwarded-For with TrustedHops", forwarded.Config{TrustedHops: 1, Proto: true}, peer, "192.0.2.1", "for=6.6.6.6", []string{"https"}, []string{xff, xfp}},
		{"X-Forwarded-For with too few hops", forwarded.Config{TrustedHops: 2}, peer, "192.0.2.1", "for=6.6.6.6", nil, nil},
		{"a SingleHeader was believed", forwarded.Config{SingleHeader: "X-Example", Proto: true}, peer, "6.6.6.6", "for=6.6.6.6", []string{"https"}, []string{example, xfp}},
		{"a SingleHeader of a list", forwarded.Config{SingleHeader: "X-Example", Header: forwarded.Forwarded, Proto: true}, peer, "6.6.6.6", "for=6.6.6.6", []string{"https"}, []string{example, xfp}},
		{"a SingleHeader of an untrusted peer", forwarded.Config{SingleHeader: "X-Example", Proto: true}, untrusted, "6.6.6.6", "", []string{"https"}, nil},
		{"an untrusted peer", forwarded.Config{Proto: true}, untrusted, "192.0.2.1", "for=192.0.2.1", []string{"https"}, nil},
		{"no peer", forwarded.Config{Proto: true}, "@", "192.0.2.1", "for=192.0.2.1", []string{"https"}, nil},
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

func TestStripOnAProxyProtocolConnection(t *testing.T) {
	req := marked(t, requestFrom(nil, peer, "192.0.2.1"))
	got := handle(t, newResolver(t, forwarded.Config{Strip: true, Trusted: trustnet.MustParse("10.0.0.0/8,loopback")}), req)
	require.Empty(t, got.Header)
}
