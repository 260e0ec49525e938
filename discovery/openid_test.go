package discovery

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOpenIDRules(t *testing.T) {
	const clause = "OpenID Connect Discovery 1.0 section 3"
	var tests []brokenRule
	add := func(name string, o *OAuth, id OpenID, field, input, rule, clause string) {
		tests = append(tests, brokenRule{name: name, config: Config{OAuth: o, OpenID: &id}, document: OpenIDDocument, field: field, input: input, rule: rule, clause: clause})
	}
	add("no OAuth", nil, OpenID{}, "OpenID", "", "Config.OAuth", clause)
	add("no authorization endpoint", &OAuth{AuthorizationPath: None, DevicePath: "/auth/device", GrantTypes: []string{DeviceGrant}}, OpenID{},
		"authorization_endpoint", "", "required", clause)
	add("no keys", &OAuth{JWKSPath: None}, OpenID{}, "jwks_uri", "", "required", clause)
	add("no scope openid", &OAuth{Scopes: []string{"email", "profile"}}, OpenID{}, "scopes_supported", "email profile", `"openid"`, clause)
	add("no scope", &OAuth{Scopes: []string{}}, OpenID{}, "scopes_supported", "", `"openid"`, clause)
	add("no subject type", &OAuth{}, OpenID{SubjectTypes: []string{}}, "subject_types_supported", "", "required", clause)
	add("unknown subject type", &OAuth{}, OpenID{SubjectTypes: []string{"public", "private"}}, "subject_types_supported", "private", "pairwise", clause)
	add("no algorithm", &OAuth{}, OpenID{IDTokenSigningAlgs: []string{}}, "id_token_signing_alg_values_supported", "", "RS256", clause)
	add("no RS256", &OAuth{}, OpenID{IDTokenSigningAlgs: []string{"ES256", "EdDSA"}}, "id_token_signing_alg_values_supported", "ES256 EdDSA", "RS256", clause)
	add("algorithm with a blank", &OAuth{}, OpenID{IDTokenSigningAlgs: []string{"RS256", "ES256 "}}, "id_token_signing_alg_values_supported", "ES256 ", "name of an algorithm", clause)
	add("unsigned ID token through the browser",
		&OAuth{GrantTypes: []string{"authorization_code", "implicit"}, ResponseTypes: []string{"code", "code id_token"}},
		OpenID{IDTokenSigningAlgs: []string{"RS256", "none"}},
		"id_token_signing_alg_values_supported", "none", "code id_token", clause)
	add("claim twice", &OAuth{}, OpenID{Claims: []string{"sub", "sub"}}, "claims_supported", "sub", "duplicate", clause)
	add("claim empty", &OAuth{}, OpenID{Claims: []string{""}}, "claims_supported", "", "empty", clause)
	add("claim in Latin-1", &OAuth{}, OpenID{Claims: []string{"caf\xe9"}}, "claims_supported", "caf\xe9", "UTF-8", clause)
	add("empty list in Extra", &OAuth{}, OpenID{Extra: map[string]any{"display_values_supported": []string{}}},
		"display_values_supported", "", "left out", "OpenID Connect Discovery 1.0 section 4.2")
	add("member of OAuth in Extra", &OAuth{}, OpenID{Extra: map[string]any{"issuer": "https://evil.example"}}, "Extra", "", "shadow", "")
	add("member of OpenID in Extra", &OAuth{}, OpenID{Extra: map[string]any{"userinfo_endpoint": "https://evil.example"}}, "Extra", "", "shadow", "")
	add("member of OpenID in OAuth's Extra", &OAuth{Extra: map[string]any{"userinfo_endpoint": "https://evil.example"}}, OpenID{}, "Extra", "", "shadow", "")
	add("member in both Extras", &OAuth{Extra: map[string]any{"op_tos_uri": "https://a.example"}}, OpenID{Extra: map[string]any{"op_tos_uri": "https://b.example"}},
		"op_tos_uri", "", "OAuth.Extra", "")
	add("member in both Extras, spelt differently", &OAuth{Extra: map[string]any{"op_tos_uri": "https://a.example"}}, OpenID{Extra: map[string]any{"OP_tos_uri": "https://b.example"}},
		"Extra", "", "differ in case only", "")
	testBrokenRules(t, tests)
}

func TestUserinfoPathStaysBelowBase(t *testing.T) {
	errs := buildErrors(t, Config{Base: mustBase(t, "https://example.com"), OAuth: &OAuth{}, OpenID: &OpenID{UserinfoPath: "/../x"}})
	require.Len(t, errs, 1)
	require.Equal(t, OpenIDDocument, errs[0].Document)
	require.Equal(t, "userinfo_endpoint", errs[0].Field)
}

func TestUnsignedIDTokensWithCodeFlow(t *testing.T) {
	_, err := Build(Config{Base: mustBase(t, "https://example.com"), OAuth: &OAuth{}, OpenID: &OpenID{IDTokenSigningAlgs: []string{"RS256", "none"}}})
	require.NoError(t, err)
}

func TestOpenIDHasAllOfOAuth(t *testing.T) {
	for _, base := range []string{"https://example.com:8443/mail", "", "/mail"} {
		set, err := Build(Config{
			Base:   mustBase(t, base),
			OAuth:  &OAuth{Extra: map[string]any{"service_documentation": "https://example.org/"}},
			OpenID: &OpenID{UserinfoPath: "/auth/userinfo", Extra: map[string]any{"claim_types_supported": []string{"normal"}}},
		})
		require.NoError(t, err)
		oauth, openID := decode(t, set, OAuthDocument), decode(t, set, OpenIDDocument)
		for name, value := range oauth {
			require.Equal(t, value, openID[name], name)
		}
		require.Equal(t, base, openID["issuer"])
		require.Equal(t, base+"/auth/userinfo", openID["userinfo_endpoint"])
		require.Equal(t, base+"/auth/jwks.json", openID["jwks_uri"])
		require.Equal(t, []any{"openid"}, openID["scopes_supported"])
		require.Equal(t, []any{"public"}, openID["subject_types_supported"])
		require.Equal(t, []any{"RS256"}, openID["id_token_signing_alg_values_supported"])
		require.Equal(t, false, openID["request_uri_parameter_supported"])
		require.Equal(t, []any{"normal"}, openID["claim_types_supported"])
		require.NotContains(t, oauth, "claim_types_supported")
	}
}

func TestUserinfoMayBeAbsent(t *testing.T) {
	set, err := Build(Config{Base: mustBase(t, "https://example.com"), OAuth: &OAuth{}, OpenID: &OpenID{UserinfoPath: None, Claims: []string{}, RequestURIParameter: true}})
	require.NoError(t, err)
	m := decode(t, set, OpenIDDocument)
	require.NotContains(t, m, "userinfo_endpoint")
	require.NotContains(t, m, "claims_supported")
	require.Equal(t, true, m["request_uri_parameter_supported"])
}
