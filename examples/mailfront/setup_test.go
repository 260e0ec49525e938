package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

func TestSetUpEndsBootstrap(t *testing.T) {
	for _, at := range []struct{ url, how, publish string }{
		{url: "http://127.0.0.1:8080", how: plain, publish: testBase},
		{url: testBase, how: direct, publish: testBase},
		{url: testBase, how: kept, publish: testBase},
		{url: testBase + "/mail", how: stripped, publish: testBase + "/mail"},
		{url: testBase + "/mail", how: kept, publish: testBase + "/mail"},
		{url: testBase + "/a/b", how: kept, publish: testBase + "/a/b"},
		{url: testBase + "/mail", how: kept, publish: testBase + ":8443/other"}, // wrong, corrected later
	} {
		t.Run(at.url+" "+at.how+" "+at.publish, func(t *testing.T) {
			file := stateIn(t)
			s := newAdminSite(t, at.url, at.how, map[string]string{"MAILFRONT_STATE": file})
			token := s.setupToken()
			status, page := s.admin()
			require.Equal(t, http.StatusOK, status)
			for _, label := range []string{"token", "public_url", "password", "password_again"} {
				require.Contains(t, page, `<label for="`+label+`">`)
			}
			require.NotContains(t, page, token)

			// A wrong value changes nothing, and the token remains valid.
			for name, test := range map[string]struct {
				status int
				says   string
				fields []string
			}{
				"token":         {status: http.StatusForbidden, says: "This is not the token", fields: []string{"token", strings.ToLower(token)}},
				"no token":      {status: http.StatusForbidden, says: "This is not the token", fields: []string{"token", ""}},
				"no URL":        {status: http.StatusUnprocessableEntity, says: "publicurl: ", fields: []string{"public_url", ""}},
				"scheme":        {status: http.StatusUnprocessableEntity, says: "https", fields: []string{"public_url", "http://mail.example.com"}},
				"a secret":      {status: http.StatusUnprocessableEntity, says: "publicurl: ", fields: []string{"public_url", "https://u:hunter2@mail.example.com"}},
				"markup":        {status: http.StatusUnprocessableEntity, says: "publicurl: ", fields: []string{"public_url", `"><script>alert(1)</script>`}},
				"short":         {status: http.StatusUnprocessableEntity, says: "at least 8", fields: []string{"password", "1234567", "password_again", "1234567"}},
				"long":          {status: http.StatusUnprocessableEntity, says: "at most 72", fields: []string{"password", strings.Repeat("é", 37), "password_again", strings.Repeat("é", 37)}},
				"not the same":  {status: http.StatusUnprocessableEntity, says: "differ", fields: []string{"password_again", adminPassword + " "}},
				"nothing again": {status: http.StatusUnprocessableEntity, says: "differ", fields: []string{"password_again", ""}},
			} {
				target, form := s.fill(page, "/admin", "token",
					append([]string{"token", token, "public_url", at.publish, "password", adminPassword, "password_again", adminPassword}, test.fields...)...)
				response, answer := s.Post(target, form)
				require.Equal(t, test.status, response.StatusCode, name)
				require.Contains(t, answer, test.says, name)
				require.NotContains(t, answer, "<script>alert", name)
				require.NotContains(t, answer, adminPassword, name)
				require.Empty(t, s.issuer(), name)
				again, _ := s.fill(answer, "/admin/setup", "token")
				require.Equal(t, target, again, "the form of the answer goes to the same place")
			}
			require.NoFileExists(t, file)

			status, page = s.setUp(" "+at.publish+"/ ", adminPassword)
			require.Equal(t, http.StatusOK, status)
			require.Contains(t, page, `data-published="`+at.publish+`"`)
			require.Contains(t, page, "Sign in")
			require.Equal(t, at.publish, s.issuer())
			if at.how == direct {
				response, body := s.do(http.MethodGet, "https://autoconfig.example.test/mail/config-v1.1.xml", "")
				require.Equal(t, http.StatusOK, response.StatusCode, body)
				require.Contains(t, body, "<hostname>mail.example.test</hostname>")
			}
			c := s.dial(proxyIP, "https")
			if at.how == kept || at.how == stripped { // from a trusted proxy
				require.NoError(t, proxyproto.WriteHeader(c, header(nil)))
			}
			require.NoError(t, shown(t, c).VerifyHostname("mail.example.test"))

			_, page = s.admin()
			target, form := s.fill(page, "/admin", "password")
			form.Set("token", token)
			response, page := s.Post(strings.Replace(target, "sign-in", "setup", 1), form)
			require.Equal(t, http.StatusForbidden, response.StatusCode)
			require.Contains(t, page, "The set-up is complete")

			status, page = s.signInAdmin("not " + adminPassword)
			require.Equal(t, http.StatusForbidden, status)
			require.Contains(t, page, "Wrong password")
			status, page = s.signInAdmin(adminPassword)
			require.Equal(t, http.StatusOK, status)
			require.Contains(t, page, "Sign out")

			info, err := os.Stat(file)
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
			b, err := os.ReadFile(file)
			require.NoError(t, err)
			var kept map[string]string
			require.NoError(t, json.Unmarshal(b, &kept))
			require.Equal(t, at.publish, kept["public_url"])
			s.awaitLog("event=setup_done", "public_url="+at.publish, "client_ip=127.0.0.1")
			for _, secret := range []string{token, adminPassword, "hunter2", "1234567"} {
				require.NotContains(t, s.log.String(), secret)
				require.NotContains(t, string(b), secret)
			}
		})
	}
}

