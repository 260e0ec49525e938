package discovery

import (
	"slices"
	"strings"

	"github.com/seed-94e48765/portico/publicurl"
)

// OAuth configures the server's own authorization server. Its document is the
// authorization-server metadata of RFC 8414, found at
// /.well-known/oauth-authorization-server.
//
// RFC 8414 section 2 requires https for the issuer. An http base, which publicurl.Parse
// accepts for loopback hosts or if the caller allows it, is published as it is.
//
// If another authorization server handles sign-in, set Config.AuthorizationServers instead.
//
// A nil list is the default. An empty list leaves the member out, where the standard
// allows it.
type OAuth struct {
	// Issuer is the issuer: the base, which is the default, or the base and one slash, for
	// a server whose clients and tokens have always had the slash. Clients compare it
	// character by character (RFC 8414 section 3.3).
	Issuer string

	AuthorizationPath string // authorization_endpoint; default "/login"
	TokenPath         string // token_endpoint; default "/auth/token"
	JWKSPath          string // jwks_uri; default "/auth/jwks.json"

	// Optional endpoints, left out if they are empty.
	DevicePath        string // device_authorization_endpoint (RFC 8628 section 4)
	IntrospectionPath string // introspection_endpoint (RFC 7662)
	RegistrationPath  string // registration_endpoint (RFC 7591)
	RevocationPath    string // revocation_endpoint (RFC 7009)

	// Scopes are scopes_supported. The default is "openid" with Config.OpenID, and an
	// empty list otherwise.
	Scopes []string

	// ResponseTypes are response_types_supported; default "code".
	ResponseTypes []string

	// ResponseModes are response_modes_supported. The default is "query", and
	// "fragment" if a response type has a token in it. Without the member
	// clients may assume that both are supported.
	ResponseModes []string

	// GrantTypes are grant_types_supported, which is always written: without it
	// clients assume the implicit grant. The default is "authorization_code" and
	// "refresh_token", and [DeviceGrant] if there is a DevicePath.
	GrantTypes []string

	// TokenEndpointAuthMethods are token_endpoint_auth_methods_supported. The
	// default is "none": an application on the user's machine cannot keep a
	// secret (RFC 8252 sections 8.4 and 8.5). Without the member clients assume
	// "client_secret_basic".
	TokenEndpointAuthMethods []string

	// TokenEndpointAuthSigningAlgs are
	// token_endpoint_auth_signing_alg_values_supported, for the methods
	// "private_key_jwt" and "client_secret_jwt". There is no default.
	TokenEndpointAuthSigningAlgs []string

	// RevocationEndpointAuthMethods are
	// revocation_endpoint_auth_methods_supported. The default is that of the token
	// endpoint, if there is a RevocationPath, and so it is for the algorithms.
	RevocationEndpointAuthMethods     []string
	RevocationEndpointAuthSigningAlgs []string

	// IntrospectionEndpointAuthMethods are
	// introspection_endpoint_auth_methods_supported: methods of the token endpoint
	// except "none", and token types such as "Bearer". There is no default.
	IntrospectionEndpointAuthMethods     []string
	IntrospectionEndpointAuthSigningAlgs []string

	// CodeChallengeMethods are code_challenge_methods_supported (RFC 7636). The
	// default is "S256" with the grant "authorization_code". Without the member clients
	// assume that PKCE is not supported.
	CodeChallengeMethods []string

	// IssuerParameter is authorization_response_iss_parameter_supported: every
	// authorization response has [Set.Issuer] as its iss parameter (RFC 9207).
	// Clients refuse a response without it then. Without IssuerParameter, and on a
	// relative base, where the issuer is not a URL (section 2), the member is left out.
	IssuerParameter bool

	// Realm is the realm of [Set.Challenge], in printable ASCII. The default is
	// the base, or its prefix and "/" if that is relative.
	Realm string

	// Extra contains further members of this document and of OpenID's. A member that has
	// a field is refused. A member whose name ends in "_endpoint" is a URL below the base.
	// Members that end in "_uri", and protected_resources, may be at another host with
	// https.
	Extra map[string]any
}

