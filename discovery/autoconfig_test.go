package discovery

import (
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAutoconfigIsWhatDraftDemands(t *testing.T) {
	set := mailSet(t, "https://mail.example.com:8443/m", Config{Mail: mailExample(), JMAP: new(JMAP), DAV: new(DAV), OAuth: &OAuth{RegistrationPath: "/auth/register", Scopes: []string{"mail", "offline_access"}}})
	c, err := checkAutoconfig(string(set.Bytes(AutoconfigDocument("example.net"))))
	require.NoError(t, err)
	p := c.one("emailProvider")
	require.Equal(t, "example.net", p.attrs["id"])
	require.Len(t, p.all("domain"), 1, "the other domains of the server are not published")
	require.Equal(t, "example.net", p.one("domain").text)
	require.Equal(t, "Example & Söhne", p.one("displayName").text)
	require.Equal(t, "Example", p.one("displayShortName").text)
	require.Equal(t, "https://example.com/help?a=1&b=2", p.one("documentation").attrs["url"])
	require.Equal(t, []string{
		"imap mail.example.com 993 SSL OAuth2 password-cleartext %EMAILADDRESS%",
		"imap imap.example.com 143 STARTTLS OAuth2 password-cleartext %EMAILADDRESS%",
		"pop3 mail.example.com 1995 SSL OAuth2 password-cleartext %EMAILADDRESS%",
		"jmap https://mail.example.com:8443/m/jmap/session OAuth2 Basic %EMAILADDRESS%",
	}, summaries(p.all("incomingServer")))
	require.Equal(t, []string{
		"smtp mail.example.com 465 SSL OAuth2 password-cleartext %EMAILADDRESS%",
		"smtp mail.example.com 587 STARTTLS OAuth2 password-cleartext %EMAILADDRESS%",
	}, summaries(p.all("outgoingServer")))
	require.Equal(t, "caldav https://mail.example.com:8443/m/dav/cal/ OAuth2 Basic %EMAILADDRESS%", c.one("calendar").summary())
	require.Equal(t, "carddav https://mail.example.com:8443/m/dav/card/ OAuth2 Basic %EMAILADDRESS%", c.one("addressbook").summary())
	require.Equal(t, "webdav https://mail.example.com:8443/m/dav/file/ OAuth2 Basic %EMAILADDRESS%", c.one("fileShare").summary())
	require.Equal(t, "managesieve mail.example.com 4190 STARTTLS OAuth2 password-cleartext %EMAILADDRESS%", c.one("setupServer").summary())
	require.Equal(t, " https://mail.example.com:8443/m/login https://mail.example.com:8443/m/auth/token https://mail.example.com:8443/m mail offline_access", c.one("oAuth2").summary())
}

func TestAutoconfigHasOnlyWhatServerHas(t *testing.T) {
	m := &Mail{Domains: []string{"example.com"}, Services: []Service{{Protocol: IMAP}}, LocalPartLogin: true}
	set := mailSet(t, "https://mail.example.com", Config{Mail: m, DAV: &DAV{CalendarPath: None, FilePath: None}})
	c, err := checkAutoconfig(string(set.Bytes(AutoconfigDocument("example.com"))))
	require.NoError(t, err)
	p := c.one("emailProvider")
	require.Equal(t, "example.com", p.one("displayName").text)
	require.Equal(t, []string{"imap mail.example.com 993 SSL password-cleartext %EMAILLOCALPART%"}, summaries(p.all("incomingServer")))
	require.Equal(t, "carddav https://mail.example.com/dav/card/ Basic %EMAILLOCALPART%", c.one("addressbook").summary())
	require.Empty(t, slices.Concat(p.all("outgoingServer"), p.all("documentation"), p.all("displayShortName"), c.all("calendar"), c.all("fileShare"), c.all("setupServer"), c.all("oAuth2")))
}

func TestAutoconfigNeedsClientID(t *testing.T) {
	oauth := &OAuth{}
	m := mailExample()
	set := mailSet(t, "https://mail.example.com", Config{Mail: m, OAuth: oauth})
	require.NotContains(t, string(set.Bytes(AutoconfigDocument("example.com"))), "OAuth2", "the default is what clients can use")

	m.Authentication = []AuthMethod{AuthOAuth2, AuthPassword}
	_, err := Build(Config{Base: mustBase(t, "https://mail.example.com"), Mail: m, OAuth: oauth})
	require.ErrorContains(t, err, `mail: ClientID: give a client identifier`)
	mailSet(t, "https://mail.example.com", Config{Mail: m, OAuth: withRegistration()})

	m.ClientID = `open "<client>"`
	set = mailSet(t, "https://mail.example.com", Config{Mail: m, OAuth: oauth})
	c, err := checkAutoconfig(string(set.Bytes(AutoconfigDocument("example.com"))))
	require.NoError(t, err)
	require.Equal(t, m.ClientID, c.one("oAuth2").one("clientID").text)
}

func TestAutoconfigIsSelectedAmongDomains(t *testing.T) {
	set := mailSet(t, "https://mail.example.org", Config{Mail: mailExample()})
	h := NewServer(set, ServerConfig{})
	tests := []struct{ host, query, want string }{
		{host: "autoconfig.example.com", want: "example.com"},
		{host: "autoconfig.example.net", want: "example.net"},
		{host: "AutoConfig.Example.NET.:443", want: "example.net"},
		{host: "example.net", want: "example.net"},
		{host: "mail.example.org", want: "example.com"},
		{host: "mail.example.org:8443", want: "example.com"},
		{host: "mail.example.org", query: "?emailaddress=fred@example.net", want: "example.net"},
		{host: "mail.example.org", query: "?emailaddress=fred%40EXAMPLE.NET", want: "example.net"},
		{host: "10.0.0.1", query: "?emailaddress=fred@example.net", want: "example.net"},
		{host: "autoconfig.example.com", query: "?emailaddress=unknown@example.com", want: "example.com"},
		{host: "autoconfig.example.com", query: "?emailaddress=", want: "example.com"},
		{host: "autoconfig.example.com", query: "?emailmd5=0", want: "example.com"},
		{host: "autoconfig.example.com", query: "?emailaddress=fred@example.org"},
		{host: "autoconfig.example.com", query: "?emailaddress=fred"},
		{host: "autoconfig.example.org"},
		{host: "evil.example"},
		{host: "evil.example:autoconfig.example.com"},
		{host: "autoconfig.example.com.evil.example"},
		{},
	}
	for _, tt := range tests {
		t.Run(tt.host+tt.query, func(t *testing.T) {
			for _, path := range autoconfigPaths {
				res, body := ask(t, h, "GET", path+tt.query, "Host: "+tt.host, "X-Forwarded-Host: autoconfig.example.net", "Forwarded: host=autoconfig.example.net")
				if tt.want == "" {
					require.Equal(t, 404, res.StatusCode)
					continue
				}
				require.Equal(t, 200, res.StatusCode)
				require.Equal(t, "text/xml; charset=utf-8", res.Header.Get("Content-Type"))
				require.Equal(t, string(set.Bytes(AutoconfigDocument(tt.want))), body)
			}
		})
	}
}

var forgedAddresses = []string{
	`fred"@example.com`,
	`<b>@example.com`,
	`]]>@example.com`,
	"a\x00\r\n\x1b@example.com",
	`</username><incomingServer type="imap"><hostname>evil.example</hostname></incomingServer><username>@example.com`,
	`fred@example.com</domain><domain>evil.example`,
	`%EMAILADDRESS%@example.com`,
	`<!DOCTYPE x [<!ENTITY y SYSTEM "file:///etc/passwd">]>&y;@example.com`,
}

func TestAutoconfigHoldsNothingOfAddress(t *testing.T) {
	set := mailSet(t, "https://mail.example.com", Config{Mail: mailExample()})
	h := NewServer(set, ServerConfig{})
	for _, address := range forgedAddresses {
		res, body := ask(t, h, "GET", "/mail/config-v1.1.xml?emailaddress="+url.QueryEscape(address), "Host: autoconfig.example.com")
		if strings.HasSuffix(address, "@example.com") {
			require.Equal(t, string(set.Bytes(AutoconfigDocument("example.com"))), body)
		} else {
			require.Equal(t, 404, res.StatusCode)
		}
	}
}

func TestAutoconfigEscapesConfiguration(t *testing.T) {
	m := mailExample()
	m.Name, m.ShortName = `"<b>]]>&amp;'`, `</displayShortName>`
	m.Documentation = "https://example.com/?a='1'&b=]]"
	set := mailSet(t, "https://mail.example.com", Config{Mail: m})
	c, err := checkAutoconfig(string(set.Bytes(AutoconfigDocument("example.com"))))
	require.NoError(t, err)
	require.Equal(t, m.Name, c.one("emailProvider").one("displayName").text)
	require.Equal(t, m.ShortName, c.one("emailProvider").one("displayShortName").text)
	require.Equal(t, m.Documentation, c.one("emailProvider").one("documentation").attrs["url"])
}

func TestAutoconfigWithoutAddress(t *testing.T) {
	set := mailSet(t, "https://mail.example.com", Config{Mail: mailExample(), MTASTS: &MTASTS{MX: []string{"mx.example.com"}}})
	h := NewServer(set, ServerConfig{})
	for path, host := range map[string]string{autoconfigPaths[0]: "autoconfig.example.com", userAgentPath: "ua-auto-config.example.com", mtaSTSPath: "mta-sts.example.com"} {
		r := request(t, "GET", path, "Host: "+host)
		w := httptest.NewRecorder()
		w.Body = nil
		require.LessOrEqual(t, testing.AllocsPerRun(100, func() { h.ServeHTTP(w, r) }), 1.0, path)
		require.Equal(t, 200, w.Code)
	}
}

// The answer to any address is one of the documents, or 404.
func FuzzAutoconfig(f *testing.F) {
	for _, a := range forgedAddresses {
		f.Add(a, "autoconfig.example.com")
	}
	f.Add("fred@example.net", "mail.example.com")
	f.Add("fred@bücher.example", "")
	set := mailSet(f, "https://mail.example.com", Config{Mail: mailExample()})
	h := NewServer(set, ServerConfig{})
	f.Fuzz(func(t *testing.T, address, host string) {
		r := request(t, "GET", "/mail/config-v1.1.xml?emailaddress="+url.QueryEscape(address))
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		switch body := w.Body.String(); w.Code {
		case 404:
		case 200:
			require.True(t, body == string(set.Bytes(AutoconfigDocument("example.com"))) || body == string(set.Bytes(AutoconfigDocument("example.net"))))
		default:
			t.Fatalf("status %d", w.Code)
		}
	})
}

func TestAutoconfigOfNestedDomain(t *testing.T) {
	for _, domains := range [][]string{{"example.com", "autoconfig.example.com"}, {"autoconfig.example.com", "example.com"}} {
		set := mailSet(t, "https://mail.example.org", Config{Mail: &Mail{Domains: domains, Services: []Service{{Protocol: IMAP, Host: "imap.example.com"}}}})
		_, body := ask(t, NewServer(set, ServerConfig{}), "GET", autoconfigPaths[0], "Host: autoconfig.example.com")
		require.Equal(t, string(set.Bytes(AutoconfigDocument("example.com"))), body, "%v", domains)
	}
}
