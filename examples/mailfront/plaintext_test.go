package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin/signintest"
	"github.com/seed-94e48765/portico/proxyproto"
)

// request sends one request and returns the status and the header of the answer.
func request(t *testing.T, c net.Conn, method, path, body string, header http.Header) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequest(method, "http://mail.example.test"+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header, r.Close = header.Clone(), true
	if host := header.Get("Host"); host != "" {
		r.Host = host
	}
	require.NoError(t, r.Write(c))
	response, err := http.ReadResponse(bufio.NewReader(c), r)
	require.NoError(t, err)
	b, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, response.Header, string(b)
}

func with(header http.Header, fields ...string) http.Header {
	all := header.Clone()
	if all == nil {
		all = make(http.Header)
	}
	for i := 0; i < len(fields); i += 2 {
		all.Add(fields[i], fields[i+1])
	}
	return all
}

// The ways to send a password or token, with the answer if it is accepted.
var credentialRequests = map[string]struct {
	method, path, body string
	header             http.Header
	accepted           int
}{
	"DAV, Basic":    {method: "PROPFIND", path: "/dav/cal/", header: http.Header{"Authorization": {basicAuth(testPassword)}, "Depth": {"0"}}, accepted: 207},
	"JMAP, bearer":  {method: "GET", path: "/jmap/session", header: http.Header{"Authorization": {"Bearer " + testPassword}}, accepted: 200},
	"JMAP, Basic":   {method: "POST", path: "/jmap/", body: echoRequest, header: http.Header{"Authorization": {basicAuth(testPassword)}, "Content-Type": {"application/json"}}, accepted: 200},
	"userinfo":      {method: "GET", path: "/auth/userinfo", header: http.Header{"Authorization": {basicAuth(testPassword)}}, accepted: 200},
	"introspection": {method: "POST", path: "/auth/introspect", body: "token=x", header: http.Header{"Authorization": {basicAuth(testPassword)}, "Content-Type": {"application/x-www-form-urlencoded"}}, accepted: 200},
}

