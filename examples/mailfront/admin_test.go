package main

import (
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/webpage"
	"github.com/seed-94e48765/portico/publicurl"
)

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	require.NoError(t, err)
	return u
}

func TestPageExplainsClientAndTLS(t *testing.T) {
	for _, test := range []struct {
		name, how string
		env       map[string]string
		address   string
		by        string
		tls       string
		tlsBy     string
	}{
		{name: "direct, TLS", how: direct, address: "127.0.0.1", by: "The connection itself: 127.0.0.1 is not on the list", tls: "yes", tlsBy: "The connection itself."},
		{name: "direct, plain", how: plain, address: "127.0.0.1", by: "The connection itself", tls: "no", tlsBy: "The connection itself."},
		{name: "everybody in the chain is on the list", how: kept, address: "not known", by: "remove it from MAILFRONT_TRUSTED_PROXIES", tls: "not known", tlsBy: "The client is not known"},
		{name: "a proxy that is not trusted", how: kept, env: map[string]string{"MAILFRONT_TRUSTED_PROXIES": "192.0.2.1"}, address: "127.0.0.1", by: "add it to MAILFRONT_TRUSTED_PROXIES.", tls: "no", tlsBy: "The connection itself."},
		{name: "a proxy that is not trusted by the list of the listener", how: kept, env: map[string]string{"MAILFRONT_TRUSTED_PROXIES_HTTP": "192.0.2.1"}, address: "127.0.0.1", by: "add it to MAILFRONT_TRUSTED_PROXIES_HTTP.", tls: "no", tlsBy: "The connection itself."},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newAdminSite(t, testBase, test.how, test.env)
			if test.how == plain {
				s.Base = "http://mail.example.test"
			}
			_, page := s.setUp(testBase, adminPassword)
			require.NotContains(t, page, "client-address", "before the sign-in")
			status, page := s.signInAdmin(adminPassword)
			require.Equal(t, http.StatusOK, status)
			text := html.UnescapeString(page)
			unknown := test.address == "not known"
			require.Regexp(t, `id="client-address">(<span class="tag warn">)?`+regexp.QuoteMeta(test.address)+"<", text)
			require.Equal(t, unknown, strings.Contains(text, "The client address is not known"), "highlighted")
			require.Equal(t, unknown, strings.Contains(text, "It is not known whether the client uses TLS"), "highlighted")
			require.Contains(t, text, test.by)
			require.Regexp(t, `id="client-tls">(<span class="tag warn">)?`+test.tls+"<", text)
			require.Contains(t, text, test.tlsBy)
		})
	}
}

func TestDifferentBrowserURLIsFirst(t *testing.T) {
	for origin, differs := range map[string]bool{
		testBase:                    false,
		testBase + ":8443":          true,
		"http://mail.example.test":  true,
		"https://other.example.com": true,
	} {
		s := newAdminSite(t, testBase, direct, nil)
		s.setUp(testBase, adminPassword)
		// A browser without script sends this, through a proxy that changes Host.
		status, page := s.signInAdmin(adminPassword, "Origin", origin, "Sec-Fetch-Site", "same-origin")
		require.Equal(t, http.StatusOK, status)
		class := "good"
		if differs {
			class = "bad"
		}
		_, first, ok := strings.Cut(page, "</h1>")
		require.True(t, ok)
		require.True(t, strings.HasPrefix(strings.TrimSpace(first), `<section id="urls" class="`+class+`">`), first)
		require.Contains(t, page, `data-here>`+origin+`<`)
		require.Equal(t, differs, !strings.Contains(page, `<div data-if="any" hidden class="notice" role="alert">`))
	}
}

// Without JavaScript, the Referer of the form has the path that the browser uses.
func TestDifferentBrowserPath(t *testing.T) {
	for _, test := range []struct {
		name, referer, browser, class string
	}{
		{name: "the same path", referer: testBase + "/admin", browser: testBase, class: "good"},
		{name: "another path", referer: testBase + "/mail/admin/sign-in", browser: testBase + "/mail", class: "bad"},
		{name: "no Referer", browser: testBase, class: "good"},
		{name: "the Referer of another site", referer: "https://evil.example/mail/admin", browser: testBase, class: "good"},
		{name: "a malformed Referer", referer: testBase + "/%zz/admin", browser: testBase, class: "good"},
		{name: "a Referer without the page", referer: testBase + "/", browser: testBase, class: "good"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newAdminSite(t, testBase, direct, nil)
			s.setUp(testBase, adminPassword)
			_, page := s.signInAdmin(adminPassword, "Origin", testBase, "Sec-Fetch-Site", "same-origin", "Referer", test.referer)
			require.Contains(t, page, `<section id="urls" class="`+test.class+`">`)
			require.Contains(t, page, `id="browser-url" data-here>`+test.browser+"<")
		})
	}
}

