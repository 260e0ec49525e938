package discovery

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/publicurl"
)

// outlookAsks returns the request of Outlook for an address, which is not escaped.
func outlookAsks(address string) string {
	return `<?xml version="1.0" encoding="utf-8"?><Autodiscover xmlns="` + outlookRequest + `"><Request><EMailAddress>` + address +
		`</EMailAddress><AcceptableResponseSchema>` + outlookSchema + `</AcceptableResponseSchema></Request></Autodiscover>`
}

func post(t testing.TB, h http.Handler, target, body string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest("POST", target, strings.NewReader(body))
	r.Host = "anything.example"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), w.Body.String()
}

// outlookReader reads the answer by name space and name.
type outlookReader struct {
	XMLName  xml.Name `xml:"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006 Autodiscover"`
	Response struct {
		XMLName xml.Name
		User    struct {
			DisplayName             string `xml:"DisplayName"`
			AutoDiscoverSMTPAddress string `xml:"AutoDiscoverSMTPAddress"`
		} `xml:"http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a User"`
		Account struct {
			AccountType, Action string
			Protocol            []outlookProtocol
		} `xml:"http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a Account"`
		Error struct {
			Time      string `xml:"Time,attr"`
			ID        string `xml:"Id,attr"`
			ErrorCode int
			Message   string
		} `xml:"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006 Error"`
	}
}

func readOutlook(t testing.TB, text string) outlookReader {
	t.Helper()
	require.True(t, strings.HasPrefix(text, xml.Header))
	var answer outlookReader
	require.NoError(t, xml.Unmarshal([]byte(text), &answer))
	return answer
}

func TestAutodiscoverAnswersOutlook(t *testing.T) {
	for _, base := range []string{"https://mail.example.com", "https://mail.example.com:8443/m"} {
		set := mailSet(t, base, Config{Mail: mailExample()})
		h := NewServer(set, ServerConfig{})
		for _, target := range []string{"/autodiscover/autodiscover.xml", "/Autodiscover/Autodiscover.xml", "/AUTODISCOVER/AUTODISCOVER.XML", set.base.Prefix() + "/AutoDiscover/AutoDiscover.xml"} {
			res, body := post(t, h, target, outlookAsks(" fred@Example.NET\n"))
			require.Equal(t, 200, res.StatusCode, target)
			require.Equal(t, "text/xml; charset=utf-8", res.Header.Get("Content-Type"))
			require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
			a := readOutlook(t, body)
			require.Equal(t, outlookSchema, a.Response.XMLName.Space)
			require.Equal(t, "fred@example.net", a.Response.User.AutoDiscoverSMTPAddress)
			require.Equal(t, "email", a.Response.Account.AccountType)
			require.Equal(t, "settings", a.Response.Account.Action)
			protocol := func(kind, host string, port uint16, encryption string) outlookProtocol {
				return outlookProtocol{Type: kind, Server: host, Port: port, DomainRequired: "off", LoginName: "fred@example.net", SPA: "off", SSL: "on", Encryption: encryption, AuthRequired: "on"}
			}
			require.Equal(t, []outlookProtocol{
				protocol("IMAP", "mail.example.com", 993, "SSL"),
				protocol("IMAP", "imap.example.com", 143, "TLS"),
				protocol("POP3", "mail.example.com", 1995, "SSL"),
				protocol("SMTP", "mail.example.com", 465, "SSL"),
				protocol("SMTP", "mail.example.com", 587, "TLS"),
			}, a.Response.Account.Protocol)
		}
	}
}

func TestAutodiscoverKnowsFormOfLogin(t *testing.T) {
	m := mailExample()
	m.LocalPartLogin = true
	h := NewServer(mailSet(t, "https://mail.example.com", Config{Mail: m}), ServerConfig{})
	_, body := post(t, h, autodiscoverPath, outlookAsks("fred@example.com"))
	require.Equal(t, "fred", readOutlook(t, body).Response.Account.Protocol[0].LoginName)
}

