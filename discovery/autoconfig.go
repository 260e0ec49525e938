package discovery

import (
	"encoding/xml"
	"net/http"
	"strings"
)

// AutoconfigDocument names the document of a mail domain in the format of
// Thunderbird's autoconfig (draft-ietf-mailmaint-autoconfig-06). It is served at
//
//	https://autoconfig.<domain>/mail/config-v1.1.xml
//	https://<domain>/.well-known/autoconfig/mail/config-v1.1.xml
//
// and at /.well-known/mail-v1.xml, which earlier drafts had. The parameter
// emailaddress selects a mail domain. Without it the host selects the domain, and the host of
// the base selects the first domain. The document does not contain the address: the client
// fills in the user name (%EMAILADDRESS%). All addresses of a domain have one document, whether
// the account exists or not.
func AutoconfigDocument(domain string) Document { return autoconfigDocument + ":" + Document(domain) }

// autoconfigDocument is the document of the requested domain.
const autoconfigDocument Document = "autoconfig"

const (
	contentTypeXML = "text/xml; charset=utf-8"
	emailParameter = "emailaddress"
)

var autoconfigPaths = []string{
	"/mail/config-v1.1.xml",
	"/.well-known/autoconfig/mail/config-v1.1.xml",
	"/.well-known/mail-v1.xml",
}

// A clientConfig is the root element. For historical reasons the address books and the
// elements after them are not in emailProvider.
type clientConfig struct {
	XMLName      xml.Name       `xml:"clientConfig"`
	Version      string         `xml:"version,attr"`
	Provider     emailProvider  `xml:"emailProvider"`
	AddressBooks []clientServer `xml:"addressbook"`
	Calendars    []clientServer `xml:"calendar"`
	FileShares   []clientServer `xml:"fileShare"`
	SetupServers []clientServer `xml:"setupServer"`
	OAuth2       *clientOAuth   `xml:"oAuth2"`
}

type emailProvider struct {
	ID               string         `xml:"id,attr"`
	Domain           string         `xml:"domain"`
	DisplayName      string         `xml:"displayName"`
	DisplayShortName string         `xml:"displayShortName,omitempty"`
	Incoming         []clientServer `xml:"incomingServer"`
	Outgoing         []clientServer `xml:"outgoingServer"`
	Documentation    *documentation `xml:"documentation"`
}

// A clientServer has either a URL or host name, port and socket type.
type clientServer struct {
	Type           string                 `xml:"type,attr"`
	URL            string                 `xml:"url,omitempty"`
	Hostname       string                 `xml:"hostname,omitempty"`
	Port           uint16                 `xml:"port,omitempty"`
	SocketType     string                 `xml:"socketType,omitempty"`
	Authentication []clientAuthentication `xml:"authentication"`
	Username       string                 `xml:"username"`
}

type clientAuthentication struct {
	System string `xml:"system,attr,omitempty"`
	Method string `xml:",chardata"`
}

type documentation struct {
	URL string `xml:"url,attr"`
}

// A clientOAuth describes the authorization server to a client.
type clientOAuth struct {
	AuthURL  string `xml:"authURL,omitempty"`
	TokenURL string `xml:"tokenURL,omitempty"`
	Issuer   string `xml:"issuer"`
	Scope    string `xml:"scope,omitempty"`
	ClientID string `xml:"clientID,omitempty"`
}

// hasClientID reports whether a mail client can obtain an OAuth client identifier. For
// another authorization server, its own metadata has the registration endpoint.
func (b *builder) hasClientID(m *mailSettings) bool {
	return m.ClientID != "" || b.metadata.RegistrationEndpoint != "" || len(b.config.AuthorizationServers) > 0
}

// clientOAuth returns the endpoints of the server's own authorization server. For another
// authorization server it returns the issuer, by which clients find the endpoints.
func (b *builder) clientOAuth(m *mailSettings) *clientOAuth {
	if !b.hasClientID(m) {
		b.failMail("ClientID", "", "give a client identifier that any mail client may use (ClientID), let clients register (OAuth.RegistrationPath), or remove AuthOAuth2", autoconfigDraft+" section 6.4")
	}
	if b.config.OAuth == nil {
		return &clientOAuth{Issuer: b.config.AuthorizationServers[0], Scope: strings.Join(b.baseScopes(), " "), ClientID: m.ClientID}
	}
	return &clientOAuth{
		AuthURL:  b.metadata.AuthorizationEndpoint,
		TokenURL: b.metadata.TokenEndpoint,
		Issuer:   b.metadata.Issuer,
		Scope:    strings.Join(b.metadata.Scopes, " "),
		ClientID: m.ClientID,
	}
}