func TestThePublicURLChangesLive(t *testing.T) {
	file := stateIn(t)
	s := newAdminSite(t, testBase+"/mail", kept, map[string]string{"MAILFRONT_STATE": file})
	s.setUp(testBase, adminPassword) // the path is forgotten
	_, page := s.signInAdmin(adminPassword)
	for _, wrong := range []string{"mail.example.test", "https://mail.example.test/?x", "https://mail_host.example.test"} {
		target, form := s.fill(page, "/admin", "public_url", "public_url", wrong)
		response, answer := s.Post(target, form)
		require.Equal(t, http.StatusUnprocessableEntity, response.StatusCode)
		require.Contains(t, answer, `value="`+wrong+`"`)
		require.Contains(t, answer, "publicurl: ")
		require.Contains(t, answer, `data-published="`+testBase+`"`)
	}
	target, form := s.fill(page, "/admin", "public_url", "public_url", testBase+"/mail")
	response, _ := s.Post(target, form)
	status, page := s.follow(response)
	require.Equal(t, http.StatusOK, status, "still signed in")
	require.Contains(t, page, `data-published="`+testBase+`/mail"`)
	require.Equal(t, testBase+"/mail", s.issuer())
	s.awaitLog("event=public_url_changed", "public_url="+testBase+"/mail")
	kept, err := stateFile{file}.load()
	require.NoError(t, err)
	require.Equal(t, testBase+"/mail", kept.PublicURL)
	require.True(t, isPassword(kept.PasswordHash, adminPassword))
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	s := newAdminSite(t, testBase, direct, nil)
	_, page := s.admin()
	target, form := s.fill(page, "/admin", "token",
		"token", s.setupToken(), "public_url", testBase, "password", adminPassword, "password_again", adminPassword)
	foreign := [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site", "Origin", "https://evil.example.test"},
		{"Origin", "https://evil.example"},
		{"Origin", "null"},
	}
	for _, fields := range foreign {
		response, _ := s.Post(target, form, fields...)
		require.Equal(t, http.StatusForbidden, response.StatusCode, fields)
	}
	require.Empty(t, s.issuer())
	s.setUp(testBase, adminPassword)
	_, page = s.signInAdmin(adminPassword)
	for _, field := range []string{"public_url", "admin/verify", "admin/sign-out"} {
		target, form := s.fill(page, "/admin", field)
		if field == "public_url" {
			form.Set("public_url", "https://evil.example")
		}
		for _, fields := range foreign {
			response, _ := s.Post(target, form, fields...)
			require.Equal(t, http.StatusForbidden, response.StatusCode, "%s %v", field, fields)
		}
		for _, csrf := range []string{"", "AAAAAAAAAAAAAAAAAAAAAAAAAA"} {
			form.Set("csrf", csrf)
			response, _ := s.Post(target, form, "Origin", "http://evil.example")
			require.Equal(t, http.StatusForbidden, response.StatusCode, field)
		}
	}
	require.Equal(t, testBase, s.issuer())
	_, page = s.admin()
	require.Contains(t, page, "Sign out", "still signed in")
	target, form = s.fill(page, "/admin", "admin/sign-out")
	cookies := s.client.Jar.Cookies(mustURL(t, s.Base+"/admin"))
	require.Len(t, cookies, 1)
	require.Empty(t, s.client.Jar.Cookies(mustURL(t, s.Base+"/")), "only for the page")
	s.Post(target, form)
	_, page = s.admin()
	require.NotContains(t, page, "Sign out")
	response, _ := s.do(http.MethodGet, "/admin/debug", "", "Cookie", sessionCookie+"="+cookies[0].Value)
	require.Equal(t, http.StatusSeeOther, response.StatusCode, "the cookie is for nothing now")
	require.NotContains(t, s.log.String(), cookies[0].Value)
}

