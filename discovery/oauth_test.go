package discovery

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// A brokenRule is a configuration with one thing wrong, and the error for it.
type brokenRule struct {
	name     string
	config   Config // on https://example.com/mail if there is no Base
	document Document
	field    string
	input    string
	rule     string // part of it
	clause   string
}

// testBrokenRules expects exactly the one error of each row, on an absolute and on a
// relative base.
func testBrokenRules(t *testing.T, tests []brokenRule) {
	for _, tt := range tests {
		for _, base := range []string{"https://example.com/mail", "/mail"} {
			t.Run(tt.name+" on "+base, func(t *testing.T) {
				tt.config.Base = mustBase(t, base)
				errs := buildErrors(t, tt.config)
				require.Len(t, errs, 1, "%v", errs)
				e := errs[0]
				require.Equal(t, tt.document, e.Document)
				require.Equal(t, tt.field, e.Field)
				require.Equal(t, tt.input, e.Input)
				require.Contains(t, e.Rule, tt.rule)
				require.Equal(t, tt.clause, e.Clause)
			})
		}
	}
}

func TestOAuthRules(t *testing.T) {
	const metadata = "RFC 8414 section 2"
	var tests []brokenRule
	add := func(name string, o OAuth, field, input, rule, clause string) {
		tests = append(tests, brokenRule{name: name, config: Config{OAuth: &o}, document: OAuthDocument, field: field, input: input, rule: rule, clause: clause})
	}
	add("code grant without authorization endpoint", OAuth{AuthorizationPath: None},
		"authorization_endpoint", "", "authorization_code and implicit use it", metadata)
	add("implicit grant without authorization endpoint", OAuth{AuthorizationPath: None, GrantTypes: []string{"implicit", "client_credentials"}},
		"authorization_endpoint", "", "authorization_code and implicit use it", metadata)
	add("no token endpoint", OAuth{TokenPath: None}, "token_endpoint", "", "every grant except implicit", metadata)
	add("no token endpoint for a grant other than implicit", OAuth{TokenPath: None, GrantTypes: []string{"implicit", "refresh_token"}, ResponseTypes: []string{"token"}},
		"token_endpoint", "", "every grant except implicit", metadata)
	add("no response type", OAuth{ResponseTypes: []string{}}, "response_types_supported", "", "required", metadata)
	add("no grant type", OAuth{GrantTypes: []string{}}, "grant_types_supported", "", "at least one", metadata)

	add("device grant without endpoint", OAuth{GrantTypes: []string{"authorization_code", DeviceGrant}},
		"device_authorization_endpoint", "", "begins there", "RFC 8628 section 4")
	add("device endpoint without grant", OAuth{DevicePath: "/auth/device", GrantTypes: []string{"authorization_code"}},
		"device_authorization_endpoint", "/auth/device", "remove DevicePath", "RFC 8628 section 4")

	add("code without grant", OAuth{GrantTypes: []string{"implicit"}, ResponseTypes: []string{"token", "code"}},
		"response_types_supported", "code", "authorization_code", "RFC 7591 section 2.1")
	add("token without grant", OAuth{ResponseTypes: []string{"code", "token"}},
		"response_types_supported", "token", "implicit", "RFC 7591 section 2.1")
	add("hybrid without grant", OAuth{ResponseTypes: []string{"code id_token"}},
		"response_types_supported", "code id_token", "implicit", "RFC 7591 section 2.1")
	add("code grant without response type", OAuth{GrantTypes: []string{"authorization_code", "implicit"}, ResponseTypes: []string{"token"}},
		"grant_types_supported", "authorization_code", "response type", "RFC 7591 section 2.1")
	add("implicit grant without response type", OAuth{GrantTypes: []string{"authorization_code", "implicit"}},
		"grant_types_supported", "implicit", "response type", "RFC 7591 section 2.1")

	for _, method := range []string{"private_key_jwt", "client_secret_jwt"} {
		methods := []string{method}
		add(method+" at the token endpoint without algorithms", OAuth{TokenEndpointAuthMethods: methods},
			"token_endpoint_auth_signing_alg_values_supported", "", method, metadata)
		add(method+" at the revocation endpoint without algorithms", OAuth{RevocationPath: "/auth/revoke", RevocationEndpointAuthMethods: methods},
			"revocation_endpoint_auth_signing_alg_values_supported", "", method, metadata)
		add(method+" at the introspection endpoint without algorithms", OAuth{IntrospectionPath: "/auth/introspect", IntrospectionEndpointAuthMethods: methods},
			"introspection_endpoint_auth_signing_alg_values_supported", "", method, metadata)
	}
	add("unsigned at the token endpoint", OAuth{TokenEndpointAuthSigningAlgs: []string{"RS256", "none"}},
		"token_endpoint_auth_signing_alg_values_supported", "none", "remove", metadata)
	add("unsigned at the revocation endpoint", OAuth{RevocationPath: "/auth/revoke", RevocationEndpointAuthSigningAlgs: []string{"none"}},
		"revocation_endpoint_auth_signing_alg_values_supported", "none", "remove", metadata)
	add("unsigned at the introspection endpoint", OAuth{IntrospectionPath: "/auth/introspect", IntrospectionEndpointAuthSigningAlgs: []string{"none"}},
		"introspection_endpoint_auth_signing_alg_values_supported", "none", "remove", metadata)
	add("introspection by everybody", OAuth{IntrospectionPath: "/auth/introspect", IntrospectionEndpointAuthMethods: []string{"none"}},
		"introspection_endpoint_auth_methods_supported", "none", "remove", "RFC 7662 section 2.1")
	add("methods of no introspection endpoint", OAuth{IntrospectionEndpointAuthMethods: []string{"Bearer"}},
		"introspection_endpoint_auth_methods_supported", "Bearer", "no such endpoint", metadata)
	add("methods of no revocation endpoint", OAuth{RevocationEndpointAuthMethods: []string{"none"}},
		"revocation_endpoint_auth_methods_supported", "none", "no such endpoint", metadata)
	add("methods of no token endpoint", OAuth{TokenPath: None, GrantTypes: []string{"implicit"}, ResponseTypes: []string{"token"}, TokenEndpointAuthMethods: []string{"none"}},
		"token_endpoint_auth_methods_supported", "none", "no such endpoint", metadata)
	add("algorithms of no introspection endpoint", OAuth{IntrospectionEndpointAuthSigningAlgs: []string{"ES256"}},
		"introspection_endpoint_auth_signing_alg_values_supported", "ES256", "no such endpoint", metadata)
	add("algorithms of no revocation endpoint", OAuth{RevocationEndpointAuthSigningAlgs: []string{"RS256", "ES256"}},
		"revocation_endpoint_auth_signing_alg_values_supported", "RS256 ES256", "no such endpoint", metadata)
	add("algorithms of no token endpoint", OAuth{TokenPath: None, GrantTypes: []string{"implicit"}, ResponseTypes: []string{"token"}, TokenEndpointAuthSigningAlgs: []string{"ES256"}},
		"token_endpoint_auth_signing_alg_values_supported", "ES256", "no such endpoint", metadata)
	add("PKCE without S256", OAuth{CodeChallengeMethods: []string{"plain"}},
		"code_challenge_methods_supported", "plain", "S256", "RFC 7636 section 4.2")

	add("scope with a blank", OAuth{Scopes: []string{"openid email"}}, "scopes_supported", "openid email", "without blanks", "RFC 6749 section 3.3")
	add("scope with a quote", OAuth{Scopes: []string{`a"b`}}, "scopes_supported", `a"b`, "ASCII", "RFC 6749 section 3.3")
	add("scope twice", OAuth{Scopes: []string{"a", "b", "a"}}, "scopes_supported", "a", "duplicate", "RFC 6749 section 3.3")
	add("scope empty", OAuth{Scopes: []string{""}}, "scopes_supported", "", "empty", "RFC 6749 section 3.3")
	add("response type malformed", OAuth{ResponseTypes: []string{"code", "none  x"}}, "response_types_supported", "none  x", "one blank", "RFC 6749 section 3.1.1")
	add("response type with a dash", OAuth{ResponseTypes: []string{"code", "x-y"}}, "response_types_supported", "x-y", "one blank", "RFC 6749 section 3.1.1")
	add("value in Extra that JSON does not have", OAuth{Extra: map[string]any{"x": func() {}}}, "Extra", "", "cannot encode", "")
	add("grant type with a blank", OAuth{GrantTypes: []string{"authorization_code", "x y"}}, "grant_types_supported", "x y", "without blanks", metadata)
	add("response mode empty", OAuth{ResponseModes: []string{"query", ""}}, "response_modes_supported", "", "empty", metadata)
	add("method twice", OAuth{TokenEndpointAuthMethods: []string{"none", "none"}}, "token_endpoint_auth_methods_supported", "none", "duplicate", metadata)

	add("empty list in Extra", OAuth{Extra: map[string]any{"acr_values_supported": []string{}}},
		"acr_values_supported", "", "left out", "RFC 8414 section 3.2")
	add("unsigned DPoP", OAuth{Extra: map[string]any{"dpop_signing_alg_values_supported": []string{"ES256", "none"}}},
		"dpop_signing_alg_values_supported", "none", "remove", "RFC 9449 section 4.2")
	add("member of a field in Extra", OAuth{Extra: map[string]any{"issuer": "https://evil.example"}},
		"Extra", "", "shadow", "")
	add("member of a field in Extra, in other case", OAuth{Extra: map[string]any{"Token_Endpoint": "https://evil.example"}},
		"Extra", "", "shadow", "")
	add("member of a field that is left out in Extra", OAuth{Extra: map[string]any{"revocation_endpoint": "https://evil.example"}},
		"Extra", "", "shadow", "")
	testBrokenRules(t, tests)
}

