package discovery

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExtraEndpoints(t *testing.T) {
	const below = "https://example.com/mail/logout"
	var tests []brokenRule
	for _, tt := range []struct {
		name  string
		value any
		input string
	}{
		{name: "a private address", value: "http://10.0.0.5:8080/logout", input: "http://10.0.0.5:8080/logout"},
		{name: "what is not a URL", value: "not a url", input: "not a url"},
		{name: "nothing", value: "", input: ""},
		{name: "another host", value: "https://other.example/logout", input: "https://other.example/logout"},
		{name: "http for https", value: "http://example.com/mail/logout", input: "http://example.com/mail/logout"},
		{name: "outside of the base", value: "https://example.com/logout", input: "https://example.com/logout"},
		{name: "a fragment", value: below + "#x", input: below + "#x"},
		{name: "a number", value: 5, input: "5"},
		{name: "a list", value: []string{below}, input: `["` + below + `"]`},
	} {
		for _, member := range []string{"end_session_endpoint", "pushed_authorization_request_endpoint", "check_session_iframe", "vendor_endpoint", "END_SESSION_ENDPOINT"} {
			extra := map[string]any{member: tt.value}
			tests = append(tests,
				brokenRule{name: tt.name + " for " + member + " of OAuth", config: Config{OAuth: &OAuth{Extra: extra}}, document: OAuthDocument, field: member, input: tt.input, rule: "below the base", clause: metadataClause},
				brokenRule{name: tt.name + " for " + member + " of OpenID", config: Config{OAuth: &OAuth{}, OpenID: &OpenID{Extra: extra}}, document: OpenIDDocument, field: member, input: tt.input, rule: "below the base", clause: openIDClause},
			)
		}
	}
	testBrokenRules(t, tests)

	for _, base := range []string{"https://example.com/mail", "/mail"} {
		for _, path := range []string{"/logout", "/logout?a=b"} {
			set, err := Build(Config{Base: mustBase(t, base), OAuth: &OAuth{Extra: map[string]any{"end_session_endpoint": base + path}}})
			require.NoError(t, err)
			require.Equal(t, base+path, decode(t, set, OAuthDocument)["end_session_endpoint"])
		}
	}
}

func TestExtraMembersThatAreLinksAreOnHTTPS(t *testing.T) {
	var tests []brokenRule
	for _, link := range []string{"http://example.org/terms", "example.org", "", "https://", "https://jane@example.org/", "ftp://example.org/", "javascript:alert(1)", "https://example.org/a b", "https://<host>/", "https://example.org:99999/"} {
		for _, member := range []string{"op_policy_uri", "op_tos_uri", "service_documentation", "vendor_url"} {
			tests = append(tests, brokenRule{name: link + " for " + member, config: Config{OAuth: &OAuth{Extra: map[string]any{member: link}}}, document: OAuthDocument, field: member, input: link, rule: "https", clause: metadataClause})
		}
		for _, member := range []string{"resource_policy_uri", "resource_tos_uri", "resource_documentation", "jwks_uri"} {
			r := Resource{Path: "/x", Extra: map[string]any{member: link}}
			tests = append(tests, brokenRule{name: link + " for " + member, config: Config{OAuth: &OAuth{}, Resources: []Resource{r}}, document: ResourceDocument("/x"), field: member, input: link, rule: "https", clause: resourceClause})
		}
		tests = append(tests, brokenRule{name: link + " for vendorUrl", config: Config{JMAP: &JMAP{Extra: map[string]any{"vendorUrl": link}}}, document: JMAPDocument, field: "vendorUrl", input: link, rule: "https", clause: sessionClause})
		tests = append(tests, brokenRule{name: link + " for an alias", config: Config{OAuth: &OAuth{Extra: map[string]any{"mtls_endpoint_aliases": map[string]any{"token_endpoint": link}}}},
			document: OAuthDocument, field: "mtls_endpoint_aliases.token_endpoint", input: link, rule: "https", clause: "RFC 8705 section 5"})
	}
	for _, link := range []string{"http://10.0.0.5/jmap", "not a url", ""} {
		resources := []string{"https://example.com/mail", link}
		tests = append(tests, brokenRule{name: link + " for a protected resource", config: Config{OAuth: &OAuth{Extra: map[string]any{"protected_resources": resources}}},
			document: OAuthDocument, field: "protected_resources[1]", input: link, rule: "https", clause: "RFC 9728 section 4"})
	}
	tests = append(tests, brokenRule{name: "protected resources that are not a list", config: Config{OAuth: &OAuth{Extra: map[string]any{"protected_resources": "x"}}}, document: OAuthDocument, field: "protected_resources", input: "x", rule: "list", clause: "RFC 9728 section 4"})
	tests = append(tests, brokenRule{name: "aliases that are not an object", config: Config{OAuth: &OAuth{Extra: map[string]any{"mtls_endpoint_aliases": "x"}}}, document: OAuthDocument, field: "mtls_endpoint_aliases", input: "x", rule: "object", clause: "RFC 8705 section 5"})
	testBrokenRules(t, tests)

	set, err := Build(Config{Base: mustBase(t, "https://example.com"), OAuth: &OAuth{Extra: map[string]any{
		"op_tos_uri": "https://example.org/terms?lang=en", "service_documentation": "https://example.com/help",
		"mtls_endpoint_aliases":      map[string]string{"token_endpoint": "https://mtls.example.com/token"},
		"claims_parameter_supported": false, "acr_values_supported": []string{"http://schemas.example/level1"},
	}}})
	require.NoError(t, err)
	require.Equal(t, "https://example.org/terms?lang=en", decode(t, set, OAuthDocument)["op_tos_uri"])
}

func TestLongValueOfExtraIsCutInError(t *testing.T) {
	errs := buildErrors(t, Config{Base: mustBase(t, "https://example.com"), OAuth: &OAuth{Extra: map[string]any{"x_endpoint": []string{strings.Repeat("x", 1000)}}}})
	require.Len(t, errs, 1)
	require.Len(t, errs[0].Input, 80)
}