func TestSessionCookieIsSecure(t *testing.T) {
	base, err := publicurl.Parse(testBase)
	require.NoError(t, err)
	for _, test := range []struct {
		name, origin string
		cl           client.Client
		want         bool
	}{
		{name: "https in the browser", origin: testBase, cl: client.Client{TLSKnown: true}, want: true},
		{name: "http in the browser", origin: "http://127.0.0.1:8080", cl: client.Client{}},
		{name: "no browser, TLS", cl: client.Client{TLS: true, TLSKnown: true}, want: true},
		{name: "no browser, no TLS", cl: client.Client{TLSKnown: true}},
		{name: "no browser, nothing known", cl: client.Client{}, want: true},
	} {
		r := httptest.NewRequest(http.MethodPost, "/admin/sign-in", nil)
		if test.origin != "" {
			r.Header.Set("Origin", test.origin)
		}
		cookie := newCookie(r, test.cl, base, "value")
		require.Equal(t, test.want, cookie.Secure, test.name)
		require.True(t, cookie.HttpOnly)
		require.Equal(t, http.SameSiteStrictMode, cookie.SameSite)
		require.Empty(t, cookie.Path+cookie.Domain)
	}
}

func TestEveryViewMayRunOnlyWhatIsOurs(t *testing.T) {
	s := newAdminSite(t, testBase, direct, nil)
	check := func(name, path string) {
		response, page := s.do(http.MethodGet, path, "")
		require.Equal(t, http.StatusOK, response.StatusCode, name)
		h := response.Header
		require.Equal(t, "no-store", h.Get("Cache-Control"))
		require.Equal(t, "text/html; charset=utf-8", h.Get("Content-Type"))
		require.Equal(t, "DENY", h.Get("X-Frame-Options"))
		policy := h.Get("Content-Security-Policy")
		require.Contains(t, policy, "default-src 'none'")
		require.NotContains(t, policy, "unsafe")
		for _, tag := range []string{"style", "script"} {
			m := regexp.MustCompile(`(?s)<`+tag+`>(.*?)</`+tag+`>`).FindAllStringSubmatch(page, -1)
			require.Len(t, m, 1, name)
			require.Contains(t, policy, tag+"-src "+webpage.SourceHash(m[0][1]), name)
		}
		require.NotRegexp(t, ` on[a-z]+="| style="|(src|action)="(/|https?:)|href="/`, page, name)
		for _, m := range regexp.MustCompile(`href="(https?:[^"]*)"`).FindAllStringSubmatch(page, -1) {
			require.Equal(t, testBase+"/admin", m[1], name)
		}
	}
	check("set-up", "/admin")
	s.setUp(testBase, adminPassword)
	check("set-up done", "/admin/setup")
	check("sign-in", "/admin")
	check("signed out", "/admin/sign-out")
	s.signInAdmin(adminPassword)
	check("home", "/admin")
	check("debug", "/admin/debug")
}

func TestVerifyRunsThroughThePublicURL(t *testing.T) {
	s := newAdminSite(t, testBase, plain, nil)
	own := "http://" + s.address["http"]
	s.Base = own
	s.setUp(own, adminPassword)
	_, page := s.signInAdmin(adminPassword)
	target, form := s.fill(page, "/admin", "admin/verify")
	response, _ := s.Post(target, form)
	status, page := s.follow(response)
	require.Equal(t, http.StatusOK, status)
	require.Regexp(t, `\d+ requests, 0 findings`, page)
	s.awaitLog("event=verified", "findings=0")

	target, form = s.fill(page, "/admin", "public_url", "public_url", own+"/mail")
	response, _ = s.Post(target, form)
	_, page = s.follow(response)
	require.NotContains(t, page, "requests,", "it was about another URL")

	target, form = s.fill(page, "/admin", "public_url", "public_url", "http://127.0.0.1:1")
	response, _ = s.Post(target, form)
	_, page = s.follow(response)
	target, form = s.fill(page, "/admin", "admin/verify")
	response, _ = s.Post(target, form)
	_, page = s.follow(response)
	require.Contains(t, page, "refused")
}

func TestTheDebugPageCounts(t *testing.T) {
	s := newAdminSite(t, testBase, direct, map[string]string{"MAILFRONT_TRUSTED_PROXIES": "192.0.2.1"})
	s.setUp(testBase, adminPassword)
	s.signInAdmin(adminPassword)
	newScript(t, s.dial(proxyIP, "smtp")).line()
	_, page := s.do(http.MethodGet, "/admin/debug", "")
	require.Regexp(t, `smtp 127\.0\.0\.1:\d+</h2>\s*<table>\s*<tr><th scope="row">Direct</th><td class="number">1</td>`, page)
	require.Contains(t, page, "TimedOut")
	require.Contains(t, page, "WrongLogins")
}