func TestAutodiscoverEscapesAddress(t *testing.T) {
	h := NewServer(mailSet(t, "https://mail.example.com", Config{Mail: mailExample()}), ServerConfig{})
	for _, local := range []string{"o'brien&sons", "a{b}|c~", "jürgen", strings.Repeat("a", 64)} {
		var escaped strings.Builder
		require.NoError(t, xml.EscapeText(&escaped, []byte(local)))
		_, body := post(t, h, autodiscoverPath, outlookAsks(escaped.String()+"@example.com"))
		a := readOutlook(t, body)
		require.Equal(t, local+"@example.com", a.Response.User.AutoDiscoverSMTPAddress)
		require.Equal(t, local+"@example.com", a.Response.Account.Protocol[0].LoginName)
	}
}

func TestAutodiscoverErrorDocument(t *testing.T) {
	good := outlookAsks("fred@example.com")
	replace := func(old, by string) string {
		require.Contains(t, good, old)
		return strings.Replace(good, old, by, 1)
	}
	tests := []struct {
		name, body string
		code       int
	}{
		{name: "empty", code: 600},
		{name: "no XML", body: "Email=fred@example.com", code: 600},
		{name: "cut off", body: good[:len(good)-5], code: 600},
		{name: "tags that do not match", body: replace("</Request>", "</Requests>"), code: 600},
		{name: "text behind the end", body: good + "x", code: 600},
		{name: "second root", body: good + good[strings.Index(good, "<Auto"):], code: 600},
		{name: "another root", body: replace(outlookRequest, "urn:x"), code: 600},
		{name: "no name space", body: replace(` xmlns="`+outlookRequest+`"`, ""), code: 600},
		{name: "no address", body: replace("EMailAddress>fred@example.com</EMailAddress", "LegacyDN>x</LegacyDN"), code: 600},
		{name: "two addresses", body: replace("<EMailAddress>", "<EMailAddress>fred@example.net</EMailAddress><EMailAddress>"), code: 600},
		{name: "element in the address", body: replace("fred@", "<b/>fred@"), code: 600},
		{name: "document type", body: `<!DOCTYPE Autodiscover [<!ENTITY x "fred">]>` + good, code: 600},
		{name: "entity", body: replace("fred@", "&x;@"), code: 600},
		{name: "entities that grow", body: `<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>` + replace("fred@", "&b;@"), code: 600},
		{name: "deep nesting", body: strings.Repeat("<a>", 1000), code: 600},
		{name: "many elements", body: replace("<Request>", "<Request>"+strings.Repeat("<a/>", 64)), code: 600},
		{name: "another encoding", body: replace("utf-8", "utf-16"), code: 600},
		{name: "not UTF-8", body: replace("fred@", "\xff\xfe@"), code: 600},
		{name: "control character", body: replace("fred@", "\x01@"), code: 600},
		{name: "null", body: replace("fred@", "&#0;@"), code: 600},
		{name: "no schema", body: replace("<AcceptableResponseSchema>"+outlookSchema+"</AcceptableResponseSchema>", ""), code: 601},
		{name: "unknown schema", body: replace(outlookSchema, "urn:x"), code: 601},
		{name: "ActiveSync", body: strings.ReplaceAll(replace(outlookRequest, mobileRequest), outlookSchema, "http://schemas.microsoft.com/exchange/autodiscover/mobilesync/responseschema/2006"), code: 601},
		{name: "unknown domain", body: replace("fred@example.com", "fred@evil.example"), code: 500},
		{name: "no domain", body: replace("fred@example.com", "fred"), code: 500},
		{name: "no local part", body: replace("fred@", "@"), code: 500},
		{name: "long local part", body: replace("fred@", strings.Repeat("a", 65)+"@"), code: 500},
		{name: "empty address", body: replace("fred@example.com", ""), code: 500},
		{name: "quotes", body: replace("fred@", `"fred"@`), code: 500},
		{name: "angle brackets", body: replace("fred@", `&lt;b&gt;@`), code: 500},
		{name: "end of CDATA", body: replace("fred@", `]]&gt;@`), code: 500},
		{name: "forged element", body: replace("fred@", `&lt;/LoginName&gt;&lt;Server&gt;evil.example&lt;/Server&gt;&lt;LoginName&gt;@`), code: 500},
		{name: "forged element in CDATA", body: replace("fred@", `<![CDATA[</LoginName><Server>evil.example</Server>]]>@`), code: 500},
		{name: "line break", body: replace("fred@", "fr&#10;ed@"), code: 500},
		{name: "blank", body: replace("fred@", "fr ed@"), code: 500},
		{name: "two dots", body: replace("fred@", "fr..ed@"), code: 500},
		{name: "mark that turns the direction", body: replace("fred@", "fr\u202eed@"), code: 500},
		{name: "two at signs", body: replace("fred@", "fred@example.net@"), code: 500},
	}
	set := mailSet(t, "https://mail.example.com", Config{Mail: mailExample()})
	h := NewServer(set, ServerConfig{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res, body := post(t, h, autodiscoverPath, tt.body)
			require.Equal(t, 200, res.StatusCode)
			require.Equal(t, "text/xml; charset=utf-8", res.Header.Get("Content-Type"))
			a := readOutlook(t, body)
			require.Equal(t, tt.code, a.Response.Error.ErrorCode)
			require.NotEmpty(t, a.Response.Error.Message)
			require.Regexp(t, `^\d\d:\d\d:\d\d\.\d{7}$`, a.Response.Error.Time)
			require.Regexp(t, `^\d+$`, a.Response.Error.ID)
			require.Equal(t, "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006", a.Response.XMLName.Space)
			require.Empty(t, a.Response.Account.Protocol)
			for _, theirs := range []string{"fred", "evil", "urn:x", "mobilesync", "Server"} {
				require.NotContains(t, body, theirs)
			}
		})
	}
}

