package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/recipes/internal/recipetest"
	"github.com/seed-94e48765/portico/forwarded"
	"github.com/seed-94e48765/portico/trustnet"
)

// startProxy runs the recipe in front of backend and returns its URL.
func startProxy(t *testing.T, backend *url.URL, more ...string) *url.URL {
	scheme := "http"
	if slices.Contains(more, "-cert") {
		scheme = "https"
	}
	addrs := recipetest.Start(t, run, append([]string{"-addr", "127.0.0.1:0", "-backend", backend.String()}, more...)...)
	return &url.URL{Scheme: scheme, Host: addrs[0]}
}

// startBackend serves until the test ends.
func startBackend(t *testing.T, handler http.Handler) *url.URL {
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	require.NoError(t, err)
	return u
}

// clientAt returns a client that connects from a loopback address.
func clientAt(ip string) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DialContext:       dialer.DialContext,
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // for the certificate of a test
	}}
}

// The recipe is behind another proxy, and the client claims to be 192.0.2.1. The test needs
// only one loopback address, because macOS has no second one.
func TestForgedHeaderIsRemoved(t *testing.T) {
	log := recipetest.CaptureLog(t)
	backend := startBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, r.Host, r.Header["X-Forwarded-For"], r.Header["X-Forwarded-Proto"], r.Header["X-Forwarded-Host"])
	}))
	edge, err := newServer(startProxy(t, backend, "-trusted", "127.0.0.1"), nil)
	require.NoError(t, err)
	front := startBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = "192.0.2.7:1234" // the client has another address than the proxies
		edge.Handler.ServeHTTP(w, r)
	}))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, front.String(), nil)
	require.NoError(t, err)
	request.Host = "mail.example.com"
	request.Header.Set("X-Forwarded-For", "192.0.2.1")
	request.Header.Set("X-Forwarded-Proto", "https")
	response, err := clientAt("127.0.0.1").Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, "mail.example.com [192.0.2.7, 127.0.0.1] [http] [mail.example.com]\n", string(body))
	log.Await(t, "add it to -trusted\" client=192.0.2.7")
}

func TestInvalidSettings(t *testing.T) {
	recipetest.RequireRefused(t, run, "-backend")
	recipetest.RequireRefused(t, run, `-trusted "127.0.0.1/8"`, "-backend", "http://127.0.0.1:1", "-trusted", "127.0.0.1/8")
	recipetest.RequireRefused(t, run, "-cert and -key", "-backend", "http://127.0.0.1:1", "-cert", "does-not-exist.pem")
}

func TestBackendIsDown(t *testing.T) {
	stopped := httptest.NewServer(http.NotFoundHandler())
	backend, err := url.Parse(stopped.URL)
	require.NoError(t, err)
	stopped.Close()
	log := recipetest.CaptureLog(t)
	response, err := clientAt("127.0.0.1").Get(startProxy(t, backend).String())
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusBadGateway, response.StatusCode)
	log.Await(t, "no answer\" backend="+backend.Host)
}

// A PROXY header on this port is a misconfiguration, and is reported.
func TestPROXYHeaderIsReported(t *testing.T) {
	front := startProxy(t, startBackend(t, http.NotFoundHandler()))
	log := recipetest.CaptureLog(t)
	conn := recipetest.Dial(t, front.Host, recipetest.Header(nil))
	answer, _ := io.ReadAll(conn) // until the listener closes it
	require.Empty(t, answer)
	log.Await(t, "not the PROXY protocol")
}

