package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

// get requests a path on a connection, and returns the answer and its JSON.
func get(t *testing.T, c net.Conn, path string, header http.Header) (*http.Response, map[string]any) {
	t.Helper()
	transport := &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return c, nil },
		DialTLSContext:    func(context.Context, string, string) (net.Conn, error) { return c, nil },
		ForceAttemptHTTP2: true,
	}
	defer transport.CloseIdleConnections()
	scheme := "http"
	if _, ok := c.(*tls.Conn); ok {
		scheme = "https"
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, scheme+"://mail.example.test"+path, nil)
	require.NoError(t, err)
	request.Header = header
	response, err := transport.RoundTrip(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	var got map[string]any
	if response.Header.Get("Content-Type") == "application/json" {
		require.NoError(t, json.Unmarshal(body, &got))
	}
	return response, got
}

// h2 does a handshake that agrees on HTTP/2.
func h2(t *testing.T, c net.Conn) net.Conn {
	t.Helper()
	tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
	require.NoError(t, tc.Handshake())
	require.Equal(t, "h2", tc.ConnectionState().NegotiatedProtocol)
	return tc
}

// believeMe has the headers of a client that claims another address.
var believeMe = http.Header{
	"X-Forwarded-For":   {"203.0.113.99"},
	"X-Forwarded-Proto": {"https"},
	"Forwarded":         {"for=203.0.113.99;proto=https"},
	"X-Real-Ip":         {"203.0.113.99"},
}

func TestWhoami(t *testing.T) {
	byProxy := runMailfront(t, map[string]string{"MAILFRONT_HTTP_CLIENT": "proxy", "MAILFRONT_TLS_REENCRYPTED": "https"})
	set, clear := header(&proxyproto.TLS{Client: true}), header(&proxyproto.TLS{})
	tests := []struct {
		name      string
		r         *running
		conn      func(r *running) net.Conn
		client    string
		known     bool
		tls       bool
		tlsKnown  bool
		proxy     any
		version   float64
		logPrefix string
	}{
		{name: "http, proxy: direct", r: byProxy, conn: func(r *running) net.Conn { return r.direct("http") },
			client: directIP, known: true, tls: false, tlsKnown: true, proxy: nil, version: 0, logPrefix: "proto=http event=session client_ip=" + directIP + " tls=false"},
		{name: "http, proxy: plain client", r: byProxy, conn: func(r *running) net.Conn { return r.proxied("http", clear) },
			client: clientIP, known: true, tls: false, tlsKnown: true, proxy: proxyIP, version: 2, logPrefix: "proto=http event=session client_ip=" + clientIP + " tls=false"},
		{name: "http, proxy: nothing said of TLS", r: byProxy, conn: func(r *running) net.Conn { return r.proxied("http", header(nil)) },
			client: clientIP, known: true, tls: false, tlsKnown: false, proxy: proxyIP, version: 2, logPrefix: "proto=http event=session client_ip=" + clientIP + " tls=false"},
		{name: "http, proxy: client on TLS", r: byProxy, conn: func(r *running) net.Conn { return r.proxied("http", set) },
			client: clientIP, known: true, tls: true, tlsKnown: true, proxy: proxyIP, version: 2, logPrefix: "proto=http event=session client_ip=" + clientIP + " tls=true"},
		{name: "https, reencrypted: client on TLS", r: byProxy, conn: func(r *running) net.Conn { return h2(t, r.proxied("https", set)) },
			client: clientIP, known: true, tls: true, tlsKnown: true, proxy: proxyIP, version: 2, logPrefix: "proto=https event=session client_ip=" + clientIP + " tls=true"},
		{name: "https, reencrypted: plain client", r: byProxy, conn: func(r *running) net.Conn { return h2(t, r.proxied("https", clear)) },
			client: clientIP, known: true, tls: false, tlsKnown: true, proxy: proxyIP, version: 2, logPrefix: "proto=https event=session client_ip=" + clientIP + " tls=false"},
		{name: "https, reencrypted: direct", r: byProxy, conn: func(r *running) net.Conn { return h2(t, r.direct("https")) },
			client: directIP, known: true, tls: true, tlsKnown: true, proxy: nil, version: 0, logPrefix: "proto=https event=session client_ip=" + directIP + " tls=true"},
		{name: "http, proxy: LOCAL", r: byProxy, conn: func(r *running) net.Conn { return r.proxied("http", proxyproto.Header{Local: true}) },
			client: proxyIP, known: false, tls: false, tlsKnown: false, proxy: proxyIP, version: 2, logPrefix: "level=DEBUG msg=client proto=http event=session client_ip=" + proxyIP + " tls=false"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := *test.r
			r.t = t
			response, got := get(t, test.conn(&r), "/whoami", believeMe)
			require.Equal(t, http.StatusOK, response.StatusCode)
			require.Equal(t, "no-store", response.Header.Get("Cache-Control"))
			want := map[string]any{
				"client_ip": test.client, "last_ip": test.client, "client_known": test.known, "tls": test.tls, "tls_known": test.tlsKnown,
				"version": test.version, "proto": test.name[:strings.Index(test.name, ",")],
			}
			if test.proxy != nil {
				want["proxy"] = test.proxy
			}
			if !test.known {
				want["client_ip"] = ""
			}
			require.Equal(t, want, got)
			r.awaitLog(test.logPrefix)
		})
	}
	require.Zero(t, byProxy.logged("203.0.113.99"))
	require.Zero(t, byProxy.logged("proto=http", "event=accept"), "HTTP has no accept line")
}

func TestEveryRequestIsASession(t *testing.T) {
	r := runMailfront(t, map[string]string{"MAILFRONT_HTTP_CLIENT": "proxy"})
	s := newScript(t, r.proxied("http", header(nil)))
	for _, path := range []string{"/whoami", "/nothing", "/whoami"} {
		s.send("GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
		response, err := http.ReadResponse(s.r, nil)
		require.NoError(t, err)
		io.Copy(io.Discard, response.Body)
		if path == "/nothing" {
			require.Equal(t, http.StatusNotFound, response.StatusCode)
		}
	}
	require.Equal(t, 3, r.logged("proto=http event=session client_ip="+clientIP))
	s.send("POST /whoami HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
	response, err := http.ReadResponse(s.r, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusMethodNotAllowed, response.StatusCode)
}
