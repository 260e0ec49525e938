package interop

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
)

// Every page of mailfront is checked in a real browser, on a telephone and on a large screen, in
// light and dark. axe-core applies the rules of WCAG 2.2 level AA and its best practices.

// A pageVisitor checks pages.
type pageVisitor struct {
	*chromium
	axe  string
	seen int // pages
}

func newPageVisitor(t *testing.T) *pageVisitor {
	t.Helper()
	chromiumBinary(t)
	axe, err := os.ReadFile(filepath.Join(installNPMClients(t), "node_modules", "axe-core", "axe.min.js"))
	require.NoError(t, err)
	return &pageVisitor{chromium: startChromium(t, "127.0.0.1:1"), axe: string(axe)}
}

// An axeResult is a violation, or a possible violation, on a page.
type axeResult struct {
	ID    string
	Help  string
	Nodes []struct{ HTML, FailureSummary string }
}

// The colour scheme changes colours only.
const (
	allRules    = `{}`
	colourRules = `{runOnly: ["color-contrast", "link-in-text-block"]}`
)

const runAxe = `axe.run(%s).then(r => JSON.stringify([...r.violations, ...r.incomplete].map(v => ({ID: v.id, Help: v.help,
	Nodes: v.nodes.map(n => ({HTML: n.html, FailureSummary: n.failureSummary}))}))))`

// check returns the results of axe-core for the current page.
func (v *pageVisitor) check(rules string) (found []axeResult) {
	v.t.Helper()
	text, err := chromedp.Run(v.ctx, chromedp.Evaluate[string](fmt.Sprintf(runAxe, rules), chromedp.EvalAwaitPromise))
	require.NoError(v.t, err)
	require.NoError(v.t, json.Unmarshal([]byte(text), &found))
	return found
}

func (v *pageVisitor) loadAxe() {
	v.t.Helper()
	require.Equal(v.t, "object", evaluate[string](v.chromium, v.axe+"; typeof axe"))
}

func (v *pageVisitor) colourScheme(name string) {
	v.t.Helper()
	_, err := chromedp.Call(v.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
	})
	require.NoError(v.t, err)
}

// screens are the screens on which each page is checked.
var screens = []struct {
	name          string
	width, height int64
}{{name: "phone", width: 360, height: 800}, {name: "desktop", width: 1280, height: 900}}

// look checks the current page. focus is the id of the field with the focus, or "". The pictures
// are for go test -artifacts.
func (v *pageVisitor) look(name, title, focus string) {
	v.t.Helper()
	v.seen++
	require.Equal(v.t, title+" · mailfront", evaluate[string](v.chromium, "document.title"), name)
	require.Equal(v.t, focus, evaluate[string](v.chromium, `document.activeElement.id`), "%s: the focus", name)
	v.loadAxe()
	for _, screen := range screens {
		v.do(chromedp.EmulateViewport(screen.width, screen.height))
		require.LessOrEqual(v.t, evaluate[int64](v.chromium, "document.documentElement.scrollWidth"), screen.width, "%s on a %s is too wide", name, screen.name)
		for _, scheme := range []string{"light", "dark"} {
			v.colourScheme(scheme)
			if flag.Lookup("test.artifacts").Value.String() == "true" {
				picture, err := chromedp.Run(v.ctx, chromedp.FullScreenshot(100))
				require.NoError(v.t, err)
				require.NoError(v.t, os.WriteFile(filepath.Join(v.t.ArtifactDir(), name+"-"+screen.name+"-"+scheme+".png"), picture, 0o600))
			}
			rules := allRules
			if scheme == "dark" {
				rules = colourRules
			}
			for _, found := range v.check(rules) {
				v.t.Errorf("%s on a %s, %s: %s: %s: %+v", name, screen.name, scheme, found.ID, found.Help, found.Nodes)
			}
		}
	}
	v.colourScheme("light")
}

func (v *pageVisitor) open(url string) {
	v.t.Helper()
	v.do(chromedp.Navigate(url))
}

