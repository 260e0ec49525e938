package discovery

import (
	"github.com/seed-94e48765/portico/publicurl"
)

// None leaves out an endpoint whose path has a default. Leave a path without a default empty
// instead.
const None = "-"

// Config describes what to publish. Documents of a nil section are not served, and the
// zero value of a field is its default.
//
// Endpoints are paths below the base, such as "/auth/token", as [publicurl.Base.Join]
// takes them. A path that a grant or a standard requires has a default. Every other
// endpoint, and every optional claim about the server, is left out unless it is set.
type Config struct {
	// Base is the public base URL, absolute or relative. It is required.
	Base publicurl.Base

	// AuthorizationServers are the issuers, as they spell themselves, of other
	// authorization servers whose tokens this server accepts: an identity provider such
	// as Keycloak or Authentik in front of a mail server. Protected resources and
	// challenges refer to all of them, WebUI and the documents of mail clients to the
	// first. OAuth must be nil then. An issuer is an https URL without query and fragment
	// (RFC 8414 section 2), not the URL of a discovery document.
	AuthorizationServers []string

	OAuth  *OAuth  // the server's own authorization server
	OpenID *OpenID // the OpenID Connect part of it; needs OAuth
	JMAP   *JMAP   // the JMAP session
	DAV    *DAV    // calendars, address books and files
	WebUI  *WebUI  // the sign-in for the server's own web application

	// Resources are protected resources (RFC 9728) beyond the base itself and the JMAP
	// session, which are protected resources by default.
	Resources []Resource

	Mail   *Mail   // mail services: autoconfiguration and DNS
	MTASTS *MTASTS // the SMTP TLS policy of the mail domains; needs Mail

	// Pages are paths below the base at which people use the server in a browser, such
	// as "/admin". They are in no document: Build refuses a base whose path ends in one
	// of them, as it does for endpoints, because it is the URL of that page.
	Pages []string
}