func TestStateAtNextStart(t *testing.T) {
	file := stateIn(t)
	s := newAdminSite(t, testBase, direct, map[string]string{"MAILFRONT_STATE": file})
	s.setUp(testBase, adminPassword)
	require.NoError(t, s.stop())

	t.Run("the state", func(t *testing.T) {
		s := newAdminSite(t, testBase, direct, map[string]string{"MAILFRONT_STATE": file, "MAILFRONT_HOSTNAME": "mx.example.test"})
		require.Equal(t, testBase, s.issuer())
		require.True(t, s.out.await(s.ctx, 1, "mode normal base "+testBase))
		require.NotContains(t, s.out.String(), "setup ")
		status, page := s.signInAdmin(adminPassword)
		require.Equal(t, http.StatusOK, status)
		require.Contains(t, page, file)
		require.NotContains(t, page, "MAILFRONT_PUBLIC_URL is")
	})
	t.Run("the setting", func(t *testing.T) {
		const other = "https://other.example.test"
		s := newAdminSite(t, other, direct, map[string]string{"MAILFRONT_STATE": file, "MAILFRONT_PUBLIC_URL": other})
		require.Equal(t, other, s.issuer())
		status, page := s.signInAdmin(adminPassword)
		require.Equal(t, http.StatusOK, status)
		require.Contains(t, page, "MAILFRONT_PUBLIC_URL is "+other)
		require.Contains(t, page, testBase)
	})
	t.Run("recovery", func(t *testing.T) {
		s := newAdminSite(t, testBase, direct, map[string]string{"MAILFRONT_STATE": file, "MAILFRONT_MODE": "recovery"})
		require.Empty(t, s.issuer())
		_, page := s.admin()
		require.Contains(t, page, "Recovery")
		require.Contains(t, page, "MAILFRONT_MODE is recovery")
		response, _ := s.Post("/admin/sign-in", map[string][]string{"password": {adminPassword}})
		require.Empty(t, response.Cookies(), "the old password is for nothing now")
		status, _ := s.setUp("https://new.example.test", nextPassword)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, "https://new.example.test", s.issuer())
		status, _ = s.signInAdmin(adminPassword)
		require.Equal(t, http.StatusForbidden, status)
		status, _ = s.signInAdmin(nextPassword)
		require.Equal(t, http.StatusOK, status)
		require.NoError(t, s.stop())

		s = newAdminSite(t, testBase, direct, map[string]string{"MAILFRONT_STATE": file})
		require.Equal(t, "https://new.example.test", s.issuer())
		status, _ = s.signInAdmin(nextPassword)
		require.Equal(t, http.StatusOK, status)
	})
}

func TestPageWithoutAdministrator(t *testing.T) {
	s := newAdminSite(t, testBase, direct, map[string]string{"MAILFRONT_PUBLIC_URL": testBase})
	status, page := s.admin()
	require.Equal(t, http.StatusForbidden, status)
	require.Contains(t, page, "MAILFRONT_MODE=recovery")
	require.NotContains(t, page, "<form")
	require.NotContains(t, page, testAccount)
	for _, path := range []string{"/admin/debug", "/admin/setup", "/admin/url", "/admin/"} {
		response, _ := s.do(http.MethodGet, path, "")
		require.Equal(t, http.StatusSeeOther, response.StatusCode, path)
	}
	for _, path := range []string{"/admin/setup", "/admin/sign-in", "/admin/url", "/admin/verify", "/admin/sign-out"} {
		response, page := s.Post(path, map[string][]string{"token": {""}, "csrf": {""}, "password": {""}, "public_url": {"https://evil.example"}})
		require.Contains(t, []int{http.StatusSeeOther, http.StatusForbidden}, response.StatusCode, path)
		require.Empty(t, response.Cookies(), path)
		require.NotContains(t, page, "<form", path)
	}
	require.Equal(t, testBase, s.issuer())
}

