package main

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// proposals match what a page or an error suggests as the public URL.
var proposals = []*regexp.Regexp{
	regexp.MustCompile(`<code data-proposal>([^<]+)</code>`),
	regexp.MustCompile(`name="public_url"[^>]* value="([^"]+)"`),
	regexp.MustCompile(`name="public_url"[^>]* placeholder="([^"]+)"`),
	regexp.MustCompile(`as in (https?://[^ <"]+[^ <".])`),
}

var correction = regexp.MustCompile(`(?:use|write) "([^"]+)"`)

// requireAccepted checks every proposal of a page by the rule of the form, and returns their
// number.
func requireAccepted(t *testing.T, page string) (n int) {
	t.Helper()
	for _, pattern := range proposals {
		for _, m := range pattern.FindAllStringSubmatch(page, -1) {
			_, err := parsePublicURL(html.UnescapeString(m[1]))
			require.NoError(t, err, m[0])
			n++
		}
	}
	return n
}

func TestProposedURLsAreAccepted(t *testing.T) {
	s := newAdminSite(t, testBase, direct, nil)
	_, page := s.admin()
	require.Equal(t, 2, requireAccepted(t, page), "the placeholder and the example")
	s.setUp(testBase, adminPassword)
	for _, test := range []struct{ origin, path, proposal string }{ // "": none
		{origin: testBase, proposal: testBase},
		{origin: testBase, path: "/mail", proposal: testBase + "/mail"},
		{origin: testBase + ":8443", path: "/a%20b", proposal: testBase + ":8443/a%20b"},
		{origin: "https://192.0.2.10:8443", proposal: "https://192.0.2.10:8443"},
		{origin: "https://[2001:db8::1]", path: "/mail", proposal: "https://[2001:db8::1]/mail"},
		{origin: "http://127.0.0.1:8080"}, // not for other machines
		{origin: "http://localhost:8080", path: "/mail"},
		{origin: "http://[::1]:8080"},
		{origin: "http://192.0.2.10:8080"},
		{origin: "http://[2001:db8::1]:8080"},
		{origin: "http://mail.example.test"},
		{origin: "http://rebound.evil.example:8080"},
		{origin: "http://127.0.0.1.nip.example"},
		{origin: "https://[::ffff:192.0.2.10]"},
		{origin: "https://0.0.0.0:8443"},
		{origin: "https://mail_host.example.test"},
		{origin: "https://-mail.example.test"},
		{origin: "https://mail..example.test"},
		{origin: "https://xn--a.example.test"},
		{origin: testBase, path: "/login"},
		{origin: testBase, path: "/mail/jmap/session"},
		{origin: testBase, path: "/.well-known/mail"},
		{origin: testBase, path: "//mail"},
		{origin: testBase, path: "/{mail}", proposal: testBase + "/%7Bmail%7D"},
	} {
		t.Run(test.origin+test.path, func(t *testing.T) {
			jar, err := cookiejar.New(nil)
			require.NoError(t, err)
			s.client.Jar = jar
			status, page := s.signInAdmin(adminPassword, "Origin", test.origin, "Sec-Fetch-Site", "same-origin",
				"Referer", test.origin+test.path+"/admin")
			require.Equal(t, http.StatusOK, status)
			requireAccepted(t, page)
			m := proposals[0].FindStringSubmatch(page)
			require.Equal(t, test.proposal == "", m == nil, m)
			if m != nil {
				require.Equal(t, test.proposal, html.UnescapeString(m[1]))
			}
		})
	}
}