// forgedRequests are headers of a client that claims another address or TLS.
var forgedRequests = map[string]http.Header{
	"nothing":              {},
	"X-Forwarded-For":      {"X-Forwarded-For": {"192.0.2.1"}},
	"a chain of proxies":   {"X-Forwarded-For": {"192.0.2.1, 127.0.0.1"}},
	"the proxy":            {"X-Forwarded-For": {"127.0.0.1"}},
	"lines":                {"X-Forwarded-For": {"192.0.2.1", "127.0.0.1", ""}},
	"unknown":              {"X-Forwarded-For": {"unknown"}},
	"garbage":              {"X-Forwarded-For": {"\x80\"\\,,;"}},
	"Forwarded":            {"Forwarded": {`for=192.0.2.1;proto=https;host="`}},
	"a scheme":             {"X-Forwarded-Proto": {"https"}},
	"schemes":              {"X-Forwarded-Proto": {"https, https"}},
	"a host":               {"X-Forwarded-Host": {"evil.example"}},
	"X-Real-IP":            {"X-Real-Ip": {"192.0.2.1"}},
	"vendors":              {"Cf-Connecting-Ip": {"192.0.2.1"}, "True-Client-Ip": {"192.0.2.1"}, "Fly-Client-Ip": {"192.0.2.1"}, "X-Client-Ip": {"192.0.2.1"}},
	"underscores":          {"X_Forwarded_For": {"192.0.2.1"}, "X_Real_IP": {"192.0.2.1"}, "Cf_connecting_ip": {"192.0.2.1"}},
	"a Connection header":  {"Connection": {"X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host"}, "X-Forwarded-For": {"192.0.2.1"}},
	"8 KiB of a list":      {"X-Forwarded-For": {strings.Repeat("127.0.0.1,", 800) + "127.0.0.1"}},
	"8 KiB without commas": {"X-Forwarded-For": {strings.Repeat("1", 8<<10)}},
}

func TestReverseProxyChain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.77:0")
	if err != nil {
		t.Skipf("no client can have the address 127.0.0.77 on this system: %v", err)
	}
	l.Close()
	recipetest.CaptureLog(t) // the lines about the forged headers
	behind, err := forwarded.New(forwarded.Config{Trusted: trustnet.MustParse("127.0.0.1"), Proto: true})
	require.NoError(t, err)
	type seen struct {
		result forwarded.Result
		header http.Header
		host   string
	}
	requests := make(chan seen, 1)
	backend := startBackend(t, behind.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		res, _ := forwarded.FromContext(r.Context())
		requests <- seen{res, r.Header, r.Host}
	})))
	certFile, keyFile, _ := recipetest.Certificate(t)
	innerURL := startProxy(t, backend, "-trusted", "127.0.0.1")
	plainURL := startProxy(t, innerURL)
	tlsURL := startProxy(t, innerURL, "-cert", certFile, "-key", keyFile)

	ask := func(t *testing.T, from string, front *url.URL, header http.Header) seen {
		t.Helper()
		request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, front.String(), nil)
		require.NoError(t, err)
		request.Host, request.Header = "mail.example.com", header.Clone()
		response, err := clientAt(from).Do(request)
		require.NoError(t, err)
		response.Body.Close()
		require.Equal(t, http.StatusOK, response.StatusCode)
		return <-requests
	}
	for name, header := range forgedRequests {
		t.Run(name, func(t *testing.T) {
			for front, scheme := range map[*url.URL]string{plainURL: "http", tlsURL: "https"} {
				got := ask(t, "127.0.0.77", front, header)
				require.Equal(t, "127.0.0.77", got.result.Client.String())
				require.Equal(t, forwarded.UntrustedHop, got.result.Reason)
				secure, known := got.result.Secure()
				require.True(t, known)
				require.Equal(t, scheme == "https", secure)
				require.Equal(t, "mail.example.com", got.host)
				var names []string
				for name := range got.header {
					if name != "Accept-Encoding" && name != "User-Agent" {
						names = append(names, name)
					}
				}
				slices.Sort(names)
				require.Equal(t, []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}, names)
				require.Equal(t, []string{"127.0.0.77, 127.0.0.1"}, got.header["X-Forwarded-For"])
				require.Equal(t, []string{"mail.example.com"}, got.header["X-Forwarded-Host"])
			}
			past := ask(t, "127.0.0.77", innerURL, header) // past the edge
			require.Equal(t, "127.0.0.77", past.result.Client.String())
			require.Equal(t, []string{"127.0.0.77"}, past.header["X-Forwarded-For"])
		})
	}
	t.Run("an unknown client stays unknown", func(t *testing.T) {
		for _, value := range []string{"unknown", "x", "127.0.0.1"} {
			got := ask(t, "127.0.0.1", innerURL, http.Header{"X-Forwarded-For": {value}})
			require.False(t, got.result.ClientKnown(), value)
			require.True(t, strings.HasPrefix(got.header.Get("X-Forwarded-For"), "unknown, "), "%v", got.header)
		}
	})
}
