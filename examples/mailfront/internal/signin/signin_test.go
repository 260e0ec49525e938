package signin_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin/signintest"
)

func TestWrongClientOrRedirectURI(t *testing.T) {
	s := newSite(t, map[string][]string{"app": {"https://app.example/cb", "com.example.app:/cb"}})
	for name, changes := range map[string][]string{
		"no client":               {"client_id", ""},
		"unknown client":          {"client_id", "unknown"},
		"no redirect URI":         {"redirect_uri", ""},
		"elsewhere":               {"redirect_uri", "https://evil.example/callback"},
		"http elsewhere":          {"redirect_uri", "http://evil.example/callback"},
		"loopback as a name":      {"redirect_uri", "http://127.0.0.1.evil.example/callback"},
		"loopback as a user":      {"redirect_uri", "http://127.0.0.1@evil.example/callback"},
		"backslash":               {"redirect_uri", `http://127.0.0.1\@evil.example/callback`},
		"fragment":                {"redirect_uri", signintest.Redirect + "#x"},
		"script":                  {"redirect_uri", "javascript:alert(1)"},
		"https on loopback":       {"redirect_uri", "https://127.0.0.1/callback"},
		"another path":            {"client_id", "app", "redirect_uri", "https://app.example/cb/"},
		"another port":            {"client_id", "app", "redirect_uri", "https://app.example:8443/cb"},
		"a query":                 {"client_id", "app", "redirect_uri", "https://app.example/cb?x=1"},
		"loopback, of another":    {"client_id", "app", "redirect_uri", signintest.Redirect},
		"another of its schemes":  {"client_id", "app", "redirect_uri", "com.example.app:/other"},
		"the client of a restart": {"client_id", "eyJhbGciOiJBMjU2R0NNS1ciLCJlbmMiOiJBMjU2R0NNIn0.a.b.c.d"},
	} {
		response, page := s.do(http.MethodGet, s.AuthURL("v", changes...), "")
		require.Equal(t, http.StatusBadRequest, response.StatusCode, name)
		require.Empty(t, response.Header.Get("Location"), name)
		require.NotContains(t, page, "<form", name)
		require.NotContains(t, page, "evil", name)
	}
	for _, uri := range []string{"https://app.example/cb", "com.example.app:/cb"} {
		s.Open(s.AuthURL("v", "client_id", "app", "redirect_uri", uri))
	}
	for _, uri := range []string{"http://localhost/x", "http://[::1]:1/", "http://127.0.0.1:65535/a?b=c"} {
		s.Open(s.AuthURL("v", "redirect_uri", uri))
	}
}

func TestInvalidRequest(t *testing.T) {
	s := newSite(t, nil)
	challenge := oauth2.S256ChallengeFromVerifier("v")
	for name, test := range map[string]struct {
		changes []string
		want    string
	}{
		"no PKCE":                {changes: []string{"code_challenge", "", "code_challenge_method", ""}, want: "invalid_request"},
		"PKCE, plain":            {changes: []string{"code_challenge_method", "plain"}, want: "invalid_request"},
		"PKCE, plain by default": {changes: []string{"code_challenge_method", ""}, want: "invalid_request"},
		"PKCE, no challenge":     {changes: []string{"code_challenge", challenge[1:]}, want: "invalid_request"},
		"implicit":               {changes: []string{"response_type", "id_token token"}, want: "unauthorized_client"},
		"token":                  {changes: []string{"response_type", "token"}, want: "unauthorized_client"},
		"no response type":       {changes: []string{"response_type", ""}, want: "invalid_request"},
		"request object":         {changes: []string{"request", "e30.e30."}, want: "request_not_supported"},
		"request URI":            {changes: []string{"request_uri", "https://evil.example/"}, want: "request_uri_not_supported"},
		"form post":              {changes: []string{"response_mode", "form_post"}, want: "invalid_request"},
		"no page":                {changes: []string{"prompt", "none"}, want: "login_required"},
	} {
		response, page := s.do(http.MethodGet, s.AuthURL("v", test.changes...), "")
		require.Equal(t, http.StatusSeeOther, response.StatusCode, "%s: %s", name, page)
		got := s.SentBack(response)
		require.Equal(t, test.want, got.Get("error"), name)
		require.Equal(t, "the state", got.Get("state"), name)
		require.Equal(t, serverURL, got.Get("iss"), name)
		require.Empty(t, got.Get("code"), name)
	}
	response, _ := s.do(http.MethodGet, s.AuthURL("v")+"&state=another", "")
	require.Equal(t, http.StatusBadRequest, response.StatusCode, "a parameter twice")
}

