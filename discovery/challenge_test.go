package discovery

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

var teapot = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })

func TestChallenge(t *testing.T) {
	const at = `resource_metadata="https://example.com/.well-known/oauth-protected-resource`
	for _, tt := range []struct {
		name, base, realm, authorization, resource, want string
	}{
		{name: "base", base: "https://example.com", want: `Bearer realm="https://example.com", ` + at + `"`},
		{name: "base with prefix", base: "https://example.com/mail", want: `Bearer realm="https://example.com/mail", ` + at + `/mail"`},
		{name: "session", base: "https://example.com/mail", resource: "/jmap/session", want: `Bearer realm="https://example.com/mail", ` + at + `/mail/jmap/session"`},
		{name: "resource", base: "https://example.com", resource: "/dav/cal/", want: `Bearer realm="https://example.com", ` + at + `/dav/cal/"`},
		{name: "unknown resource", base: "https://example.com", resource: "/other", want: `Bearer realm="https://example.com"`},
		{name: "refused token", base: "https://example.com", authorization: "Bearer x", want: `Bearer realm="https://example.com", error="invalid_token", ` + at + `"`},
		{name: "refused token in lower case", base: "https://example.com", authorization: "bearer x", resource: "/other", want: `Bearer realm="https://example.com", error="invalid_token"`},
		{name: "refused token that is missing", base: "https://example.com", authorization: "Bearer", resource: "/other", want: `Bearer realm="https://example.com", error="invalid_token"`},
		{name: "refused password", base: "https://example.com", authorization: "Basic x", resource: "/other", want: `Bearer realm="https://example.com"`},
		{name: "another scheme", base: "https://example.com", authorization: "BearerX x", resource: "/other", want: `Bearer realm="https://example.com"`},
		{name: "relative", want: `Bearer realm="/"`},
		{name: "relative with prefix", base: "/mail", authorization: "Bearer x", resource: "/jmap/session", want: `Bearer realm="/mail/", error="invalid_token"`},
		{name: "realm", base: "https://example.com", realm: `The "best" mail \o/`, resource: "/other", want: `Bearer realm="The \"best\" mail \\o/"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set, err := Build(Config{Base: mustBase(t, tt.base), OAuth: &OAuth{Realm: tt.realm}, JMAP: &JMAP{}, Resources: []Resource{{Path: "/dav/cal/"}}})
			require.NoError(t, err)
			r := httptest.NewRequest("GET", "/", nil)
			if tt.authorization != "" {
				r.Header.Set("Authorization", tt.authorization)
			}
			require.Equal(t, tt.want, set.Challenge(r, tt.resource))
		})
	}
	require.Equal(t, `Bearer realm="/"`, (*Set)(nil).Challenge(nil, ""))
}

func TestRealmIsPrintableASCII(t *testing.T) {
	for _, realm := range []string{"a\r\nSet-Cookie: b", "a\x00", "\t", "mäil", "a\x7f"} {
		errs := buildErrors(t, Config{Base: mustBase(t, "https://example.com"), OAuth: &OAuth{Realm: realm}})
		require.Len(t, errs, 1)
		require.Equal(t, BaseResource, errs[0].Document)
		require.Equal(t, "realm", errs[0].Field)
		require.Equal(t, "RFC 9110 section 11.5", errs[0].Clause)
	}
}

func TestUnauthorized(t *testing.T) {
	set, err := Build(Config{Base: mustBase(t, "https://example.com"), OAuth: &OAuth{}})
	require.NoError(t, err)
	for _, basic := range []bool{false, true} {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if basic {
				w.Header().Set("WWW-Authenticate", `Basic realm="mail"`)
			}
			set.Unauthorized(w, r, "")
		})
		want := []string{set.Challenge(nil, "")}
		if basic {
			want = append([]string{`Basic realm="mail"`}, want...)
		}
		for _, method := range []string{"GET", "HEAD", "PROPFIND"} {
			res, body := ask(t, h, method, "/dav/cal/")
			require.Equal(t, 401, res.StatusCode)
			require.Equal(t, want, res.Header["Www-Authenticate"])
			require.Equal(t, "*", res.Header.Get("Access-Control-Allow-Origin"))
			require.Contains(t, res.Header.Get("Access-Control-Expose-Headers"), "WWW-Authenticate")
			require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
			require.Equal(t, "nosniff", res.Header.Get("X-Content-Type-Options"))
			require.Equal(t, "17", res.Header.Get("Content-Length"))
			require.Equal(t, method != "HEAD", body == "401 unauthorized\n")
		}
	}
}

func TestChallengeNamesScopesThatAreNeeded(t *testing.T) {
	set, err := Build(Config{Base: mustBase(t, "https://example.com"), OAuth: &OAuth{}})
	require.NoError(t, err)
	const start, metadata = `Bearer realm="https://example.com"`, `, resource_metadata="https://example.com/.well-known/oauth-protected-resource"`
	for _, tt := range []struct {
		name          string
		scopes        []string
		authorization string
		want          string // between start and metadata
		forbidden     string // the same of 403
	}{
		{name: "none", want: "", forbidden: `, error="insufficient_scope"`},
		{name: "one", scopes: []string{"mail"}, want: `, scope="mail"`, forbidden: `, error="insufficient_scope", scope="mail"`},
		{name: "two", scopes: []string{"mail", "calendars"}, want: `, scope="mail calendars"`, forbidden: `, error="insufficient_scope", scope="mail calendars"`},
		{name: "with a refused token", scopes: []string{"mail"}, authorization: "Bearer x", want: `, error="invalid_token", scope="mail"`, forbidden: `, error="insufficient_scope", scope="mail"`},
		{name: "a URL", scopes: []string{"https://example.com/mail.read"}, want: `, scope="https://example.com/mail.read"`, forbidden: `, error="insufficient_scope", scope="https://example.com/mail.read"`},
		{name: "what is not a scope-token", scopes: []string{"", "a b", `a"`, `a\`, "é", "a\r\nX: y", "\x00", "a\tb", "\x7f", `", error="x`}, want: "", forbidden: `, error="insufficient_scope"`},
		{name: "the others are kept", scopes: []string{"a b", "mail", `x", realm="y`}, want: `, scope="mail"`, forbidden: `, error="insufficient_scope", scope="mail"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			if tt.authorization != "" {
				r.Header.Set("Authorization", tt.authorization)
			}
			require.Equal(t, start+tt.want+metadata, set.Challenge(r, "", tt.scopes...))
			w := httptest.NewRecorder()
			set.Unauthorized(w, r, "", tt.scopes...)
			require.Equal(t, []string{start + tt.want + metadata}, w.Header()["Www-Authenticate"])
			w = httptest.NewRecorder()
			set.Forbidden(w, r, "", tt.scopes...)
			require.Equal(t, http.StatusForbidden, w.Code)
			require.Equal(t, []string{start + tt.forbidden + metadata}, w.Header()["Www-Authenticate"])
			require.Equal(t, "403 forbidden\n", w.Body.String())
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			require.Equal(t, "*", w.Header().Get("Access-Control-Allow-Origin"))
		})
	}
	require.Equal(t, `Bearer realm="https://example.com", scope="mail"`, set.Challenge(nil, "/other", "mail"))
}

func TestSessionAnswersWithItsOwnChallenge(t *testing.T) {
	set, err := Build(Config{Base: mustBase(t, "https://example.com/mail"), OAuth: &OAuth{}, JMAP: &JMAP{}})
	require.NoError(t, err)
	h := NewServer(set, ServerConfig{Session: func(*http.Request) (Account, error) { return Account{}, ErrUnauthenticated }})
	res, _ := ask(t, h, "GET", "/mail/jmap/session")
	require.Equal(t, set.Challenge(nil, "/jmap/session"), res.Header.Get("WWW-Authenticate"))
	res, _ = ask(t, h, "GET", "/jmap/session", "Authorization: Bearer x")
	require.Contains(t, res.Header.Get("WWW-Authenticate"), `error="invalid_token"`)
	require.Contains(t, res.Header.Get("WWW-Authenticate"), `"https://example.com/.well-known/oauth-protected-resource/mail/jmap/session"`)
}

func TestChallengeAllocatesNothing(t *testing.T) {
	set, err := Build(Config{Base: mustBase(t, "https://example.com"), OAuth: &OAuth{}})
	require.NoError(t, err)
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer x")
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = set.Challenge(r, "") }))
}

func TestChallengeOfEmptySet(t *testing.T) {
	for _, s := range []*Set{nil, new(Set)} {
		require.Equal(t, `Bearer realm="/"`, s.Challenge(nil, ""))
		w := httptest.NewRecorder()
		s.Unauthorized(w, nil, "")
		require.Equal(t, http.StatusUnauthorized, w.Code)
		w = httptest.NewRecorder()
		s.Forbidden(w, nil, "", "mail")
		require.Equal(t, http.StatusForbidden, w.Code)
		require.Equal(t, `Bearer realm="/", error="insufficient_scope", scope="mail"`, w.Header().Get("WWW-Authenticate"))
	}
}

func TestUnauthorizedCopiesChallenges(t *testing.T) {
	shared := make([]string, 1, 4)
	shared[0] = "Basic realm=mail"
	w := httptest.NewRecorder()
	w.Header()["Www-Authenticate"] = shared
	setOf(t, fullConfig(t, "https://example.com")).Unauthorized(w, nil, "")
	require.Len(t, w.Header()["Www-Authenticate"], 2)
	require.Empty(t, shared[:2][1], "another answer may have the same list")
}