func TestEndpointPathsStayBelowBase(t *testing.T) {
	for field, o := range map[string]OAuth{
		"authorization_endpoint":        {AuthorizationPath: "https://evil.example/login"},
		"token_endpoint":                {TokenPath: "token"},
		"device_authorization_endpoint": {DevicePath: "/../device"},
		"introspection_endpoint":        {IntrospectionPath: "//evil.example/"},
		"revocation_endpoint":           {RevocationPath: "/a?b"},
		"registration_endpoint":         {RegistrationPath: "/a#b"},
		"jwks_uri":                      {JWKSPath: `/\evil.example`},
	} {
		errs := buildErrors(t, Config{Base: mustBase(t, "https://example.com"), OAuth: &o})
		require.Len(t, errs, 1, field)
		require.Equal(t, field, errs[0].Field)
		require.Error(t, errs[0].Err)
	}
}

// decode returns the members of a document.
func decode(t testing.TB, s *Set, d Document) map[string]any {
	t.Helper()
	var m map[string]any
	require.NoError(t, json.Unmarshal(s.Bytes(d), &m), "%s", d)
	return m
}

func TestOAuthLists(t *testing.T) {
	list := func(s ...any) []any { return s }
	for _, tt := range []struct {
		name  string
		oauth OAuth
		want  map[string]any // nil: absent
	}{
		{name: "defaults", oauth: OAuth{}, want: map[string]any{
			"grant_types_supported":                          list("authorization_code", "refresh_token"),
			"response_types_supported":                       list("code"),
			"response_modes_supported":                       list("query"),
			"token_endpoint_auth_methods_supported":          list("none"),
			"code_challenge_methods_supported":               list("S256"),
			"authorization_endpoint":                         "https://example.com/login",
			"token_endpoint":                                 "https://example.com/auth/token",
			"jwks_uri":                                       "https://example.com/auth/jwks.json",
			"authorization_response_iss_parameter_supported": nil,
			"scopes_supported":                               nil,
			"device_authorization_endpoint":                  nil,
			"introspection_endpoint":                         nil,
			"registration_endpoint":                          nil,
			"revocation_endpoint":                            nil,
			"introspection_endpoint_auth_methods_supported":  nil,
			"revocation_endpoint_auth_methods_supported":     nil,
		}},
		{name: "no endpoint that can be left out", oauth: OAuth{DevicePath: None, IntrospectionPath: None, RegistrationPath: None, JWKSPath: None, RevocationPath: None}, want: map[string]any{
			"grant_types_supported":         list("authorization_code", "refresh_token"),
			"device_authorization_endpoint": nil, "introspection_endpoint": nil, "registration_endpoint": nil, "jwks_uri": nil, "revocation_endpoint": nil,
		}},
		{name: "optional endpoints", oauth: OAuth{DevicePath: "/device", IntrospectionPath: "/introspect", RegistrationPath: "/register", RevocationPath: "/revoke"}, want: map[string]any{
			"grant_types_supported":         list("authorization_code", "refresh_token", DeviceGrant),
			"device_authorization_endpoint": "https://example.com/device",
			"introspection_endpoint":        "https://example.com/introspect",
			"registration_endpoint":         "https://example.com/register",
			"revocation_endpoint":           "https://example.com/revoke",
		}},
		{name: "empty lists are absent", oauth: OAuth{Scopes: []string{}, ResponseModes: []string{}, TokenEndpointAuthMethods: []string{}, CodeChallengeMethods: []string{}, TokenEndpointAuthSigningAlgs: []string{}}, want: map[string]any{
			"scopes_supported": nil, "response_modes_supported": nil, "token_endpoint_auth_methods_supported": nil,
			"code_challenge_methods_supported": nil, "token_endpoint_auth_signing_alg_values_supported": nil,
		}},
		{name: "revocation takes the methods of the token endpoint", oauth: OAuth{RevocationPath: "/auth/revoke", TokenEndpointAuthMethods: []string{"private_key_jwt"}, TokenEndpointAuthSigningAlgs: []string{"ES256"}}, want: map[string]any{
			"revocation_endpoint":                                   "https://example.com/auth/revoke",
			"revocation_endpoint_auth_methods_supported":            list("private_key_jwt"),
			"revocation_endpoint_auth_signing_alg_values_supported": list("ES256"),
		}},
		{name: "only devices", oauth: OAuth{AuthorizationPath: None, DevicePath: "/auth/device", GrantTypes: []string{DeviceGrant}}, want: map[string]any{
			"authorization_endpoint":           nil,
			"response_types_supported":         list("code"),
			"code_challenge_methods_supported": nil,
		}},
		{name: "only implicit", oauth: OAuth{TokenPath: None, GrantTypes: []string{"implicit"}, ResponseTypes: []string{"token"}}, want: map[string]any{
			"token_endpoint":                        nil,
			"token_endpoint_auth_methods_supported": nil,
			"response_modes_supported":              list("query", "fragment"),
		}},
		{name: "issuer parameter", oauth: OAuth{IssuerParameter: true}, want: map[string]any{
			"authorization_response_iss_parameter_supported": true,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set, err := Build(Config{Base: mustBase(t, "https://example.com"), OAuth: &tt.oauth})
			require.NoError(t, err)
			got := decode(t, set, OAuthDocument)
			for name, want := range tt.want {
				require.Equal(t, want, got[name], name)
				_, present := got[name]
				require.Equal(t, want != nil, present, name)
			}
			require.Equal(t, "https://example.com", got["issuer"])
		})
	}
}

