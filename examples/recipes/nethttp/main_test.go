package main

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/recipes/internal/recipetest"
	"github.com/seed-94e48765/portico/proxyproto"
)

func start(t *testing.T, more ...string) (plain, https string, client *http.Transport) {
	certFile, keyFile, pool := recipetest.Certificate(t)
	addrs := recipetest.Start(t, run, append([]string{"-http", "127.0.0.1:0", "-https", "127.0.0.1:0", "-cert", certFile, "-key", keyFile}, more...)...)
	return addrs[0], addrs[1], &http.Transport{TLSClientConfig: recipetest.TLSClient(pool)}
}

func TestClientsThroughTheProxy(t *testing.T) {
	plain, https, direct := start(t, "-trusted", "127.0.0.1")
	local := proxyproto.Header{Local: true}
	for name, tt := range map[string]struct {
		tls, http2 bool
		header     proxyproto.Header
		want       string
	}{
		"HTTP/1.1, the proxy ended TLS": {
			header: recipetest.Header(&proxyproto.TLS{Client: true}), want: "HTTP/1.1 client: 203.0.113.7:50000 TLS: true known: true\n",
		},
		"HTTP/2, the proxy ended TLS": {
			http2: true, header: recipetest.Header(&proxyproto.TLS{Client: true}), want: "HTTP/2.0 client: 203.0.113.7:50000 TLS: true known: true\n",
		},
		"a client without TLS": {
			header: recipetest.Header(&proxyproto.TLS{}), want: "HTTP/1.1 client: 203.0.113.7:50000 TLS: false known: true\n",
		},
		"a proxy that does not report TLS": {
			header: recipetest.Header(nil), want: "HTTP/1.1 client: 203.0.113.7:50000 TLS: false known: false\n",
		},
		"a health check": {
			header: local, want: "HTTP/1.1 client: invalid AddrPort TLS: false known: false\n",
		},
		"HTTP/1.1 on TLS": {
			tls: true, header: recipetest.Header(nil), want: "HTTP/1.1 client: 203.0.113.7:50000 TLS: true known: true\n",
		},
		"HTTP/2 on TLS": {
			tls: true, http2: true, header: recipetest.Header(nil), want: "HTTP/2.0 client: 203.0.113.7:50000 TLS: true known: true\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			addr, scheme := plain, "http"
			if tt.tls {
				addr, scheme = https, "https"
			}
			tr := recipetest.Transport(t, addr, tt.header)
			tr.TLSClientConfig = direct.TLSClientConfig.Clone()
			tr.Protocols = new(http.Protocols)
			tr.Protocols.SetHTTP1(!tt.http2)
			tr.Protocols.SetHTTP2(tt.http2)
			tr.Protocols.SetUnencryptedHTTP2(tt.http2)
			require.Equal(t, tt.want, get(t, tr, scheme+"://mail.example.com/"))
		})
	}
}

// The servers start at the same time. HTTPS clients must get HTTP/2 in either order.
func TestHTTP2AfterEveryStart(t *testing.T) {
	for range 10 {
		t.Run("start", func(t *testing.T) {
			plain, https, direct := start(t, "-trusted", "127.0.0.1")
			get(t, recipetest.Transport(t, plain, recipetest.Header(nil)), "http://mail.example.com/")
			tr := recipetest.Transport(t, https, recipetest.Header(nil))
			tr.TLSClientConfig, tr.ForceAttemptHTTP2 = direct.TLSClientConfig.Clone(), true
			require.Contains(t, get(t, tr, "https://mail.example.com/"), "HTTP/2.0 client: 203.0.113.7")
		})
	}
}

func TestUntrustedProxyIsTheClient(t *testing.T) {
	plain, _, direct := start(t, "-trusted", "192.0.2.1")
	defer direct.CloseIdleConnections()
	require.Contains(t, get(t, direct, "http://"+plain), "client: 127.0.0.1:")
	log := recipetest.CaptureLog(t)
	_, err := recipetest.Transport(t, plain, recipetest.Header(nil)).RoundTrip(newRequest(t, "http://mail.example.com/"))
	require.Error(t, err, "a PROXY header from a peer that is not trusted")
	log.Await(t, "-trusted")
}

func TestInvalidSettings(t *testing.T) {
	recipetest.RequireRefused(t, run, `-trusted "": use the addresses`)
	recipetest.RequireRefused(t, run, "-cert and -key", "-trusted", "127.0.0.1", "-cert", "does-not-exist.pem")
}

func get(t *testing.T, tr *http.Transport, url string) string {
	t.Helper()
	response, err := tr.RoundTrip(newRequest(t, url))
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(body)
}

func newRequest(t *testing.T, url string) *http.Request {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	return request
}
