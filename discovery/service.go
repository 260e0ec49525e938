package discovery

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// A Service is a mail service on a TCP port, with the host and port that its clients connect
// to: those of the proxy, if there is one.
type Service struct {
	Protocol Protocol
	Host     string   // the DNS name that its certificate has; default the host of the base
	Port     uint16   // default the port of the protocol
	Security Security // default ImplicitTLS; PACC has services with it at the default port only

	// Authentication lists the methods of this service; default Mail.Authentication.
	Authentication []AuthMethod
}

// A Protocol is the protocol of a mail service.
type Protocol string

// The protocols, and their default ports with implicit TLS and with STARTTLS (RFC
// 8314 section 3, RFC 5804 section 1.8).
const (
	IMAP        Protocol = "imap"        // 993, 143
	POP3        Protocol = "pop3"        // 995, 110
	Submission  Protocol = "smtp"        // 465, 587
	ManageSieve Protocol = "managesieve" // only STARTTLS, 4190
)

// A Security is the way in which TLS begins. Every service has TLS, because a document must
// not make a client send its password in the clear (RFC 8314 section 3).
type Security uint8

// The values of Security. RFC 8314 section 3 prefers ImplicitTLS.
const (
	ImplicitTLS Security = iota // with the first byte
	StartTLS                    // by the STARTTLS or STLS command
)

// An AuthMethod is a way to sign in.
type AuthMethod string

// The values of AuthMethod.
const (
	AuthPassword AuthMethod = "password" // SASL PLAIN or LOGIN, the protocol's own login, or HTTP Basic
	AuthOAuth2   AuthMethod = "oauth2"   // SASL OAUTHBEARER (RFC 7628), or HTTP Bearer (RFC 6750)
)

// defaultPort returns 0 if no port is registered.
func (p Protocol) defaultPort(s Security) uint16 {
	switch p {
	case IMAP:
		return [...]uint16{993, 143}[s]
	case POP3:
		return [...]uint16{995, 110}[s]
	case Submission:
		return [...]uint16{465, 587}[s]
	case ManageSieve:
		return [...]uint16{0, 4190}[s]
	}
	return 0
}

func (b *builder) mailAuthentication(field string, methods []AuthMethod) {
	for i, a := range methods {
		switch {
		case a != AuthPassword && a != AuthOAuth2:
			b.failMail(field, string(a), "use AuthPassword and AuthOAuth2", autoconfigDraft+" section 3.7.4")
		case slices.Contains(methods[:i], a):
			b.failMail(field, string(a), "duplicate method: remove one", "")
		case a == AuthOAuth2 && len(b.tokenIssuers()) == 0:
			b.failMail(field, string(a), "there is no authorization server: set Config.OAuth or Config.AuthorizationServers, or remove it", autoconfigDraft+" section 6.4")
		}
	}
}

// mailServices checks the services and fills in their defaults, in a copy.
func (b *builder) mailServices(m *mailSettings) {
	m.hosts = make(map[string]bool)
	m.Services = b.services(m, "Services", m.Services)
}

// servicesPerDomain is like mailServices for the domains that have services of their own.
func (b *builder) servicesPerDomain(m *mailSettings) {
	perDomain := make(map[string][]Service, len(m.PerDomain))
	for _, d := range slices.Sorted(maps.Keys(m.PerDomain)) {
		field := "PerDomain[" + d + "]"
		switch {
		case !m.domains[d]:
			b.failMail(field, d, "it is not a mail domain of this server: add it to Domains, or remove it", autoconfigDraft+" section 3.2.3")
			continue
		case len(m.PerDomain[d]) == 0:
			b.failMail(field, "", "give at least one service, or remove the domain from PerDomain, so that Services applies", autoconfigDraft+" section 6")
			continue
		}
		perDomain[d] = b.services(m, field, m.PerDomain[d])
	}
	m.PerDomain = perDomain
}

