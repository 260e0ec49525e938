package discovery

import "github.com/seed-94e48765/portico/publicurl"

// None as a path leaves the endpoint out of every document.
const None = "-"

// A Config says what the server has. A nil section is not there, and its documents
// are not found. The zero value of a section's field is its default.
//
// Endpoints are paths below the base, such as "/auth/token", as
// [publicurl.Base.Join] takes them; "" is the default path, and [None] says that
// the server has no such endpoint.
type Config struct {
	// Base is the public base URL, absolute or relative. It is required.
	Base publicurl.Base

	OAuth  *OAuth  // the authorization server
	OpenID *OpenID // what OpenID Connect adds to it; needs OAuth
	JMAP   *JMAP   // the JMAP session
	DAV    *DAV    // calendars, address books and files
	WebUI  *WebUI  // how the server's own web application finds the sign-in

	// Resources are protected resources (RFC 9728) beyond the base itself and
	// the JMAP session, which every authorization server has here.
	Resources []Resource

	Mail   *Mail   // mail services: autoconfiguration and DNS
	MTASTS *MTASTS // the SMTP TLS policy of the mail domains; needs Mail
}
