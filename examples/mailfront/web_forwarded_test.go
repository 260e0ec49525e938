package main

import (
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/seed-94e48765/portico/forwarded"
	"github.com/stretchr/testify/require"
)

func TestTheForwardedClient(t *testing.T) {
	plain := runMailfront(t, map[string]string{"MAILFRONT_HTTPS_CLIENT": "forwarded"})
	proto := runMailfront(t, map[string]string{"MAILFRONT_HTTPS_CLIENT": "forwarded", "MAILFRONT_FORWARDED_PROTO": "true"})
	ended := runMailfront(t, map[string]string{"MAILFRONT_HTTPS_CLIENT": "forwarded", "MAILFRONT_TLS_TERMINATED": "http,https"})
	both := runMailfront(t, map[string]string{"MAILFRONT_FORWARDED_PROTO": "true", "MAILFRONT_TLS_TERMINATED": "http"})
	nobody := runMailfront(t, map[string]string{"MAILFRONT_HTTPS_CLIENT": "forwarded", "MAILFRONT_TRUSTED_PROXIES": ""})

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
		"a direct client without headers":     {plain, direct, "http", http.Header{}, directIP, forwarded.UntrustedPeer, no},
		"a direct client":                     {plain, direct, "http", believeMe, directIP, forwarded.UntrustedHeader, no},
		"a direct client on TLS":              {plain, direct, "https", believeMe, directIP, forwarded.UntrustedHeader, yes},
		"a direct client, proto believed":     {proto, direct, "http", believeMe, directIP, forwarded.UntrustedHeader, no},
		"a direct client, TLS ended by proxy": {ended, direct, "http", believeMe, directIP, forwarded.UntrustedHeader, no},
		"nobody is trusted":                   {nobody, proxied, "http", believeMe, proxyIP, forwarded.UntrustedHeader, no},
		"a proxy without the header":          {plain, proxied, "http", http.Header{}, proxyIP, forwarded.NoHeader, unknown},
		"a proxy's own request, TLS ended":    {ended, proxied, "http", http.Header{}, proxyIP, forwarded.NoHeader, unknown},
		"a proxy's own request, https said":   {proto, proxied, "http", said("https"), proxyIP, forwarded.NoHeader, unknown},
		"proto twice, TLS ended by proxy": {both, proxied, "http", http.Header{"X-Forwarded-For": {clientIP}, "X-Forwarded-Proto": {"http", "https"}},
			clientIP, forwarded.UntrustedHop, unknown},
		"a proxy that withholds it": {plain, proxied, "http", http.Header{"X-Forwarded-For": {"unknown"}}, proxyIP, forwarded.Obfuscated, unknown},
		"a client of a proxy": {plain, proxied, "http", http.Header{"X-Forwarded-For": {"198.51.100.9, " + clientIP}},
			clientIP, forwarded.UntrustedHop, unknown},
		"a client of a proxy that re-encrypts": {plain, proxied, "https", http.Header{"X-Forwarded-For": {clientIP}},
			clientIP, forwarded.UntrustedHop, unknown},
		"a client's second line": {plain, proxied, "http", http.Header{"X-Forwarded-For": {"198.51.100.9", clientIP}},
			clientIP, forwarded.UntrustedHop, unknown},
		"proto is not believed by default": {plain, proxied, "http", http.Header{"X-Forwarded-For": {clientIP}, "X-Forwarded-Proto": {"https"}},
			clientIP, forwarded.UntrustedHop, unknown},
		"proto https": {proto, proxied, "http", http.Header{"X-Forwarded-For": {clientIP}, "X-Forwarded-Proto": {"https"}},
			clientIP, forwarded.UntrustedHop, yes},
		"proto http": {proto, proxied, "https", http.Header{"X-Forwarded-For": {clientIP}, "X-Forwarded-Proto": {"http"}},
			clientIP, forwarded.UntrustedHop, no},
		"proto twice": {proto, proxied, "http", http.Header{"X-Forwarded-For": {clientIP}, "X-Forwarded-Proto": {"https", "https"}},
			clientIP, forwarded.UntrustedHop, unknown},
		"the administrator says so": {ended, proxied, "http", http.Header{"X-Forwarded-For": {clientIP}},
			clientIP, forwarded.UntrustedHop, yes},
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

func TestTheConfiguredForwardingHeaderNamesTheClient(t *testing.T) {
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

// The log of forwarding headers finds every header for which package forwarded reports an
// untrusted peer.
func TestEveryForwardingHeaderOfPackageForwardedIsLogged(t *testing.T) {
	resolver, err := forwarded.New(forwarded.Config{})
	require.NoError(t, err)
	for _, name := range []string{
		"Forwarded", "Forwarded-For", "X-Forwarded", "X-Forwarded-For", "x_forwarded_host", "X-Real-Ip", "X-Client-Ip",
		"True-Client-Ip", "Cf-Connecting-Ip", "Cf-Connecting-Ipv6", "Fly-Client-Ip",
	} {
		h := http.Header{name: {clientIP}}
		require.Equal(t, forwarded.UntrustedHeader, resolver.Resolve(h, directIP+":50000").Reason, name)
		require.Equal(t, name, forwardingHeader(h))
	}
}
