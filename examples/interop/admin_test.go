package interop

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
)

// The tests of this file do the set-up in a real browser, over HTTPS, through HAProxy. Only
// the address that HAProxy connects from is trusted.

const (
	sourceIP      = "127.0.0.9"
	adminPassword = "a long administrator's password"
)

// An adminSite is a mailfront behind HAProxy, and a browser.
type adminSite struct {
	*chromium
	m    *mailfront
	p    *proxy
	base string
}

func startAdminSite(t *testing.T, file, prefix string, changes ...change) *adminSite {
	t.Helper()
	chromiumBinary(t)
	haproxyBinary(t)
	m := startMailfront(t, "TRUSTED_PROXIES="+sourceIP, "HTTP_CLIENT=forwarded", useProto, "STATE="+filepath.Join(t.TempDir(), "state.json"))
	p := startHAProxy(t, m, file, nil, append([]change{
		{"    default-server check\n", "    default-server check source " + sourceIP + "\n"},
	}, changes...)...)
	_, port, _ := strings.Cut(p.front["https"], ":")
	return &adminSite{startChromium(t, p.front["https"]), m, p, "https://" + serverName + ":" + port + prefix}
}

var setupLine = regexp.MustCompile(`^setup http://[0-9.:]+/admin#token=([A-Z2-7]+)$`)

// token returns the token that mailfront printed.
func (s *adminSite) token() (token string) {
	s.t.Helper()
	err := s.m.stdout.await(0, func(lines []string) bool {
		for _, line := range lines {
			if m := setupLine.FindStringSubmatch(line); m != nil {
				token = m[1]
			}
		}
		return token != ""
	})
	require.NoError(s.t, err)
	return token
}

// issuer returns the issuer in the OpenID document, requested through the proxy.
func (s *adminSite) issuer() string {
	s.t.Helper()
	client := httpClient(s.t, withTLS(s.p.client("https"), endedByProxy)(s.t))
	u, err := url.Parse(s.base)
	require.NoError(s.t, err)
	u.Scheme = "http"
	response, err := client.Get(u.String() + "/.well-known/openid-configuration")
	require.NoError(s.t, err)
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusOK, response.StatusCode, "%s", b)
	var document struct{ Issuer string }
	require.NoError(s.t, json.Unmarshal(b, &document))
	return document.Issuer
}

// setUp completes the set-up.
func (s *adminSite) setUp() {
	s.t.Helper()
	s.do(chromedp.Navigate(s.base + "/admin#token=" + s.token()))
	require.Equal(s.t, s.token(), evaluate[string](s.chromium, `document.getElementById("token").value`))
	require.Equal(s.t, s.base+"/admin", evaluate[string](s.chromium, "location.href"), "the token is not in the history")
	s.requireFits("set-up")
	s.do(chromedp.Click(chromedp.CSS("[data-use]")))
	s.typeInto("#password", adminPassword)
	s.typeInto("#password_again", adminPassword)
	require.Equal(s.t, s.base, evaluate[string](s.chromium, `document.getElementById("public_url").value`))
	s.submit("form button[type=submit]")
	require.Equal(s.t, s.base+"/admin/setup", evaluate[string](s.chromium, "location.href"))
	require.Contains(s.t, s.seen("main"), "Set-up complete")
	require.Equal(s.t, s.base, s.seen("#published-url"))
	require.False(s.t, evaluate[bool](s.chromium, `document.querySelector("[role=alert], .bad, .warn") !== null`), "an alarm")
	s.requireFits("done")
	s.submit("a.primary")
}

func (s *adminSite) signIn() {
	s.t.Helper()
	s.typeInto("#password", adminPassword)
	s.submit("form[action$='sign-in'] button[type=submit]")
	require.Equal(s.t, s.base+"/admin", evaluate[string](s.chromium, "location.href"))
}

// setURL changes the public URL.
func (s *adminSite) setURL(u string) {
	s.t.Helper()
	s.do(chromedp.SetValue(chromedp.CSS("#public_url"), u))
	s.submit(`form[action$="/url"] button[type=submit]`)
}

// requireURLs checks the first section of the page.
func (s *adminSite) requireURLs(published string, hints ...string) {
	s.t.Helper()
	require.Equal(s.t, "urls", evaluate[string](s.chromium, `document.querySelector("main section").id`), "what comes first")
	require.Equal(s.t, published, s.seen("#published-url"))
	require.Equal(s.t, s.base, s.seen("#browser-url"))
	have := evaluate[[]string](s.chromium, `[...document.querySelectorAll("li[data-if]")].filter(e => e.offsetParent).map(e => e.dataset.if)`)
	require.ElementsMatch(s.t, hints, have)
	class, text := "good", "The browser uses the public URL"
	if len(hints) > 0 {
		class, text = "bad", "The browser's URL is not the public URL"
		if strings.HasPrefix(s.base, "http://127.") {
			class = "local" // expected before the proxy runs
		} else {
			require.Contains(s.t, s.seen("#urls"), "set the public URL to "+s.base)
		}
	}
	require.Equal(s.t, class, evaluate[string](s.chromium, `document.getElementById("urls").className`))
	require.True(s.t, strings.HasPrefix(s.seen("#urls"), text), s.seen("#urls"))
}

