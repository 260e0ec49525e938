package verify

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/discovery"
)

// Documents, challenges and redirects cannot direct requests to other servers, and only URLs
// below the base and the entry of JMAP get the token.
func TestKeepsItsCredentialsAndItsRequests(t *testing.T) {
	elsewhere := []string{"https://evil.example/x", "http://example.com/mail/x", "https://example.com:444/mail/x", "https://example.com.evil.example/mail", "https://jane@example.com/mail/x", "//evil.example/x", "https://example.com/other", "/other", "https://evil.example\\@example.com/mail"}
	type place struct {
		name string
		make func(u string) tamper
	}
	places := []place{
		{name: "the entry of JMAP", make: func(u string) tamper { return at("/.well-known/jmap", redirectTo(u)) }},
		{name: "the session", make: func(u string) tamper { return at("/mail/jmap/session", redirectTo(u)) }},
		{name: "the session with a token", make: func(u string) tamper {
			return func(next http.Handler) http.Handler {
				return at("/mail/jmap/session", func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Authorization") != "" {
						redirectTo(u)(w, r)
						return
					}
					next.ServeHTTP(w, r)
				})(next)
			}
		}},
		{name: "userinfo", make: func(u string) tamper { return at("/mail/auth/userinfo", redirectTo(u)) }},
		{name: "the metadata", make: func(u string) tamper { return at(oauthAtPath, redirectTo(u)) }},
		{name: "endpoints", make: func(u string) tamper { return replaced(openIDAtPath, pathBase+"/auth", u) }},
		{name: "the API", make: func(u string) tamper { return replaced("/mail/jmap/session", pathBase+"/jmap/", u) }},
		{name: "the challenge", make: func(u string) tamper {
			return withHeader("/mail/jmap/session", "WWW-Authenticate", `Bearer resource_metadata="`+u+`"`)
		}},
		{name: "DAV", make: func(u string) tamper { return at("/.well-known/caldav", redirectTo(u)) }},
	}
	correct := correctServer(t, verifyConfig(t, pathBase))
	var withToken int
	for _, p := range places {
		for _, u := range elsewhere {
			transport := &inMemory{handler: p.make(u)(correct)}
			report, err := Run(t.Context(), mustBase(t, pathBase), Config{Client: &http.Client{Transport: transport}, Bearer: verifyToken})
			require.NoError(t, err)
			require.NotEmpty(t, report.Findings, "%s %s", p.name, u)
			for _, r := range transport.asked {
				require.Equal(t, "https://example.com", r.URL.Scheme+"://"+r.URL.Host, "%s %s", p.name, u)
				require.Nil(t, r.URL.User)
				if r.Header.Get("Authorization") != "" {
					withToken++
					require.True(t, strings.HasPrefix(r.URL.Path, "/mail/") || r.URL.Path == "/.well-known/jmap", "%s %s: %s", p.name, u, r.URL)
				}
			}
		}
	}
	require.NotZero(t, withToken)
}

func TestDoesNotRepeatTheToken(t *testing.T) {
	h := at("/jmap/session", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(401)
			return
		}
		w.Header().Set("Location", "/"+r.Header.Get("Authorization"))
		w.Header().Set("Content-Type", "text/"+r.Header.Get("Authorization"))
		io.WriteString(w, r.Header.Get("Authorization"))
	})(correctServer(t, verifyConfig(t, rootBase)))
	report := verify(t, h, rootBase, Config{Bearer: verifyToken})
	text, err := json.Marshal(report)
	require.NoError(t, err)
	require.Contains(t, string(text), "Bearer [token]")
	require.NotContains(t, string(text), verifyToken)
}

// A token is removed before a text is cut, so that no part of it is shown.
func TestNoPartOfTokenIsShownWhereTextIsCut(t *testing.T) {
	v := &verifier{settings: newSettings(Config{Bearer: verifyToken})}
	for before := maxFindingLength - 2*len(verifyToken); before < maxFindingLength; before++ {
		clipped := v.clip(strings.Repeat("x", before) + verifyToken + strings.Repeat("y", 1<<16))
		require.NotContains(t, clipped, verifyToken[:3], "%d bytes before it", before)
		require.LessOrEqual(t, len(clipped), maxFindingLength)
		require.NotContains(t, v.snippet([]byte(strings.Repeat("x", before%60)+verifyToken)), verifyToken[:3])
	}
}