func TestPlaintextPasswordsAreLogged(t *testing.T) {
	trusting := runMailfront(t, map[string]string{"MAILFRONT_FORWARDED_PROTO": "true", "MAILFRONT_PUBLIC_URL": testBase})
	quiet := runMailfront(t, map[string]string{"MAILFRONT_PUBLIC_URL": testBase})
	unlisted := runMailfront(t, map[string]string{"MAILFRONT_TRUSTED_PROXIES": " ", "MAILFRONT_PUBLIC_URL": testBase, "MAILFRONT_HTTPS_CLIENT": "forwarded"})
	byPROXY := runMailfront(t, map[string]string{"MAILFRONT_HTTP_CLIENT": "proxy", "MAILFRONT_PUBLIC_URL": testBase})
	self := header(&proxyproto.TLS{})
	self.Source = &net.TCPAddr{IP: net.ParseIP("127.0.0.1"), Port: 4567}
	for _, tc := range []struct {
		name    string
		r       *running
		connect func(r *running) net.Conn
		header  http.Header
		refused bool
		log     string
	}{
		{name: "a direct client", r: trusting, connect: func(r *running) net.Conn { return r.direct("http") }, refused: true},
		{name: "a direct client that claims TLS", r: trusting, connect: func(r *running) net.Conn { return r.direct("http") }, header: http.Header{"X-Forwarded-Proto": {"https"}}, refused: true},
		{name: "a client of a trusted proxy, without TLS", r: trusting, connect: func(r *running) net.Conn { return r.dial(proxyIP, "http") },
			header: http.Header{"X-Forwarded-For": {clientIP}, "X-Forwarded-Proto": {"http"}}, refused: true},
		{name: "a client of a trusted proxy, with TLS", r: trusting, connect: func(r *running) net.Conn { return r.dial(proxyIP, "http") },
			header: http.Header{"X-Forwarded-For": {clientIP}, "X-Forwarded-Proto": {"https"}}},
		{name: "a client of a trusted proxy, TLS is not known", r: quiet, connect: func(r *running) net.Conn { return r.dial(proxyIP, "http") },
			header: http.Header{"X-Forwarded-For": {clientIP}}},
		{name: "the proxy's machine, named by a trusted proxy", r: trusting, connect: func(r *running) net.Conn { return r.dial(proxyIP, "http") },
			header: http.Header{"X-Forwarded-For": {"127.0.0.1, 127.0.0.1"}, "X-Forwarded-Proto": {"http"}}},
		{name: "a program on this machine", r: unlisted, connect: func(r *running) net.Conn { return r.dial(proxyIP, "http") }, header: http.Header{"Host": {"127.0.0.1:8080"}}},
		{name: "a program on this machine, or a proxy, for the public host", r: unlisted, connect: func(r *running) net.Conn { return r.dial(proxyIP, "http") }, refused: true, log: "MAILFRONT_TRUSTED_PROXIES"},
		{name: "X-Forwarded-For of a proxy that is not on the list", r: unlisted, connect: func(r *running) net.Conn { return r.dial(proxyIP, "http") },
			header: http.Header{"X-Forwarded-For": {clientIP}}, refused: true, log: "MAILFRONT_TRUSTED_PROXIES"},
		{name: "Forwarded of a proxy that is not on the list", r: unlisted, connect: func(r *running) net.Conn { return r.dial(proxyIP, "http") },
			header: http.Header{"Forwarded": {"for=" + clientIP}}, refused: true, log: "MAILFRONT_TRUSTED_PROXIES"},
		{name: "X-Forwarded-Host alone", r: unlisted, connect: func(r *running) net.Conn { return r.dial(proxyIP, "http") }, header: http.Header{"X-Forwarded-Host": {"x"}}, refused: true},
		{name: "Via", r: unlisted, connect: func(r *running) net.Conn { return r.dial(proxyIP, "http") }, header: http.Header{"Via": {"1.1 proxy"}}, refused: true},
		{name: "another spelling", r: unlisted, connect: func(r *running) net.Conn { return r.dial(proxyIP, "http") }, header: http.Header{"x_real_ip": {clientIP}}, refused: true},
		{name: "another address of loopback", r: unlisted, connect: func(r *running) net.Conn { return r.direct("http") }, refused: true},
		{name: "on TLS, with X-Forwarded-For", r: unlisted, connect: func(r *running) net.Conn { return onTLS(r.t, r.dial(proxyIP, "https")) }, header: http.Header{"X-Forwarded-For": {clientIP}}},
		{name: "PROXY, TLS bit clear", r: byPROXY, connect: func(r *running) net.Conn { return r.proxied("http", header(&proxyproto.TLS{})) }, refused: true},
		{name: "PROXY, TLS bit clear, client on this machine", r: byPROXY, connect: func(r *running) net.Conn { return r.proxied("http", self) }, refused: true},
		{name: "PROXY, TLS bit set", r: byPROXY, connect: func(r *running) net.Conn { return r.proxied("http", header(&proxyproto.TLS{Client: true})) }},
		{name: "PROXY, TLS is not known", r: byPROXY, connect: func(r *running) net.Conn { return r.proxied("http", header(nil)) }},
		{name: "PROXY listener, a direct client", r: byPROXY, connect: func(r *running) net.Conn { return r.direct("http") }, refused: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := *tc.r
			r.t = t
			for name, sent := range credentialRequests {
				all := sent.header.Clone()
				for key, values := range tc.header {
					all[key] = values
				}
				before := r.logged("level=WARN", "event=plaintext_refused", tc.log)
				status, _, body := request(t, tc.connect(&r), sent.method, sent.path, sent.body, all)
				if !tc.refused {
					require.Equal(t, sent.accepted, status, name)
					require.Equal(t, before, r.logged("level=WARN", "event=plaintext_refused"))
					continue
				}
				require.Equal(t, http.StatusForbidden, status, name)
				require.Contains(t, body, "https", name)
				require.Equal(t, before+1, r.logged("level=WARN", "event=plaintext_refused", tc.log), name)
			}
			require.NotContains(t, r.log.String(), testPassword)
		})
	}
	require.Zero(t, unlisted.logged("event=login_failed"))
}

