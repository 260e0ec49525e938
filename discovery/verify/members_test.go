package verify

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/discovery"
)

// without removes a member with a string or a list from a document.
func without(path, member string) tamper {
	return changed(path, func(_ http.Header, body string) string {
		start := strings.Index(body, `"`+member+`":`)
		if start < 0 {
			panic(member)
		}
		value := body[start+len(member)+3:]
		end := 1 + strings.IndexByte(value[1:], map[byte]byte{'"': '"', '[': ']', '{': '}'}[value[0]]) + 1
		rest := value[end:]
		if strings.HasPrefix(rest, ",") {
			return body[:start] + rest[1:]
		}
		return strings.TrimSuffix(body[:start], ",") + rest
	})
}

func both(a, b tamper) tamper { return func(next http.Handler) http.Handler { return a(b(next)) } }

func TestFindsRequiredMembersThatAreAbsent(t *testing.T) {
	var all []fixture
	for _, m := range []struct {
		member, kind string
		at           string
		document     discovery.Document
		clause       string
	}{
		{member: "authorization_endpoint", kind: "string", at: oauthAtRoot, document: discovery.OAuthDocument, clause: "RFC 8414 section 2"},
		{member: "token_endpoint", kind: "string", at: oauthAtRoot, document: discovery.OAuthDocument, clause: "RFC 8414 section 2"},
		{member: "response_types_supported", kind: "list", at: oauthAtRoot, document: discovery.OAuthDocument, clause: "RFC 8414 section 2"},
		{member: "authorization_endpoint", kind: "string", at: openIDAtRoot, document: discovery.OpenIDDocument, clause: "OpenID Connect Discovery 1.0 section 3"},
		{member: "token_endpoint", kind: "string", at: openIDAtRoot, document: discovery.OpenIDDocument, clause: "OpenID Connect Discovery 1.0 section 3"},
		{member: "jwks_uri", kind: "string", at: openIDAtRoot, document: discovery.OpenIDDocument, clause: "OpenID Connect Discovery 1.0 section 3"},
		{member: "response_types_supported", kind: "list", at: openIDAtRoot, document: discovery.OpenIDDocument, clause: "OpenID Connect Discovery 1.0 section 3"},
		{member: "subject_types_supported", kind: "list", at: openIDAtRoot, document: discovery.OpenIDDocument, clause: "OpenID Connect Discovery 1.0 section 3"},
		{member: "id_token_signing_alg_values_supported", kind: "list", at: openIDAtRoot, document: discovery.OpenIDDocument, clause: "OpenID Connect Discovery 1.0 section 3"},
	} {
		all = append(all, fixture{name: string(m.document) + " without " + m.member, base: rootBase, config: openIDOnly, tamper: without(m.at, m.member),
			rule: ruleMalformed, document: m.document, field: m.member, got: "no such " + m.kind, hint: m.clause})
	}
	for _, m := range []struct{ member, kind string }{
		{member: "username", kind: "string"},
		{member: "state", kind: "string"},
		{member: "accounts", kind: "object"},
		{member: "primaryAccounts", kind: "object"},
		{member: "capabilities", kind: "object"},
	} {
		all = append(all, fixture{name: "a session without " + m.member, base: rootBase, config: jmapOnly, tamper: replaced("/jmap/session", `"`+m.member+`":`, `"x-`+m.member+`":`), check: Config{Bearer: verifyToken},
			rule: ruleMalformed, document: discovery.JMAPDocument, field: m.member, got: "no such " + m.kind, hint: "RFC 8620 section 2"})
	}
	requireFound(t, all)
}

func TestFindsStringsWhereListsBelong(t *testing.T) {
	var all []fixture
	for _, m := range []struct{ at, old, member, new, clause string }{
		{at: oauthAtRoot, old: `"response_types_supported":["code"]`, member: "response_types_supported", new: `"code"`, clause: "RFC 8414"},
		{at: oauthAtRoot, old: `"code_challenge_methods_supported":["S256"]`, member: "code_challenge_methods_supported", new: `"S256"`, clause: "RFC 8414"},
		{at: "/.well-known/oauth-protected-resource", old: `"bearer_methods_supported":["header"]`, member: "bearer_methods_supported", new: `"header"`, clause: "RFC 9728"},
	} {
		document := discovery.OAuthDocument
		if m.at != oauthAtRoot {
			document = discovery.BaseResource
		}
		all = append(all, fixture{name: m.member, base: rootBase, config: oauthOnly, tamper: replaced(m.at, m.old, `"`+m.member+`":`+m.new),
			rule: ruleMalformed, document: document, field: m.member, got: m.new, hint: m.clause})
	}
	requireFound(t, all)
}

