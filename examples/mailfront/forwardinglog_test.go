package main

import (
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUntrustedForwardingHeaderIsLogged(t *testing.T) {
	trusting := runMailfront(t, map[string]string{"MAILFRONT_HTTPS_CLIENT": "forwarded"})
	unlisted := runMailfront(t, map[string]string{"MAILFRONT_TRUSTED_PROXIES": " "})
	for _, tc := range []struct {
		name     string
		r        *running
		from     string
		listener string
		header   http.Header
		reported string // the header
	}{
		{name: "X-Forwarded-For, no proxy is configured", r: unlisted, from: proxyIP, listener: "http", header: http.Header{"X-Forwarded-For": {clientIP}}, reported: "X-Forwarded-For"},
		{name: "on a PROXY listener", r: unlisted, from: proxyIP, listener: "https", header: http.Header{"X-Forwarded-For": {clientIP}}, reported: "X-Forwarded-For"},
		{name: "Forwarded, of another peer than the proxy", r: trusting, from: directIP, listener: "http", header: http.Header{"Forwarded": {"for=" + clientIP}}, reported: "Forwarded"},
		{name: "another header", r: trusting, from: directIP, listener: "https", header: http.Header{"X-Real-Ip": {clientIP}}, reported: "X-Real-Ip"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := *tc.r
			r.t = t
			for range 50 {
				c := r.dial(tc.from, tc.listener)
				if tc.listener == "https" {
					c = onTLS(t, c)
				}
				_, got := get(t, c, "/whoami", tc.header)
				require.Equal(t, tc.from, got["client_ip"], "it does not count")
			}
			require.Equal(t, 1, r.logged("level=WARN", "proto="+tc.listener+" event=untrusted_forwarding_header", "peer="+tc.from,
				"header="+tc.reported, "setting=MAILFRONT_TRUSTED_PROXIES"), r.log)
			require.Zero(t, r.logged("event=untrusted_forwarding_header", clientIP), "its value is not logged")
		})
	}
	t.Run("not of a trusted proxy", func(t *testing.T) {
		r := runMailfront(t, nil)
		r.t = t
		get(t, r.dial(proxyIP, "http"), "/whoami", http.Header{"X-Forwarded-For": {clientIP}})
		get(t, onTLS(t, r.proxied("https", header(nil))), "/whoami", http.Header{"X-Forwarded-For": {clientIP}})
		require.Zero(t, r.logged("event=untrusted_forwarding_header"))
	})
	t.Run("not without one", func(t *testing.T) {
		r := runMailfront(t, nil)
		r.t = t
		get(t, r.direct("http"), "/whoami", http.Header{})
		require.Zero(t, r.logged("event=untrusted_forwarding_header"))
	})
}

func TestMissingForwardingHeaderIsLogged(t *testing.T) {
	for _, tc := range []struct {
		name     string
		settings map[string]string
		header   http.Header
		reported string // attributes of the line; "" for no line
	}{
		{name: "another header than the one that is read", header: http.Header{"Forwarded": {"for=" + clientIP}},
			reported: "header=Forwarded reason=NoHeader setting=MAILFRONT_FORWARDED_HEADER"},
		{name: "a malformed header", header: http.Header{"X-Forwarded-For": {"192.0.2.7, x"}},
			reported: "header=X-Forwarded-For reason=Malformed setting=MAILFRONT_FORWARDED_HEADER"},
		{name: "fewer entries than proxies", settings: map[string]string{"MAILFRONT_FORWARDED_HOPS": "2"}, header: http.Header{"X-Forwarded-For": {clientIP}},
			reported: "header=X-Forwarded-For reason=TooFewHops setting=MAILFRONT_FORWARDED_HOPS"},
		{name: "a known client", header: http.Header{"X-Forwarded-For": {clientIP}}},
		{name: "a request of the proxy itself", header: http.Header{"X-Forwarded-For": {proxyIP}}},
		{name: "a health check", header: http.Header{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := runMailfront(t, tc.settings)
			for range 3 {
				get(t, r.dial(proxyIP, "http"), "/whoami", tc.header)
			}
			if tc.reported == "" {
				require.Zero(t, r.logged("event=unknown_client"))
				return
			}
			require.Equal(t, 1, r.logged("level=WARN", "proto=http event=unknown_client", "peer="+proxyIP, tc.reported), r.log)
		})
	}
}

func TestForwardingHeaderDoesNotExempt(t *testing.T) {
	s := newSite(t, testBase, direct, nil)
	s.comeFromElsewhere()
	for range 10 {
		s.do(http.MethodGet, "/jmap/session", "", "Authorization", basicAuth("wrong"), "X-Forwarded-For", clientIP)
	}
	s.awaitLogs(1, "event=ban ", "client_ip="+directIP)
	response, _ := s.do(http.MethodGet, "/whoami", "", "X-Forwarded-For", clientIP)
	require.Equal(t, http.StatusTooManyRequests, response.StatusCode)
}

// By default no proxy is configured, and all clients of a proxy on this machine have its address.
func TestUnlistedLocalProxyIsNotBanned(t *testing.T) {
	s := newAdminSite(t, testBase, kept, map[string]string{"MAILFRONT_TRUSTED_PROXIES": " "})
	s.setUp(testBase, adminPassword)
	c := s.dial(proxyIP, "smtps")
	compared := 0
	for range 5 {
		a := newScript(t, onTLS(t, s.dial(proxyIP, "imaps")))
		a.line()
		for range 3 {
			a.send("a LOGIN %s wrong\r\n", testAccount)
			a.until("a NO")
			if compared++; compared > 9 {
				break // the connection ends
			}
		}
		require.Empty(t, a.end())
	}
	require.Equal(t, 9, s.logged("event=login_failed"), "every limiter applies")
	require.NotZero(t, s.logged("event=login_refused"))
	require.Zero(t, s.logged("event=ban "))
	s.awaitLog("event=no_ban", "MAILFRONT_TRUSTED_PROXIES")

	newScript(t, onTLS(t, c)).line()
	for _, listener := range listenerNames {
		if c := s.dial(proxyIP, listener); listener[:4] != "http" {
			if listener[len(listener)-1] == 's' {
				c = net.Conn(onTLS(t, c))
			}
			newScript(t, c).line()
		}
	}
	response, _ := s.do(http.MethodGet, "/whoami", "")
	require.Equal(t, http.StatusOK, response.StatusCode)
	status, _ := s.signInAdmin(adminPassword)
	require.Equal(t, http.StatusOK, status, "the administrator sees what is wrong")
}

// A proxy on this machine that is not trusted forwards bytes and adds no header. Its requests are
// for the public host.
func TestLocalPeerWithForeignHost(t *testing.T) {
	r := runMailfront(t, map[string]string{"MAILFRONT_TRUSTED_PROXIES": "192.0.2.1", "MAILFRONT_HOSTNAME": "mail.example.test"})
	ask := func(host string) int {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.address["http"]+"/jmap/session", nil)
		require.NoError(t, err)
		request.Host = host
		request.SetBasicAuth(testAccount, testPassword)
		response, err := new(http.Transport).RoundTrip(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		return response.StatusCode
	}
	for _, own := range []string{r.address["http"], "localhost:8080", "[::1]"} {
		require.Equal(t, http.StatusOK, ask(own), own)
	}
	require.Zero(t, r.logged("event=local_peer"))
	for range 3 {
		require.Equal(t, http.StatusForbidden, ask("mail.example.test"))
	}
	r.awaitLogs(1, "level=WARN", "proto=http event=local_peer peer=127.0.0.1 host=mail.example.test", "setting=MAILFRONT_TRUSTED_PROXIES")
}