func TestTheSetUpBehindAProxy(t *testing.T) {
	for _, at := range []struct {
		name, file, prefix string
		changes            []change
	}{
		{name: "root", file: "http.cfg"},
		{name: "path stripped", file: "http-path.cfg", prefix: "/mail"},
		{name: "path kept", file: "http-path.cfg", prefix: "/mail", changes: keepPath["haproxy"]},
	} {
		t.Run(at.name, func(t *testing.T) {
			s := startAdminSite(t, at.file, at.prefix, at.changes...)
			s.setUp()
			require.Equal(t, s.base, s.issuer())
			s.requireFits("sign-in")
			s.signIn()
			s.requireURLs(s.base)
			require.Equal(t, "127.0.0.1", s.seen("#client-address"))
			require.Equal(t, "The header X-Forwarded-For of the proxy "+sourceIP+".", s.seen("#client-learned"))
			require.Equal(t, "yes", s.seen("#client-tls"))
			require.Equal(t, "The header X-Forwarded-Proto of the proxy.", s.seen("#tls-learned"))
			s.requireFits("home")
			s.submit(`a[href$="/debug"]`)
			require.Contains(t, s.seen("body"), "limits and bans")
			s.requireFits("debug")
			s.openID()
			s.requireCleanConsole()
			for _, secret := range []string{s.token(), adminPassword, password} {
				require.NotContains(t, s.m.stderr.String(), secret)
				require.NotContains(t, s.p.stdout.String(), secret)
			}
		})
	}
}

// openID signs in to an application on this machine for the first time.
func (s *adminSite) openID() {
	s.t.Helper()
	answers := make(chan url.Values, 1)
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/callback" {
			answers <- r.URL.Query()
		}
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, `<!DOCTYPE html><link rel="icon" href="data:,"><title>signed in</title>`)
	}))
	defer application.Close()
	redirect := application.URL + "/callback"
	verifier := oauth2.GenerateVerifier()
	config := oauth2.Config{ClientID: "mailfront-demo", RedirectURL: redirect, Endpoint: oauth2.Endpoint{AuthURL: s.base + "/login"}, Scopes: []string{"openid"}}
	s.do(chromedp.Navigate(config.AuthCodeURL("my state", oauth2.S256ChallengeOption(verifier))))
	s.typeInto("#username", account)
	s.typeInto("#password", password)
	s.submit("form button[type=submit]")
	require.Equal(s.t, "signed in", evaluate[string](s.chromium, "document.title"))
	answer := <-answers
	require.Equal(s.t, s.base, answer.Get("iss"))
	require.Equal(s.t, "my state", answer.Get("state"))
	require.NotEmpty(s.t, answer.Get("code"))
}

func TestPageReportsWrongPublicURL(t *testing.T) {
	s := startAdminSite(t, "http.cfg", "")
	s.setUp()
	s.signIn()
	for _, wrong := range []struct {
		url   string
		hints []string
	}{
		{url: "https://" + serverName, hints: []string{"port"}},
		{url: "https://mail.other.example", hints: []string{"host", "port"}},
		{url: s.base + "/mail", hints: []string{"path"}},
		{url: "http://127.0.0.1:8080/mail", hints: []string{"scheme", "host", "path"}},
	} {
		s.setURL(wrong.url)
		s.requireURLs(wrong.url, wrong.hints...)
	}
	s.requireFits("mismatch")

	// The page shows the mismatch before the sign-in too, because the sign-in may fail for it.
	s.submit(`form[action$="/sign-out"] button`)
	s.requireURLs("http://127.0.0.1:8080/mail", "scheme", "host", "path")
	s.requireFits("mismatch-sign-in")

	// Without script the server detects the mismatch by the Origin of the form.
	s.script(false)
	s.signIn()
	s.script(true)
	require.Equal(t, "bad", evaluate[string](s.chromium, `document.getElementById("urls").className`))
	require.Equal(t, s.base, s.seen("#browser-url"))
	require.Contains(t, s.seen("#urls"), "The browser's URL is not the public URL")

	s.setURL(s.base)
	s.requireURLs(s.base)
	require.Equal(t, s.base, s.issuer())
	s.requireCleanConsole()
}

// The server is set up before the proxy runs.
func TestTheSetUpDirectlyThenProxy(t *testing.T) {
	s := startAdminSite(t, "http.cfg", "")
	direct := *s
	direct.base = "http://" + s.m.address["http"]
	direct.script(false)                                                    // pages work without script
	direct.do(chromedp.Navigate(direct.base + "/admin#token=" + s.token())) // as printed
	direct.typeInto("#token", s.token())
	direct.typeInto("#public_url", s.base)
	direct.typeInto("#password", adminPassword)
	direct.typeInto("#password_again", adminPassword)
	direct.submit("form button[type=submit]")
	require.Equal(t, s.base, s.issuer())
	direct.script(true)
	require.False(t, evaluate[bool](s.chromium, `document.querySelector("[role=alert], .bad, .warn") !== null`), "an alarm")
	direct.submit("a.primary")
	direct.signIn()
	direct.requireURLs(s.base, "scheme", "host")
	require.Equal(t, "no", direct.seen("#client-tls"))
	require.Contains(t, direct.seen("#client-learned"), "127.0.0.1 is not on the list of trusted proxies")

	s.do(chromedp.Navigate(s.base + "/admin"))
	s.signIn() // another origin, another session
	s.requireURLs(s.base)
	require.Equal(t, "yes", s.seen("#client-tls"))
	s.openID()
	s.requireCleanConsole()
}