func TestUnwritableState(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	require.NoError(t, os.Mkdir(dir, 0o700))
	s := newAdminSite(t, testBase, direct, map[string]string{"MAILFRONT_STATE": filepath.Join(dir, "state")})
	s.setupToken()
	require.NoError(t, os.Remove(dir))
	_, page := s.admin()
	target, form := s.fill(page, "/admin", "token",
		"token", s.setupToken(), "public_url", testBase, "password", adminPassword, "password_again", adminPassword)
	response, page := s.Post(target, form)
	require.Equal(t, http.StatusInternalServerError, response.StatusCode)
	require.Contains(t, page, "cannot keep the state")
	require.Empty(t, s.issuer())
	s.awaitLog("event=not_changed")

	require.NoError(t, os.Mkdir(dir, 0o700))
	status, _ := s.setUp(testBase, adminPassword)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, testBase, s.issuer())
}

func TestTheTokenWorksOnce(t *testing.T) {
	s := newAdminSite(t, testBase, direct, nil)
	_, page := s.admin()
	target, form := s.fill(page, "/admin", "token",
		"token", s.setupToken(), "public_url", testBase, "password", adminPassword, "password_again", adminPassword)
	var done sync.WaitGroup
	statuses := make([]int, 4)
	for i := range statuses {
		done.Go(func() {
			request, err := http.NewRequest(http.MethodPost, target, strings.NewReader(form.Encode()))
			if err != nil {
				return
			}
			request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if response, err := s.client.Do(request); err == nil {
				response.Body.Close()
				statuses[i] = response.StatusCode
			}
		})
	}
	done.Wait()
	count := make(map[int]int)
	for _, status := range statuses {
		count[status]++
	}
	require.Equal(t, 1, count[http.StatusSeeOther], count)
	require.Equal(t, 3, count[http.StatusConflict]+count[http.StatusForbidden], count)
	s.awaitLogs(1, "event=setup_done")
}

func TestWrongTokensLockNobodyOut(t *testing.T) {
	for _, origin := range []string{"", "http://evil.example"} { // browsers send nothing else from a page without TLS
		s := newAdminSite(t, testBase, direct, nil)
		_, page := s.admin()
		target, form := s.fill(page, "/admin", "token", "public_url", testBase, "password", adminPassword, "password_again", adminPassword)
		form.Set("token", "wrong")
		for range 30 {
			response, _ := s.Post(target, form, "Origin", origin)
			require.Equal(t, http.StatusForbidden, response.StatusCode)
		}
		form.Set("token", s.setupToken())
		response, _ := s.Post(target, form)
		require.Equal(t, http.StatusSeeOther, response.StatusCode)
	}
}

func TestAdministratorGuessLimit(t *testing.T) {
	for _, test := range []struct {
		name, how string
		env       map[string]string
		tries     int
	}{
		{name: "a client that is known", how: direct, env: nil, tries: 10},
		{name: "clients that are not", how: plain, env: map[string]string{"MAILFRONT_TRUSTED_PROXIES": proxyIP}, tries: 21}, // no X-Forwarded-For
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newAdminSite(t, testBase, test.how, test.env)
			if test.how == plain {
				s.Base = "http://" + s.address["http"]
			}
			s.setUp(testBase, adminPassword)
			for i := range test.tries {
				response, _ := s.Post("/admin/sign-in", url.Values{"password": {"wrong"}})
				want := http.StatusForbidden
				if i == test.tries-1 {
					want = http.StatusTooManyRequests
				}
				require.Equal(t, want, response.StatusCode, i)
			}
			response, _ := s.Post("/admin/sign-in", url.Values{"password": {adminPassword}})
			require.Equal(t, http.StatusTooManyRequests, response.StatusCode, "the right one, too")
			require.NotEmpty(t, response.Header.Get("Retry-After"))
		})
	}
}

func TestCrossSiteGuesses(t *testing.T) {
	s := newAdminSite(t, testBase, direct, nil)
	s.setUp(testBase, adminPassword)
	for range 30 {
		s.Post("/admin/sign-in", url.Values{"password": {"wrong"}}, "Origin", "http://evil.example")
	}
	response, _ := s.Post("/admin/sign-in", url.Values{"password": {adminPassword}})
	require.Equal(t, http.StatusSeeOther, response.StatusCode)
}
