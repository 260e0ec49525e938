package discovery

import (
	"maps"
	"slices"
	"strings"
)

// This file has what the metadata documents of OAuth 2.0, OpenID Connect and
// protected resources have in common.

const (
	scopeRule   = `use printable ASCII without blanks, '"' and "\"`
	scopeClause = "RFC 6749 section 3.3"
)

// checkList checks the values of a member that is a list, and that none is there
// twice.
func (b *builder) checkList(d Document, field string, list []string, ok func(string) bool, rule, clause string) {
	for i, v := range list {
		switch {
		case v == "":
			b.fail(&Error{Document: d, Field: field, Rule: "a value is empty: remove it", Clause: clause})
		case !ok(v):
			b.fail(&Error{Document: d, Field: field, Input: v, Rule: rule, Clause: clause})
		case slices.Contains(list[:i], v):
			b.fail(&Error{Document: d, Field: field, Input: v, Rule: "it is there twice: remove one", Clause: clause})
		}
	}
}

// checkExtra checks that no member of Extra is null or an empty list, which the
// clause forbids, and that a list of signature algorithms, where RFC 9728 section 2 or
// RFC 9449 section 4.2 does, has no "none".
func (b *builder) checkExtra(d Document, extra map[string]any, clause string) {
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		value, err := marshal(extra[name])
		if err != nil {
			continue // encodeJSON reports it
		}
		if string(value) == "[]" || string(value) == "null" {
			b.fail(&Error{Document: d, Field: name, Rule: "a member without values must be left out: remove it from Extra", Clause: clause})
		}
		rule, unsigned := unsignedClauses[name]
		if unsigned && strings.Contains(string(value), `"none"`) {
			b.fail(&Error{Document: d, Field: name, Input: "none", Rule: "what is unsigned proves nothing: remove it", Clause: rule})
		}
	}
}

var unsignedClauses = map[string]string{
	"resource_signing_alg_values_supported": resourceClause,
	"dpop_signing_alg_values_supported":     "RFC 9449 section 4.2",
}

// isScope reports whether s is a scope-token (RFC 6749 section 3.3).
func isScope(s string) bool { return isASCII(s) && !strings.ContainsAny(s, `"\`) }

// isResponseType reports whether s is a response-type (RFC 6749 appendix A.3).
func isResponseType(s string) bool {
	for name := range strings.SplitSeq(s, " ") {
		if name == "" {
			return false
		}
		for i := range len(name) {
			switch c := name[i]; {
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_':
			default:
				return false
			}
		}
	}
	return true
}
