package verify

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/seed-94e48765/portico/discovery"
)

const (
	metadataClause = "RFC 8414 section 2"
	openIDClause   = "OpenID Connect Discovery 1.0 section 3"
)

// requiredMembers reports required members that a document of the authorization server lacks.
// The document of a server without a public URL may be incomplete; the missing URL is reported
// instead.
func (v *verifier) requiredMembers(d discovery.Document, at string, o object) {
	if issuer, ok := o.text("issuer"); ok && isRelativeReference(issuer) {
		return
	}
	// Without the member clients assume both (RFC 8414 section 2).
	grants := []string{"authorization_code", "implicit"}
	if l := o.list("grant_types_supported"); l != nil {
		grants = l
	}
	isGrant := func(names ...string) func(string) bool {
		return func(grant string) bool { return slices.Contains(names, grant) }
	}
	clause := metadataClause
	lists := []string{"response_types_supported"}
	var endpoints []string
	switch d {
	case discovery.OAuthDocument:
		if slices.ContainsFunc(grants, isGrant("authorization_code", "implicit")) {
			endpoints = append(endpoints, "authorization_endpoint")
		}
	case discovery.OpenIDDocument:
		clause = openIDClause
		endpoints = append(endpoints, "authorization_endpoint", "jwks_uri")
		lists = append(lists, "subject_types_supported", "id_token_signing_alg_values_supported")
	default: // the document of the web application has no standard
		return
	}
	if slices.ContainsFunc(grants, func(grant string) bool { return grant != "implicit" }) {
		endpoints = append(endpoints, "token_endpoint")
	}
	for _, name := range endpoints {
		if o[name] == nil { // a member that is not a string is reported as an endpoint
			v.lacks(d, at, name, clause)
		}
	}
	for _, name := range lists {
		if o.list(name) == nil && !isString(o[name]) {
			v.lacksKind(d, at, name, "list", clause)
		}
	}
}

// listMembers reports strings in place of lists. Every registered member whose name
// ends in "_supported" is a list, an object or a boolean
// (https://www.iana.org/assignments/oauth-parameters, "OAuth Authorization Server
// Metadata" and "OAuth Protected Resource Metadata").
func (v *verifier) listMembers(d discovery.Document, at string, o object, clause string) {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(o)), func(name string) bool {
		return !strings.HasSuffix(name, "_supported") || len(name) >= 64 || !isString(o[name])
	})
	for _, name := range names[:min(len(names), maxMembers)] {
		v.add(Finding{Document: d, URL: at, Field: name, Rule: ruleMalformed, Severity: SeverityError, Got: v.snippet(o[name]), Want: "a list of strings",
			Hint: "the member is a string, and clients that decode a list refuse the whole document: write a list, also of one value (" + clause + ")"})
	}
}

func isString(raw json.RawMessage) bool { return bytes.HasPrefix(bytes.TrimSpace(raw), []byte(`"`)) }

// lacks reports an absent string that is required.
func (v *verifier) lacks(d discovery.Document, at, field, clause string) {
	v.lacksKind(d, at, field, "string", clause)
}

func (v *verifier) lacksKind(d discovery.Document, at, field, kind, clause string) {
	v.add(Finding{Document: d, URL: at, Field: field, Rule: ruleMalformed, Severity: SeverityError, Got: "no such " + kind, Want: "the member", Hint: clause + " requires the member, a " + kind})
}
