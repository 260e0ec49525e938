package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/publicurl"
)

func TestWhatAPageOfAnotherSiteMayHaveSent(t *testing.T) {
	absolute, err := publicurl.Parse(testBase)
	require.NoError(t, err)
	relative, err := publicurl.Relative("")
	require.NoError(t, err)
	for _, tc := range []struct {
		name, site, origin, host string
		base                     publicurl.Base
		want                     bool
	}{
		{name: "a program, by the server's name", host: "mail.example.test", base: absolute},
		{name: "a program, by name and port", host: "Mail.Example.Test.:8443", base: absolute},
		{name: "a program, by IPv4 address", host: "192.0.2.1:8080", base: absolute},
		{name: "a program, by IPv6 address", host: "[2001:db8::1]", base: absolute},
		{name: "a program, by localhost", host: "localhost:8080", base: absolute},
		{name: "a program, in bootstrap", host: "anything.example", base: relative},
		{name: "our page, by its origin", origin: testBase, host: "127.0.0.1:80", base: absolute},
		{name: "our page, as the browser reports", site: "same-origin", origin: "https://changed.example", host: "127.0.0.1:80", base: absolute},
		{name: "typed by a person", site: "none", host: "mail.example.test", base: absolute},
		{name: "our page, in bootstrap", origin: "http://10.0.0.1:8080", host: "10.0.0.1:8080", base: relative},
		{name: "another origin", origin: "https://evil.example", host: "mail.example.test", base: absolute, want: true},
		{name: "another origin, in bootstrap", origin: "https://evil.example", host: "mail.example.test", base: relative, want: true},
		{name: "an opaque origin", origin: "null", host: "null", base: relative, want: true},
		{name: "cross-site", site: "cross-site", origin: testBase, host: "mail.example.test", base: absolute, want: true},
		{name: "same-site", site: "same-site", origin: testBase, host: "mail.example.test", base: absolute, want: true},
		{name: "rebound: Host is the origin", origin: "http://evil.example", host: "evil.example", base: absolute, want: true},
		{name: "rebound, with a port", origin: "http://evil.example:8080", host: "evil.example:8080", base: absolute, want: true},
		{name: "rebound: a GET has no origin", host: "evil.example", base: absolute, want: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/", nil)
			r.Host = tc.host
			if tc.site != "" {
				r.Header.Set("Sec-Fetch-Site", tc.site)
			}
			if tc.origin != "" {
				r.Header.Set("Origin", tc.origin)
			}
			require.Equal(t, tc.want, otherSite(r, tc.base))
		})
	}
}

// A rebound page is one of evil.example, after evil.example got the server's address.
func TestAReboundPageCannotBanItsVisitor(t *testing.T) {
	const evil = "http://evil.example"
	rebound := func(s *site, method, path, body string, fields ...string) int {
		r, err := http.NewRequestWithContext(s.ctx, method, s.base+path, strings.NewReader(body))
		require.NoError(s.t, err)
		if method == http.MethodPost {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Origin", evil)
		}
		r.Host = "evil.example"
		for i := 0; i < len(fields); i += 2 {
			r.Header.Set(fields[i], fields[i+1])
		}
		response, err := s.client.Do(r)
		require.NoError(s.t, err)
		response.Body.Close()
		return response.StatusCode
	}
	for name, send := range map[string]func(s *site) int{
		"the administrator's password": func(s *site) int { return rebound(s, http.MethodPost, "/admin/sign-in", "password=wrong") },
		"a password to an API": func(s *site) int {
			return rebound(s, http.MethodGet, "/jmap/session", "", "Authorization", basicAuth("wrong"))
		},
		"a bearer token": func(s *site) int { return rebound(s, http.MethodPost, "/jmap/", "{}", "Authorization", "Bearer wrong") },
		"the sign-in form": func(s *site) int {
			_, form := s.open(s.authURL("v"))
			form.Set("username", testAccount)
			form.Set("password", "wrong")
			return rebound(s, http.MethodPost, "/login/password", form.Encode())
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newAdminSite(t, testBase, direct, nil)
			s.comeFromElsewhere()
			s.setUp(testBase, adminPassword)
			for range 30 {
				require.GreaterOrEqual(t, send(s), 400)
			}
			require.Zero(t, s.logged("event=ban "))
			status, _ := s.signInAdmin(adminPassword)
			require.Equal(t, http.StatusOK, status)
			response, _ := s.do(http.MethodGet, "/jmap/session", "", "Authorization", basicAuth(testPassword))
			require.Equal(t, http.StatusOK, response.StatusCode)
			newScript(t, s.direct("smtp")).line()
		})
	}
}

func TestAnotherSiteCannotLockOutAnAdministratorWhoseAddressIsNotKnown(t *testing.T) {
	s := newAdminSite(t, testBase, plain, map[string]string{"MAILFRONT_TRUSTED_PROXIES": proxyIP}) // and no X-Forwarded-For
	s.base = "http://" + s.address["http"]
	s.setUp(testBase, adminPassword)
	for _, fields := range [][]string{{"Origin", "http://evil.example"}, {"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}} {
		for range 50 {
			s.post("/admin/sign-in", url.Values{"password": {"wrong"}}, fields...)
		}
	}
	for range 5 {
		response, _ := s.post("/admin/sign-in", url.Values{"password": {adminPassword}})
		require.Equal(t, http.StatusSeeOther, response.StatusCode)
	}
}

func TestGuessesByAnotherSiteAtTheSameTimeCountAgainstTheLimit(t *testing.T) {
	for _, tc := range []struct {
		name, how string
		env       map[string]string
		compared  int
	}{
		{name: "a known client", how: direct, compared: 9},
		{name: "a client that is not known", how: plain, env: map[string]string{"MAILFRONT_TRUSTED_PROXIES": proxyIP}, compared: 20},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newAdminSite(t, testBase, tc.how, tc.env)
			if tc.how == plain {
				s.base = "http://" + s.address["http"]
			} else {
				s.comeFromElsewhere()
			}
			s.setUp(testBase, adminPassword)
			var compared, refused atomic.Int64
			var all sync.WaitGroup
			for range 200 {
				all.Go(func() {
					r, err := http.NewRequestWithContext(s.ctx, http.MethodPost, s.base+"/admin/sign-in", strings.NewReader("password=wrong"))
					if err != nil {
						return
					}
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
					r.Header.Set("Origin", "http://evil.example")
					response, err := s.client.Do(r)
					if err != nil {
						return
					}
					response.Body.Close()
					switch response.StatusCode {
					case http.StatusForbidden:
						compared.Add(1)
					case http.StatusTooManyRequests, http.StatusServiceUnavailable:
						refused.Add(1)
					}
				})
			}
			all.Wait()
			require.EqualValues(t, tc.compared, compared.Load())
			require.EqualValues(t, 200-tc.compared, refused.Load())
			s.awaitLogs(tc.compared, "event=login_failed")
			require.Equal(t, 200-tc.compared, s.logged("event=login_refused"))
			require.Zero(t, s.logged("event=ban "))
			status, page := s.signInAdmin(adminPassword)
			require.Equal(t, http.StatusOK, status, page)
		})
	}
}
