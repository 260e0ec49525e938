package discovery

import (
	"slices"
	"time"
)

// The hosts of a mail domain that have documents.
const (
	userAgentHost    = "ua-auto-config."
	autoconfigHost   = "autoconfig."
	autodiscoverHost = "autodiscover."
	mtaSTSHost       = "mta-sts."
)

// Mail configures the mail domains and mail services of the server. Mail clients find them in the user-agent configuration (PACC), Thunderbird's
// autoconfig and Outlook's autodiscover, which also have the JMAP session and the
// calendars, address books and files of [Config], and in the DNS: [Set.DNS].
//
// Only for these documents a proxy must pass on the Host field of the request. It selects one
// of the Domains, as autoconfig.<domain>, autodiscover.<domain>, ua-auto-config.<domain> or
// mta-sts.<domain>. Clients use https on port 443 there, so the certificate needs these names.
// At hosts other than these, the domains and the host of the base the documents are not found,
// except autoconfig and autodiscover with an address of one of the Domains.
type Mail struct {
	// Domains are the mail domains: the part of addresses after the "@". At least one is
	// required. Each is in lower case and without the root dot, an international one in
	// A-labels.
	Domains []string

	// Name is the name of the provider, as people see it, of at most 60
	// characters; the default is the mail domain, and in a document for all domains the
	// host of the base. ShortName has at most 20 characters and is optional.
	Name      string
	ShortName string

	// Documentation is the https URL of instructions for setting up a mail client, or "".
	Documentation string

	// Services are the mail services, those that the provider prefers first. It is empty
	// if there are only JMAP, calendars and address books.
	Services []Service

	// PerDomain replaces Services for the domains that are its keys, each one of Domains:
	// for a server that has other hosts for another domain. A list is not empty.
	PerDomain map[string][]Service

	// Authentication lists the methods of every service, JMAP and DAV included, the
	// preferred one first. The default is AuthOAuth2, if there is an authorization server
	// and clients can obtain a client identifier, and then AuthPassword. A server without
	// passwords has only AuthOAuth2. Clients that cannot register and are not registered
	// cannot sign in then, and autodiscover, which supports passwords only, returns no
	// services.
	Authentication []AuthMethod

	// ClientID is the OAuth client identifier that any mail client may use, without a
	// secret. With AuthOAuth2 it is required unless clients can register (RFC 7591) at
	// OAuth.RegistrationPath, or Config.AuthorizationServers has other servers.
	ClientID string

	// LocalPartLogin is set if people sign in with the part of their address before the
	// "@". The default is the whole address.
	LocalPartLogin bool

	// TTL is the time to live of the DNS records, in whole seconds; default 1 h.
	TTL time.Duration
}

const mailDocument Document = "mail" // for errors

const (
	autoconfigDraft = "draft-ietf-mailmaint-autoconfig-06"
	paccDraft       = "draft-ietf-mailmaint-pacc-04"

	maxName      = 60 // characters: autoconfigDraft section 3.2.4, as for maxShortName
	maxShortName = 20
)

// mailSettings is a valid Mail with its defaults filled in, and the values for requests for
// its documents.
type mailSettings struct {
	Mail                               // with the defaults in Services and PerDomain
	hosts              map[string]bool // of all services
	domains            map[string]bool
	oauth              *clientOAuth // nil if no service takes it
	session            string       // URL, or ""
	calendar, contacts string
	files              string

	userAgent        map[string]*document // by domain; no entry if the domain has no document
	autoconfig       map[string]*document
	autoconfigByHost map[string]*document
	autodiscoverJSON *document
	folded           []foldedRoute
}

func (b *builder) mail() {
	if b.config.Mail == nil {
		return
	}
	m := &mailSettings{Mail: *b.config.Mail}
	m.Domains, m.Authentication = slices.Clone(m.Domains), slices.Clone(m.Authentication)
	before := len(b.errs)
	b.mailDomains(m)
	b.mailNames(m)
	if len(m.Authentication) == 0 {
		if len(b.tokenIssuers()) > 0 && b.hasClientID(m) {
			m.Authentication = append(m.Authentication, AuthOAuth2)
		}
		m.Authentication = append(m.Authentication, AuthPassword)
	}
	b.mailAuthentication("Authentication", m.Authentication)
	b.mailServices(m)
	b.servicesPerDomain(m)
	if m.TTL == 0 {
		m.TTL = time.Hour
	}
	if m.TTL < 0 || m.TTL > 1<<31*time.Second-time.Second || m.TTL%time.Second != 0 {
		b.failMail("TTL", m.TTL.String(), "use whole seconds, at most 2^31-1", "RFC 2181 section 8")
	}
	b.webServices(m)
	if len(m.Services) == 0 && !m.hasWeb() && len(m.PerDomain) < len(m.Domains) {
		b.failMail("Services", "", "give at least one service, or the section JMAP or DAV", autoconfigDraft+" section 6")
	}
	if len(b.errs) > before {
		return
	}
	if m.anyTakes(AuthOAuth2) {
		m.oauth = b.clientOAuth(m)
	}
	b.set.mail = m
	b.userAgent(m)
	b.autoconfig(m)
	b.autodiscover(m)
}

func (b *builder) failMail(field, input, rule, clause string) {
	b.fail(&Error{Document: mailDocument, Field: field, Input: input, Rule: rule, Clause: clause})
}

// The longest of the names that clients look up at a mail domain.
const longestPrefix = len("_submissions._tcp.")

func (b *builder) mailDomains(m *mailSettings) {
	if len(m.Domains) == 0 {
		b.failMail("Domains", "", "give at least one mail domain, such as example.com", autoconfigDraft+" section 3.2.3")
	}
	m.domains = make(map[string]bool, len(m.Domains))
	for _, d := range m.Domains {
		b.dnsName("Domains", d)
		if len(d) > 253-longestPrefix {
			b.failMail("Domains", d, "with _submissions._tcp before it a domain has at most 253 characters", "RFC 1035 section 2.3.4")
		}
		if m.domains[d] {
			b.failMail("Domains", d, "duplicate domain: remove one", "")
		}
		m.domains[d] = true
	}
}

// atOrigin returns the paths at which a document at the origin of a host is served: the path
// itself, the path below the prefix of the base for a proxy that routes only the prefix, and
// the path without the prefix for a proxy that strips it. With the base
// https://example.com/mail the last is /config-v1.1.xml for /mail/config-v1.1.xml.
func (b *builder) atOrigin(path string) []string {
	paths := b.below(path)
	if stripped, ok := b.strip(path); ok {
		paths = append(paths, stripped)
	}
	return paths
}
