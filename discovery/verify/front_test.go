package verify

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/discovery"
)

// instead answers every request in place of the server.
func instead(h http.HandlerFunc) tamper { return func(http.Handler) http.Handler { return h } }

// below answers every request below a path in place of the server, with exceptions.
func below(prefix string, h http.HandlerFunc, except ...string) tamper {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for _, e := range except {
				if strings.HasPrefix(r.URL.Path, e) {
					next.ServeHTTP(w, r)
					return
				}
			}
			if strings.HasPrefix(r.URL.Path, prefix) {
				h(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// forwardAuth answers like oauth2-proxy, Authelia and authentik.
func forwardAuth(w http.ResponseWriter, r *http.Request) {
	redirectTo("https://auth.example.com/start?rd="+url.QueryEscape("https://"+r.Host+r.URL.Path))(w, r)
}

func toItself(w http.ResponseWriter, r *http.Request) {
	redirectTo("https://"+r.Host+r.URL.RequestURI())(w, r)
}

func TestNamesWhatIsInFrontOfEverything(t *testing.T) {
	basic := answer(401, "text/html", "<html>401", "WWW-Authenticate", `Basic realm="staff only"`)
	var all []fixture
	for _, base := range []string{rootBase, bothBase} {
		for _, f := range []fixture{
			{name: "a password", tamper: instead(basic), rule: ruleStatus, mistake: MistakeAccess, got: "401 Unauthorized for every URL", hint: "sign-in (forward authentication)"},
			{name: "a firewall", tamper: instead(answer(403, "text/html", denied)), rule: ruleStatus, mistake: MistakeAccess, got: "403 Forbidden for every URL", hint: "firewall (WAF)"},
			{name: "a rate limit", tamper: instead(answer(429, "text/plain", "")), rule: ruleStatus, mistake: MistakeAccess, got: "429 Too Many Requests for every URL", hint: "firewall (WAF)"},
			{name: "forward authentication", tamper: instead(forwardAuth), rule: ruleRedirect, mistake: MistakeAccess, got: "302 Found to https://auth.example.com/start for every URL", hint: "forward authentication"},
			{name: "a sign-in page", tamper: instead(body("text/html", `<html><form><input type="password">`)), rule: ruleHTML, mistake: MistakeAccess, got: "a sign-in page for every URL", hint: "forward authentication"},
			{name: "a captcha", tamper: instead(body("text/html", `<!doctype html><script src="/cdn-cgi/challenge-platform/x.js">`)), rule: ruleHTML, mistake: MistakeAccess, got: "a sign-in page", hint: "firewall (WAF)"},
			{name: "HTTPS forced", tamper: instead(toItself), rule: ruleRedirect, mistake: MistakeHTTPSForced, got: "302 Found to the same URL", hint: "X-Forwarded-Proto"},
			{name: "a PROXY header that is not expected", tamper: instead(answer(400, "text/plain; charset=utf-8", "400 Bad Request")), rule: ruleStatus, mistake: MistakeProxyHeader, got: "400 Bad Request for every URL", hint: "remove send-proxy or proxy_protocol"},
			{name: "no TLS to a port for TLS", tamper: instead(answer(400, "text/plain", "Client sent an HTTP request to an HTTPS server.\n")), rule: ruleStatus, mistake: MistakeBackend, got: "400 Bad Request for every URL", hint: "use https"},
			{name: "a backend that hangs up", tamper: instead(status(502)), rule: ruleStatus, mistake: MistakeBackend, got: "502 Bad Gateway for every URL", hint: "requires a PROXY header"},
			{name: "a port that hangs up", tamper: instead(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), rule: ruleUnreachable, mistake: MistakeProxyHeader, got: "EOF for every URL", hint: "requires a PROXY header"},
		} {
			f.name, f.base, f.document = f.name+", "+base, base, "config"
			all = append(all, f)
		}
	}
	requireFound(t, all)
}

// A sign-in that exempts the documents still answers in place of the endpoints.
func TestNamesSignInInFrontOfEndpoints(t *testing.T) {
	documents := []string{"/.well-known/", "/mail/.well-known/", "/mail/login", "/mail/auth/jwks.json"}
	requireFound(t, []fixture{
		{name: "forward authentication", base: pathBase, config: tokenOnly, tamper: below("/mail/", forwardAuth, documents...),
			rule: ruleRedirect, document: discovery.OAuthDocument, mistake: MistakeAccess, got: "https://auth.example.com/start", hint: "forward authentication"},
		{name: "HTTPS forced", base: pathBase, config: tokenOnly, tamper: below("/mail/", toItself, documents...),
			rule: ruleRedirect, document: discovery.OAuthDocument, mistake: MistakeHTTPSForced, got: pathBase + "/auth/token", hint: "X-Forwarded-Proto"},
	})
	requireClean(t, []neighbour{
		{name: "a server that sends people to its own sign-in", base: pathBase, config: tokenOnly,
			tamper: at("/mail/portico-verify", redirectTo("/mail/login"))},
		{name: "a web site in front of other paths", base: pathBase, tamper: at("/", forwardAuth)},
		{name: "a password for what is not the server's", base: pathBase, tamper: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.URL.Path, "/mail/") || strings.HasPrefix(r.URL.Path, "/.well-known/") {
					next.ServeHTTP(w, r)
					return
				}
				answer(401, "text/html", "<html>", "WWW-Authenticate", "Basic")(w, r)
			})
		}},
	})
}

