package discovery

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/publicurl"
)

func TestResourceRules(t *testing.T) {
	var tests []brokenRule
	add := func(name string, r Resource, field, input, rule, clause string) {
		r.Path = "/dav/cal/"
		tests = append(tests, brokenRule{name: name, config: Config{OAuth: &OAuth{}, Resources: []Resource{r}}, document: ResourceDocument("/dav/cal/"), field: field, input: input, rule: rule, clause: clause})
	}
	add("unknown bearer method", Resource{BearerMethods: []string{"header", "cookie"}}, "bearer_methods_supported", "cookie", "header", "RFC 9728 section 2")
	add("bearer method twice", Resource{BearerMethods: []string{"header", "header"}}, "bearer_methods_supported", "header", "duplicate", "RFC 9728 section 2")
	add("malformed scope", Resource{Scopes: []string{"a b"}}, "scopes_supported", "a b", "blanks", "RFC 6749 section 3.3")
	for _, issuer := range []string{"http://id.example", "https://id.example?x", "https://id.example#x", "https://", "id.example", "https://u:p@id.example", "https://id.example/ x", ""} {
		add("issuer "+issuer, Resource{AuthorizationServers: []string{issuer}}, "authorization_servers", issuer, "https URL", "RFC 8414 section 2")
	}
	add("name in Latin-1", Resource{Name: "caf\xe9"}, "resource_name", "caf\xe9", "UTF-8", "RFC 8259 section 8.1")
	add("null in Extra", Resource{Extra: map[string]any{"resource_policy_uri": nil}},
		"resource_policy_uri", "", "left out", "RFC 9728 section 3.2")
	add("empty list in Extra", Resource{Extra: map[string]any{"authorization_details_types_supported": []string{}}},
		"authorization_details_types_supported", "", "left out", "RFC 9728 section 3.2")
	add("unsigned responses", Resource{Extra: map[string]any{"resource_signing_alg_values_supported": []string{"none"}}},
		"resource_signing_alg_values_supported", "none", "remove", "RFC 9728 section 2")
	for _, u := range []string{"http://example.com/keys", "https://", "https:///keys", "https://u:p@example.com/keys", "https://example.com/my keys", ""} {
		add("keys at "+u, Resource{Extra: map[string]any{"jwks_uri": u}}, "jwks_uri", u, "https", "RFC 9728 section 2")
	}
	testBrokenRules(t, tests)
}

func TestResourcePaths(t *testing.T) {
	for _, tt := range []struct {
		name, base string
		paths      []string
		field      string
	}{
		{name: "not below the base", base: "https://example.com", paths: []string{"https://evil.example/"}, field: "resource"},
		{name: "query", base: "https://example.com", paths: []string{"/a?b"}, field: "resource"},
		{name: "duplicate", base: "https://example.com", paths: []string{"/a", "/a"}, field: "path"},
		{name: "twice, spelt differently", base: "https://example.com", paths: []string{"/a", "/%61"}, field: "path"},
		{name: "the document of the base", base: "https://example.com", paths: []string{"/"}, field: "path"},
		{name: "encoded slash", base: "https://example.com", paths: []string{"/a%2Fb"}, field: "path"},
		{name: "shadowed", base: "https://example.com", paths: []string{"/a"}},
		{name: "the base with a slash", base: "https://example.com/mail", paths: []string{"/"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Config{Base: mustBase(t, tt.base), OAuth: &OAuth{}}
			for _, p := range tt.paths {
				c.Resources = append(c.Resources, Resource{Path: p})
			}
			errs := buildErrors(t, c)
			if tt.field == "" {
				require.Empty(t, errs)
				return
			}
			require.NotEmpty(t, errs)
			require.Equal(t, tt.field, errs[0].Field)
		})
	}
}

func TestResourceErrorsOnRelativeBase(t *testing.T) {
	relative, err := publicurl.Relative("")
	require.NoError(t, err)
	for _, base := range []publicurl.Base{mustBase(t, "https://example.com"), relative} {
		for rule, all := range map[string][]Resource{
			"shadow":    {{Path: "/a", Extra: map[string]any{"resource": "https://evil.example"}}},
			"duplicate": {{Path: "/a"}, {Path: "/b"}, {Path: "/a"}},
		} {
			errs := buildErrors(t, Config{Base: base, OAuth: &OAuth{}, Resources: all})
			require.Len(t, errs, 1, rule)
			require.Contains(t, errs[0].Rule, rule)
		}
	}
}