func (b *builder) autoconfig(m *mailSettings) {
	var paths []string
	for _, p := range autoconfigPaths {
		paths = append(paths, b.atOrigin(p)...)
	}
	if b.base.IsRelative() {
		b.absent(autoconfigDocument, paths...)
		return
	}
	m.autoconfig = make(map[string]*document, len(m.Domains))
	m.autoconfigByHost = make(map[string]*document)
	for _, d := range m.Domains {
		body, err := encodeXML(m.clientConfig(d))
		if err != nil { // strings and numbers
			b.fail(&Error{Document: AutoconfigDocument(d), Field: "clientConfig", Rule: err.Error()})
			return
		}
		doc := newDocument(body, contentTypeXML)
		b.set.documents[AutoconfigDocument(d)] = doc
		m.autoconfig[d] = doc
		m.autoconfigByHost[autoconfigHost+d] = doc
	}
	// A domain may itself be named autoconfig.example.com: the first meaning holds.
	for _, d := range m.Domains {
		if m.autoconfigByHost[d] == nil {
			m.autoconfigByHost[d] = m.autoconfig[d]
		}
	}
	if host := hostname(b.base.Host()); m.autoconfigByHost[host] == nil {
		m.autoconfigByHost[host] = m.autoconfig[m.Domains[0]]
	}
	b.route(route{document: autoconfigDocument, dynamic: (*Server).serveAutoconfig}, paths...)
}

func (s *Server) serveAutoconfig(set *Set, w http.ResponseWriter, r *http.Request) {
	doc := set.mail.autoconfigByHost[hostname(r.Host)]
	if r.URL.RawQuery != "" {
		if address := r.URL.Query().Get(emailParameter); address != "" {
			doc = set.mail.autoconfig[domainOf(address)]
		}
	}
	serveDocument(w, r, set, doc)
}

func (m *mailSettings) clientConfig(domain string) clientConfig {
	services := m.servicesOf(domain)
	c := clientConfig{
		Version: "1.2",
		Provider: emailProvider{
			ID:               domain,
			Domain:           domain,
			DisplayName:      orDefault(m.Name, domain),
			DisplayShortName: m.ShortName,
		},
		AddressBooks: m.webServer("carddav", m.contacts),
		Calendars:    m.webServer("caldav", m.calendar),
		FileShares:   m.webServer("webdav", m.files),
	}
	if m.takes(AuthOAuth2, services) {
		c.OAuth2 = m.oauth
	}
	if m.Documentation != "" {
		c.Provider.Documentation = &documentation{m.Documentation}
	}
	for _, s := range services {
		server := m.textServer(s)
		switch s.Protocol {
		case Submission:
			c.Provider.Outgoing = append(c.Provider.Outgoing, server)
		case ManageSieve:
			c.SetupServers = append(c.SetupServers, server)
		default:
			c.Provider.Incoming = append(c.Provider.Incoming, server)
		}
	}
	// Last, because some clients read only the first incoming server and support IMAP and
	// POP3 only.
	c.Provider.Incoming = append(c.Provider.Incoming, m.webServer("jmap", m.session)...)
	return c
}

func (m *mailSettings) textServer(s Service) clientServer {
	server := clientServer{
		Type:       string(s.Protocol),
		Hostname:   s.Host,
		Port:       s.Port,
		SocketType: [...]string{ImplicitTLS: "SSL", StartTLS: "STARTTLS"}[s.Security],
		Username:   m.username(),
	}
	for _, a := range s.Authentication {
		method := clientAuthentication{Method: "password-cleartext"}
		if a == AuthOAuth2 {
			method.Method = "OAuth2"
		}
		server.Authentication = append(server.Authentication, method)
	}
	return server
}

func (m *mailSettings) webServer(protocol, url string) []clientServer {
	if url == "" {
		return nil
	}
	server := clientServer{Type: protocol, URL: url, Username: m.username()}
	for _, a := range m.Authentication {
		method := clientAuthentication{System: "http", Method: "Basic"}
		if a == AuthOAuth2 {
			method = clientAuthentication{Method: "OAuth2"} // without system: section 3.6.2
		}
		server.Authentication = append(server.Authentication, method)
	}
	return []clientServer{server}
}

// username is a placeholder that the client fills in.
func (m *mailSettings) username() string {
	if m.LocalPartLogin {
		return "%EMAILLOCALPART%"
	}
	return "%EMAILADDRESS%"
}

// encodeXML encodes a struct as a document.
func encodeXML(v any) ([]byte, error) {
	body, err := xml.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(append([]byte(xml.Header), body...), '\n'), nil
}
