// Package publicurl holds the public base URL of a server behind a reverse
// proxy as a value, and composes every URL that the server publishes from it.
//
// A base is https://mail.example.com, https://mail.example.com:8443 or, mounted
// on a path, https://example.com/mail. It comes from configuration ([Parse],
// [FromHostname], [FromEnv]), never from a request. Before a host name exists
// [Relative] returns a base for path-absolute references such as /login.
//
// # What a base is
//
// [Parse] accepts only URLs that browsers and OAuth, OpenID and JMAP clients all
// interpret in the same way, and stores one canonical spelling, because clients compare
// issuers as strings (RFC 8414 section 3.3). The default port is left out, as browsers
// do. Scheme and host are in lower case, an internationalised name is in A-labels, IPv6
// is spelt by RFC 5952, percent escapes in the path use capitals, and the path has no
// slash at its end. Parse(b.String()) returns b again, and equal bases are equal with ==.
//
// Text that two parsers could read differently is refused, with an [*Error] whose hint
// has the correction: user information, query, fragment
// (also empty ones), blanks, control characters, backslashes, dot segments,
// double slashes, encoded slashes, numbers that look like an IPv4 address, and
// discovery URLs pasted whole. http is for loopback hosts only, unless the
// caller passes [AllowInsecureHTTP].
//
// # How URLs are composed
//
// [Base.Join] appends. It does not resolve a reference (RFC 3986 section 5), because
// "/login" on https://example.com/mail would lose "/mail". A path begins
// with "/" and is already escaped: put data into it with [net/url.PathEscape].
// No path that Join accepts leaves the base, so b.Contains(u) is true for every u that
// b.Join returns. Well-known locations follow their own rules and may be outside of a
// path-mounted base: see [Base.WellKnown].
package publicurl
