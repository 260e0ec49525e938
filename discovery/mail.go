package discovery

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/seed-94e48765/portico/publicurl"
)

// The hosts of a mail domain that have documents.
const (
	userAgentHost    = "ua-auto-config."
	autoconfigHost   = "autoconfig."
	autodiscoverHost = "autodiscover."
	mtaSTSHost       = "mta-sts."
)

// A Mail says for which mail domains the server is and where its mail services are.
// Mail clients find them in the user-agent configuration (PACC), Thunderbird's
// autoconfig and Outlook's autodiscover, which also have the JMAP session and the
// calendars, address books and files of [Config], and in the DNS: [Set.DNS].
//
// For these documents alone a proxy must pass on the Host field of the request: it
// selects one of the Domains, as autoconfig.<domain>, autodiscover.<domain>,
// ua-auto-config.<domain> or mta-sts.<domain>, where clients ask at port 443 of https:
// the certificate there needs these names. Of other hosts than these, the domains and
// the host of the base they are not found, unless the address that autoconfig and
// autodiscover are asked for is of one of the Domains.
type Mail struct {
	// Domains are the mail domains, what stands behind the "@" of addresses.
	// There is at least one. Each is written in lower case, an international
	// one in A-labels, without the root dot.
	Domains []string

	// Name is the name of the provider, as people see it, of at most 60
	// characters; default the mail domain, and where there is none the host of
	// the base. ShortName has at most 20 and may be left out.
	Name      string
	ShortName string

	// Documentation is the https URL of a page that tells people how to set up
	// a mail client, or "".
	Documentation string

	// Services are the mail services, those that the provider prefers first. None
	// says that there are only JMAP, calendars and address books.
	Services []Service

	// Authentication lists the methods of every service, JMAP and DAV included, the
	// preferred one first. The default is AuthOAuth2, if clients can obtain a client
	// identifier (ClientID or OAuth.RegistrationPath), and then AuthPassword.
	Authentication []AuthMethod

	// ClientID is the OAuth client identifier that any mail client may use, without a
	// secret. With AuthOAuth2 it is required unless clients can register (RFC 7591) at
	// OAuth.RegistrationPath.
	ClientID string

	// LocalPartLogin says that people sign in with what stands before the "@".
	// The default is the whole address.
	LocalPartLogin bool

	// TTL is the time to live of the DNS records, in whole seconds; default 1 h.
	TTL time.Duration
}

// A Service is a mail service on a TCP port, as its clients reach it: before the
// proxy, not behind it.
type Service struct {
	Protocol Protocol
	Host     string   // the DNS name that its certificate has; default the host of the base
	Port     uint16   // default the port of the protocol
	Security Security // default ImplicitTLS, which alone PACC can tell of, at the port of the protocol

	// Authentication are its methods where they are not those of the Mail.
	Authentication []AuthMethod
}

// A Protocol is one of a mail service.
type Protocol string

// The protocols, and their default ports with implicit TLS and with STARTTLS (RFC
// 8314 section 3, RFC 5804 section 1.8).
const (
	IMAP        Protocol = "imap"        // 993, 143
	POP3        Protocol = "pop3"        // 995, 110
	Submission  Protocol = "smtp"        // 465, 587
	ManageSieve Protocol = "managesieve" // none, 4190
)

// A Security says how TLS begins. There is none without: a document must not tell
// a client to send its password in the clear (RFC 8314 section 3).
type Security uint8

// The ways of TLS. RFC 8314 section 3 prefers ImplicitTLS.
const (
	ImplicitTLS Security = iota // with the first byte
	StartTLS                    // by the STARTTLS or STLS command
)

// An AuthMethod is a way to sign in.
type AuthMethod string

// The ways to sign in.
const (
	AuthPassword AuthMethod = "password" // SASL PLAIN or LOGIN, the protocol's own login, or HTTP Basic
	AuthOAuth2   AuthMethod = "oauth2"   // SASL OAUTHBEARER (RFC 7628), or HTTP Bearer (RFC 6750)
)

const mailDocument Document = "mail" // for errors

const (
	autoconfigDraft = "draft-ietf-mailmaint-autoconfig-06"
	paccDraft       = "draft-ietf-mailmaint-pacc-04"

	maxName      = 60 // characters: autoconfigDraft section 3.2.4, as for maxShortName
	maxShortName = 20
)