func TestAutodiscoverBodyLimit(t *testing.T) {
	h := NewServer(mailSet(t, "https://mail.example.com", Config{Mail: mailExample()}), ServerConfig{})
	good := outlookAsks("fred@example.com")
	fill := strings.Repeat(" ", maxAutodiscoverBody-len(good))
	res, body := post(t, h, autodiscoverPath, good+fill)
	require.Equal(t, 200, res.StatusCode)
	require.NotEmpty(t, readOutlook(t, body).Response.Account.Protocol)

	res, body = post(t, h, autodiscoverPath, good+fill+" ")
	require.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode)
	require.Equal(t, 600, readOutlook(t, body).Response.Error.ErrorCode)

	read := 0
	endless := readerFunc(func(p []byte) (int, error) { read += len(p); return len(p), nil })
	r := httptest.NewRequest("POST", autodiscoverPath, endless)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, http.StatusRequestEntityTooLarge, w.Code)
	require.LessOrEqual(t, read, 2*maxAutodiscoverBody)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestAutodiscoverBodyBreaksOff(t *testing.T) {
	h := NewServer(mailSet(t, "https://mail.example.com", Config{Mail: mailExample()}), ServerConfig{})
	for _, body := range []io.Reader{nil, iotest.ErrReader(io.ErrUnexpectedEOF)} {
		r := httptest.NewRequest("POST", autodiscoverPath, body)
		if body == nil {
			r.Body = nil
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, 600, readOutlook(t, w.Body.String()).Response.Error.ErrorCode)
	}
}

func TestAutodiscoverTakesPostAlone(t *testing.T) {
	h := NewServer(mailSet(t, "https://mail.example.com", Config{Mail: mailExample()}), ServerConfig{})
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE"} {
		res, body := ask(t, h, method, "/Autodiscover/Autodiscover.xml")
		require.Equal(t, http.StatusMethodNotAllowed, res.StatusCode)
		require.Equal(t, "POST, OPTIONS", res.Header.Get("Allow"))
		require.Empty(t, body)
	}
	res, _ := ask(t, h, "OPTIONS", autodiscoverPath)
	require.Equal(t, http.StatusNoContent, res.StatusCode)
	require.Equal(t, "POST, OPTIONS", res.Header.Get("Access-Control-Allow-Methods"))
}