func TestSignInPagePolicy(t *testing.T) {
	s := newSite(t, nil)
	response, page := s.do(http.MethodGet, s.AuthURL("v", "login_hint", `"><script>alert(1)</script>`), "")
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Equal(t, "text/html; charset=utf-8", response.Header.Get("Content-Type"))
	require.Equal(t, "no-store", response.Header.Get("Cache-Control"))
	require.Equal(t, "nosniff", response.Header.Get("X-Content-Type-Options"))
	require.Contains(t, response.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
	require.Contains(t, response.Header.Get("Content-Security-Policy"), "default-src 'none'")
	require.NotContains(t, page, "<script>")
	require.Contains(t, page, "127.0.0.1:5555", "where the user will be sent")
	require.Contains(t, page, `action="`+serverURL+`/login/password"`)

	action, form := s.Form(page)
	form.Set("username", userName)
	form.Set("password", userPass)
	for name, fields := range map[string][]string{
		"another site, as browsers say": {"Sec-Fetch-Site", "cross-site"},
		"another site, by its origin":   {"Origin", "https://evil.example"},
	} {
		response, _ := s.Post(action, form, fields...)
		require.Equal(t, http.StatusForbidden, response.StatusCode, name)
		require.Empty(t, response.Header.Get("Location"), name)
	}
	response, _ = s.Post(action, form, "Origin", serverURL)
	require.Equal(t, http.StatusSeeOther, response.StatusCode)

	form.Set("request", form.Get("request")[1:])
	response, page = s.Post(action, form)
	require.Equal(t, http.StatusBadRequest, response.StatusCode)
	require.Contains(t, page, "This page is too old")
}

func TestWrongPasswordIsLogged(t *testing.T) {
	s := newSite(t, nil)
	action, form := s.Open(s.AuthURL("v"))
	for name, login := range map[string][2]string{
		"password": {userName, "wrong-secret"},
		"name":     {"another@example.test", userPass},
		"nothing":  {"", ""},
	} {
		form.Set("username", login[0])
		form.Set("password", login[1])
		response, page := s.Post(action, form)
		require.Equal(t, http.StatusForbidden, response.StatusCode, name)
		require.Empty(t, response.Header.Get("Location"), name)
		require.Contains(t, page, "Wrong name or password", name)
		require.Contains(t, page, `value="`+login[0]+`"`, "the name that was typed")
		action, form = s.Form(page)
	}
	require.Equal(t, 3, strings.Count(s.log.String(), "event=login_failed client_ip=198.51.100.7"))
	form.Set("username", userName)
	form.Set("password", userPass)
	response, _ := s.Post(action, form)
	require.NotEmpty(t, s.SentBack(response).Get("code"), "the page after a wrong password goes on")
	for _, secret := range []string{userPass, "wrong-secret", form.Get("request"), s.SentBack(response).Get("code")} {
		require.NotContains(t, s.log.String(), secret)
	}
}

func TestCancelRedirects(t *testing.T) {
	s := newSite(t, nil)
	action, form := s.Open(s.AuthURL("v"))
	form.Set("cancel", "1")
	response, _ := s.Post(action, form)
	require.Equal(t, "access_denied", s.SentBack(response).Get("error"))
}