// defaultPort is 0 where no port is registered.
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

// mailSettings is a valid Mail with its defaults filled in, and what the requests
// for its documents need.
type mailSettings struct {
	Mail
	oauth              *clientOAuth // nil if no service takes it
	session            string       // URL, or ""
	calendar, contacts string
	files              string

	autoconfig       map[string]*document // by domain
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
		if b.config.OAuth != nil && b.hasClientID(m) {
			m.Authentication = append(m.Authentication, AuthOAuth2)
		}
		m.Authentication = append(m.Authentication, AuthPassword)
	}
	b.mailAuthentication("Authentication", m.Authentication)
	b.mailServices(m)
	if m.TTL == 0 {
		m.TTL = time.Hour
	}
	if m.TTL < 0 || m.TTL > 1<<31*time.Second-time.Second || m.TTL%time.Second != 0 {
		b.failMail("TTL", m.TTL.String(), "use whole seconds, at most 2^31-1", "RFC 2181 section 8")
	}
	b.webServices(m)
	if len(m.Services) == 0 && m.session == "" && m.calendar == "" && m.contacts == "" && m.files == "" {
		b.failMail("Services", "", "give at least one service, or the section JMAP or DAV", autoconfigDraft+" section 6")
	}
	if len(b.errs) > before {
		return
	}
	if m.takes(AuthOAuth2) {
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

// The longest of the names that clients ask for at a mail domain.
const longestPrefix = len("_submissions._tcp.")

func (b *builder) mailDomains(m *mailSettings) {
	if len(m.Domains) == 0 {
		b.failMail("Domains", "", "give at least one mail domain, such as example.com", autoconfigDraft+" section 3.2.3")
	}
	for i, d := range m.Domains {
		b.dnsName("Domains", d)
		if len(d) > 253-longestPrefix {
			b.failMail("Domains", d, "with _submissions._tcp before it a domain has at most 253 characters", "RFC 1035 section 2.3.4")
		}
		if slices.Contains(m.Domains[:i], d) {
			b.failMail("Domains", d, "the domain is there twice: remove one", "")
		}
	}
}

// dnsName checks that a name is one of the DNS, and written in the one way in
// which it is compared.
func (b *builder) dnsName(field, name string) {
	base, err := publicurl.FromHostname(name)
	switch {
	case err != nil:
		b.fail(&Error{Document: mailDocument, Field: field, Input: name, Rule: "use a DNS name", Clause: "RFC 1123 section 2.1", Err: err})
	case isIP(base):
		b.failMail(field, name, "use a DNS name, not an address", "RFC 2782")
	case base.Host() != name:
		b.failMail(field, name, fmt.Sprintf("write it as %q, in lower case and A-labels", base.Host()), "RFC 5890 section 2.3.2.1")
	}
}

// isDNSName reports what dnsName demands.
func isDNSName(name string) bool {
	base, err := publicurl.FromHostname(name)
	return err == nil && !isIP(base) && base.Host() == name
}

func isIP(b publicurl.Base) bool {
	_, err := netip.ParseAddr(b.Hostname())
	return err == nil
}

func (b *builder) mailNames(m *mailSettings) {
	if m.Name == "" {
		for _, name := range append([]string{b.base.Hostname()}, m.Domains...) {
			if len(name) > maxName {
				b.failMail("Name", "", fmt.Sprintf("give a name: by default it is %q, and it has at most %d characters", name, maxName), autoconfigDraft+" section 3.2.4")
			}
		}
	}
	for _, n := range []struct {
		field, name string
		most        int
	}{{"Name", m.Name, maxName}, {"ShortName", m.ShortName, maxShortName}} {
		if utf8.RuneCountInString(n.name) > n.most {
			b.failMail(n.field, n.name, fmt.Sprintf("use at most %d characters", n.most), autoconfigDraft+" section 3.2.4")
		}
		if !isPlainText(n.name) {
			b.failMail(n.field, n.name, "use printable characters and single spaces between words", paccDraft)
		}
	}
	if m.Documentation != "" && !isWebURL(m.Documentation) {
		b.failMail("Documentation", m.Documentation, "use an absolute https URL, percent-encoded, without user information", paccDraft)
	}
	if !isPrintableASCII(m.ClientID) {
		b.failMail("ClientID", m.ClientID, "use printable ASCII", "RFC 6749 appendix A.1")
	}
}

// isPlainText keeps out what XML cannot hold, and what changes how a person reads
// the text, such as line breaks and marks that turn its direction.
func isPlainText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) &&
		strings.TrimSpace(s) == s && !strings.Contains(s, "  ")
}

