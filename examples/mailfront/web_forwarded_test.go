package main

import (
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/forwarded"
)

func TestTheForwardedClient(t *testing.T) {
	plain := runMailfront(t, map[string]string{"MAILFRONT_HTTPS_CLIENT": "forwarded"})
	proto := runMailfront(t, map[string]string{"MAILFRONT_HTTPS_CLIENT": "forwarded", "MAILFRONT_FORWARDED_PROTO": "true"})
	ended := runMailfront(t, map[string]string{"MAILFRONT_HTTPS_CLIENT": "forwarded", "MAILFRONT_TLS_TERMINATED": "http,https"})
	both := runMailfront(t, map[string]string{"MAILFRONT_FORWARDED_PROTO": "true", "MAILFRONT_TLS_TERMINATED": "http"})
	unlisted := runMailfront(t, map[string]string{"MAILFRONT_HTTPS_CLIENT": "forwarded", "MAILFRONT_TRUSTED_PROXIES": ""})

	direct := func(r *running, listener string) net.Conn { return r.direct(listener) }
	proxied := func(r *running, listener string) net.Conn { return r.dial(proxyIP, listener) }
	said := func(value string) http.Header { return http.Header{"X-Forwarded-Proto": {value}} }
	type tlsState string
	const (
		yes     tlsState = "yes"
		no      tlsState = "no"
		unknown tlsState = "unknown"
	)
	for name, test := range map[string]struct {
		r        *running
		conn     func(*running, string) net.Conn
		listener string
		headers  http.Header
		client   string
		reason   forwarded.Reason
		tls      tlsState
	}{
		"a direct client without headers":     {r: plain, conn: direct, listener: "http", headers: http.Header{}, client: directIP, reason: forwarded.UntrustedPeer, tls: no},
		"a direct client":                     {r: plain, conn: direct, listener: "http", headers: believeMe, client: directIP, reason: forwarded.UntrustedHeader, tls: no},
		"a direct client on TLS":              {r: plain, conn: direct, listener: "https", headers: believeMe, client: directIP, reason: forwarded.UntrustedHeader, tls: yes},
		"a direct client, with proto":         {r: proto, conn: direct, listener: "http", headers: believeMe, client: directIP, reason: forwarded.UntrustedHeader, tls: no},
		"a direct client, TLS ended by proxy": {r: ended, conn: direct, listener: "http", headers: believeMe, client: directIP, reason: forwarded.UntrustedHeader, tls: no},
		"no peer is trusted":                  {r: unlisted, conn: proxied, listener: "http", headers: believeMe, client: proxyIP, reason: forwarded.UntrustedHeader, tls: no},
		"a proxy without the header":          {r: plain, conn: proxied, listener: "http", headers: http.Header{}, client: proxyIP, reason: forwarded.NoHeader, tls: unknown},
		"a proxy's own request, TLS ended":    {r: ended, conn: proxied, listener: "http", headers: http.Header{}, client: proxyIP, reason: forwarded.NoHeader, tls: unknown},
		"a proxy's own request, https said":   {r: proto, conn: proxied, listener: "http", headers: said("https"), client: proxyIP, reason: forwarded.NoHeader, tls: unknown},
		"proto twice, TLS ended by proxy": {r: both, conn: proxied, listener: "http", headers: http.Header{"X-Forwarded-For": {clientIP}, "X-Forwarded-Proto": {"http", "https"}},
			client: clientIP, reason: forwarded.UntrustedHop, tls: unknown},
		"a proxy that withholds it": {r: plain, conn: proxied, listener: "http", headers: http.Header{"X-Forwarded-For": {"unknown"}}, client: proxyIP, reason: forwarded.Obfuscated, tls: unknown},
		"a client of a proxy": {r: plain, conn: proxied, listener: "http", headers: http.Header{"X-Forwarded-For": {"198.51.100.9, " + clientIP}},
			client: clientIP, reason: forwarded.UntrustedHop, tls: unknown},
		"a client of a proxy that re-encrypts": {r: plain, conn: proxied, listener: "https", headers: http.Header{"X-Forwarded-For": {clientIP}},
			client: clientIP, reason: forwarded.UntrustedHop, tls: unknown},
		"a client's second line": {r: plain, conn: proxied, listener: "http", headers: http.Header{"X-Forwarded-For": {"198.51.100.9", clientIP}},
			client: clientIP, reason: forwarded.UntrustedHop, tls: unknown},
		"proto is not used by default": {r: plain, conn: proxied, listener: "http", headers: http.Header{"X-Forwarded-For": {clientIP}, "X-Forwarded-Proto": {"https"}},
			client: clientIP, reason: forwarded.UntrustedHop, tls: unknown},
		"proto https": {r: proto, conn: proxied, listener: "http", headers: http.Header{"X-Forwarded-For": {clientIP}, "X-Forwarded-Proto": {"https"}},
			client: clientIP, reason: forwarded.UntrustedHop, tls: yes},
		"proto http": {r: proto, conn: proxied, listener: "https", headers: http.Header{"X-Forwarded-For": {clientIP}, "X-Forwarded-Proto": {"http"}},
			client: clientIP, reason: forwarded.UntrustedHop, tls: no},
		"proto twice": {r: proto, conn: proxied, listener: "http", headers: http.Header{"X-Forwarded-For": {clientIP}, "X-Forwarded-Proto": {"https", "https"}},
			client: clientIP, reason: forwarded.UntrustedHop, tls: unknown},
		"the administrator says so": {r: ended, conn: proxied, listener: "http", headers: http.Header{"X-Forwarded-For": {clientIP}},
			client: clientIP, reason: forwarded.UntrustedHop, tls: yes},
	} {
		t.Run(name, func(t *testing.T) {
			r := *test.r
			r.t = t
			conn := test.conn(&r, test.listener)
			if test.listener == "https" {
				conn = h2(t, conn)
			}
			response, got := get(t, conn, "/whoami", test.headers)
			require.Equal(t, http.StatusOK, response.StatusCode)
			direct := test.reason == forwarded.UntrustedPeer || test.reason == forwarded.UntrustedHeader
			known := direct || test.reason == forwarded.UntrustedHop
			want := map[string]any{
				"client_ip": test.client, "last_ip": test.client, "client_known": known, "tls": test.tls == yes, "tls_known": test.tls != unknown,
				"version": 0.0, "proto": test.listener, "reason": test.reason.String(),
			}
			if !direct {
				want["proxy"] = proxyIP
			}
			if !known {
				want["client_ip"] = ""
			}
			require.Equal(t, want, got)
		})
	}
}