func TestPagePathsInBootstrap(t *testing.T) {
	s := newAdminSite(t, testBase, direct, nil)
	for path, want := range map[string]int{
		"/admin": 200, "/mail/admin": 200, "/a/b/admin": 200, "/admin/": 303, "/x/admin/": 303, "/admin/debug": 303,
		"/administrator": 404, "/xadmin": 404, "/admin/other": 404, "/a%2Fadmin": 404, "/admin%2Fdebug": 404, "/adminx/admin/x": 404,
		"/dav/cal/admin": 401, "/.well-known/admin": 200,
	} {
		response, _ := s.do(http.MethodGet, path, "")
		require.Equal(t, want, response.StatusCode, path)
	}
	response, _ := s.do(http.MethodPut, "/admin", "")
	require.Equal(t, http.StatusMethodNotAllowed, response.StatusCode)
}

// A proxy may restrict the page by its path, so the page must have only one path.
func TestPagePathWithPublicURL(t *testing.T) {
	for _, test := range []struct {
		name, base, how string
		found, missing  []string
	}{
		{name: "without a path", base: testBase, how: direct,
			found:   []string{"/admin", "/admin/debug"},
			missing: []string{"/mail/admin", "/a/b/admin", "/x/admin/debug", "/x/admin/sign-in", "//admin"}},
		{name: "on a path", base: testBase + "/mail", how: direct,
			found:   []string{"/admin", "/mail/admin", "/mail/admin/debug"},
			missing: []string{"/mail/x/admin", "/x/mail/admin", "/mail/mail/admin", "/mailx/admin"}},
		{name: "on a path that the proxy strips", base: testBase + "/mail", how: stripped,
			found:   []string{"/mail/admin", "/admin"},
			missing: []string{"/mail/x/admin"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t, test.base, test.how, nil)
			origin := testBase
			for _, path := range test.found {
				response, _ := s.do(http.MethodGet, origin+path, "")
				require.NotEqual(t, http.StatusNotFound, response.StatusCode, path)
			}
			for _, path := range test.missing {
				for _, method := range []string{http.MethodGet, http.MethodPost} {
					response, _ := s.do(method, origin+path, "")
					require.Equal(t, http.StatusNotFound, response.StatusCode, "%s %s", method, path)
				}
			}
		})
	}
}

func TestAWrongBaseOnAPathCanBeCorrected(t *testing.T) {
	t.Run("where it was set", func(t *testing.T) {
		s := newAdminSite(t, testBase+"/mail", kept, nil)
		s.setUp(testBase+"/wrong", adminPassword)
		require.Equal(t, testBase+"/wrong", s.issuer())
		response, _ := s.do(http.MethodGet, testBase+"/other/admin", "")
		require.Equal(t, http.StatusNotFound, response.StatusCode)
		_, page := s.signInAdmin(adminPassword)
		target, form := s.fill(page, "/admin", "public_url", "public_url", testBase+"/mail")
		response, _ = s.Post(target, form)
		status, _ := s.follow(response)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, testBase+"/mail", s.issuer())
	})
	t.Run("after a start in recovery", func(t *testing.T) {
		file := stateIn(t)
		s := newAdminSite(t, testBase+"/mail", kept, map[string]string{"MAILFRONT_STATE": file})
		s.setUp(testBase+"/wrong", adminPassword)
		require.NoError(t, s.stop())

		s = newAdminSite(t, testBase+"/mail", kept, map[string]string{"MAILFRONT_STATE": file})
		status, _ := s.admin()
		require.Equal(t, http.StatusNotFound, status)
		require.NoError(t, s.stop())

		s = newAdminSite(t, testBase+"/mail", kept, map[string]string{"MAILFRONT_STATE": file, "MAILFRONT_MODE": "recovery"})
		status, _ = s.setUp(testBase+"/mail", nextPassword)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, testBase+"/mail", s.issuer())
		require.NoError(t, s.stop())

		s = newAdminSite(t, testBase+"/mail", kept, map[string]string{"MAILFRONT_STATE": file})
		status, _ = s.signInAdmin(nextPassword)
		require.Equal(t, http.StatusOK, status)
	})
}
