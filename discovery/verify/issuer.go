package verify

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/seed-94e48765/portico/discovery"
)

// findOwnIssuer determines how the server spells its issuer: as the base, or with a slash at
// the end. Both lead to the same metadata (RFC 8414 section 3.1). A server whose clients have
// always used the slash must keep it.
func (v *verifier) findOwnIssuer(ctx context.Context) {
	for _, l := range []struct {
		document discovery.Document
		url      string
	}{{discovery.OAuthDocument, v.wellKnown(oauthName)}, {discovery.OpenIDDocument, v.wellKnown(openIDName)}} {
		a := v.ask(ctx, l.document, get(l.url))
		var o object
		if a.err != nil || a.status != http.StatusOK || json.Unmarshal(a.body, &o) != nil {
			continue
		}
		if issuer, _ := o.text("issuer"); issuer == v.base.String() || issuer == v.base.String()+"/" {
			v.ownIssuer = issuer
			return
		}
	}
}

// issuer checks an issuer of this server, which must be the base, character for character
// (RFC 8414 section 3.3, OpenID Connect Discovery 1.0 section 4.3). It may be the base and
// one slash where all documents have the slash.
func (v *verifier) issuer(ctx context.Context, d discovery.Document, at, field, got string) {
	f := Finding{Document: d, URL: at, Field: field, Rule: ruleIssuer, Got: got, Want: v.ownIssuer, Severity: SeverityError, Mistake: MistakePublicURL}
	const must = "; clients compare it character by character"
	switch base := v.base.String(); {
	case got == v.ownIssuer:
		return
	case isRelativeReference(got):
		v.relative(ctx, d, at, field, got)
		return
	case v.isHTTPForHTTPS(got):
		f.Rule = ruleHTTP
		f.Hint = "the server takes the connection from the proxy for the client's: set its public URL, or let the proxy send it the scheme" + must
	case spellsDefaultPort(got) && v.base.SameOrigin(got):
		f.Rule = ruleDefaultPort
		f.Hint = "browsers leave the default port out: leave it out of the server's public URL too" + must
	case got == base: // which the others have with a slash
		f.Hint = "the server's own metadata has a slash at the end of the issuer: write it everywhere, or nowhere" + must
	case strings.TrimRight(got, "/") == base:
		f.Hint = "a slash at the end makes it another issuer" + must
	case strings.HasPrefix(got, base+"/"):
		f.Mistake = MistakeBase
		f.Hint = "the server is published with a path: check that URL, or set its public URL to " + base + must
	case strings.EqualFold(strings.TrimRight(got, "/"), base):
		f.Hint = "capitals make it another issuer: write the host in lower case, and the path as it is mounted" + must
	default:
		f.Hint = v.differs(got) + must
	}
	v.add(f)
}

// authorizationServers checks the issuers that a resource names. Each must be the issuer in
// its own metadata (RFC 8414 section 3.3).
func (v *verifier) authorizationServers(ctx context.Context, d discovery.Document, at string, issuers []string) {
	for _, issuer := range issuers[:min(len(issuers), maxMembers)] {
		switch {
		case issuer == v.ownIssuer:
			v.ownMetadata(d, at)
		case !v.isForeign(issuer):
			v.issuer(ctx, d, at, "authorization_servers", issuer)
		case v.base.SameOrigin(issuer):
			v.issuerAtOrigin(ctx, d, at, issuer)
		default:
			v.foreignIssuer(ctx, d, at, issuer)
		}
	}
}

// ownMetadata reports a resource that names the server itself, if the server has no metadata.
func (v *verifier) ownMetadata(d discovery.Document, at string) {
	isMetadata := func(d discovery.Document) bool { return d == discovery.OAuthDocument || d == discovery.OpenIDDocument }
	if v.found[discovery.OAuthDocument] || v.found[discovery.OpenIDDocument] || slices.ContainsFunc(v.report.Findings, func(f Finding) bool { return isMetadata(f.Document) }) {
		return
	}
	v.missing(discovery.OAuthDocument, v.wellKnown(oauthName), "the "+string(d)+" document at "+at+" names the server as its own authorization server", MistakeWellKnown, SeverityError)
}

// issuerAtOrigin checks an issuer at the origin of the base, which may be another program.
func (v *verifier) issuerAtOrigin(ctx context.Context, d discovery.Document, at, issuer string) {
	u, err := url.Parse(issuer)
	if err != nil || len(v.foreign) == maxForeign || v.foreign[issuer] {
		return
	}
	v.foreign[issuer] = true
	f := Finding{Document: d, URL: at, Field: "authorization_servers", Severity: SeverityError, Got: issuer, Want: "an issuer that its own metadata names"}
	for _, location := range metadataLocations(u) {
		a := v.ask(ctx, d, get(location))
		var o object
		if a.err != nil || a.status != http.StatusOK || json.Unmarshal(a.body, &o) != nil {
			continue
		}
		named, ok := o.text("issuer")
		if !ok {
			continue
		}
		if named != issuer {
			f.Rule, f.Want = ruleIssuer, named
			f.Hint = "the metadata at " + location + " has another issuer, and clients compare it character by character: name the issuer as its own metadata does (RFC 8414 section 3.3)"
			v.add(f)
		}
		return
	}
	f.Rule = ruleMissing
	f.Hint = "clients find no metadata of this issuer: set the server's public URL, or name the issuer as its own metadata does (RFC 8414 section 3)"
	v.add(f)
}
