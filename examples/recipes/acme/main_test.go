package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/acme"

	"github.com/seed-94e48765/portico/examples/recipes/internal/recipetest"
	"github.com/seed-94e48765/portico/proxyproto"
)

func start(t *testing.T, c *ca) {
	addrs := recipetest.Start(t, run, "-trusted", "127.0.0.1", "-http", "127.0.0.1:0", "-https", "127.0.0.1:0",
		"-cache", t.TempDir(), "-directory", c.URL+"/", "-agree")
	c.mu.Lock()
	c.http, c.https = addrs[0], addrs[1]
	c.mu.Unlock()
}

func TestFirstClientGetsCertificate(t *testing.T) {
	for _, challenge := range []string{"tls-alpn-01", "http-01"} {
		t.Run(challenge, func(t *testing.T) {
			log := recipetest.CaptureLog(t)
			c := startCA(t, challenge)
			start(t, c)
			tr := recipetest.Transport(t, c.https, recipetest.Header(nil))
			pool := x509.NewCertPool()
			pool.AddCert(c.cert)
			tr.TLSClientConfig, tr.ForceAttemptHTTP2 = &tls.Config{RootCAs: pool}, true
			response := get(t, tr, "https://mail.example.com/.well-known/oauth-protected-resource")
			require.Equal(t, http.StatusNotFound, response.StatusCode) // this server has no OAuth
			require.Equal(t, "HTTP/2.0", response.Proto)
			c.mu.Lock()
			defer c.mu.Unlock()
			require.NoError(t, c.err)
			log.Await(t, "client=203.0.113.7 name=mail.example.com")
			if challenge == "tls-alpn-01" {
				log.Await(t, "client=192.0.2.99 name=mail.example.com alpn=["+acme.ALPNProto+"] err=<nil>")
			}
		})
	}
}

func TestDocuments(t *testing.T) {
	c := startCA(t, "http-01")
	start(t, c)
	tr := recipetest.Transport(t, c.http, recipetest.Header(nil))
	response := get(t, tr, "http://mail.example.com/.well-known/jmap")
	require.Equal(t, "https://mail.example.com/jmap/session", response.Header.Get("Location"), "%v", response)
	response = get(t, tr, "http://mail.example.com/.well-known/acme-challenge/unknown")
	require.Equal(t, http.StatusNotFound, response.StatusCode)
}

func TestOtherNamesAreRefused(t *testing.T) {
	log := recipetest.CaptureLog(t)
	c := startCA(t, "tls-alpn-01")
	start(t, c)
	conn := tls.Client(recipetest.Dial(t, c.https, recipetest.Header(nil)), &tls.Config{ServerName: "elsewhere.example"})
	require.Error(t, conn.Handshake())
	log.Await(t, "client=203.0.113.7 name=elsewhere.example")
	log.Await(t, "not configured in HostWhitelist")
	conn = tls.Client(recipetest.Dial(t, c.https, proxyproto.Header{Local: true}), &tls.Config{ServerName: "elsewhere.example"})
	require.Error(t, conn.Handshake())
	log.Await(t, `client="" name=elsewhere.example`)
}

func TestInvalidSettings(t *testing.T) {
	recipetest.RequireRefused(t, run, "-agree")
	recipetest.RequireRefused(t, run, `-trusted "": use the addresses`, "-agree")
	recipetest.RequireRefused(t, run, "https://mail.example.com", "-agree", "-trusted", "127.0.0.1", "-host", "https://mail.example.com")
}

func get(t *testing.T, tr *http.Transport, url string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	response, err := tr.RoundTrip(request)
	require.NoError(t, err)
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	require.NoError(t, err)
	return response
}
