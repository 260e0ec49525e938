package discovery

import (
	"net/url"
	"strings"
)

// WebUI configures the document by which the server's own web application finds the sign-in.
// Path, and one segment below it for every account, such as /api/discover/jane@example.com,
// answers with the OpenID document, or with that of OAuth if there is no OpenID (RFC 8414
// section 2, OpenID Connect Discovery 1.0 section 3). With Config.AuthorizationServers the
// answer is an object with one member, the first issuer, whose metadata has the rest.
//
// All accounts have the same authorization server, so the answer does not reveal whether an
// account exists. It does not depend on the request: the URLs are below the base even if the
// web application was reached by plain HTTP.
type WebUI struct {
	Path string // default "/api/discover"
}

// A foreignIssuer is the document for an authorization server whose metadata is its own.
type foreignIssuer struct {
	Issuer string `json:"issuer"`
}

const webUIPath = "/api/discover"

func (b *builder) webUI() {
	w := b.config.WebUI
	if w == nil || w.Path == None {
		return
	}
	path := orDefault(w.Path, webUIPath)
	fail := func(rule string) {
		b.fail(&Error{Document: WebUIDocument, Field: "path", Input: path, Rule: rule})
	}
	issuers := b.tokenIssuers()
	if len(issuers) == 0 {
		fail("the document describes an authorization server: set Config.OAuth or Config.AuthorizationServers too")
		return
	}
	if b.endpoint(WebUIDocument, "path", path, "") == "" {
		return // reported
	}
	if path == "/" {
		fail("every path of one segment would be an account: choose a longer path")
		return
	}
	switch {
	case b.config.OAuth == nil:
		b.add(WebUIDocument, foreignIssuer{issuers[0]}, nil, b.below(path)...)
	default:
		d := b.set.documents[OAuthDocument]
		if b.config.OpenID != nil {
			d = b.set.documents[OpenIDDocument]
		}
		if d == nil {
			return // its errors are reported
		}
		b.addBytes(WebUIDocument, d.body, contentTypeJSON, b.below(path)...)
	}
	b.set.webUI = route{document: WebUIDocument, static: b.set.documents[WebUIDocument]}
	for _, p := range b.below(strings.TrimSuffix(path, "/") + "/") {
		decoded, err := url.PathUnescape(p)
		if err != nil {
			continue // Join has accepted it
		}
		b.set.accounts = append(b.set.accounts, decoded)
		if decoded != p {
			b.set.accounts = append(b.set.accounts, p) // find compares the raw path of an account with "%2F"
		}
	}
}