func TestNoBasicChallengeInPlaintext(t *testing.T) {
	s := newSite(t, testBase, plain, nil)
	s.comeFromElsewhere()
	s.Base = "http://mail.example.test"
	response, _ := s.do("PROPFIND", "/dav/cal/", "")
	require.Equal(t, http.StatusUnauthorized, response.StatusCode)
	for _, challenge := range response.Header.Values("WWW-Authenticate") {
		require.NotContains(t, challenge, "Basic")
	}
}

func TestSignInRequiresTLS(t *testing.T) {
	s := newSite(t, testBase, direct, nil)
	verifier := oauth2.GenerateVerifier()
	action, form := s.Open(s.AuthURL(verifier))
	form.Set("username", testAccount)
	form.Set("password", testPassword)
	response, _ := s.Post(action, form)
	code := s.SentBack(response).Get("code")

	formType := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	status, h, page := request(t, s.direct("http"), http.MethodPost, "/login/password", form.Encode(), formType)
	require.Equal(t, http.StatusForbidden, status)
	require.Empty(t, h.Get("Location"))
	require.Contains(t, page, "not encrypted")
	s.awaitLogs(1, "level=WARN", "event=plaintext_refused client_ip="+directIP)
	status, _, body := request(t, s.direct("http"), http.MethodPost, "/auth/token", signintest.CodeForm(code, verifier).Encode(), formType)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, "TLS is required")
	s.awaitLogs(2, "level=WARN", "event=plaintext_refused client_ip="+directIP)

	status, _, _ = request(t, s.dial(proxyIP, "http"), http.MethodPost, "/login/password", form.Encode(), with(formType, "Host", s.address["http"]))
	require.Equal(t, http.StatusSeeOther, status, "a program on this machine")
	status, _, _ = request(t, s.dial(proxyIP, "http"), http.MethodPost, "/login/password", form.Encode(), with(formType, "X-Forwarded-For", clientIP))
	require.Equal(t, http.StatusForbidden, status, "a proxy on this machine")
}

func TestSignInFormRequiresTLS(t *testing.T) {
	for name, tc := range map[string]struct {
		base string
		want int
	}{
		"in bootstrap the form goes back the same way": {base: "", want: http.StatusForbidden},
		"the form goes to the public URL":              {base: testBase, want: http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "http://mail.example.test", plain, map[string]string{"MAILFRONT_PUBLIC_URL": tc.base})
			s.comeFromElsewhere()
			response, page := s.do(http.MethodGet, s.AuthURL("v"), "")
			require.Equal(t, tc.want, response.StatusCode)
			require.Equal(t, tc.want == http.StatusOK, strings.Contains(page, `action="`+testBase+`/login/password"`))
			require.Equal(t, tc.want == http.StatusOK, strings.Contains(page, "<form"))
		})
	}
}

func TestAdministrationWithoutTLS(t *testing.T) {
	for name, tc := range map[string]struct {
		header []string
		want   []string // in the log line
		no     string   // not in the log line
	}{
		"a direct client": {want: []string{"client_ip=" + directIP}, no: "setting="},
		"a proxy that is not on the list": {header: []string{"X-Forwarded-For", clientIP, "X-Forwarded-Proto", "https"},
			want: []string{"client_ip=" + directIP, "setting=MAILFRONT_TRUSTED_PROXIES"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newAdminSite(t, "http://mail.example.test", plain, nil)
			s.comeFromElsewhere()
			status, _ := s.setUp(testBase, adminPassword)
			require.Equal(t, http.StatusOK, status)
			response, _ := s.Post("/admin/sign-in", url.Values{"password": {adminPassword}}, tc.header...)
			require.Equal(t, http.StatusSeeOther, response.StatusCode)
			s.awaitLogs(1, append([]string{"level=WARN", "event=plaintext_password"}, tc.want...)...)
			if tc.no != "" {
				require.Zero(t, s.logged("event=plaintext_password", tc.no))
			}
			require.NotContains(t, s.log.String(), adminPassword)
		})
	}
}
