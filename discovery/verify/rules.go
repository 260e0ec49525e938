package verify

// The values of [Finding.Rule], which the package overview explains.
const (
	ruleOutside        = "url-outside-base"
	ruleHTTP           = "http-for-https"
	ruleWS             = "ws-for-wss"
	ruleDefaultPort    = "default-port-spelt"
	ruleIssuer         = "issuer-not-identical"
	ruleRelative       = "stale-relative-document"
	ruleTemplate       = "broken-template"
	ruleMissing        = "document-missing"
	ruleNothing        = "no-documents"
	ruleHTML           = "html-for-document"
	ruleContentType    = "content-type"
	ruleMalformed      = "malformed"
	ruleStatus         = "status"
	ruleRedirect       = "redirect"
	ruleRedirectPrefix = "redirect-loses-prefix"
	ruleRedirectPort   = "redirect-loses-port"
	ruleRedirectOrigin = "redirect-off-origin"
	ruleCORS           = "cors-missing"
	ruleTooLarge       = "too-large"
	ruleTimeout        = "timeout"
	ruleUnreachable    = "unreachable"
	ruleEndpoint       = "endpoint-missing"
	ruleResource       = "resource-not-identical"
	ruleChallenge      = "challenge"
	ruleSessionCache   = "session-cacheable"
	ruleToken          = "token-refused"
	ruleMethod         = "method-blocked"
	ruleCertificate    = "certificate"
	ruleNodes          = "nodes-disagree"
	ruleCoding         = "content-coding"
)

// A Mistake is the likely misconfiguration of a reverse proxy, or of the server behind it. One
// mistake may cause several findings. The values are stable.
type Mistake string

// The mistakes.
const (
	// The proxy does not pass on a well-known location to the server. The locations of a
	// base with a path are outside of the path (RFC 8414 section 3.1).
	MistakeWellKnown Mistake = "well-known-not-routed"

	// The proxy passes on nothing below the path of the base.
	MistakePrefix Mistake = "prefix-not-routed"

	// The public URL of the server is not the base: it is another URL, or is not set yet, or
	// the server makes it from the request that the proxy sends.
	MistakePublicURL Mistake = "public-url-differs"

	// The base that was checked is not the URL at which the server is published,
	// which has another path of the same origin.
	MistakeBase Mistake = "wrong-base"

	// The proxy or the server makes a redirect to a URL that only the proxy can use: without
	// the path that the proxy strips, or with the port of the server.
	MistakeRedirect Mistake = "redirect-rewritten"

	// A cache keeps documents and does not revalidate them.
	MistakeCache Mistake = "stale-cache"

	// Something rewrites or escapes the body of a document on its way.
	MistakeBody Mistake = "body-rewritten"

	// The proxy removes the CORS header fields, adds its own to them, or answers
	// OPTIONS itself.
	MistakeCORS Mistake = "cors-headers"

	// The proxy does not reach the server, or not in time.
	MistakeBackend Mistake = "backend-not-reached"

	// The proxy denies public documents, or requires a password.
	MistakeAccess Mistake = "access-denied"

	// The proxy removes Authorization or WWW-Authenticate.
	MistakeAuthorization Mistake = "authorization-removed"

	// The proxy lets only some methods pass.
	MistakeMethod Mistake = "method-blocked"

	// The server redirects http to https, and has only seen the proxy's connection.
	MistakeHTTPSForced Mistake = "https-forced"

	// The proxy sends a PROXY header to a port that does not expect one, or does not send one
	// to a port that requires it.
	MistakeProxyHeader Mistake = "proxy-header"

	// The certificate lacks a name or the intermediate certificates, or has expired.
	MistakeCertificate Mistake = "certificate"

	// Nodes behind the same proxy have different configurations or keys.
	MistakeNodes Mistake = "nodes-differ"
)

// A Severity describes the effect of a finding on clients.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"   // clients that follow the standards fail
	SeverityWarning Severity = "warning" // some clients fail, or will
)
