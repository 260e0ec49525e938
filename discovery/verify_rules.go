package discovery

// The rules that [Verify] names in [Finding.Rule]. They are stable: programs may
// compare them.
const (
	RuleOutside        = "url-outside-base"        // a published URL is not below the base
	RuleHTTP           = "http-for-https"          // a published URL, or a redirect, has http where the base has https
	RuleWS             = "ws-for-wss"              // the web socket's URL is not wss, or is outside the base
	RuleDefaultPort    = "default-port-spelt"      // ":443" in a URL, which browsers leave out
	RuleIssuer         = "issuer-not-identical"    // RFC 8414 section 3.3
	RuleRelative       = "stale-relative-document" // "/login" where the server has a public URL
	RuleTemplate       = "broken-template"         // RFC 8620 section 2: a variable is missing or escaped
	RuleMissing        = "document-missing"        // 404 where something says that there is a document
	RuleNothing        = "no-documents"            // no document at all
	RuleHTML           = "html-for-document"       // a web page where a document should be
	RuleContentType    = "content-type"            // the document is not labelled as what it is
	RuleMalformed      = "malformed"               // the document cannot be decoded, or lacks a member that it must have
	RuleStatus         = "status"                  // an HTTP status that no client can use
	RuleRedirect       = "redirect"                // a redirect where there must be none, or in a circle
	RuleRedirectPrefix = "redirect-loses-prefix"   // a redirect out of the base
	RuleRedirectPort   = "redirect-loses-port"     // a redirect to the same host at another port
	RuleRedirectOrigin = "redirect-off-origin"     // a redirect to another host
	RuleCORS           = "cors-missing"            // web applications cannot read the answer
	RuleTooLarge       = "too-large"               // more bytes than WithMaxBytes
	RuleTimeout        = "timeout"                 // no whole answer in time
	RuleUnreachable    = "unreachable"             // the connection failed, where others did not
	RuleEndpoint       = "endpoint-missing"        // a published URL at which nothing answers as it must
	RuleResource       = "resource-not-identical"  // RFC 9728 section 3.3
	RuleChallenge      = "challenge"               // RFC 9728 section 5.1: WWW-Authenticate is missing or wrong
	RuleSessionCache   = "session-cacheable"       // RFC 8620 section 2: the session lacks no-store
	RuleToken          = "token-refused"           // the token of WithBearer counts for nothing
	RuleMethod         = "method-blocked"          // GET is answered, PROPFIND is not
)

// A Mistake is what a reverse proxy, or the server behind it, most likely does
// wrong. One mistake may cause several findings. The values are stable.
type Mistake string

// The mistakes.
const (
	// The proxy does not pass on a well-known location to the server: those of a
	// base with a path lie outside of it (RFC 8414 section 3.1).
	MistakeWellKnown Mistake = "well-known-not-routed"

	// The proxy passes on nothing below the path of the base.
	MistakePrefix Mistake = "prefix-not-routed"

	// The server does not have the base as its public URL, but another one, none
	// yet, or what it makes up from the request that the proxy sends.
	MistakePublicURL Mistake = "public-url-differs"

	// The proxy or the server makes a redirect from the proxy's own side: without
	// the path that the proxy strips, or with the port of the server.
	MistakeRedirect Mistake = "redirect-rewritten"

	// A cache keeps documents without asking whether they have changed.
	MistakeCache Mistake = "stale-cache"

	// Something rewrites or escapes the body of a document on its way.
	MistakeBody Mistake = "body-rewritten"

	// The proxy removes the CORS header fields, adds its own to them, or answers
	// OPTIONS itself.
	MistakeCORS Mistake = "cors-headers"

	// The proxy does not reach the server, or not in time.
	MistakeBackend Mistake = "backend-not-reached"

	// The proxy denies documents that are for everybody, or wants a password.
	MistakeAccess Mistake = "access-denied"

	// The proxy removes Authorization or WWW-Authenticate.
	MistakeAuthorization Mistake = "authorization-removed"

	// The proxy lets only some methods pass.
	MistakeMethod Mistake = "method-blocked"
)

// A Severity says what a finding means for clients.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"   // clients that follow the standards fail
	SeverityWarning Severity = "warning" // some clients fail, or will
)