// A page of another site chooses Host if it rebinds its name to this server's address, and
// proxies change it.
func TestProposalIgnoresHost(t *testing.T) {
	s := newAdminSite(t, testBase, direct, nil)
	check := func() {
		for _, host := range []string{"192.0.2.10:8080", "[2001:db8::1]:8080", "rebound.evil.example", "localhost:8080", "mail_host.example", "evil.example/mail", "xn--a.example"} {
			r, err := http.NewRequestWithContext(s.ctx, http.MethodGet, testBase+"/admin", nil)
			require.NoError(t, err)
			for _, cookie := range s.client.Jar.Cookies(r.URL) { // which otherwise belong to Host
				r.AddCookie(cookie)
			}
			r.Host = host
			response, err := s.client.Do(r)
			require.NoError(t, err)
			b, err := io.ReadAll(response.Body)
			response.Body.Close()
			require.NoError(t, err)
			if response.StatusCode == http.StatusBadRequest { // net/http refuses a malformed Host
				continue
			}
			require.Equal(t, http.StatusOK, response.StatusCode, host)
			require.NotContains(t, string(b), host)
			require.NotZero(t, requireAccepted(t, string(b)), host)
		}
	}
	check() // the set-up
	s.setUp(testBase, adminPassword)
	s.signInAdmin(adminPassword)
	check() // the administration
}

func TestPublicURLCorrections(t *testing.T) {
	for _, test := range []struct{ typed, correction string }{ // "": none
		{typed: "mail.example.com", correction: "https://mail.example.com"},
		{typed: "mail.example.com/admin", correction: "https://mail.example.com"},
		{typed: "mail.example.com/mail/admin/", correction: "https://mail.example.com/mail"},
		{typed: "http://mail.example.com/admin", correction: "https://mail.example.com"},
		{typed: "https//mail.example.com/login", correction: "https://mail.example.com"},
		{typed: "https://mail.example.com/mail/admin?x=1", correction: "https://mail.example.com/mail"},
		{typed: "https://mail.example.com/admin#token=A", correction: "https://mail.example.com"},
		{typed: "https://mail.example.com/admin/setup", correction: "https://mail.example.com"},
		{typed: "https://mail.example.com/.well-known/jmap", correction: "https://mail.example.com"},
		{typed: "http://192.0.2.10:8080"},
		{typed: "http://192.0.2.10:8080/admin"},
		{typed: "https://mail_host.example.com"},
	} {
		t.Run(test.typed, func(t *testing.T) {
			_, err := parsePublicURL(test.typed)
			require.Error(t, err)
			m := correction.FindStringSubmatch(err.Error())
			require.Equal(t, test.correction == "", m == nil, err)
			if m != nil {
				require.Equal(t, test.correction, m[1], err)
				_, err := parsePublicURL(m[1])
				require.NoError(t, err)
			}
		})
	}
}

func TestRecoveryKeepsPublicURL(t *testing.T) {
	file := stateIn(t)
	require.NoError(t, os.WriteFile(file, []byte(`{"public_url":"`+testBase+`/mail"}`), 0o600))
	old := stateIn(t)
	require.NoError(t, os.WriteFile(old, []byte(`{"public_url":"`+testBase+`/mail/admin"}`), 0o600)) // of an older version
	for _, test := range []struct {
		name string
		env  map[string]string
		want string
	}{
		{name: "state", env: map[string]string{"MAILFRONT_STATE": file}, want: testBase + "/mail"},
		{name: "state with a page", env: map[string]string{"MAILFRONT_STATE": old}, want: testBase + "/mail"},
		{name: "setting", env: map[string]string{"MAILFRONT_STATE": file, "MAILFRONT_PUBLIC_URL": testBase + ":8443"}, want: testBase + ":8443"},
		{name: "host name", env: map[string]string{"MAILFRONT_HOSTNAME": "mx.example.test"}, want: "https://mx.example.test"},
		{name: "nothing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			env := map[string]string{"MAILFRONT_MODE": "recovery"}
			for key, value := range test.env {
				env[key] = value
			}
			s := newAdminSite(t, testBase, direct, env)
			status, page := s.admin()
			require.Equal(t, http.StatusOK, status)
			_, form := s.fill(page, "/admin", "token")
			require.Equal(t, test.want, form.Get("public_url"))
			requireAccepted(t, page)
		})
	}
}