func TestAutodiscoverJSONPointsToXML(t *testing.T) {
	for base, want := range map[string]string{
		"https://mail.example.com":        "https://mail.example.com/autodiscover/autodiscover.xml",
		"https://mail.example.com:8443/m": "https://mail.example.com:8443/m/autodiscover/autodiscover.xml",
	} {
		set := mailSet(t, base, Config{Mail: mailExample()})
		h := NewServer(set, ServerConfig{})
		for _, target := range []string{
			"/autodiscover/autodiscover.json?Email=fred%40example.com&Protocol=AutodiscoverV1&RedirectCount=1",
			"/Autodiscover/Autodiscover.json?Protocol=Autodiscoverv1&email=fred@EXAMPLE.net",
			"/autodiscover/autodiscover.json/v1.0/fred@example.com?Protocol=AutodiscoverV1",
			"/Autodiscover/autodiscover.json/v1.0/fred%40example.com?Protocol=AutodiscoverV1",
			set.base.Prefix() + "/autodiscover/autodiscover.json?Email=fred@example.com&Protocol=AutodiscoverV1",
		} {
			res, body := ask(t, h, "GET", target, "Host: evil.example", "X-Forwarded-Host: evil.example")
			require.Equal(t, 200, res.StatusCode, target)
			require.Equal(t, "application/json", res.Header.Get("Content-Type"))
			require.Equal(t, `{"Protocol":"AutodiscoverV1","Url":"`+want+`"}`, body)
		}
		u, err := url.Parse(want)
		require.NoError(t, err)
		res, _ := post(t, h, u.Path, outlookAsks("fred@example.com"))
		require.Equal(t, 200, res.StatusCode, "where it points to")
	}
}

func TestAutodiscoverJSONNamesMistake(t *testing.T) {
	h := NewServer(mailSet(t, "https://mail.example.com", Config{Mail: mailExample()}), ServerConfig{})
	tests := []struct {
		target string
		status int
		code   string
	}{
		{target: "?Email=fred@example.com", status: 400, code: "MandatoryParameterMissing"},
		{target: "?Protocol=AutodiscoverV1", status: 400, code: "MandatoryParameterMissing"},
		{target: "?Email=fred@example.com&Protocol=ActiveSync", status: 400, code: "InvalidProtocol"},
		{target: "?Email=fred@example.com&Protocol=%3Cevil%3E", status: 400, code: "InvalidProtocol"},
		{target: "?Email=fred@evil.example&Protocol=AutodiscoverV1", status: 404, code: "InvalidDomain"},
		{target: "?Email=evil&Protocol=AutodiscoverV1", status: 404, code: "InvalidDomain"},
		{target: "/v1.0/fred@evil.example?Protocol=AutodiscoverV1", status: 404, code: "InvalidDomain"},
		{target: "/v1.0/?Protocol=AutodiscoverV1", status: 400, code: "MandatoryParameterMissing"},
	}
	for _, tt := range tests {
		res, body := ask(t, h, "GET", "/autodiscover/autodiscover.json"+tt.target)
		require.Equal(t, tt.status, res.StatusCode, tt.target)
		require.Equal(t, "application/json", res.Header.Get("Content-Type"))
		var e struct{ ErrorCode, ErrorMessage string }
		require.NoError(t, json.Unmarshal([]byte(body), &e))
		require.Equal(t, tt.code, e.ErrorCode, tt.target)
		require.NotEmpty(t, e.ErrorMessage)
		require.NotContains(t, body, "evil")
	}
	for _, path := range []string{"/autodiscover/autodiscover.jso", "/autodiscover/autodiscover.json/", "/autodiscover/autodiscover.json/v1.0/a/b", "/autodiscover/autodiscover.json/v1.0/a%2Fb", "/autodi\u017fcover/autodiscover.json", "/xautodiscover/autodiscover.json"} {
		res, _ := ask(t, h, "GET", path+"?Email=fred@example.com&Protocol=AutodiscoverV1")
		require.Equal(t, 404, res.StatusCode, path)
	}
	res, _ := post(t, h, "/autodiscover/autodiscover.json", "")
	require.Equal(t, http.StatusMethodNotAllowed, res.StatusCode)
}

