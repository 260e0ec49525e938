package discovery

import (
	"bytes"
	"encoding/xml"
	"errors"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Outlook sends POST /autodiscover/autodiscover.xml, in XML ("plain old XML",
// [MS-OXDSCLI]), to autodiscover.<domain> or to the target of the SRV record
// _autodiscover._tcp. Newer clients first get the URL from
// /autodiscover/autodiscover.json. Both paths are compared without regard to case. The
// address in the request selects a mail domain; the host of the request does not. The
// answer is the same whether the account exists or not.
const (
	autodiscoverPath     = "/autodiscover/autodiscover.xml"
	autodiscoverJSONPath = "/autodiscover/autodiscover.json"
	autodiscoverUserPath = "/autodiscover/autodiscover.json/v1.0/" // and the address

	autodiscoverDocument Document = "autodiscover"

	// A request has five elements, three deep, in less than 1 KiB.
	maxAutodiscoverBody     = 16 << 10
	maxAutodiscoverElements = 64

	outlookRequest = "http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"
	mobileRequest  = "http://schemas.microsoft.com/exchange/autodiscover/mobilesync/requestschema/2006"
	outlookSchema  = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
)

// A foldedRoute answers at a path in any case, or below it if it ends in "/".
type foldedRoute struct {
	path  string
	route route
}

func (b *builder) autodiscover(m *mailSettings) {
	xmlRoute := route{document: autodiscoverDocument, dynamic: (*Server).serveAutodiscover}
	jsonRoute := route{document: autodiscoverDocument, dynamic: (*Server).serveAutodiscoverJSON}
	if b.base.IsRelative() {
		xmlRoute.dynamic, jsonRoute.dynamic = nil, nil
	} else {
		body, _ := marshal(autodiscoverURL{"AutodiscoverV1", b.base.MustJoin(autodiscoverPath)})
		m.autodiscoverJSON = newDocument(body, contentTypeJSON)
	}
	for _, r := range []foldedRoute{{autodiscoverPath, xmlRoute}, {autodiscoverJSONPath, jsonRoute}, {autodiscoverUserPath, jsonRoute}} {
		paths := b.atOrigin(r.path)
		b.route(r.route, paths...) // for a clash with another document
		for _, p := range paths {
			m.folded = append(m.folded, foldedRoute{p, r.route})
		}
	}
}

// findFolded returns the route of a path that is compared without regard to case.
func (s *Set) findFolded(path string) (route, bool) {
	if s.mail == nil {
		return route{}, false
	}
	for _, f := range s.mail.folded {
		n := len(f.path)
		switch {
		case len(path) < n || !strings.EqualFold(path[:n], f.path):
		case len(path) == n, f.path[n-1] == '/' && !strings.Contains(path[n:], "/"):
			return f.route, true
		}
	}
	return route{}, false
}

// The answer, [MS-OXDSCLI] section 2.2.4.
type (
	autodiscoverAnswer struct {
		XMLName  xml.Name `xml:"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006 Autodiscover"`
		Response any
	}
	outlookResponse struct {
		XMLName xml.Name       `xml:"http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a Response"`
		User    outlookUser    `xml:"User"`
		Account outlookAccount `xml:"Account"`
	}
	outlookUser struct {
		DisplayName             string
		AutoDiscoverSMTPAddress string
	}
	outlookAccount struct {
		AccountType string
		Action      string
		Protocols   []outlookProtocol `xml:"Protocol"`
	}
	outlookProtocol struct {
		Type           string
		Server         string
		Port           uint16
		DomainRequired string
		LoginName      string
		SPA            string
		SSL            string
		Encryption     string
		AuthRequired   string
	}
	errorResponse struct {
		XMLName xml.Name          `xml:"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006 Response"`
		Error   autodiscoverError `xml:"Error"`
	}
)

// An autodiscoverError is an error of [MS-OXDSCLI] section 2.2.4.1.1.3. Its text is fixed
// and does not quote the request.
type autodiscoverError struct {
	Time      string `xml:"Time,attr"`
	ID        string `xml:"Id,attr"`
	Code      int    `xml:"ErrorCode"`
	Message   string `xml:"Message"`
	DebugData string `xml:"DebugData"`
}

var (
	errUnknownAddress = &autodiscoverError{Code: 500, Message: "The email address cannot be found"}
	errBadRequest     = &autodiscoverError{Code: 600, Message: "Invalid Request"}
	errNoProvider     = &autodiscoverError{Code: 601, Message: "Provider is not available"}
)

func (s *Server) serveAutodiscover(set *Set, w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPost:
	case http.MethodOptions:
		preflight(w, postMethods)
		return
	default:
		notAllowed(w, postMethods)
		return
	}
	status := http.StatusOK // of errors too: they are in the document
	var answer any
	body, err := readBody(w, r)
	if err != nil {
		answer = set.autodiscoverError(errBadRequest)
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
	} else if address, e := readAutodiscover(body); e != nil {
		answer = set.autodiscoverError(e)
	} else if local, domain, ok := set.mail.account(address); !ok {
		answer = set.autodiscoverError(errUnknownAddress)
	} else if o := set.mail.outlook(local, domain); len(o.Account.Protocols) == 0 {
		answer = set.autodiscoverError(errNoProvider)
	} else {
		answer = o
	}
	text, err := encodeXML(autodiscoverAnswer{Response: answer})
	if err != nil { // strings and numbers
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	send(w, r, status, contentTypeXML, text)
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Body == nil { // a request that was not read by net/http
		return nil, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAutodiscoverBody))
	return bytes.TrimPrefix(body, []byte("\ufeff")), err // the byte order mark is not a part of the text (XML 1.0 section 4.3.3)
}

const postMethods = "POST, OPTIONS"

func (s *Set) autodiscoverError(e *autodiscoverError) errorResponse {
	answer := errorResponse{Error: *e}
	answer.Error.Time = time.Now().UTC().Format("15:04:05.0000000")
	answer.Error.ID = strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(s.base.String()))), 10)
	return answer
}

