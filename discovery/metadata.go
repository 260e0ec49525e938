package discovery

import (
	"slices"
	"strings"
)

// This file has the common rules of the metadata documents of OAuth 2.0, OpenID Connect and
// protected resources.

const (
	scopeRule   = `use printable ASCII without blanks, '"' and "\"`
	scopeClause = "RFC 6749 section 3.3"
)

// checkList checks the values of a member that is a list, and reports duplicates.
func (b *builder) checkList(d Document, field string, list []string, ok func(string) bool, rule, clause string) {
	for i, v := range list {
		switch {
		case v == "":
			b.fail(&Error{Document: d, Field: field, Rule: "a value is empty: remove it", Clause: clause})
		case !ok(v):
			b.fail(&Error{Document: d, Field: field, Input: v, Rule: rule, Clause: clause})
		case slices.Contains(list[:i], v):
			b.fail(&Error{Document: d, Field: field, Input: v, Rule: "duplicate value: remove one", Clause: clause})
		}
	}
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