// DeviceGrant is the grant type of devices without a browser (RFC 8628 section 3.4).
const DeviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// An oauthMetadata is the document (RFC 8414 section 2).
type oauthMetadata struct {
	Issuer                               string   `json:"issuer"`
	AuthorizationEndpoint                string   `json:"authorization_endpoint,omitempty"`
	TokenEndpoint                        string   `json:"token_endpoint,omitempty"`
	DeviceAuthorizationEndpoint          string   `json:"device_authorization_endpoint,omitempty"`
	IntrospectionEndpoint                string   `json:"introspection_endpoint,omitempty"`
	RevocationEndpoint                   string   `json:"revocation_endpoint,omitempty"`
	RegistrationEndpoint                 string   `json:"registration_endpoint,omitempty"`
	JWKSURI                              string   `json:"jwks_uri,omitempty"`
	Scopes                               []string `json:"scopes_supported,omitempty"`
	ResponseTypes                        []string `json:"response_types_supported"`
	ResponseModes                        []string `json:"response_modes_supported,omitempty"`
	GrantTypes                           []string `json:"grant_types_supported"`
	TokenEndpointAuthMethods             []string `json:"token_endpoint_auth_methods_supported,omitempty"`
	TokenEndpointAuthSigningAlgs         []string `json:"token_endpoint_auth_signing_alg_values_supported,omitempty"`
	IntrospectionEndpointAuthMethods     []string `json:"introspection_endpoint_auth_methods_supported,omitempty"`
	IntrospectionEndpointAuthSigningAlgs []string `json:"introspection_endpoint_auth_signing_alg_values_supported,omitempty"`
	RevocationEndpointAuthMethods        []string `json:"revocation_endpoint_auth_methods_supported,omitempty"`
	RevocationEndpointAuthSigningAlgs    []string `json:"revocation_endpoint_auth_signing_alg_values_supported,omitempty"`
	CodeChallengeMethods                 []string `json:"code_challenge_methods_supported,omitempty"`
	IssuerParameter                      bool     `json:"authorization_response_iss_parameter_supported,omitempty"`
}

const (
	metadataClause = "RFC 8414 section 2"
	deviceClause   = "RFC 8628 section 4"

	defaultTokenPath = "/auth/token"
)

func (b *builder) oauth() {
	o := b.config.OAuth
	if o == nil {
		return
	}
	b.metadata = oauthMetadata{
		Issuer:                               b.set.Issuer(),
		AuthorizationEndpoint:                b.endpoint(OAuthDocument, "authorization_endpoint", o.AuthorizationPath, "/login"),
		TokenEndpoint:                        b.endpoint(OAuthDocument, "token_endpoint", o.TokenPath, defaultTokenPath),
		DeviceAuthorizationEndpoint:          b.endpoint(OAuthDocument, "device_authorization_endpoint", o.DevicePath, ""),
		IntrospectionEndpoint:                b.endpoint(OAuthDocument, "introspection_endpoint", o.IntrospectionPath, ""),
		RevocationEndpoint:                   b.endpoint(OAuthDocument, "revocation_endpoint", o.RevocationPath, ""),
		RegistrationEndpoint:                 b.endpoint(OAuthDocument, "registration_endpoint", o.RegistrationPath, ""),
		JWKSURI:                              b.endpoint(OAuthDocument, "jwks_uri", o.JWKSPath, "/auth/jwks.json"),
		Scopes:                               o.Scopes,
		ResponseTypes:                        listOr(o.ResponseTypes, "code"),
		ResponseModes:                        o.ResponseModes,
		GrantTypes:                           o.GrantTypes,
		TokenEndpointAuthMethods:             o.TokenEndpointAuthMethods,
		TokenEndpointAuthSigningAlgs:         o.TokenEndpointAuthSigningAlgs,
		IntrospectionEndpointAuthMethods:     o.IntrospectionEndpointAuthMethods,
		IntrospectionEndpointAuthSigningAlgs: o.IntrospectionEndpointAuthSigningAlgs,
		RevocationEndpointAuthMethods:        o.RevocationEndpointAuthMethods,
		RevocationEndpointAuthSigningAlgs:    o.RevocationEndpointAuthSigningAlgs,
		CodeChallengeMethods:                 o.CodeChallengeMethods,
		IssuerParameter:                      o.IssuerParameter && !b.base.IsRelative(),
	}
	b.oauthDefaults(o, &b.metadata)
	b.checkOAuth(o, &b.metadata)
	b.checkExtra(OAuthDocument, o.Extra, "RFC 8414 section 3.2", metadataClause)
	b.add(OAuthDocument, b.metadata, o.Extra, b.wellKnown(publicurl.OAuthAuthorizationServer)...)
}

