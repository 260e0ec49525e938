package discovery

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/seed-94e48765/portico/publicurl"
)

// OpenID configures the additions of OpenID Connect to [OAuth]. Its document is that of
// OpenID Connect Discovery 1.0 section 3, found at /.well-known/openid-configuration below
// the base (section 4.1). It has all members of the OAuth document too.
//
// Dynamic OpenID Providers must support response types of the implicit flow too
// (section 3). Build does not require them, because RFC 9700 section 2.1.2 advises against
// them.
//
// A nil list is the default. An empty list leaves the member out, where the standard
// allows it.
type OpenID struct {
	UserinfoPath string // userinfo_endpoint; left out if it is empty

	// SubjectTypes are subject_types_supported: "public" and "pairwise"; default
	// "public".
	SubjectTypes []string

	// IDTokenSigningAlgs are id_token_signing_alg_values_supported, with "RS256"
	// among them; default "RS256".
	IDTokenSigningAlgs []string

	// Claims are claims_supported; default "sub", which every ID token has.
	Claims []string

	// RequestURIParameter is request_uri_parameter_supported, which is always
	// written: without it clients may assume true.
	RequestURIParameter bool

	// Extra contains further members of the document, in addition to those of OAuth.Extra.
	// A member that has a field in OpenID or OAuth is refused.
	Extra map[string]any
}

// An openIDMetadata is the document (OpenID Connect Discovery 1.0 section 3).
type openIDMetadata struct {
	oauthMetadata
	UserinfoEndpoint    string   `json:"userinfo_endpoint,omitempty"`
	SubjectTypes        []string `json:"subject_types_supported"`
	IDTokenSigningAlgs  []string `json:"id_token_signing_alg_values_supported"`
	Claims              []string `json:"claims_supported,omitempty"`
	RequestURIParameter bool     `json:"request_uri_parameter_supported"`
}

const openIDClause = "OpenID Connect Discovery 1.0 section 3"

func (b *builder) openID() {
	id, o := b.config.OpenID, b.config.OAuth
	if id == nil {
		return
	}
	if o == nil {
		b.fail(&Error{Document: OpenIDDocument, Field: "OpenID", Rule: "it adds to an authorization server: set Config.OAuth too", Clause: openIDClause})
		return
	}
	m := openIDMetadata{
		oauthMetadata:       b.metadata,
		UserinfoEndpoint:    b.endpoint(OpenIDDocument, "userinfo_endpoint", id.UserinfoPath, ""),
		SubjectTypes:        listOr(id.SubjectTypes, "public"),
		IDTokenSigningAlgs:  listOr(id.IDTokenSigningAlgs, "RS256"),
		Claims:              listOr(id.Claims, "sub"),
		RequestURIParameter: id.RequestURIParameter,
	}
	b.checkOpenID(o, &m)
	b.checkExtra(OpenIDDocument, id.Extra, "OpenID Connect Discovery 1.0 section 4.2", openIDClause)
	b.add(OpenIDDocument, m, b.bothExtras(o.Extra, id.Extra), b.wellKnown(publicurl.OpenIDConfiguration)...)
}

// checkOpenID checks the rules of section 3 beyond RFC 8414.
func (b *builder) checkOpenID(o *OAuth, m *openIDMetadata) {
	fail := func(field, input, rule string) {
		b.fail(&Error{Document: OpenIDDocument, Field: field, Input: input, Rule: rule, Clause: openIDClause})
	}
	check := func(field string, list []string, ok func(string) bool, rule string) {
		b.checkList(OpenIDDocument, field, list, ok, rule, openIDClause)
	}
	// checkOAuth has reported a missing endpoint that a grant uses.
	if o.AuthorizationPath == None && !slices.ContainsFunc(m.GrantTypes, func(g string) bool { return g == "authorization_code" || g == "implicit" }) {
		fail("authorization_endpoint", "", "it is required: give a path, or leave out the section OpenID")
	}
	if o.JWKSPath == None {
		fail("jwks_uri", "", "it is required to verify ID tokens: give a path, or leave out the section OpenID")
	}
	if !slices.Contains(m.Scopes, "openid") {
		fail("scopes_supported", strings.Join(m.Scopes, " "), `the server must support the scope "openid": list it in OAuth.Scopes`)
	}
	if len(m.SubjectTypes) == 0 {
		fail("subject_types_supported", "", `it is required: list "public", "pairwise" or both`)
	}
	check("subject_types_supported", m.SubjectTypes, func(s string) bool { return s == "public" || s == "pairwise" }, `use "public" and "pairwise"`)
	if !slices.Contains(m.IDTokenSigningAlgs, "RS256") {
		fail("id_token_signing_alg_values_supported", strings.Join(m.IDTokenSigningAlgs, " "), "RS256 must be among them: sign with it, too, and list it")
	}
	check("id_token_signing_alg_values_supported", m.IDTokenSigningAlgs, isASCII, "use the name of an algorithm, such as RS256")
	if slices.Contains(m.IDTokenSigningAlgs, "none") {
		for _, t := range m.ResponseTypes {
			if slices.Contains(strings.Split(t, " "), "id_token") {
				fail("id_token_signing_alg_values_supported", "none", "an ID token that comes through the browser must be signed: remove it, or the response type "+t)
			}
		}
	}
	check("claims_supported", m.Claims, utf8.ValidString, "use valid UTF-8")
}

// bothExtras returns the members of both, and reports members that are in both. encodeJSON
// reports those that differ in case only.
func (b *builder) bothExtras(oauth, openID map[string]any) map[string]any {
	all := maps.Clone(oauth)
	if all == nil {
		all = make(map[string]any, len(openID))
	}
	for _, name := range slices.Sorted(maps.Keys(openID)) {
		if _, taken := oauth[name]; taken {
			b.fail(&Error{Document: OpenIDDocument, Field: name, Rule: "OAuth.Extra has it too, and both are in this document: remove one"})
			continue
		}
		all[name] = openID[name]
	}
	return all
}