// Run does not send the token to other origins. If it tried to, the fetcher would leave the
// token out.
func TestTokenIsForURLsBelowBaseOnly(t *testing.T) {
	f := newFetcher(mustBase(t, pathBase), newSettings(Config{Bearer: verifyToken, MailDomains: []string{"a.example"}}))
	for u, want := range map[string]bool{
		pathBase:                                 true,
		pathBase + "/jmap/session":               true,
		"https://example.com/.well-known/jmap":   true,
		"https://example.com/other":              false,
		"https://example.com/mailbox":            false,
		"https://example.com:444/mail/x":         false,
		"http://example.com/mail/x":              false,
		"https://evil.example/mail/x":            false,
		"https://autoconfig.a.example/":          false,
		"https://example.com/.well-known/jmap/x": false,
	} {
		h := make(http.Header)
		f.setHeader(h, fetch{method: http.MethodGet, url: u, token: true})
		require.Equal(t, want, h.Get("Authorization") != "", u)
		h = make(http.Header)
		f.setHeader(h, fetch{method: http.MethodGet, url: u})
		require.Empty(t, h.Get("Authorization"), u)
	}
}

// Other hosts get no request at all.
func TestOnlyBaseAndMailHostsAreAsked(t *testing.T) {
	transport := &inMemory{handler: http.NotFoundHandler()}
	f := newFetcher(mustBase(t, pathBase), newSettings(Config{Client: &http.Client{Transport: transport}, RequestTimeout: time.Minute, MaxBytes: 1, MailDomains: []string{"a.example"}}))
	for u, want := range map[string]bool{
		pathBase + "/x":                        true,
		"https://example.com/x":                true,
		"https://autoconfig.a.example/x":       true,
		"https://mta-sts.a.example/x":          true,
		"https://a.example/x":                  true,
		"http://example.com/x":                 false,
		"https://example.com:444/x":            false,
		"https://user@example.com/x":           false,
		"https://127.0.0.1/x":                  false,
		"http://169.254.169.254/latest/":       false,
		"https://autoconfig.a.example:8443/x":  false,
		"https://autoconfig.a.example.evil/x":  false,
		"https://user@autoconfig.a.example/x":  false,
		"file:///etc/passwd":                   false,
		"https://example.com.evil.example/x":   false,
		"https://evil.example/https://a/mail/": false,
	} {
		before := len(transport.asked)
		a := f.send(t.Context(), get(u))
		require.Equal(t, want, len(transport.asked) > before, u)
		if !want {
			require.ErrorIs(t, a.err, errNotAsked, u)
		}
	}
}

func TestEveryTextOfFindingIsWithoutToken(t *testing.T) {
	v := &verifier{settings: newSettings(Config{Bearer: verifyToken}), report: new(Report)}
	require.Equal(t, "bad [token]", v.snippet([]byte("bad "+verifyToken)))
	v.add(Finding{Document: discovery.ResourceDocument("/x?" + verifyToken), Got: verifyToken, URL: verifyToken, Hint: verifyToken, Want: verifyToken, Field: verifyToken})
	require.Equal(t, Finding{Document: discovery.ResourceDocument("/x?[token]"), Got: "[token]", URL: "[token]", Hint: "[token]", Want: "[token]", Field: "[token]"}, v.report.Findings[0])
}

func TestShortTokenLeavesWords(t *testing.T) {
	h := replaced(oauthAtRoot, rootBase+"/auth/token", "https://other.example/auth/token")(correctServer(t, verifyConfig(t, rootBase)))
	report := verify(t, h, rootBase, Config{Bearer: "token"})
	require.NotEmpty(t, report.Findings)
	require.Equal(t, "token_endpoint", report.Findings[0].Field)
}

func TestShortTokenIsNotRedacted(t *testing.T) {
	for token, want := range map[string]string{"1234567": "<1234567>", "12345678": "<[token]>", "": "<>"} {
		v := &verifier{settings: newSettings(Config{Bearer: token})}
		require.Equal(t, want, v.clip("<"+token+">"))
	}
}