// oauthDefaults fills in the defaults that depend on other fields.
func (b *builder) oauthDefaults(o *OAuth, m *oauthMetadata) {
	if b.config.OpenID != nil {
		m.Scopes = listOr(m.Scopes, "openid")
	}
	m.ResponseModes = listOr(m.ResponseModes, "query")
	if o.ResponseModes == nil && slices.ContainsFunc(m.ResponseTypes, hasToken) {
		m.ResponseModes = append(m.ResponseModes, "fragment")
	}
	m.GrantTypes = listOr(m.GrantTypes, "authorization_code", "refresh_token")
	if o.GrantTypes == nil && !isAbsent(o.DevicePath) {
		m.GrantTypes = append(m.GrantTypes, DeviceGrant)
	}
	if o.TokenPath != None {
		m.TokenEndpointAuthMethods = listOr(m.TokenEndpointAuthMethods, "none")
	}
	if !isAbsent(o.RevocationPath) {
		if m.RevocationEndpointAuthMethods == nil {
			m.RevocationEndpointAuthMethods = m.TokenEndpointAuthMethods
		}
		if m.RevocationEndpointAuthSigningAlgs == nil {
			m.RevocationEndpointAuthSigningAlgs = m.TokenEndpointAuthSigningAlgs
		}
	}
	if slices.Contains(m.GrantTypes, "authorization_code") {
		m.CodeChallengeMethods = listOr(m.CodeChallengeMethods, "S256")
	}
}

// hasToken reports whether the authorization endpoint returns a token for a response
// type. By default that comes in the fragment (OAuth 2.0 Multiple Response Type
// Encoding Practices section 5).
func hasToken(responseType string) bool {
	for word := range strings.SplitSeq(responseType, " ") {
		if word == "token" || word == "id_token" {
			return true
		}
	}
	return false
}

// checkOAuth checks the rules of RFC 8414 section 2 and of the standards of the endpoints.
func (b *builder) checkOAuth(o *OAuth, m *oauthMetadata) {
	fail := func(field, input, rule, clause string) {
		b.fail(&Error{Document: OAuthDocument, Field: field, Input: input, Rule: rule, Clause: clause})
	}
	b.checkOAuthLists(m)
	code, implicit := slices.Contains(m.GrantTypes, "authorization_code"), slices.Contains(m.GrantTypes, "implicit")
	onlyImplicit := implicit && !slices.ContainsFunc(m.GrantTypes, func(g string) bool { return g != "implicit" })
	if o.AuthorizationPath == None && (code || implicit) {
		fail("authorization_endpoint", "", "the grants authorization_code and implicit use it: give a path, or remove them from GrantTypes", metadataClause)
	}
	if o.TokenPath == None && !onlyImplicit {
		fail("token_endpoint", "", "every grant except implicit uses it: give a path", metadataClause)
	}
	if len(m.ResponseTypes) == 0 {
		fail("response_types_supported", "", `it is required: list at least one, such as "code"`, metadataClause)
	}
	if len(m.GrantTypes) == 0 {
		fail("grant_types_supported", "", "list at least one: without the member clients assume authorization_code and implicit", metadataClause)
	}
	switch device := slices.Contains(m.GrantTypes, DeviceGrant); {
	case device && isAbsent(o.DevicePath):
		fail("device_authorization_endpoint", "", "the grant "+DeviceGrant+" begins there: give a path, or remove the grant", deviceClause)
	case !device && !isAbsent(o.DevicePath) && len(m.GrantTypes) > 0:
		fail("device_authorization_endpoint", o.DevicePath, "only the grant "+DeviceGrant+" uses it: remove DevicePath, or add the grant", deviceClause)
	}
	b.checkResponseTypes(o, m, code, implicit)
	for _, e := range []struct {
		prefix, path  string
		methods, algs []string
	}{
		{"token_endpoint", orDefault(o.TokenPath, defaultTokenPath), m.TokenEndpointAuthMethods, m.TokenEndpointAuthSigningAlgs},
		{"revocation_endpoint", o.RevocationPath, m.RevocationEndpointAuthMethods, m.RevocationEndpointAuthSigningAlgs},
		{"introspection_endpoint", o.IntrospectionPath, m.IntrospectionEndpointAuthMethods, m.IntrospectionEndpointAuthSigningAlgs},
	} {
		if isAbsent(e.path) && len(e.methods) > 0 {
			fail(e.prefix+"_auth_methods_supported", strings.Join(e.methods, " "), "there is no such endpoint: give its path, or remove them", metadataClause)
		}
		field := e.prefix + "_auth_signing_alg_values_supported"
		if isAbsent(e.path) && len(e.algs) > 0 {
			fail(field, strings.Join(e.algs, " "), "there is no such endpoint: give its path, or remove them", metadataClause)
		}
		for _, method := range []string{"private_key_jwt", "client_secret_jwt"} {
			if slices.Contains(e.methods, method) && len(e.algs) == 0 {
				fail(field, "", "it must be present with the method "+method+": list the algorithms", metadataClause)
			}
		}
		if slices.Contains(e.algs, "none") {
			fail(field, "none", "an unsigned JWT does not authenticate a client: remove it", metadataClause)
		}
	}
	if slices.Contains(m.IntrospectionEndpointAuthMethods, "none") {
		fail("introspection_endpoint_auth_methods_supported", "none", "the endpoint must authenticate its clients, because tokens could be guessed there: remove it", "RFC 7662 section 2.1")
	}
	if len(m.CodeChallengeMethods) > 0 && !slices.Contains(m.CodeChallengeMethods, "S256") {
		fail("code_challenge_methods_supported", strings.Join(m.CodeChallengeMethods, " "), "a server with PKCE must have S256: list it", "RFC 7636 section 4.2")
	}
}

