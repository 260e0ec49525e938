package discovery

import (
	"net/url"
	"strings"
)

// WebUI configures how the server's own web application finds the sign-in. At Path, and
// one segment below it for every account, such as /api/discover/jane@example.com, it
// gets the OpenID document, or that of OAuth if there is no OpenID (RFC 8414 section
// 2, OpenID Connect Discovery 1.0 section 3). With Config.AuthorizationServers it gets an
// object with one member, the issuer of the first of them, and finds the rest there.
//
// All accounts have the same authorization server, so that the answer does not reveal
// whether an account exists. Nothing of the request is in it. It has the base's URLs
// for a web application that was reached by plain HTTP too.
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
		fail("the document is about an authorization server: set Config.OAuth or Config.AuthorizationServers too")
		return
	}
	if b.endpoint(WebUIDocument, "path", path, "") == "" {
		return // reported
	}
	if path == "/" {
		fail("every path of one segment would be an account: choose a longer one")
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
