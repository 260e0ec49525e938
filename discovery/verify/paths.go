package verify

import (
	"net/netip"
	"strings"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/publicurl"
)

// This package has its own list of the paths of the standards, so that it finds a wrong path
// in package discovery.

// The well-known names.
const (
	oauthName    = "oauth-authorization-server" // RFC 8414 section 3
	openIDName   = "openid-configuration"       // OpenID Connect Discovery 1.0 section 4
	resourceName = "oauth-protected-resource"   // RFC 9728 section 3
	jmapName     = "jmap"                       // RFC 8620 section 2.2
	calDAVName   = "caldav"                     // RFC 6764 section 5
	cardDAVName  = "carddav"
)

// The paths of package discovery, which other servers may choose differently.
const (
	webUIPath              = "/api/discover"
	defaultSessionPath     = "/jmap/session"
	defaultCalendarPath    = "/dav/cal/"
	defaultAddressBookPath = "/dav/card/"
)

// Documents of mail clients, and the hosts that they are at.
const (
	userAgentHost  = "ua-auto-config."
	userAgentPath  = "/.well-known/user-agent-configuration.json"
	autoconfigHost = "autoconfig."
	autoconfigPath = "/mail/config-v1.1.xml"
	autoconfigWell = "/.well-known/autoconfig/mail/config-v1.1.xml"
	mtaSTSHost     = "mta-sts."
	mtaSTSPath     = "/.well-known/mta-sts.txt" // RFC 8461 section 3.3
)

// Documents that package discovery has no name for.
const (
	configDocument     discovery.Document = "config"     // the server as a whole
	autoconfigDocument discovery.Document = "autoconfig" // at the host of the base
)

const (
	contentTypeJSON     = "application/json"
	webSocketCapability = "urn:ietf:params:jmap:websocket"
	sessionClause       = "RFC 8620 section 2"
	resourceClause      = "RFC 9728 section 2"
)

// wellKnown returns the URL of a well-known location of a base. Those of RFC 8414 and RFC
// 9728 have the path of the base at their end, that of OpenID has it before it, and the
// others are those of the host (RFC 8615 section 3).
func wellKnown(base publicurl.Base, name string) string {
	switch name {
	case oauthName, resourceName:
		return base.Origin() + "/.well-known/" + name + base.Prefix()
	case openIDName:
		return base.String() + "/.well-known/" + name
	}
	return base.Origin() + "/.well-known/" + name
}

// metadataURL returns the URL of the metadata of a protected resource below a base (RFC
// 9728 section 3.1), and reports whether the resource is below it.
func metadataURL(base publicurl.Base, resource string) (string, bool) {
	if !base.Contains(resource) {
		return "", false
	}
	rest := strings.TrimPrefix(resource, base.Origin())
	if rest == "/" {
		rest = "" // a slash directly behind the host is removed
	}
	return base.Origin() + "/.well-known/" + resourceName + rest, true
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