// checkResponseTypes checks that each response type has its grant, and that each grant has a
// response type (RFC 7591 section 2.1). A server without an authorization endpoint must list
// response types as well, although clients cannot use them.
func (b *builder) checkResponseTypes(o *OAuth, m *oauthMetadata, code, implicit bool) {
	const clause = "RFC 7591 section 2.1"
	if o.AuthorizationPath == None || len(m.ResponseTypes) == 0 || len(m.GrantTypes) == 0 {
		return
	}
	var hasCode, hasTokens bool
	for _, t := range m.ResponseTypes {
		if slices.Contains(strings.Split(t, " "), "code") {
			hasCode = true
			if !code {
				b.fail(&Error{Document: OAuthDocument, Field: "response_types_supported", Input: t, Rule: "it needs the grant authorization_code: add that, or remove it", Clause: clause})
			}
		}
		if hasToken(t) {
			hasTokens = true
			if !implicit {
				b.fail(&Error{Document: OAuthDocument, Field: "response_types_supported", Input: t, Rule: "it needs the grant implicit: add that, or remove it", Clause: clause})
			}
		}
	}
	if code && !hasCode {
		b.fail(&Error{Document: OAuthDocument, Field: "grant_types_supported", Input: "authorization_code", Rule: `it needs a response type with "code": add that, or remove it`, Clause: clause})
	}
	if implicit && !hasTokens {
		b.fail(&Error{Document: OAuthDocument, Field: "grant_types_supported", Input: "implicit", Rule: `it needs a response type with "token" or "id_token": add that, or remove it`, Clause: clause})
	}
}

// checkOAuthLists checks the syntax of the values.
func (b *builder) checkOAuthLists(m *oauthMetadata) {
	check := func(field string, list []string, ok func(string) bool, rule, clause string) {
		b.checkList(OAuthDocument, field, list, ok, rule, clause)
	}
	check("scopes_supported", m.Scopes, isScope, scopeRule, scopeClause)
	check("response_types_supported", m.ResponseTypes, isResponseType, `use names of A-Z, a-z, 0-9 and "_", with one blank between them`, "RFC 6749 section 3.1.1")
	const oneWord = "use printable ASCII without blanks"
	for _, l := range []struct {
		field string
		list  []string
	}{
		{"grant_types_supported", m.GrantTypes},
		{"response_modes_supported", m.ResponseModes},
		{"token_endpoint_auth_methods_supported", m.TokenEndpointAuthMethods},
		{"token_endpoint_auth_signing_alg_values_supported", m.TokenEndpointAuthSigningAlgs},
		{"introspection_endpoint_auth_methods_supported", m.IntrospectionEndpointAuthMethods},
		{"introspection_endpoint_auth_signing_alg_values_supported", m.IntrospectionEndpointAuthSigningAlgs},
		{"revocation_endpoint_auth_methods_supported", m.RevocationEndpointAuthMethods},
		{"revocation_endpoint_auth_signing_alg_values_supported", m.RevocationEndpointAuthSigningAlgs},
		{"code_challenge_methods_supported", m.CodeChallengeMethods},
	} {
		check(l.field, l.list, isASCII, oneWord, metadataClause)
	}
}

// listOr returns the default for a nil list.
func listOr(list []string, def ...string) []string {
	if list == nil {
		return def
	}
	return list
}
