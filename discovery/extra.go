package discovery

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// checkExtra checks the members of Extra. A member must not be null or an empty list (the
// clause). A list of signature algorithms must not have "none" (RFC 9728 section 2, RFC 9449
// section 4.2). A member that is a URL must obey the rules of members that have a field. urls
// is the clause of the members.
func (b *builder) checkExtra(d Document, extra map[string]any, clause, urls string) {
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		value, err := marshal(extra[name])
		if err != nil {
			continue // encodeJSON reports it
		}
		if string(value) == "[]" || string(value) == "null" {
			b.fail(&Error{Document: d, Field: name, Rule: "a member without values must be left out: remove it from Extra", Clause: clause})
			continue
		}
		rule, unsigned := unsignedClauses[name]
		if unsigned && strings.Contains(string(value), `"none"`) {
			b.fail(&Error{Document: d, Field: name, Input: "none", Rule: "an unsigned token must not be accepted: remove it", Clause: rule})
		}
		if !b.isDuplicate(d, name) {
			b.checkExtraURL(d, name, value, urls)
		}
	}
}

// isDuplicate reports whether a member also has a field, or is in the Extra of OAuth and of
// OpenID. Encoding the document reports such a member.
func (b *builder) isDuplicate(d Document, name string) bool {
	oauth, openID := b.config.OAuth, b.config.OpenID
	switch {
	case d != OAuthDocument && d != OpenIDDocument:
		return memberLike(reflect.TypeFor[resourceMetadata](), name) != ""
	case openID == nil || oauth == nil:
		return memberLike(reflect.TypeFor[oauthMetadata](), name) != ""
	}
	return memberLike(reflect.TypeFor[openIDMetadata](), name) != "" || hasFold(oauth.Extra, name) && hasFold(openID.Extra, name)
}

func hasFold(extra map[string]any, name string) bool {
	for other := range extra {
		if strings.EqualFold(other, name) {
			return true
		}
	}
	return false
}

var unsignedClauses = map[string]string{
	"resource_signing_alg_values_supported": resourceClause,
	"dpop_signing_alg_values_supported":     "RFC 9449 section 4.2",
}

// checkExtraURL checks a member that is a URL according to its name. An endpoint of the server
// must be below the base. Pages for people may be elsewhere, and so may the endpoints for
// clients with certificates (RFC 8705 section 5).
func (b *builder) checkExtraURL(d Document, name string, value []byte, clause string) {
	switch member := strings.ToLower(name); {
	case member == "mtls_endpoint_aliases":
		var aliases map[string]json.RawMessage
		if json.Unmarshal(value, &aliases) != nil {
			b.fail(&Error{Document: d, Field: name, Input: shown(value), Rule: "it is an object of endpoints", Clause: "RFC 8705 section 5"})
		}
		for _, alias := range slices.Sorted(maps.Keys(aliases)) {
			b.checkLink(d, name+"."+alias, aliases[alias], "RFC 8705 section 5")
		}
	case strings.HasSuffix(member, "_endpoint"), member == "check_session_iframe":
		u, ok := text(value)
		if !ok || !b.base.Contains(u) || strings.Contains(u, "#") {
			b.fail(&Error{Document: d, Field: name, Input: shown(value), Rule: "an endpoint of the server is a URL below the base, without a fragment: make it with Base.Join", Clause: clause})
		}
	case member == "protected_resources":
		var resources []json.RawMessage
		if json.Unmarshal(value, &resources) != nil {
			b.fail(&Error{Document: d, Field: name, Input: shown(value), Rule: "it is a list of resource identifiers", Clause: "RFC 9728 section 4"})
		}
		for i, resource := range resources {
			b.checkLink(d, fmt.Sprintf("%s[%d]", name, i), resource, "RFC 9728 section 4")
		}
	case strings.HasSuffix(member, "_uri"), strings.HasSuffix(member, "_url"), member == "service_documentation", member == "resource_documentation":
		b.checkLink(d, name, value, clause)
	}
}

// checkLink checks a URL that may be at another host.
func (b *builder) checkLink(d Document, field string, value []byte, clause string) {
	if u, ok := text(value); !ok || !isHTTPS(u) && !b.base.Contains(u) {
		b.fail(&Error{Document: d, Field: field, Input: shown(value), Rule: "use an https URL, or one below the base", Clause: clause})
	}
}

// text returns a JSON value that is a string.
func text(value []byte) (s string, ok bool) {
	var p *string
	if json.Unmarshal(value, &p) != nil || p == nil {
		return "", false
	}
	return *p, true
}

// shown returns a JSON value as an error quotes it.
func shown(value []byte) string {
	if s, ok := text(value); ok {
		return s
	}
	return string(value[:min(len(value), 80)])
}