func TestAcceptsMembersThatMayBeAbsent(t *testing.T) {
	clientCredentials := replaced(oauthAtRoot, `"grant_types_supported":["authorization_code","refresh_token"`, `"grant_types_supported":["client_credentials"`)
	implicit := changed(oauthAtRoot, func(_ http.Header, body string) string {
		start := strings.Index(body, `"grant_types_supported":[`)
		end := start + strings.IndexByte(body[start:], ']') + 1
		return body[:start] + `"grant_types_supported":["implicit"]` + body[end:]
	})
	requireClean(t, []neighbour{
		{name: "no authorization endpoint without a grant that uses it", base: rootBase, config: oauthOnly, tamper: both(without(oauthAtRoot, "authorization_endpoint"), clientCredentials)},
		{name: "no token endpoint with the implicit grant alone", base: rootBase, config: oauthOnly, tamper: both(without(oauthAtRoot, "token_endpoint"), implicit)},
		{name: "OAuth without keys", base: rootBase, config: oauthOnly, tamper: without(oauthAtRoot, "jwks_uri")},
		{name: "members that are not lists", base: rootBase, config: oauthOnly, tamper: replaced(oauthAtRoot, `{"issuer"`, `{"claims_parameter_supported":true,"vp_formats_supported":{},"request_parameter_supported":null,"issuer"`)},
	})
}

func TestChecksHostsOfMTASTSPolicy(t *testing.T) {
	domain := Config{MailDomains: []string{"example.com"}}
	policy := func(mode string, mx ...string) tamper {
		text := "version: STSv1\r\nmode: " + mode + "\r\n"
		for _, name := range mx {
			text += "mx: " + name + "\r\n"
		}
		return at(mtaSTSPath, body("text/plain", text+"max_age: 86400\r\n"))
	}
	var found []fixture
	for _, p := range []struct {
		mode string
		mx   []string
		got  string
		hint string
	}{
		{mode: "enforce", got: "no mx", hint: "deliver no mail"},
		{mode: "testing", got: "no mx", hint: "deliver no mail"},
		{mode: "enforce", mx: []string{""}, hint: "deliver no mail"},
		{mode: "enforce", mx: []string{"*"}, got: "*", hint: "deliver no mail"},
		{mode: "enforce", mx: []string{"192.0.2.1"}, got: "192.0.2.1", hint: "deliver no mail"},
		{mode: "enforce", mx: []string{"mx.*.example.com"}, got: "mx.*.example.com", hint: "deliver no mail"},
		{mode: "enforce", mx: []string{"mx.münchen.example"}, hint: "A-labels"},
		{mode: "enforce", mx: []string{"mx.example.com."}, got: "mx.example.com.", hint: "deliver no mail"},
		{mode: "testing", mx: []string{"a.example.com, b.example.com"}, got: "a.example.com, b.example.com", hint: "a line each"},
		{mode: "enforce", mx: []string{"a.example.com", "https://b.example.com"}, got: "https://b.example.com", hint: "matches no host"},
	} {
		found = append(found, fixture{name: p.mode + " " + strings.Join(p.mx, "+"), base: rootBase, tamper: policy(p.mode, p.mx...), check: domain,
			rule: ruleMalformed, document: discovery.MTASTSDocument, field: "mx", got: p.got, hint: p.hint})
	}
	requireFound(t, found)
	requireClean(t, []neighbour{
		{name: "none without mx", base: rootBase, tamper: policy("none"), check: domain},
		{name: "a wildcard", base: rootBase, tamper: policy("enforce", "*.example.com"), check: domain},
		{name: "several, in capitals", base: rootBase, tamper: policy("enforce", "MX1.Example.COM", "xn--mx-1ka.example.com", "mx"), check: domain},
	})
}

func TestIsMXPattern(t *testing.T) {
	for name, want := range map[string]bool{
		"mx.example.com": true, "*.example.com": true, "a": true, "1.2.3": true,
		"": false, "*.": false, "*.*.example.com": false, "-a.example": false, "a-.example": false, "a..b": false, ".a": false,
		"a_b.example": false, "::1": false, "[192.0.2.1]": false, "a@b": false, "a[b": false, strings.Repeat("a", 64): false, strings.Repeat("a.", 127): false,
	} {
		require.Equal(t, want, isMXPattern(name), "%q", name)
	}
}
