package discovery

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
)

// UserAgentDocument is the user-agent configuration, PACC
// (draft-ietf-mailmaint-pacc-04): the mail, calendar and contact services in one
// JSON document at https://ua-auto-config.<domain>/.well-known/user-agent-configuration.json.
// Clients accept it only if the DNS has the SHA-256 of its bytes. [Set.DNS] has that
// record, and it changes with every change of the document.
//
// The bytes are the same at every host where it is found and for all domains that are not in
// Mail.PerDomain. The name of the document of a domain in Mail.PerDomain is
// UserAgentDocument + ":" + Document(domain). The host of the base has the document of the
// first domain. The host selects the document, never the query.
//
// The draft has no ports, so services at ports other than 443 for https, 993, 995 and 465
// with implicit TLS are left out. If no service is left, there is no document. The draft has
// no methods for single services either, so OAuth is in the document if all services in it
// support OAuth.
const UserAgentDocument Document = "user-agent-configuration"

const userAgentPath = "/.well-known/user-agent-configuration.json"

type userAgentConfiguration struct {
	Protocols      userAgentProtocols      `json:"protocols"`
	Authentication userAgentAuthentication `json:"authentication"`
	Info           userAgentInfo           `json:"info"`
}

// A field is nil if the server does not have the service.
type userAgentProtocols struct {
	JMAP    *webProtocol  `json:"jmap,omitempty"`
	IMAP    *textProtocol `json:"imap,omitempty"`
	POP3    *textProtocol `json:"pop3,omitempty"`
	Submit  *textProtocol `json:"submit,omitempty"`
	SMTP    *textProtocol `json:"smtp,omitempty"` // Submit's name up to -02, which clients still read
	CalDAV  *webProtocol  `json:"caldav,omitempty"`
	CardDAV *webProtocol  `json:"carddav,omitempty"`
	WebDAV  *webProtocol  `json:"webdav,omitempty"`
}

type webProtocol struct {
	URL string `json:"url"`
}

type textProtocol struct {
	Host string `json:"host"`
}

type userAgentAuthentication struct {
	OAuthPublic *oauthPublic `json:"oauth-public,omitempty"`
	Password    bool         `json:"password"`
}

type oauthPublic struct {
	Issuer string `json:"issuer"`
}

type userAgentInfo struct {
	Provider userAgentProvider `json:"provider"`
	Help     *userAgentHelp    `json:"help,omitempty"`
}

type userAgentProvider struct {
	Name      string `json:"name"`
	ShortName string `json:"shortName,omitempty"`
}

type userAgentHelp struct {
	Documentation string `json:"documentation"`
}

func (b *builder) userAgent(m *mailSettings) {
	paths := b.atOrigin(userAgentPath)
	if b.base.IsRelative() {
		b.absent(UserAgentDocument, paths...)
		return
	}
	m.userAgent = make(map[string]*document, len(m.Domains))
	var shared *document
	if len(m.PerDomain) < len(m.Domains) {
		shared = b.userAgentOf(m, UserAgentDocument, m.Services)
	}
	for _, d := range m.Domains {
		doc := shared
		if own, ok := m.PerDomain[d]; ok {
			doc = b.userAgentOf(m, ofDomain(UserAgentDocument, d), own)
		}
		if doc != nil {
			m.userAgent[d] = doc
		}
	}
	if len(m.userAgent) == 0 {
		b.absent(UserAgentDocument, paths...)
		return
	}
	byHost := make(map[string]*document, 2*len(m.Domains)+1)
	if doc := m.userAgent[m.Domains[0]]; doc != nil {
		byHost[hostname(b.base.Host())] = doc
	}
	for d, doc := range m.userAgent {
		byHost[d] = doc
	}
	// A domain may itself be named ua-auto-config.example.com: the first meaning holds.
	for d, doc := range m.userAgent {
		byHost[userAgentHost+d] = doc
	}
	b.route(route{document: UserAgentDocument, byHost: byHost}, paths...)
}

// ofDomain names the document of a domain that has one of its own.
func ofDomain(d Document, domain string) Document { return d + ":" + Document(domain) }

// userAgentOf encodes the document for a list of services. It returns nil if there is no document.
func (b *builder) userAgentOf(m *mailSettings, d Document, services []Service) *document {
	c := b.userAgentConfiguration(m, services)
	if c.Protocols == (userAgentProtocols{}) {
		return nil
	}
	body, err := encodeJSON(c, nil)
	if err != nil { // strings and a bool
		b.fail(&Error{Document: d, Field: "protocols", Rule: err.Error()})
		return nil
	}
	doc := newDocument(body, contentTypeJSON)
	b.set.documents[d] = doc
	return doc
}

func (b *builder) userAgentConfiguration(m *mailSettings, services []Service) userAgentConfiguration {
	c := userAgentConfiguration{
		Authentication: userAgentAuthentication{Password: m.takes(AuthPassword, services)},
		Info:           userAgentInfo{Provider: userAgentProvider{Name: orDefault(m.Name, b.base.Hostname()), ShortName: m.ShortName}},
	}
	if m.Documentation != "" {
		c.Info.Help = &userAgentHelp{m.Documentation}
	}
	secure := strings.HasPrefix(b.base.Origin(), "https:")
	oauth := m.oauth != nil && secure && isHTTPS(m.oauth.Issuer) // the methods are of all services
	text := func(p Protocol) *textProtocol {
		s, ok := preferred(services, p)
		if !ok {
			return nil
		}
		oauth = oauth && slices.Contains(s.Authentication, AuthOAuth2)
		return &textProtocol{s.Host}
	}
	p := &c.Protocols
	p.IMAP, p.POP3, p.Submit = text(IMAP), text(POP3), text(Submission)
	p.SMTP = p.Submit
	if secure && b.base.Port() == 443 {
		p.JMAP, p.CalDAV, p.CardDAV, p.WebDAV = web(m.session), web(m.calendar), web(m.contacts), web(m.files)
		if p.JMAP != nil || p.CalDAV != nil || p.CardDAV != nil || p.WebDAV != nil {
			oauth = oauth && slices.Contains(m.Authentication, AuthOAuth2)
		}
	}
	if oauth {
		c.Authentication.OAuthPublic = &oauthPublic{m.oauth.Issuer}
	}
	return c
}

// preferred returns the first service of a protocol that the draft can express.
func preferred(services []Service, p Protocol) (Service, bool) {
	i := slices.IndexFunc(services, func(s Service) bool {
		return s.Protocol == p && s.Security == ImplicitTLS && s.Port == p.defaultPort(ImplicitTLS)
	})
	if i < 0 {
		return Service{}, false
	}
	return services[i], true
}

func web(url string) *webProtocol {
	if url == "" {
		return nil
	}
	return &webProtocol{url}
}

// userAgentDigest is the text of the DNS record for a document.
func userAgentDigest(body []byte) string {
	sum := sha256.Sum256(body)
	return "v=UAAC1; a=sha256; d=" + base64.StdEncoding.EncodeToString(sum[:])
}
