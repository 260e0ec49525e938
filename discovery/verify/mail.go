package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/seed-94e48765/portico/discovery"
)

var mailHosts = []string{userAgentHost, autoconfigHost, mtaSTSHost}

// A mailLocation is where a mail document may be.
type mailLocation struct {
	document discovery.Document
	url      string
	domain   bool // at a host that is only for this document of a mail domain
	apex     bool // at the mail domain itself, where a web site may be
}

func (v *verifier) mailLocations() []mailLocation {
	origin := v.base.Origin()
	all := []mailLocation{
		{document: discovery.UserAgentDocument, url: origin + userAgentPath},
		{document: autoconfigDocument, url: origin + autoconfigWell},
	}
	for _, d := range v.settings.MailDomains {
		all = append(all,
			mailLocation{document: discovery.UserAgentDocument, url: "https://" + userAgentHost + d + userAgentPath, domain: true},
			mailLocation{document: discovery.AutoconfigDocument(d), url: "https://" + autoconfigHost + d + autoconfigPath + "?emailaddress=portico-verify%40" + d, domain: true},
			mailLocation{document: discovery.MTASTSDocument, url: "https://" + mtaSTSHost + d + mtaSTSPath, domain: true},
		)
		if apex := "https://" + d; apex != origin {
			all = append(all, mailLocation{document: discovery.AutoconfigDocument(d), url: apex + autoconfigWell + "?emailaddress=portico-verify%40" + d, apex: true})
		}
	}
	return all
}

// mailDocuments checks the documents of mail clients. At the host of the base, which may be
// that of a web site, another answer counts as an absent document.
func (v *verifier) mailDocuments(ctx context.Context) {
	for _, l := range v.mailLocations() {
		a := v.ask(ctx, l.document, get(l.url))
		if l.domain {
			if !v.domainDocument(ctx, l, a) {
				continue
			}
		} else if a.err != nil || a.status != http.StatusOK || isHTML(a) || a.isRedirect() {
			continue
		} else if !l.apex && v.base.Prefix() != "" && !bytes.Contains(a.body, []byte(v.base.String())) {
			continue // the answer is from another program at this host
		}
		v.found[l.document] = true
		v.compare(l.document, l.url, false)
		switch l.document {
		case discovery.UserAgentDocument:
			v.userAgentDocument(ctx, l, a)
		case discovery.MTASTSDocument:
			v.mtaSTSPolicy(l, a)
		default:
			v.autoconfigDocument(ctx, l, a)
			v.withoutAddress(ctx, l)
		}
	}
	v.mailDomains(ctx)
}

// domainDocument reports whether a host of a mail domain has the document.
func (v *verifier) domainDocument(ctx context.Context, l mailLocation, a *fetched) bool {
	var noHost *net.DNSError
	switch {
	case errors.As(a.err, &noHost) && noHost.IsNotFound, a.isAbsent():
		if v.settings.expected[l.document] {
			v.missing(l.document, l.url, "the document is expected", "", SeverityError)
		}
	case a.isRedirect():
		v.add(Finding{Document: l.document, URL: l.url, Rule: ruleRedirect, Severity: SeverityError, Got: a.header.Get("Location"), Want: "200",
			Hint: "the document is for this very host, and clients need not follow a redirect (RFC 8461 section 3.3 forbids it): route the host to the server, without a redirect to the main name", Mistake: MistakeRedirect})
	case v.answered(ctx, l.document, l.url, a) != there:
	case isHTML(a):
		v.html(l.document, l.url, a, SeverityError)
	default:
		return true
	}
	return false
}

// mailURL checks a URL in a mail document. A provider may have services at other hosts, which
// Run does not check.
func (v *verifier) mailURL(ctx context.Context, l mailLocation, field, u string, refersTo discovery.Document) {
	u = placeholders.Replace(u)
	if !isRelativeReference(u) && !v.base.SameOrigin(u) && !v.isMistakenHost(u) {
		return
	}
	if v.published(ctx, l.document, l.url, field, u, plainURL) && refersTo != "" {
		v.claimed[refersTo] = l.url
	}
}

// mailIssuer is mailURL for an issuer. Thunderbird's own documents have host names
// there.
func (v *verifier) mailIssuer(ctx context.Context, l mailLocation, field, issuer string) {
	switch {
	case issuer == v.ownIssuer:
		v.claimed[discovery.OAuthDocument] = l.url
	case strings.Contains(issuer, "/") && (isRelativeReference(issuer) || v.isMisspelt(issuer)):
		v.issuer(ctx, l.document, l.url, field, issuer)
	}
}

