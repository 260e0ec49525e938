package main

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// A rebound page is a page of evil.example after its name has got the server's address.
func TestAReboundPageCannotBanItsVisitor(t *testing.T) {
	const evil = "http://evil.example"
	rebound := func(s *site, method, path, body string, fields ...string) int {
		r, err := http.NewRequestWithContext(s.ctx, method, s.Base+path, strings.NewReader(body))
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
			_, form := s.Open(s.AuthURL("v"))
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

func TestCrossSiteGuessesUnknownClient(t *testing.T) {
	s := newAdminSite(t, testBase, plain, map[string]string{"MAILFRONT_TRUSTED_PROXIES": proxyIP}) // and no X-Forwarded-For
	s.Base = "http://" + s.address["http"]
	s.setUp(testBase, adminPassword)
	for _, fields := range [][]string{{"Origin", "http://evil.example"}, {"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}} {
		for range 50 {
			s.Post("/admin/sign-in", url.Values{"password": {"wrong"}}, fields...)
		}
	}
	for range 5 {
		response, _ := s.Post("/admin/sign-in", url.Values{"password": {adminPassword}})
		require.Equal(t, http.StatusSeeOther, response.StatusCode)
	}
}

func TestConcurrentCrossSiteGuesses(t *testing.T) {
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
				s.Base = "http://" + s.address["http"]
			} else {
				s.comeFromElsewhere()
			}
			s.setUp(testBase, adminPassword)
			var compared, refused atomic.Int64
			var all sync.WaitGroup
			for range 200 {
				all.Go(func() {
					r, err := http.NewRequestWithContext(s.ctx, http.MethodPost, s.Base+"/admin/sign-in", strings.NewReader("password=wrong"))
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