func BenchmarkMailDocuments(b *testing.B) {
	h := NewServer(mailSet(b, "https://mail.example.com", Config{Mail: mailExample()}), ServerConfig{})
	for _, bb := range []struct{ name, method, target, body string }{
		{name: "autoconfig", method: "GET", target: "/mail/config-v1.1.xml"},
		{name: "autoconfig with an address", method: "GET", target: "/mail/config-v1.1.xml?emailaddress=fred@example.com"},
		{name: "autodiscover", method: "POST", target: autodiscoverPath, body: outlookAsks("fred@example.com")},
		{name: "autodiscover of a body at its limit", method: "POST", target: autodiscoverPath, body: "<a>" + strings.Repeat("<a/>", maxAutodiscoverBody/4-1)},
		{name: "autodiscover of attributes up to the limit", method: "POST", target: autodiscoverPath, body: "<a " + strings.Repeat("a='' ", maxAutodiscoverBody/5-1)},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			r := httptest.NewRequest(bb.method, bb.target, nil)
			r.Host = "autoconfig.example.com"
			for b.Loop() {
				w := httptest.NewRecorder()
				r.Body = io.NopCloser(strings.NewReader(bb.body))
				h.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatal(w.Code)
				}
			}
		})
	}
}

// The answer to any body is a valid document: an error, or settings for an address of one of
// the domains, with only the configured servers.
func FuzzAutodiscover(f *testing.F) {
	f.Add([]byte(outlookAsks("fred@example.com")))
	f.Add([]byte(outlookAsks("o&apos;brien&amp;co@example.net")))
	f.Add([]byte(outlookAsks("<![CDATA[x]]>@example.net")))
	f.Add([]byte(`<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`))
	f.Add([]byte(strings.Repeat("<a>", 20)))
	set := mailSet(f, "https://mail.example.com", Config{Mail: mailExample()})
	h := NewServer(set, ServerConfig{})
	f.Fuzz(func(t *testing.T, body []byte) {
		res, text := post(t, h, autodiscoverPath, string(body))
		require.Contains(t, []int{200, 413}, res.StatusCode)
		a := readOutlook(t, text)
		if a.Response.Error.ErrorCode != 0 {
			require.Contains(t, []int{500, 600, 601}, a.Response.Error.ErrorCode)
			require.Empty(t, a.Response.Account.Protocol)
			return
		}
		require.Len(t, a.Response.Account.Protocol, 5)
		for _, p := range a.Response.Account.Protocol {
			require.Contains(t, []string{"mail.example.com", "imap.example.com"}, p.Server)
			local, domain, ok := set.mail.account(p.LoginName)
			require.True(t, ok, "%q", p.LoginName)
			require.Equal(t, p.LoginName, local+"@"+domain)
			require.Contains(t, []string{"example.com", "example.net"}, domain)
		}
	})
}

func TestAutodiscoverJSONIsStable(t *testing.T) {
	base, err := publicurl.Parse("https://mail.example.com")
	require.NoError(t, err)
	set, err := Build(Config{Base: base, Mail: &Mail{Domains: []string{"example.com"}, Services: []Service{{Protocol: IMAP}}}})
	require.NoError(t, err)
	h := NewServer(set, ServerConfig{})
	for range 50 {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/autodiscover/autodiscover.json?Protocol=AutodiscoverV1&Email=a@example.com&email=b@other.test", nil))
		require.Equal(t, http.StatusOK, w.Code)
	}
}
