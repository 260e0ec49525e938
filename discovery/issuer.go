package discovery

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed-94e48765/portico/publicurl"
)

// issuers checks the issuers of tokens: the server itself or other servers.
func (b *builder) issuers() {
	c := b.config
	if c.OAuth != nil && len(c.AuthorizationServers) > 0 {
		b.fail(&Error{Document: configDocument, Field: "AuthorizationServers", Input: strings.Join(c.AuthorizationServers, " "),
			Rule: "the server is an authorization server itself (Config.OAuth): remove one of the two, or list other servers for single resources in Resource.AuthorizationServers", Clause: resourceClause})
	}
	b.checkIssuers(configDocument, "AuthorizationServers", c.AuthorizationServers)
	if c.OAuth == nil || c.OAuth.Issuer == "" {
		return
	}
	if base := b.base.String(); c.OAuth.Issuer != base && c.OAuth.Issuer != base+"/" {
		b.fail(&Error{Document: OAuthDocument, Field: "issuer", Input: c.OAuth.Issuer, Rule: fmt.Sprintf("clients find the document at the base: use %q or %q", base, base+"/"), Clause: "RFC 8414 section 3.3"})
		return
	}
	b.set.issuer = c.OAuth.Issuer
}

// tokenIssuers returns the issuers whose tokens the server accepts, the preferred one
// first.
func (b *builder) tokenIssuers() []string {
	if b.config.OAuth != nil {
		return []string{b.set.Issuer()}
	}
	return b.config.AuthorizationServers
}

func (b *builder) checkIssuers(d Document, field string, issuers []string) {
	for i, issuer := range issuers {
		if slices.Contains(issuers[:i], issuer) {
			b.fail(&Error{Document: d, Field: field, Input: issuer, Rule: "duplicate issuer: remove one", Clause: metadataClause})
			continue
		}
		b.checkIssuer(d, field, issuer)
	}
}

// checkIssuer checks the issuer of another server and does not normalise it. http is for
// loopback hosts only, as it is for a base.
func (b *builder) checkIssuer(d Document, field, issuer string) {
	if correction := issuerOfDiscoveryURL(issuer); isIssuer(correction) {
		b.fail(&Error{Document: d, Field: field, Input: issuer, Clause: metadataClause,
			Rule: fmt.Sprintf("this is the URL of a document: use the issuer as the document spells it, %q or %q", correction, correction+"/")})
		return
	}
	if strings.Contains(issuer+"/", wellKnownPath) || !isIssuer(issuer) && issuer != b.set.Issuer() {
		b.fail(&Error{Document: d, Field: field, Input: issuer, Rule: "an issuer is an https URL without query and fragment", Clause: metadataClause})
	}
}

func isIssuer(s string) bool {
	if isHTTPS(s) {
		return !strings.ContainsAny(s, "?#")
	}
	_, err := publicurl.Parse(s)
	return err == nil && isASCII(s)
}

const wellKnownPath = "/.well-known/"

// issuerOfDiscoveryURL returns the issuer, without a slash at its end, that the URL of a
// discovery document was made from, or "" if it is not one. The path of the issuer is
// behind the well-known part (RFC 8414 section 3.1) or before it (OpenID Connect Discovery
// 1.0 section 4.1).
func issuerOfDiscoveryURL(s string) string {
	before, after, found := strings.Cut(s+"/", wellKnownPath)
	if !found {
		return ""
	}
	if i := strings.IndexAny(after, "?#"); i >= 0 {
		after = after[:i]
	}
	_, path, _ := strings.Cut(after, "/")
	return strings.TrimRight(before+"/"+path, "/")
}
