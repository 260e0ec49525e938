package main

import (
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/publicurl"
)

func TestBaseThatIsAPage(t *testing.T) {
	for _, test := range []struct{ url, use string }{ // use: "" if the URL is valid
		{url: "https://mail.example.com/admin", use: "https://mail.example.com"},
		{url: "https://mail.example.com/admin/", use: "https://mail.example.com"},
		{url: "https://mail.example.com:8443/mail/admin", use: "https://mail.example.com:8443/mail"},
		{url: "https://mail.example.com/mail/admin/debug", use: "https://mail.example.com/mail"},
		{url: "https://mail.example.com/admin/admin/sign-in", use: "https://mail.example.com"},
		{url: "https://mail.example.com/login", use: "https://mail.example.com"},
		{url: "https://mail.example.com/a%20b/login/password", use: "https://mail.example.com/a%20b"},
		{url: "https://mail.example.com/auth/token", use: "https://mail.example.com"},
		{url: "https://mail.example.com/jmap/session", use: "https://mail.example.com"},
		{url: "https://mail.example.com/mail/dav/cal/", use: "https://mail.example.com/mail"},
		{url: "https://mail.example.com/api/discover", use: "https://mail.example.com"},
		{url: "http://127.0.0.1:8080/admin", use: "http://127.0.0.1:8080"},
		{url: "https://mail.example.com"},
		{url: "https://mail.example.com/mail"},
		{url: "https://mail.example.com/administration"},
		{url: "https://mail.example.com/xadmin"},
		{url: "https://mail.example.com/admin/mail"},
		{url: "https://admin.example.com/login1"},
	} {
		t.Run(test.url, func(t *testing.T) {
			for _, by := range []struct {
				name string
				args []string
				env  map[string]string
			}{
				{name: "the variable MAILFRONT_PUBLIC_URL", env: map[string]string{"MAILFRONT_PUBLIC_URL": test.url}},
				{name: "the flag -public-url", args: []string{"-public-url", test.url}},
				{name: "the variable MAILFRONT_PUBLIC_URL", env: map[string]string{"MAILFRONT_PUBLIC_URL": test.url, "MAILFRONT_MODE": "recovery"}},
			} {
				_, err := parseConfig(by.args, lookup(by.env), io.Discard)
				if test.use == "" {
					require.NoError(t, err)
					continue
				}
				require.ErrorContains(t, err, "mailfront: "+by.name+": ")
				require.ErrorContains(t, err, `use "`+test.use+`"`)
			}
			if test.use != "" { // the suggestion is valid
				base, err := publicurl.Parse(test.use)
				require.NoError(t, err)
				require.NoError(t, checkNoPage(base))
			}
		})
	}
}

func TestPagesRefuseBaseThatIsAPage(t *testing.T) {
	s := newAdminSite(t, testBase, direct, nil)
	_, page := s.admin()
	target, form := s.fill(page, "/admin", "token",
		"token", s.setupToken(), "public_url", testBase+"/admin", "password", adminPassword, "password_again", adminPassword)
	response, answer := s.Post(target, form)
	require.Equal(t, http.StatusUnprocessableEntity, response.StatusCode)
	require.Contains(t, answer, "use &#34;"+testBase+"&#34;")
	require.Empty(t, s.issuer())

	s.setUp(testBase, adminPassword)
	_, page = s.signInAdmin(adminPassword)
	target, form = s.fill(page, "/admin", "public_url", "public_url", testBase+"/mail/login")
	response, answer = s.Post(target, form)
	require.Equal(t, http.StatusUnprocessableEntity, response.StatusCode)
	require.Contains(t, answer, "use &#34;"+testBase+"/mail&#34;")
	require.Equal(t, testBase, s.issuer())
}

// An older version accepted such a URL and saved it.
func TestStateWithBaseThatIsAPage(t *testing.T) {
	file := stateIn(t)
	require.NoError(t, os.WriteFile(file, []byte(`{"public_url":"`+testBase+`/mail/admin"}`), 0o600))
	env := map[string]string{"MAILFRONT_STATE": file}
	_, err := parseConfig(nil, lookup(env), io.Discard)
	require.ErrorContains(t, err, "public_url in "+file)
	require.ErrorContains(t, err, `use "`+testBase+`/mail"`)
	require.ErrorContains(t, err, "MAILFRONT_MODE=recovery")

	env["MAILFRONT_MODE"] = "recovery"
	cfg, err := parseConfig(nil, lookup(env), io.Discard)
	require.NoError(t, err)
	require.Equal(t, "/mail", cfg.base.String())
	s := newAdminSite(t, testBase+"/mail", kept, env)
	status, _ := s.setUp(testBase+"/mail", adminPassword)
	require.Equal(t, http.StatusOK, status)
}

func TestRefusedPagesExist(t *testing.T) {
	s := newSite(t, testBase, direct, map[string]string{"MAILFRONT_DOMAINS": "example.test"})
	for _, page := range pages {
		response, _ := s.do(http.MethodGet, page, "")
		require.NotEqual(t, http.StatusNotFound, response.StatusCode, page)
	}
}

func TestPublicURLErrorNamesSource(t *testing.T) {
	file := stateIn(t)
	require.NoError(t, os.WriteFile(file, []byte(`{"public_url":"mail.example.com"}`), 0o600))
	for _, test := range []struct {
		name string
		args []string
		env  map[string]string
		want string
	}{
		{name: "flag", args: []string{"-public-url", "mail.example.com"}, want: "mailfront: the flag -public-url: "},
		{name: "variable", env: map[string]string{"MAILFRONT_PUBLIC_URL": "mail.example.com"}, want: "mailfront: the variable MAILFRONT_PUBLIC_URL: "},
		{name: "state", env: map[string]string{"MAILFRONT_STATE": file}, want: "mailfront: public_url in " + file + ": "},
		{name: "hostname, flag", args: []string{"-hostname", "a b"}, want: "mailfront: the flag -hostname: "},
		{name: "hostname, variable", env: map[string]string{"MAILFRONT_HOSTNAME": "a b"}, want: "mailfront: the variable MAILFRONT_HOSTNAME: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := parseConfig(test.args, lookup(test.env), io.Discard)
			require.Error(t, err)
			require.Contains(t, err.Error(), test.want)
			if test.args != nil {
				require.NotContains(t, err.Error(), "variable")
			}
		})
	}
}