// readAutodiscover reads the address from a request: Autodiscover, Request, and in
// that EMailAddress and AcceptableResponseSchema, each once. It accepts only the entities
// of XML itself, and refuses a document type.
func readAutodiscover(body []byte) (address string, _ *autodiscoverError) {
	d := xml.NewDecoder(bytes.NewReader(body))
	var (
		open   []xml.Name
		fields [2]strings.Builder // EMailAddress, AcceptableResponseSchema
		seen   [2]bool
		count  int
		into   *strings.Builder
	)
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", errBadRequest
		}
		switch t := token.(type) {
		case xml.Directive:
			return "", errBadRequest
		case xml.StartElement:
			count++
			switch {
			case into != nil, // inside of an address
				len(open) == 0 && count > 1, // a second root
				count > maxAutodiscoverElements:
				return "", errBadRequest
			}
			open = append(open, t.Name)
			i := autodiscoverField(open)
			if i < 0 {
				continue
			}
			if seen[i] { // another reader might use the other one
				return "", errBadRequest
			}
			seen[i], into = true, &fields[i]
		case xml.EndElement:
			open, into = open[:len(open)-1], nil
		case xml.CharData:
			if into != nil {
				into.Write(t)
			} else if len(open) == 0 && len(bytes.TrimSpace(t)) > 0 {
				return "", errBadRequest
			}
		}
	}
	if !seen[0] {
		return "", errBadRequest
	}
	if schema := strings.TrimSpace(fields[1].String()); schema != outlookSchema {
		return "", errNoProvider
	}
	return strings.TrimSpace(fields[0].String()), nil
}

// autodiscoverField returns the index of the field that the open elements lead to,
// or -1.
func autodiscoverField(open []xml.Name) int {
	if len(open) != 3 || open[0].Local != "Autodiscover" || open[1].Local != "Request" {
		return -1
	}
	for _, name := range open {
		if name.Space != open[0].Space || name.Space != outlookRequest && name.Space != mobileRequest {
			return -1
		}
	}
	switch open[2].Local {
	case "EMailAddress":
		return 0
	case "AcceptableResponseSchema":
		return 1
	}
	return -1
}