// On a relative base the issuer is not a URL, and must not be the iss parameter of a
// response (RFC 9207 section 2).
func TestOAuthOnARelativeBase(t *testing.T) {
	set, err := Build(Config{Base: mustBase(t, "/mail"), OAuth: &OAuth{IssuerParameter: true}})
	require.NoError(t, err)
	got := decode(t, set, OAuthDocument)
	require.Equal(t, "/mail", got["issuer"])
	require.Equal(t, "/mail/login", got["authorization_endpoint"])
	require.Equal(t, "/mail/auth/jwks.json", got["jwks_uri"])
	require.NotContains(t, got, "authorization_response_iss_parameter_supported")
}

func TestOAuthPathsOfDocument(t *testing.T) {
	set, err := Build(Config{Base: mustBase(t, "https://example.com/mail"), OAuth: &OAuth{}, OpenID: &OpenID{}})
	require.NoError(t, err)
	h := NewServer(set, ServerConfig{})
	for path, want := range map[string]Document{
		"/.well-known/oauth-authorization-server/mail":      OAuthDocument,
		"/mail/.well-known/oauth-authorization-server":      OAuthDocument,
		"/.well-known/oauth-authorization-server":           OAuthDocument,
		"/mail/.well-known/openid-configuration":            OpenIDDocument,
		"/.well-known/openid-configuration/mail":            OpenIDDocument,
		"/.well-known/openid-configuration":                 OpenIDDocument, // with the prefix stripped
		"/.well-known/oauth-authorization-server/mail/more": "",
		"/.well-known/oauth-authorization-server/other":     "",
	} {
		res, body := ask(t, h, "GET", path)
		if want == "" {
			require.Equal(t, 404, res.StatusCode, path)
			continue
		}
		require.Equal(t, 200, res.StatusCode, path)
		require.Equal(t, "application/json", res.Header.Get("Content-Type"), path)
		require.Equal(t, string(set.Bytes(want)), body, path)
	}
}
