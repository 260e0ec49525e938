package main

import (
	"html"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
)

const (
	adminPassword = "a long administrator's password"
	nextPassword  = "another administrator's password"
)

func init() { passwordCost = bcrypt.MinCost } // the default takes a second with the race detector

// newAdminSite starts a site whose client keeps cookies. at selects how requests reach the site.
// env is the whole configuration of mailfront.
func newAdminSite(t *testing.T, at, how string, env map[string]string) *site {
	t.Helper()
	all := map[string]string{"MAILFRONT_PUBLIC_URL": ""}
	for key, value := range env {
		all[key] = value
	}
	s := newSite(t, at, how, all)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	s.client.Jar = jar
	return s
}

func stateIn(t *testing.T) string { return filepath.Join(t.TempDir(), "state.json") }

var setupLine = regexp.MustCompile(`(?m)^setup http://([0-9.:\[\]]+)/admin#token=([A-Z2-7]{26})$`)

// setupToken returns the token that was printed.
func (s *site) setupToken() string {
	s.t.Helper()
	require.True(s.t, s.out.await(s.ctx, 1, "setup "))
	m := setupLine.FindStringSubmatch(s.out.String())
	require.NotNil(s.t, m, s.out)
	require.Equal(s.t, s.address["http"], m[1])
	return m[2]
}

// admin requests the page.
func (s *site) admin() (int, string) {
	s.t.Helper()
	response, page := s.do(http.MethodGet, "/admin", "")
	return response.StatusCode, page
}

var (
	anyForm  = regexp.MustCompile(`(?s)<form method="post" action="([^"]*)">(.*?)</form>`)
	anyInput = regexp.MustCompile(`<input [^>]*name="([^"]*)"[^>]*>`)
	anyValue = regexp.MustCompile(` value="([^"]*)"`)
)

// fill finds the form of a page that has a field, and fills it in as a browser does.
func (s *site) fill(page, at, field string, values ...string) (target string, form url.Values) {
	s.t.Helper()
	for _, m := range anyForm.FindAllStringSubmatch(page, -1) {
		form = url.Values{}
		for _, input := range anyInput.FindAllStringSubmatch(m[2], -1) {
			form.Set(input[1], "")
			if v := anyValue.FindStringSubmatch(input[0]); v != nil {
				form.Set(input[1], html.UnescapeString(v[1]))
			}
		}
		if !form.Has(field) && strings.TrimPrefix(m[1], "../") != field {
			continue
		}
		for i := 0; i < len(values); i += 2 {
			require.True(s.t, form.Has(values[i]), "no field %q in\n%s", values[i], page)
			form.Set(values[i], values[i+1])
		}
		from, err := url.Parse(s.Base + at)
		require.NoError(s.t, err)
		to, err := from.Parse(html.UnescapeString(m[1]))
		require.NoError(s.t, err)
		return to.String(), form
	}
	require.Fail(s.t, "no form with "+field+" in\n"+page)
	return "", nil
}

// follow follows the redirect of an answer, as a browser does.
func (s *site) follow(response *http.Response) (int, string) {
	s.t.Helper()
	require.Equal(s.t, http.StatusSeeOther, response.StatusCode)
	require.Equal(s.t, "no-store", response.Header.Get("Cache-Control"))
	to, err := response.Request.URL.Parse(response.Header.Get("Location"))
	require.NoError(s.t, err)
	require.Regexp(s.t, "^"+regexp.QuoteMeta(s.Base)+"/admin(/[a-z-]+)?$", to.String())
	response, page := s.do(http.MethodGet, to.String(), "")
	return response.StatusCode, page
}

// setUp completes the set-up, and returns the next page.
func (s *site) setUp(publicURL, password string) (int, string) {
	s.t.Helper()
	_, page := s.admin()
	target, form := s.fill(page, "/admin", "token",
		"token", s.setupToken(), "public_url", publicURL, "password", password, "password_again", password)
	response, page := s.Post(target, form)
	require.Equal(s.t, http.StatusSeeOther, response.StatusCode, page)
	return s.follow(response)
}

// signInAdmin signs in, and returns the next page.
func (s *site) signInAdmin(password string, fields ...string) (int, string) {
	s.t.Helper()
	_, page := s.admin()
	target, form := s.fill(page, "/admin", "password", "password", password)
	require.NotContains(s.t, form, "token", "this is the set-up")
	response, page := s.Post(target, form, fields...)
	if response.StatusCode != http.StatusSeeOther {
		return response.StatusCode, page
	}
	return s.follow(response)
}

// issuer returns the issuer in the documents, as a client without a proxy gets them.
func (s *site) issuer() string {
	s.t.Helper()
	response, document := get(s.t, s.direct("http"), "/api/discover", http.Header{})
	require.Equal(s.t, http.StatusOK, response.StatusCode)
	require.Contains(s.t, document, "issuer")
	return document["issuer"].(string)
}