func TestARequestIsResolvedOnItsOwn(t *testing.T) {
	r := runMailfront(t, nil)
	s := newScript(t, r.dial(proxyIP, "http"))
	for _, ip := range []string{"203.0.113.1", "203.0.113.2", "2001:db8::3"} {
		s.send("GET /whoami HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: %s\r\n\r\n", ip)
		response, err := http.ReadResponse(s.r, nil)
		require.NoError(t, err)
		b, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.Contains(t, string(b), `"client_ip":"`+ip+`"`)
		r.awaitLog("proto=http event=session client_ip=" + ip + " tls=false")
	}
}

func TestForwardedClient(t *testing.T) {
	for _, test := range []struct {
		name     string
		settings map[string]string
		headers  http.Header
		client   string // "" if it is not known
		last     string
		reason   forwarded.Reason
	}{
		{name: "Forwarded", settings: map[string]string{"MAILFRONT_FORWARDED_HEADER": "forwarded"},
			headers: http.Header{"Forwarded": {"for=" + clientIP}, "X-Forwarded-For": {"198.51.100.9"}}, client: clientIP, last: clientIP, reason: forwarded.UntrustedHop},
		{name: "two hops", settings: map[string]string{"MAILFRONT_FORWARDED_HOPS": "2"},
			headers: http.Header{"X-Forwarded-For": {"198.51.100.9," + clientIP + ",203.0.113.3"}}, client: clientIP, last: clientIP, reason: forwarded.CountedHop},
		{name: "too few hops", settings: map[string]string{"MAILFRONT_FORWARDED_HOPS": "2"},
			headers: http.Header{"X-Forwarded-For": {"198.51.100.9"}}, last: "198.51.100.9", reason: forwarded.TooFewHops},
		{name: "a header with one address", settings: map[string]string{"MAILFRONT_FORWARDED_HEADER": "CF-Connecting-IP"},
			headers: http.Header{"Cf-Connecting-Ip": {clientIP}, "X-Forwarded-For": {"198.51.100.9"}}, client: clientIP, last: clientIP, reason: forwarded.CountedHop},
		{name: "a header with one address, twice", settings: map[string]string{"MAILFRONT_FORWARDED_HEADER": "CF-Connecting-IP"},
			headers: http.Header{"Cf-Connecting-Ip": {"198.51.100.9", clientIP}}, last: proxyIP, reason: forwarded.Malformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := runMailfront(t, test.settings)
			_, got := get(t, r.dial(proxyIP, "http"), "/whoami", test.headers)
			require.Equal(t, test.client, got["client_ip"])
			require.Equal(t, test.client != "", got["client_known"])
			require.Equal(t, test.last, got["last_ip"])
			require.Equal(t, test.reason.String(), got["reason"])
		})
	}
}