// setField replaces the value of a field.
func (v *pageVisitor) setField(selector, text string) {
	v.t.Helper()
	v.do(chromedp.SetValue(chromedp.CSS(selector), text))
}

func (v *pageVisitor) value(selector string) string {
	v.t.Helper()
	return evaluate[string](v.chromium, `document.querySelector(`+strconv.Quote(selector)+`).value`)
}

// extraHeader sends a field with every request.
func (v *pageVisitor) extraHeader(name, value string) {
	v.t.Helper()
	_, err := chromedp.Call(v.ctx, network.Enable, network.EnableParams{})
	require.NoError(v.t, err)
	_, err = chromedp.Call(v.ctx, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{name: value}})
	require.NoError(v.t, err)
}

func (m *mailfront) setupToken(t *testing.T) (token string) {
	t.Helper()
	require.NoError(t, m.stdout.await(0, func(lines []string) bool {
		for _, line := range lines {
			if found := setupLine.FindStringSubmatch(line); found != nil {
				token = found[1]
			}
		}
		return token != ""
	}))
	return token
}

func TestPagesAreAccessible(t *testing.T) {
	v := newPageVisitor(t)
	state := filepath.Join(t.TempDir(), "state.json")
	m := startMailfront(t, "HTTP_CLIENT=forwarded", "TRUSTED_PROXIES=192.0.2.1", "STATE="+state)
	base := "http://" + m.address["http"]

	// Without the token of the link, the field of the token is the first empty field.
	v.open(base + "/")
	v.look("setup", "Set-up", "token")
	v.open(base + "/admin#token=" + m.setupToken(t))
	require.Equal(t, "public_url", evaluate[string](v.chromium, `document.activeElement.id`))
	v.setField("#public_url", base+"/admin")
	v.typeInto("#password", adminPassword)
	v.typeInto("#password_again", "something else")
	v.submit("button.primary")
	v.look("setup-error", "Error: Set-up", "public_url")
	require.Equal(t, m.setupToken(t), v.value("#token"), "it is kept")
	require.Equal(t, base+"/admin", v.value("#public_url"), "it is kept")
	v.do(chromedp.Click(chromedp.CSS("[data-use]")))
	require.Equal(t, base, v.value("#public_url"))
	v.typeInto("#password", adminPassword)
	v.typeInto("#password_again", adminPassword)
	v.submit("button.primary")
	v.look("done", "Set-up complete", "")
	require.False(t, evaluate[bool](v.chromium, `document.querySelector("[role=alert], .bad, .warn") !== null`), "an alarm after the set-up")

	v.submit("a.primary")
	v.look("sign-in", "Sign in", "password")
	v.typeInto("#password", "wrong")
	v.submit("button.primary")
	v.look("sign-in-wrong", "Error: Sign in", "password")
	v.typeInto("#password", adminPassword)
	v.submit("button.primary")
	v.look("home", "Administration", "")
	v.submit(`form[action$="verify"] button`)
	v.look("home-checked", "Administration", "")
	require.Contains(t, v.chromium.seen("#check"), "0 findings")
	v.submit(`a[href$="/debug"]`)
	v.look("debug", "Connections", "")

	// Another server has the public URL.
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"issuer":"https://other.example"}`)
	}))
	defer other.Close()
	v.submit(`nav a[href="../admin"], nav a[href="admin"]`)
	v.setField("#public_url", other.URL)
	v.submit(`form[action$="url"] button.primary`)
	v.look("home-mismatch", "Administration", "")
	v.submit(`form[action$="verify"] button`)
	v.look("home-findings", "Administration", "")
	require.NotContains(t, v.chromium.seen("#check"), " 0 findings")
	v.setField("#public_url", "http://192.0.2.10:8080")
	v.submit(`form[action$="url"] button.primary`)
	v.look("home-error", "Error: Administration", "public_url")
	v.setField("#public_url", base)
	v.submit(`form[action$="url"] button.primary`)
	v.look("home-changed", "Administration", "")
	v.proposals(base)
	v.submit(`form[action$="sign-out"] button`)
	v.look("signed-out", "Sign in", "password")

	login := func(base string) string {
		config := oauth2.Config{ClientID: "mailfront-demo", RedirectURL: "http://127.0.0.1:5555/callback", Endpoint: oauth2.Endpoint{AuthURL: base + "/login"}, Scopes: []string{"openid"}}
		return config.AuthCodeURL("state", oauth2.S256ChallengeOption(oauth2.GenerateVerifier()))
	}
	v.open(login(base))
	v.look("login", "Sign in", "username")
	v.typeInto("#username", account)
	v.typeInto("#password", "wrong")
	v.submit("button.primary")
	v.look("login-wrong", "Error: Sign in", "password")
	require.Equal(t, account, v.value("#username"), "the typed name survives")
	v.open(strings.Replace(login(base), "mailfront-demo", "unknown", 1))
	v.look("login-error", "This sign-in cannot continue", "")
	v.open(base + "/index.html")
	v.look("404", "Page not found", "")
	v.open(base + "/login/password")
	v.look("405", "Not a page", "")

	m.stop(t)
	m = startMailfront(t, "HTTP_CLIENT=forwarded", "TRUSTED_PROXIES=192.0.2.1", "STATE="+state, "MODE=recovery")
	v.open("http://" + m.address["http"] + "/admin#token=" + m.setupToken(t))
	v.look("recovery", "Recovery", "password")
	require.Equal(t, base, v.value("#public_url"), "the present one")

	v.unknownClient()
	v.storeAway()
	v.requireOnlyExpectedProblems()
	v.requireFindings(`<title>x</title><p style="color:%23888">faint</p><input>`, "color-contrast", "label", "html-has-lang", "landmark-one-main")
	t.Logf("%d pages", v.seen)
}

// proposals checks that the form accepts the URLs that the script of the page proposes for the
// browser's addresses. The page of the signed-in administrator is open.
func (v *pageVisitor) proposals(base string) {
	v.t.Helper()
	var proposed []string
	for _, address := range []struct {
		url  string
		good bool
	}{
		{url: "https://mail.example.com/admin", good: true},
		{url: "https://mail.example.com:8443/mail/admin/url", good: true},
		{url: "https://mail.example.com/a/b.c/~d_e/admin", good: true},
		{url: "https://192.0.2.10/admin", good: true},
		{url: "https://[2001:db8::1]:8443/mail/admin", good: true},
		{url: "http://127.0.0.1:8080/admin", good: true},
		{url: "http://localhost/mail/admin", good: true},
		{url: "http://[::1]:8080/admin", good: true},
		{url: "http://192.0.2.10:8080/admin", good: false},
		{url: "http://mail.example.com/admin", good: false},
		{url: "http://rebound.evil.example:8080/admin", good: false},
		{url: "http://127.0.0.1.evil.example/admin", good: false},
		{url: "http://localhost.evil.example/admin", good: false},
		{url: "https://mail_host.example.com/admin", good: false},
		{url: "https://-mail.example.com/admin", good: false},
		{url: "https://mail.example.com./admin", good: false},
		{url: "https://xn--ls8h.example.com/admin", good: false},
		{url: "https://[::ffff:192.0.2.10]/admin", good: false},
		{url: "https://0.0.0.0/admin", good: false},
		{url: "https://224.0.0.1/admin", good: false},
		{url: "https://[ff02::1]/admin", good: false},
		{url: "https://mail.example.com/login/admin", good: false},
		{url: "https://mail.example.com/mail/jmap/session/admin", good: false},
		{url: "https://mail.example.com/.well-known/x/admin", good: false},
		{url: "https://mail.example.com//mail/admin", good: false},
		{url: "https://mail.example.com/%7Bx%7D/admin", good: false},
	} {
		proposal := evaluate[string](v.chromium, `proposalOf(baseOf(new URL(`+strconv.Quote(address.url)+`)))`)
		require.Equal(v.t, address.good, proposal != "", "%s: %q", address.url, proposal)
		if proposal != "" {
			proposed = append(proposed, proposal)
		}
	}
	for _, proposal := range append(proposed, base) {
		v.setField("#public_url", proposal)
		v.submit(`form[action$="url"] button.primary`)
		require.Equal(v.t, proposal, v.chromium.seen("#published-url"), "the form refuses it")
	}
}

// unknownClient is behind a trusted proxy that sends no header. Later the proxy sends a header,
// and the client is banned.
func (v *pageVisitor) unknownClient() {
	v.t.Helper()
	m := startForwarded(v.t, "PUBLIC_URL=https://"+serverName)
	base := "http://" + m.address["http"]
	v.open(base + "/admin")
	v.look("no-administrator", "No administrator yet", "")
	m.stop(v.t)

	m = startForwarded(v.t)
	base = "http://" + m.address["http"]
	v.open(base + "/admin#token=" + m.setupToken(v.t))
	v.setField("#public_url", "https://"+serverName)
	v.typeInto("#password", adminPassword)
	v.typeInto("#password_again", adminPassword)
	v.submit("button.primary")
	v.submit("a.primary")
	v.look("sign-in-mismatch", "Sign in", "password")
	v.typeInto("#password", adminPassword)
	v.submit("button.primary")
	v.look("home-warnings", "Administration", "")
	for id, setting := range map[string]string{"client-address": "MAILFRONT_FORWARDED_HEADER", "client-tls": "Correct the client address first"} {
		require.Equal(v.t, "not known", v.chromium.seen("#"+id+" .tag.warn"))
		require.Contains(v.t, v.chromium.seen("#client .notice.warn")+v.chromium.seen("#client .notice.warn ~ .notice.warn"), setting)
	}

	v.extraHeader("X-Forwarded-For", clientIP)
	v.submit(`form[action$="sign-out"] button`)
	for range 10 {
		v.typeInto("#password", "wrong")
		v.submit("button.primary")
		if evaluate[bool](v.chromium, `document.getElementById("password") === null`) {
			break
		}
	}
	v.look("too-many", "Too many attempts", "")
	require.Contains(v.t, v.chromium.seen("main"), "try again in 15 minutes")
	v.open(base + "/login")
	v.look("429", "Too many requests", "")
	require.Contains(v.t, v.chromium.seen("main"), "try again in 15 minutes")

	v.extraHeader("X-Forwarded-For", "127.0.0.78") // another client
	v.open(base + "/admin")
	v.typeInto("#password", adminPassword)
	v.submit("button.primary")
	v.look("home-bans", "Administration", "")
	require.Contains(v.t, v.chromium.seen("#limits tbody"), clientIP)
	v.submit("#limits form button")
	require.Contains(v.t, v.chromium.seen("#limits"), "No client is banned")
}

// storeAway checks the pages of a node that cannot reach its shared store.
func (v *pageVisitor) storeAway() {
	v.t.Helper()
	m := startForwarded(v.t, "STORE=unix://"+filepath.Join(v.t.TempDir(), "no-redis.sock"), "SECRET="+strings.Repeat("secret", 8), "PUBLIC_URL=https://"+serverName)
	for _, path := range []string{"/admin", "/login"} {
		v.open("http://" + m.address["http"] + path)
		v.look("503"+strings.ReplaceAll(path, "/", "-"), "Temporarily unavailable", "")
		require.Contains(v.t, v.chromium.seen("main"), "try again in 10 seconds")
	}
}

// requireOnlyExpectedProblems allows the console messages for error pages.
func (v *pageVisitor) requireOnlyExpectedProblems() {
	v.t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, problem := range v.problems {
		require.Contains(v.t, problem, "Failed to load resource: the server responded with a status of", "the console")
	}
}

// axe-core must find the mistakes of a bad page.
func (v *pageVisitor) requireFindings(page string, ids ...string) {
	v.t.Helper()
	v.open("data:text/html," + page)
	v.loadAxe()
	var have []string
	for _, found := range v.check(allRules) {
		have = append(have, found.ID)
	}
	for _, id := range ids {
		require.Contains(v.t, have, id, fmt.Sprint(have))
	}
}