// account splits an address of one of the domains. The local part is the dot-atom
// of RFC 5322 section 3.2.3, with RFC 6532 section 3.2 for what is not ASCII, of at
// most 64 octets (RFC 5321 section 4.5.3.1.1). Quoted local parts, which are rare, are not
// supported. The domain is as in the configuration.
func (m *mailSettings) account(address string) (local, domain string, ok bool) {
	i := strings.LastIndexByte(address, '@')
	if i < 1 || i > 64 {
		return "", "", false
	}
	local, domain = address[:i], domainOf(address)
	if m.autoconfig[domain] == nil || !utf8.ValidString(local) {
		return "", "", false
	}
	for atom := range strings.SplitSeq(local, ".") {
		if atom == "" || strings.ContainsFunc(atom, func(r rune) bool { return !isAtomText(r) }) {
			return "", "", false
		}
	}
	return local, domain, true
}

func isAtomText(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return true
	case r < utf8.RuneSelf:
		return strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
	}
	return unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsNumber(r)
}

// outlook is the answer for an account of a domain.
func (m *mailSettings) outlook(local, domain string) outlookResponse {
	address := local + "@" + domain
	login := address
	if m.LocalPartLogin {
		login = local
	}
	a := outlookResponse{
		User:    outlookUser{DisplayName: address, AutoDiscoverSMTPAddress: address},
		Account: outlookAccount{AccountType: "email", Action: "settings"},
	}
	for _, s := range m.servicesOf(domain) {
		if !isOutlooks(s) {
			continue
		}
		a.Account.Protocols = append(a.Account.Protocols, outlookProtocol{
			Type:           strings.ToUpper(string(s.Protocol)),
			Server:         s.Host,
			Port:           s.Port,
			DomainRequired: "off",
			LoginName:      login,
			SPA:            "off",
			// Encryption is before SSL. A client that does not support it must fail
			// at a service with STARTTLS, and not continue without TLS.
			SSL:          "on",
			Encryption:   [...]string{ImplicitTLS: "SSL", StartTLS: "TLS"}[s.Security],
			AuthRequired: "on",
		})
	}
	return a
}

// isOutlooks reports whether autodiscover can describe a service. It cannot describe
// ManageSieve, and Outlook requires a password for the others.
func isOutlooks(s Service) bool {
	return s.Protocol != ManageSieve && slices.Contains(s.Authentication, AuthPassword)
}

type autodiscoverURL struct {
	Protocol string `json:"Protocol"`
	URL      string `json:"Url"`
}

type autodiscoverJSONError struct {
	Code    string `json:"ErrorCode"`
	Message string `json:"ErrorMessage"`
}

// serveAutodiscoverJSON answers with the URL of autodiscover.xml, the only protocol here.
func (s *Server) serveAutodiscoverJSON(set *Set, w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		reads(w, r)
		return
	}
	var email, protocol string
	query := r.URL.Query()
	for _, name := range slices.Sorted(maps.Keys(query)) { // "Email" wins over "email"
		switch {
		case email == "" && strings.EqualFold(name, "Email"):
			email = query.Get(name)
		case protocol == "" && strings.EqualFold(name, "Protocol"):
			protocol = query.Get(name)
		}
	}
	if last := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]; strings.Contains(last, "@") {
		email = last // autodiscoverUserPath
	}
	fail := func(status int, code, message string) {
		body, _ := marshal(autodiscoverJSONError{code, message})
		send(w, r, status, contentTypeJSON, body)
	}
	switch {
	case protocol == "":
		fail(http.StatusBadRequest, "MandatoryParameterMissing", "A value must be given for the query parameter 'Protocol'.")
	case !strings.EqualFold(protocol, "AutodiscoverV1"):
		fail(http.StatusBadRequest, "InvalidProtocol", "The value of 'Protocol' is not supported. Supported is 'AutodiscoverV1'.")
	case email == "":
		fail(http.StatusBadRequest, "MandatoryParameterMissing", "A value must be given for the query parameter 'Email'.")
	case set.mail.autoconfig[domainOf(email)] == nil:
		fail(http.StatusNotFound, "InvalidDomain", "The domain of 'Email' is not served here.")
	default:
		serveDocument(w, r, set, set.mail.autodiscoverJSON)
	}
}
