// Package verify checks a server's discovery documents from outside, as clients see them
// through the proxy in front of it.
//
// [Run] requests every document below a public base URL, and the endpoints that the
// documents publish. It returns a [Report] of what would make clients fail, with the
// likely cause of each [Finding] and the fix. It checks the documents that package discovery
// makes, also those of servers that do not use that package.
//
// # Rules
//
// Finding.Rule names the rule that is broken. The names are stable, so that programs may
// compare them:
//
//	url-outside-base         a published URL is not below the base
//	http-for-https           a published URL or a redirect has http, and the base has https
//	ws-for-wss               the web socket's URL is not wss, or is outside the base
//	default-port-spelt       ":443" in a URL, which browsers leave out
//	issuer-not-identical     RFC 8414 section 3.3
//	stale-relative-document  "/login", though the server has a public URL
//	broken-template          RFC 8620 section 2: a variable is missing or escaped
//	document-missing         404 for a document that another document or Config.Expected refers to
//	no-documents             no document at all
//	html-for-document        a web page in place of a document
//	content-type             the Content-Type is not that of the document
//	content-coding           Content-Encoding does not match the body
//	malformed                the document cannot be decoded, or lacks a member that it must have
//	status                   an HTTP status that no client can use
//	redirect                 a redirect at a URL that must not redirect, or in a circle
//	redirect-loses-prefix    a redirect out of the base
//	redirect-loses-port      a redirect to the same host at another port
//	redirect-off-origin      a redirect to another host
//	cors-missing             web applications cannot read the answer
//	too-large                more bytes than Config.MaxBytes
//	timeout                  no complete answer in time
//	unreachable              the connection failed, and others did not
//	endpoint-missing         a published URL where the endpoint does not answer, or something else does
//	resource-not-identical   RFC 9728 section 3.3
//	challenge                RFC 9728 section 5.1: WWW-Authenticate is missing or wrong
//	session-cacheable        RFC 8620 section 2: the session lacks no-store
//	token-refused            the token of Config.Bearer is refused
//	method-blocked           GET is answered, and PROPFIND or OPTIONS is not
//	nodes-disagree           a document or key set differs between connections or nodes
//	certificate              clients refuse the certificate of a host
package verify
