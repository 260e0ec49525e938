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
// Clients believe it only if the DNS has the SHA-256 of its bytes: [Set.DNS] has
// that record, and it changes with every change of the document.
//
// The bytes are the same for all domains and at every host where it is found. The
// draft has no ports: services at other ports than 443 for https, 993, 995 and 465
// with implicit TLS are left out, and there is no document if none is left. Nor has
// it methods for one service alone: OAuth is in it if all that are take it.
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
	c := b.userAgentConfiguration(m)
	if b.base.IsRelative() || c.Protocols == (userAgentProtocols{}) {
		b.absent(UserAgentDocument, paths...)
		return
	}
	body, err := encodeJSON(c, nil)
	if err != nil { // strings and a bool
		b.fail(&Error{Document: UserAgentDocument, Field: "protocols", Rule: err.Error()})
		return
	}
	doc := newDocument(body, contentTypeJSON)
	b.set.documents[UserAgentDocument] = doc
	byHost := map[string]*document{hostname(b.base.Host()): doc}
	for _, d := range m.Domains {
		byHost[d] = doc
		byHost[userAgentHost+d] = doc
	}
	b.route(route{document: UserAgentDocument, byHost: byHost}, paths...)
}

func (b *builder) userAgentConfiguration(m *mailSettings) userAgentConfiguration {
	c := userAgentConfiguration{
		Authentication: userAgentAuthentication{Password: m.takes(AuthPassword)},
		Info:           userAgentInfo{Provider: userAgentProvider{Name: orDefault(m.Name, b.base.Hostname()), ShortName: m.ShortName}},
	}
	if m.Documentation != "" {
		c.Info.Help = &userAgentHelp{m.Documentation}
	}
	secure := strings.HasPrefix(b.base.Origin(), "https:")
	oauth := m.oauth != nil && secure // the methods are of all services
	text := func(p Protocol) *textProtocol {
		s, ok := m.preferred(p)
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
func (m *mailSettings) preferred(p Protocol) (Service, bool) {
	i := slices.IndexFunc(m.Services, func(s Service) bool {
		return s.Protocol == p && s.Security == ImplicitTLS && s.Port == p.defaultPort(ImplicitTLS)
	})
	if i < 0 {
		return Service{}, false
	}
	return m.Services[i], true
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
