package discovery

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWebUIAnswersSameForEveryAccount(t *testing.T) {
	for _, base := range []string{"https://example.com", "https://example.com/mail", "https://example.com/m%C3%A4il", "", "/mail"} {
		set, err := Build(Config{Base: mustBase(t, base), OAuth: &OAuth{}, OpenID: &OpenID{}, WebUI: &WebUI{}})
		require.NoError(t, err)
		require.Equal(t, string(set.Bytes(OpenIDDocument)), string(set.Bytes(WebUIDocument)))
		h := NewServer(set, ServerConfig{Next: teapot})
		prefix := set.Base().Prefix()
		for path, want := range map[string]int{
			"/api/discover":                                 200,
			"/api/discover?account=x":                       200,
			"/api/discover/jane@example.com":                200,
			"/api/discover/unknown":                         200,
			"/api/discover/jane%40example.com":              200,
			"/api/discover/a%2Fb":                           200,
			"/api/discover/a%2fb":                           200,
			"/api/discover/a%5Cb":                           200,
			"/api/discover/%2F":                             200,
			"/api/discover/%00%0d%0a":                       200,
			"/api/discover/%ff":                             200,
			"/api/discover/j%C3%A4ne":                       200,
			"/api/discover/..":                              200,
			"/api/discover/%2e%2e":                          200,
			"/api/discover/" + strings.Repeat("a", 100_000): 200,
			"/api/discover/":                                418,
			"/api/discover/a/b":                             418,
			"/api/discover/a%2Fb/c":                         418,
			"/api/discover/a/":                              418,
			"/api%2Fdiscover/a":                             418,
			"/api/discoverer/a":                             418,
			"/api":                                          418,
		} {
			for _, prefix := range []string{prefix, ""} { // kept and stripped
				res, body := ask(t, h, "GET", prefix+path)
				require.Equal(t, want, res.StatusCode, "%s: %.80s", base, prefix+path)
				if want == 200 {
					require.Equal(t, string(set.Bytes(WebUIDocument)), body)
					require.Equal(t, "application/json", res.Header.Get("Content-Type"))
				}
			}
		}
	}
}

// Some servers switch to relative URLs when their socket has no TLS.
func TestWebUIDoesNotSwitchByConnection(t *testing.T) {
	set, err := Build(Config{Base: mustBase(t, "https://example.com"), OAuth: &OAuth{}, WebUI: &WebUI{}})
	require.NoError(t, err)
	h := NewServer(set, ServerConfig{})
	for _, target := range []string{"http://10.0.0.1:8080/api/discover/jane", "https://example.com/api/discover/jane"} {
		_, body := ask(t, h, "GET", target, "X-Forwarded-Proto: http")
		require.Equal(t, string(set.Bytes(OAuthDocument)), body)
		require.Contains(t, body, `"authorization_endpoint":"https://example.com/login"`)
	}
}

func TestWebUIPath(t *testing.T) {
	for _, tt := range []struct {
		name, path, rule string
		oauth            *OAuth
	}{
		{name: "no OAuth", rule: "Config.OAuth"},
		{name: "every path", path: "/", rule: "longer", oauth: &OAuth{}},
		{name: "not below the base", path: "https://evil.example", rule: "below the base", oauth: &OAuth{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			errs := buildErrors(t, Config{Base: mustBase(t, "https://example.com"), OAuth: tt.oauth, WebUI: &WebUI{Path: tt.path}})
			require.Len(t, errs, 1)
			require.Equal(t, WebUIDocument, errs[0].Document)
			require.Equal(t, "path", errs[0].Field)
			require.Contains(t, errs[0].Rule, tt.rule)
		})
	}
	set, err := Build(Config{Base: mustBase(t, "https://example.com"), OAuth: &OAuth{}, WebUI: &WebUI{Path: "/who/"}})
	require.NoError(t, err)
	h := NewServer(set, ServerConfig{})
	for path, want := range map[string]int{"/who/": 200, "/who/jane": 200, "/who": 404, "/api/discover": 404} {
		res, _ := ask(t, h, "GET", path)
		require.Equal(t, want, res.StatusCode, path)
	}
	set, err = Build(Config{Base: mustBase(t, "https://example.com"), OAuth: &OAuth{}, WebUI: &WebUI{Path: None}})
	require.NoError(t, err)
	require.Nil(t, set.Bytes(WebUIDocument))
}
