// Package discovery builds the documents by which clients find a server, from
// one public base URL, and serves them.
//
// A client that has only https://mail.example.com requests well-known locations and
// follows the URLs that it finds there: OAuth authorization-server
// metadata (RFC 8414), OpenID configuration, protected-resource metadata
// (RFC 9728), the JMAP session (RFC 8620), the CalDAV and CardDAV redirects
// (RFC 6764), mail autoconfiguration, MTA-STS (RFC 8461) and DNS records. When
// one of them names a URL that the browser cannot reach, or an issuer that
// differs by a slash, sign-in fails. This is common behind a reverse proxy, because a
// server that composes URLs from the Host header and its own socket publishes URLs that
// only the proxy can reach.
//
// # Build, serve, switch
//
// [Build] validates a [Config] by the rules of the standards, encodes every document once
// and returns an immutable [Set]. A [Server] serves the current Set, and [Server.Swap]
// replaces it while requests run. The answer to one request comes from one Set: body and
// ETag, challenge and issuer. The documents never depend on how a request arrived: Host,
// Forwarded, X-Forwarded-* and the TLS state of the connection are not used. There are
// two exceptions. Host selects among the documents of several mail domains, and
// autodiscover repeats the address in the request.
//
// Only endpoints in the Config are published: optional endpoints and claims are absent
// unless they are set. A server need not be its own identity provider
// (Config.AuthorizationServers), have passwords (Mail.Authentication), or have the same
// hosts for all mail domains (Mail.PerDomain).
//
// With a relative base ([publicurl.Relative]), before the server has a host
// name, URLs are path-absolute ("/login"), answers have Cache-Control: no-store, and
// documents that make no sense without a host are not found.
//
// # Paths and proxies
//
// On a base with a path, https://example.com/mail, every document is found
// whether the proxy strips /mail or not. The well-known locations at the origin,
// such as /.well-known/oauth-authorization-server/mail, are outside of /mail,
// and the proxy must route them to the server too: [publicurl.Base.WellKnown].
// Package discovery/verify requests every document from outside, as clients do, and
// reports what a proxy on the way does wrong.
//
// # Where the documents are
//
// With the base https://example.com/mail and the mail domain a.example:
//
//	OAuth              https://example.com/.well-known/oauth-authorization-server/mail
//	OpenID             https://example.com/mail/.well-known/openid-configuration
//	Resource           https://example.com/.well-known/oauth-protected-resource/mail, and with each Resource.Path behind it
//	JMAP               https://example.com/.well-known/jmap leads to https://example.com/mail/jmap/session
//	DAV                https://example.com/.well-known/caldav and carddav lead to /mail/dav/cal/ and /mail/dav/card/
//	WebUI              https://example.com/mail/api/discover and /mail/api/discover/<account>
//	PACC               https://ua-auto-config.a.example/.well-known/user-agent-configuration.json
//	autoconfig         https://autoconfig.a.example/mail/config-v1.1.xml and /.well-known/autoconfig/mail/config-v1.1.xml
//	autodiscover       https://autodiscover.a.example/autodiscover/autodiscover.xml (POST) and autodiscover.json
//	MTA-STS            https://mta-sts.a.example/.well-known/mta-sts.txt
//
// The documents of OAuth, OpenID and the base's Resource are also found at the locations
// of [publicurl.Base.WellKnownAliases]. The mail documents except MTA-STS are also found
// at the host of the base.
package discovery