// userAgentDocument checks the user-agent configuration (PACC).
func (v *verifier) userAgentDocument(ctx context.Context, l mailLocation, a *fetched) {
	var o object
	if err := json.Unmarshal(a.body, &o); err != nil || o.member("protocols") == nil {
		v.malformedMail(l, a, `a JSON object with "protocols"`)
		return
	}
	protocols := o.member("protocols")
	for _, p := range []struct {
		name     string
		document discovery.Document
	}{{"jmap", discovery.JMAPDocument}, {"caldav", discovery.DAVDocument}, {"carddav", discovery.DAVDocument}, {"webdav", ""}} {
		if u, ok := protocols.member(p.name).text("url"); ok {
			v.mailURL(ctx, l, p.name, u, p.document)
		}
	}
	if issuer, ok := o.member("authentication").member("oauth-public").text("issuer"); ok {
		v.mailIssuer(ctx, l, "issuer", issuer)
	}
}

func (v *verifier) malformedMail(l mailLocation, a *fetched, want string) {
	s := SeverityError
	if !l.domain {
		s = SeverityWarning // a client goes on with the next location
	}
	v.add(Finding{Document: l.document, URL: l.url, Rule: ruleMalformed, Severity: s, Got: v.snippet(a.body), Want: want,
		Hint: "mail clients cannot read this: see what answers here, or what rewrites the body on its way", Mistake: MistakeBody})
}

// maxXMLDepth is more than the format needs.
const maxXMLDepth = 32

// autoconfigDocument checks that Thunderbird's document is well-formed as a whole,
// and the URLs in it.
func (v *verifier) autoconfigDocument(ctx context.Context, l mailLocation, a *fetched) {
	type text struct{ name, service, value string }
	var (
		texts []text
		path  []string
		kind  string // the type attribute of the open server element
		seen  bool
		inner strings.Builder // the text since the last tag, which comments may divide
	)
	const maxTexts = 200
	d := xml.NewDecoder(bytes.NewReader(a.body))
	d.CharsetReader = westernCharset
	for {
		token, err := d.Token()
		if err == io.EOF && seen && len(path) == 0 {
			break
		}
		if errors.Is(err, errCharset) {
			return // clients support more of them
		}
		if err != nil || len(path) > maxXMLDepth {
			v.malformedMail(l, a, "well-formed XML with the root clientConfig")
			return
		}
		switch t := token.(type) {
		case xml.StartElement:
			if len(path) == 0 && (seen || t.Name.Local != "clientConfig") {
				v.malformedMail(l, a, "well-formed XML with the root clientConfig")
				return
			}
			seen = true
			inner.Reset()
			path = append(path, t.Name.Local)
			for _, attr := range t.Attr {
				if attr.Name.Local == "type" {
					kind = attr.Value
				}
			}
		case xml.EndElement:
			if n := len(path); n > 1 && len(texts) < maxTexts {
				texts = append(texts, text{path[n-1], path[n-2] + " " + kind, strings.TrimSpace(inner.String())})
			}
			inner.Reset()
			path = path[:len(path)-1]
		case xml.CharData:
			inner.Write(t)
		}
	}
	for _, t := range texts {
		switch _, kind, _ := strings.Cut(t.service, " "); {
		case t.value == "":
		case t.name == "issuer":
			v.mailIssuer(ctx, l, "issuer", t.value)
		case t.name == "authURL" || t.name == "tokenURL":
			v.mailURL(ctx, l, t.name, t.value, discovery.OAuthDocument)
		case (t.name == "url" || strings.HasSuffix(t.name, "URL")) && kind == "jmap":
			v.mailURL(ctx, l, t.name, t.value, discovery.JMAPDocument)
		case t.name == "url" && (kind == "caldav" || kind == "carddav"):
			v.mailURL(ctx, l, t.name, t.value, discovery.DAVDocument)
		case t.name == "url":
			v.mailURL(ctx, l, t.name, t.value, "")
		}
	}
}

// placeholders are replaced by the client in an autoconfig document.
var placeholders = strings.NewReplacer("%EMAILADDRESS%", "portico-verify", "%EMAILLOCALPART%", "portico-verify", "%EMAILDOMAIN%", "portico-verify")

var errCharset = errors.New("verify: another charset")

// westernCharset reads the ASCII characters of charsets other than UTF-8. URLs have no other
// characters.
func westernCharset(charset string, in io.Reader) (io.Reader, error) {
	switch strings.ToLower(charset) {
	case "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252":
	default:
		return nil, errCharset
	}
	all, err := io.ReadAll(in)
	text := strings.Map(func(r rune) rune {
		if r == utf8.RuneError {
			return '?'
		}
		return r
	}, string(all))
	return strings.NewReader(text), err
}