func TestNamesPageThatIsGivenAsBase(t *testing.T) {
	for _, c := range []struct {
		name, base, server string
		tamper             tamper
		want               string // "": another finding, or none
	}{
		{name: "the sign-in", base: rootBase + "/login", server: rootBase, want: rootBase},
		{name: "the sign-in of a server at a path", base: pathBase + "/login", server: pathBase, want: pathBase},
		{name: "a page of an application with pages for everything", base: rootBase + "/inbox/today", server: rootBase, tamper: below("/inbox", spa), want: rootBase},
		{name: "an application that redirects unknown paths", base: rootBase + "/inbox", server: rootBase, tamper: below("/inbox", redirectTo("/login")), want: rootBase},
		{name: "the server itself", base: pathBase, server: pathBase},
		{name: "another server at the origin", base: pathBase, server: pathBase, tamper: at(openIDAtRoot, body("application/json", `{"issuer":"`+rootBase+`"}`))},
		{name: "another server at the origin, and this one has calendars alone", base: pathBase, server: pathBase,
			tamper: func(next http.Handler) http.Handler {
				dav, err := discovery.Build(discovery.Config{Base: mustBase(t, pathBase), DAV: &discovery.DAV{}})
				require.NoError(t, err)
				server := discovery.NewServer(dav, discovery.ServerConfig{Next: below("/dav/", answer(401, "text/plain", "", "WWW-Authenticate", "Basic"))(http.NotFoundHandler())})
				return at(openIDAtRoot, body("application/json", `{"issuer":"`+rootBase+`"}`))(server)
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := correctServer(t, verifyConfig(t, c.server))
			if c.tamper != nil {
				h = c.tamper(h)
			}
			report := verify(t, h, c.base, Config{})
			if c.want == "" {
				require.Empty(t, report.Findings)
				return
			}
			require.Len(t, report.Findings, 1, "%v", report.Findings)
			f := report.Findings[0]
			require.Equal(t, ruleNothing, f.Rule)
			require.Equal(t, MistakeBase, f.Mistake)
			require.Contains(t, f.Got, "issuer "+c.want)
			require.Contains(t, f.Hint, "the URL of a page")
			require.Contains(t, f.Hint, "check that URL")
		})
	}
}

// A port that requires a PROXY header closes a connection without one, before TLS begins.
func TestRunNamesPortThatHangsUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.CopyN(io.Discard, c, 1)
			c.Close()
		}
	}()
	_, err = Run(t.Context(), mustBase(t, fmt.Sprintf("https://%s", l.Addr())), Config{})
	require.ErrorContains(t, err, "nothing can be reached")
	require.ErrorContains(t, err, "requires a PROXY header")
}