// The URL of each document follows from its resource by RFC 9728 section 3.1, which this test
// implements again. Only the document of the base is found at other paths too.
func TestResourceLocations(t *testing.T) {
	for _, base := range []string{"https://example.com", "https://example.com:8443", "https://example.com/mail", "https://example.com/a/b"} {
		set, err := Build(Config{
			Base: mustBase(t, base), OAuth: &OAuth{Scopes: []string{"mail"}}, JMAP: &JMAP{},
			Resources: []Resource{{Path: "/dav/cal/", Name: "Calendars", Scopes: []string{"calendars"}, BearerMethods: []string{}, AuthorizationServers: []string{"https://id.example/"}}},
		})
		require.NoError(t, err)
		h := NewServer(set, ServerConfig{})
		origin := set.Base().Origin()
		for _, path := range []string{"", "/jmap/session", "/dav/cal/"} {
			m := decode(t, set, ResourceDocument(path))
			require.Equal(t, base+path, m["resource"])
			at := "/.well-known/oauth-protected-resource" + strings.TrimPrefix(base+path, origin)
			res, body := ask(t, h, "GET", at)
			require.Equal(t, 200, res.StatusCode, at)
			require.Equal(t, string(set.Bytes(ResourceDocument(path))), body, at)
			require.Contains(t, set.Challenge(nil, path), `resource_metadata="`+origin+at+`"`)
			if path == "/dav/cal/" {
				require.Equal(t, map[string]any{
					"resource": base + path, "resource_name": "Calendars",
					"authorization_servers": []any{"https://id.example/"}, "scopes_supported": []any{"calendars"},
				}, m)
				continue
			}
			require.Equal(t, map[string]any{
				"resource": base + path, "authorization_servers": []any{base},
				"scopes_supported": []any{"mail"}, "bearer_methods_supported": []any{"header"},
			}, m)
		}
		for _, at := range []string{
			"/.well-known/oauth-protected-resource/", "/.well-known/oauth-protected-resource/jmap", "/.well-known/oauth-protected-resource/other",
			"/jmap/session/.well-known/oauth-protected-resource", "/mail/.well-known/oauth-protected-resource/jmap/session",
		} {
			res, _ := ask(t, h, "GET", at)
			require.Equal(t, 404, res.StatusCode, "%s: %s", base, at)
		}
	}
}

// With a prefix the base's document is also found at the location of clients that append the
// well-known part, with and without the prefix. Documents of other resources have one location.
func TestResourceAliases(t *testing.T) {
	set, err := Build(Config{Base: mustBase(t, "https://example.com/mail"), OAuth: &OAuth{}, JMAP: &JMAP{}})
	require.NoError(t, err)
	h := NewServer(set, ServerConfig{})
	for at, want := range map[string]int{
		"/.well-known/oauth-protected-resource/mail":              200,
		"/mail/.well-known/oauth-protected-resource":              200,
		"/.well-known/oauth-protected-resource":                   200,
		"/.well-known/oauth-protected-resource/mail/":             404,
		"/.well-known/oauth-protected-resource/mail/jmap/session": 200,
		"/.well-known/oauth-protected-resource/jmap/session":      404,
	} {
		res, _ := ask(t, h, "GET", at)
		require.Equal(t, want, res.StatusCode, at)
	}
}

func TestResourcesAreAbsentOnRelativeBase(t *testing.T) {
	for _, base := range []string{"", "/mail"} {
		set, err := Build(Config{Base: mustBase(t, base), OAuth: &OAuth{}, JMAP: &JMAP{}, Resources: []Resource{{Path: "/dav/cal/"}}})
		require.NoError(t, err)
		next := NewServer(set, ServerConfig{Next: teapot})
		for _, path := range []string{"", "/jmap/session", "/dav/cal/"} {
			require.Nil(t, set.Bytes(ResourceDocument(path)))
			at := "/.well-known/oauth-protected-resource" + base + path
			res, _ := ask(t, next, "GET", at)
			require.Equal(t, 404, res.StatusCode, at)
		}
	}
}

// A server that is not an authorization server has only resources that name another server.
func TestResourcesOfForeignIssuer(t *testing.T) {
	set, err := Build(Config{Base: mustBase(t, "https://example.com"), JMAP: &JMAP{}})
	require.NoError(t, err)
	require.Nil(t, set.Bytes(BaseResource))
	require.Nil(t, set.Bytes(ResourceDocument("/jmap/session")))

	set, err = Build(Config{Base: mustBase(t, "https://example.com"), JMAP: &JMAP{}, Resources: []Resource{
		{Path: "/jmap/session", AuthorizationServers: []string{"https://id.example/realms/mail"}, Scopes: []string{"mail"}},
	}})
	require.NoError(t, err)
	require.Nil(t, set.Bytes(BaseResource))
	require.Equal(t, []any{"https://id.example/realms/mail"}, decode(t, set, ResourceDocument("/jmap/session"))["authorization_servers"])
}

func TestIssuersOfOthersKeepTheirSpelling(t *testing.T) {
	issuers := []string{"https://id.example/", "https://id.example:443/A/", "http://127.0.0.1:9000", "http://localhost"}
	set, err := Build(Config{Base: mustBase(t, "https://example.com"), Resources: []Resource{{AuthorizationServers: issuers}}})
	require.NoError(t, err)
	var m struct {
		Servers []string `json:"authorization_servers"`
	}
	require.NoError(t, json.Unmarshal(set.Bytes(BaseResource), &m))
	require.Equal(t, issuers, m.Servers)
}

func TestEntryTakesPlaceOfImpliedResource(t *testing.T) {
	resources := []Resource{{Name: "Mail"}, {Path: "/session", Name: "Session"}}
	set, err := Build(Config{Base: mustBase(t, "https://example.com"), OAuth: &OAuth{}, JMAP: &JMAP{SessionPath: "/session"}, Resources: resources})
	require.NoError(t, err)
	require.Equal(t, "Mail", decode(t, set, BaseResource)["resource_name"])
	require.Equal(t, "Session", decode(t, set, ResourceDocument("/session"))["resource_name"])
	require.Nil(t, set.Bytes(ResourceDocument("/jmap/session")))
}
