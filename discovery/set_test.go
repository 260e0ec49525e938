package discovery

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPathsAreExact(t *testing.T) {
	set := buildSet(t, "https://example.com/m%C3%A4il", func(b *builder) {
		add := func(d Document, paths ...string) { b.addBytes(d, []byte(d), "text/plain", paths...) }
		add("oauth", b.wellKnown("oauth-authorization-server")...)
		add("openid", b.wellKnown("openid-configuration")...)
		add("api", b.below("/api/discover")...)
	})
	for target, want := range map[string]Document{
		"/.well-known/oauth-authorization-server/m%C3%A4il":  "oauth", // RFC 8414 section 3.1
		"/.well-known/oauth-authorization-server":            "oauth", // stripped, or a client's fallback
		"/m%C3%A4il/.well-known/oauth-authorization-server":  "oauth",
		"/m%C3%A4il/.well-known/openid-configuration":        "openid",
		"/.well-known/openid-configuration/m%C3%A4il":        "openid",
		"/.well-known/openid-configuration":                  "openid",
		"/m%C3%A4il/api/discover":                            "api",
		"/api/discover":                                      "api",
		"/api/discover?x=y":                                  "api",
		"/%61pi/discover":                                    "api", // the same URL: RFC 3986 section 6.2.2.2
		"/m%c3%a4il/api/discover":                            "api",
		"/.well-known/openid-configuration/other":            "",
		"/.well-known/openid-configuration/":                 "",
		"/.well-known/openid-configuration.json":             "",
		"/.well-known/oauth-authorization-server/m%C3%A4il/": "",
		"/.well-known/oauth-authorization-server/mail":       "",
		"/.well-known/OpenID-Configuration":                  "",
		"/.well-known/openid-configuration%2Fm%C3%A4il":      "",
		"/.well-known%2fopenid-configuration":                "",
		"/.well-known%5copenid-configuration":                "",
		"//.well-known/openid-configuration":                 "",
		"/x/../.well-known/openid-configuration":             "",
		"/%2e%2e/api/discover":                               "",
		"/api%2Fdiscover":                                    "",
		"/api/discover%00":                                   "",
		"/api/discover%20":                                   "",
		"/api/discover;x":                                    "",
		"/m%C3%A4il/m%C3%A4il/api/discover":                  "",
		"/":                                                  "",
		"/m%C3%A4il":                                         "",
	} {
		u, err := url.ParseRequestURI(target)
		require.NoError(t, err)
		got, ok := set.find(u.Path, u.RawPath)
		require.Equal(t, want != "", ok, "%q", target)
		require.Equal(t, want, got.document, "%q", target)
	}
}

func TestStripURL(t *testing.T) {
	for _, tt := range []struct {
		base, target, want string // "" if it stays
	}{
		{base: "https://example.com/mail", target: "/mail/login", want: "/login"},
		{base: "https://example.com/mail", target: "/mail/login?next=/mail/", want: "/login?next=/mail/"},
		{base: "https://example.com/mail", target: "/mail/", want: "/"},
		{base: "https://example.com/mail", target: "/mail", want: "/"},
		{base: "https://example.com/mail", target: "/login"},
		{base: "https://example.com/mail", target: "/mailbox"},
		{base: "https://example.com/mail", target: "/Mail/login"},
		{base: "https://example.com/mail", target: "/mail%2Flogin"},
		{base: "https://example.com/mail", target: "/mail/a%2Fb", want: "/a%2Fb"},
		{base: "https://example.com/mail", target: "/m%61il/login", want: "/login"},
		{base: "https://example.com/mail", target: "/m%61il/a%2Fb", want: "/a%2Fb"},
		{base: "https://example.com/mail", target: "/m%61il", want: "/"},
		{base: "https://example.com/mail", target: "/mail/mail/login", want: "/mail/login"},
		{base: "https://example.com/a/b", target: "/a/b/login", want: "/login"},
		{base: "https://example.com/a/b", target: "/a%2Fb/login"},
		{base: "https://example.com/a/b", target: "/a/bc"},
		{base: "https://example.com/m%C3%A4il", target: "/m%C3%A4il/login", want: "/login"},
		{base: "https://example.com/m%C3%A4il", target: "/m%c3%a4il/a%2Fb", want: "/a%2Fb"},
		{base: "https://example.com/m%C3%A4il", target: "/m%C3%A4"},
		{base: "/mail", target: "/mail/login", want: "/login"},
	} {
		set := buildSet(t, tt.base, func(*builder) {})
		u, err := url.ParseRequestURI(tt.target)
		require.NoError(t, err)
		before := *u
		got, ok := set.stripURL(u)
		require.Equal(t, tt.want != "", ok, "%q", tt.target)
		require.Equal(t, before, *u, "the URL of the request stays")
		if ok {
			require.Equal(t, tt.want, got.RequestURI(), "%q", tt.target)
			decoded, err := url.PathUnescape(got.EscapedPath())
			require.NoError(t, err)
			require.Equal(t, decoded, got.Path)
		}
	}
}

func TestStripURLWithRawPathThatIsStale(t *testing.T) {
	set := buildSet(t, "https://example.com/mail", func(*builder) {})
	got, ok := set.stripURL(&url.URL{Path: "/mail/login", RawPath: "/%"})
	require.True(t, ok)
	require.Equal(t, url.URL{Path: "/login"}, *got)
}

// https://example.com/auth/auth/token arrives as /auth/auth/token, or as /auth/token through a
// proxy that strips the prefix. Both are the same endpoint.
func TestEndpointBelowPrefixTwice(t *testing.T) {
	set := buildSet(t, "https://example.com/auth", func(b *builder) {
		b.endpoint("x", "token", "", "/auth/token")
		b.endpoint("x", "admin", "", "/auth/admin/")
		b.template("x", "download", "/auth/blob/{id}?type={type}")
		b.endpoint("x", "login", "", "/login")
	})
	for target, want := range map[string]string{
		"/auth/auth/token":  "/auth/token",
		"/auth/token":       "",
		"/auth/auth/admin/": "/auth/admin/",
		"/auth/admin/x":     "",
		"/auth/auth/blob/1": "/auth/blob/1",
		"/auth/blob/1":      "",
		"/auth/login":       "/login",
		"/login":            "",
		"/auth/":            "/",
	} {
		got, ok := set.stripURL(&url.URL{Path: target})
		require.Equal(t, want != "", ok, "%q", target)
		if ok {
			require.Equal(t, want, got.Path)
		}
	}
}

func TestNilSetHasNothing(t *testing.T) {
	var set *Set
	require.Equal(t, mustBase(t, "").String(), set.Issuer())
	require.Zero(t, set.Base())
	require.Nil(t, set.Bytes(OAuthDocument))
	require.Empty(t, set.ETag(OAuthDocument))
	_, ok := set.find("/", "")
	require.False(t, ok)
	_, _, err := set.Session(Account{})
	require.Error(t, err)
}

func TestBytesAreACopy(t *testing.T) {
	set := buildSet(t, "https://example.com", func(b *builder) {
		b.addBytes("x", []byte("text"), "text/plain", "/x")
	})
	set.Bytes("x")[0] = 'n'
	require.Equal(t, "text", string(set.Bytes("x")))
	require.Equal(t, set.documents["x"].etag, set.ETag("x"))
	require.Nil(t, set.Bytes("y"))
	require.Empty(t, set.ETag("y"))
}