func isWebURL(s string) bool { return isHTTPS(s) && !strings.ContainsAny(s, "\"<>\\^`{|}") }

func (b *builder) mailAuthentication(field string, methods []AuthMethod) {
	for i, a := range methods {
		switch {
		case a != AuthPassword && a != AuthOAuth2:
			b.failMail(field, string(a), "use AuthPassword and AuthOAuth2", autoconfigDraft+" section 3.7.4")
		case slices.Contains(methods[:i], a):
			b.failMail(field, string(a), "the method is there twice: remove one", "")
		case a == AuthOAuth2 && b.config.OAuth == nil:
			b.failMail(field, string(a), "the server has no authorization server: set Config.OAuth, or remove it", autoconfigDraft+" section 6.4")
		}
	}
	if !slices.Contains(methods, AuthPassword) {
		b.failMail(field, fmt.Sprint(methods), "list AuthPassword too: a client skips OAuth 2.0 where it is not registered, and is left with nothing", autoconfigDraft+" section 3.7.4")
	}
}

// mailServices checks the services and fills in their defaults, in a copy.
func (b *builder) mailServices(m *mailSettings) {
	m.Services = slices.Clone(m.Services)
	for i := range m.Services {
		s := &m.Services[i]
		field := fmt.Sprintf("Services[%d].", i)
		switch s.Protocol {
		case IMAP, POP3, Submission, ManageSieve:
		default:
			b.failMail(field+"Protocol", string(s.Protocol), "use IMAP, POP3, Submission or ManageSieve", autoconfigDraft+" section 3.5")
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
		if s.Authentication == nil {
			s.Authentication = m.Authentication
		} else {
			b.mailAuthentication(field+"Authentication", s.Authentication)
		}
		for _, other := range m.Services[:i] {
			if other.Protocol == s.Protocol && other.Host == s.Host && other.Port == s.Port {
				b.failMail(field+"Protocol", string(s.Protocol), "the service is there twice: remove one", "")
				break
			}
		}
	}
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
		return // a document must not tell a client to send its password in the clear (RFC 8314 section 3)
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

// isLoopback reports whether no network is on the way to a host (publicurl.Parse takes
// http for these without being told to).
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// mailURL is builder.endpoint for a path that its own section has reported.
func (b *builder) mailURL(path, def string) string {
	if path = orDefault(path, def); path == None {
		return ""
	}
	u, _ := b.base.Join(path)
	return u
}

// takes reports whether some service takes a method.
func (m *mailSettings) takes(a AuthMethod) bool {
	web := m.session != "" || m.calendar != "" || m.contacts != "" || m.files != ""
	return web && slices.Contains(m.Authentication, a) ||
		slices.ContainsFunc(m.Services, func(s Service) bool { return slices.Contains(s.Authentication, a) })
}

// domainOf returns the domain of an address, as Domains has it. It says nothing
// about the address, of which it uses no more.
func domainOf(address string) string {
	const longest = 1 << 10
	i := strings.LastIndexByte(address, '@')
	if i < 0 || len(address)-i > longest {
		return ""
	}
	domain := address[i+1:]
	if strings.ContainsFunc(domain, func(r rune) bool { return r >= utf8.RuneSelf }) {
		base, err := publicurl.FromHostname(domain)
		if err != nil {
			return ""
		}
		return base.Host()
	}
	return strings.ToLower(domain)
}

// atOrigin returns the paths of something that clients seek at the origin of a
// host: as it is, below the prefix of the base, where a proxy passes nothing else
// on, and as a proxy leaves it that strips the prefix from whatever has it. With
// the base https://example.com/mail the last is /config-v1.1.xml for
// /mail/config-v1.1.xml.
func (b *builder) atOrigin(path string) []string {
	paths := b.below(path)
	if stripped, ok := b.strip(path); ok {
		paths = append(paths, stripped)
	}
	return paths
}