// services returns a copy of a list of services with their defaults.
func (b *builder) services(m *mailSettings, list string, services []Service) []Service {
	services = slices.Clone(services)
	for i := range services {
		s := &services[i]
		field := fmt.Sprintf("%s[%d].", list, i)
		switch s.Protocol {
		case IMAP, POP3, Submission, ManageSieve:
		default:
			b.failMail(field+"Protocol", string(s.Protocol), "use IMAP, POP3, Submission or ManageSieve, and the field Security for TLS", autoconfigDraft+" section 3.5")
			continue
		}
		if s.Security > StartTLS {
			b.failMail(field+"Security", fmt.Sprint(s.Security), "use ImplicitTLS or StartTLS", "RFC 8314 section 3")
			continue
		}
		if s.Port == 0 {
			s.Port = s.Protocol.defaultPort(s.Security)
		}
		if s.Port == 0 {
			b.failMail(field+"Port", "", "no port is registered for "+string(s.Protocol)+" with implicit TLS: use StartTLS, or give a port", "RFC 5804 section 1.8")
		}
		b.serviceHost(field+"Host", s)
		m.hosts[s.Host] = true
		switch {
		case s.Authentication == nil:
			s.Authentication = m.Authentication
		case len(s.Authentication) == 0:
			b.failMail(field+"Authentication", "", "a service without a method cannot be used: list AuthPassword, AuthOAuth2 or both, or leave it nil", autoconfigDraft+" section 3.7.4")
		default:
			s.Authentication = slices.Clone(s.Authentication)
			b.mailAuthentication(field+"Authentication", s.Authentication)
		}
		for _, other := range services[:i] {
			if other.Protocol == s.Protocol && other.Host == s.Host && other.Port == s.Port {
				b.failMail(field+"Protocol", string(s.Protocol), "duplicate service: remove one", "")
				break
			}
		}
	}
	return services
}

// servicesOf returns the services of a domain.
func (m *mailSettings) servicesOf(domain string) []Service {
	if own, ok := m.PerDomain[domain]; ok {
		return own
	}
	return m.Services
}

func (b *builder) serviceHost(field string, s *Service) {
	switch {
	case s.Host != "":
		b.dnsName(field, s.Host)
	case b.base.IsRelative(): // nothing is published
	case isIP(b.base):
		b.failMail(field, "", "the host of the base is an address: give the DNS name of the service", "RFC 2782")
	default:
		s.Host = b.base.Hostname()
	}
}

// webServices finds the services that are URLs.
func (b *builder) webServices(m *mailSettings) {
	if strings.HasPrefix(b.base.Origin(), "http:") && !isLoopback(b.base.Hostname()) {
		return // no document may make a client send its password in the clear (RFC 8314 section 3)
	}
	if j := b.config.JMAP; j != nil {
		m.session = b.mailURL(j.SessionPath, defaultSessionPath)
	}
	if d := b.config.DAV; d != nil {
		m.calendar = b.mailURL(d.CalendarPath, defaultCalendarPath)
		m.contacts = b.mailURL(d.AddressBookPath, defaultAddressBookPath)
		m.files = b.mailURL(d.FilePath, defaultFilePath)
	}
}

// isLoopback reports whether a host is this machine. publicurl.Parse accepts http for these
// hosts without an option.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// mailURL is like builder.endpoint for a path whose errors its own section reports.
func (b *builder) mailURL(path, def string) string {
	if path = orDefault(path, def); path == None {
		return ""
	}
	u, _ := b.base.Join(path)
	return u
}

// hasWeb reports whether there are services that are URLs.
func (m *mailSettings) hasWeb() bool {
	return m.session != "" || m.calendar != "" || m.contacts != "" || m.files != ""
}

// takes reports whether one of the services, or one that is a URL, supports a method.
func (m *mailSettings) takes(a AuthMethod, services []Service) bool {
	return m.hasWeb() && slices.Contains(m.Authentication, a) ||
		slices.ContainsFunc(services, func(s Service) bool { return slices.Contains(s.Authentication, a) })
}

// anyTakes is like takes for the services of all domains.
func (m *mailSettings) anyTakes(a AuthMethod) bool {
	if m.takes(a, m.Services) {
		return true
	}
	for _, own := range m.PerDomain {
		if m.takes(a, own) {
			return true
		}
	}
	return false
}
