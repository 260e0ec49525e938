package discovery

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/publicurl"
)

// mailExample is a configuration with two domains and every kind of service.
func mailExample() *Mail {
	return &Mail{
		Domains:       []string{"example.com", "example.net"},
		Name:          "Example & Söhne",
		ShortName:     "Example",
		Documentation: "https://example.com/help?a=1&b=2",
		Services: []Service{
			{Protocol: IMAP},
			{Protocol: IMAP, Security: StartTLS, Host: "imap.example.com"},
			{Protocol: POP3, Port: 1995},
			{Protocol: Submission},
			{Protocol: Submission, Security: StartTLS},
			{Protocol: ManageSieve, Security: StartTLS},
		},
	}
}

// mailSet builds a Set.
func mailSet(t testing.TB, base string, c Config) *Set {
	t.Helper()
	c.Base = mustBase(t, base)
	set, err := Build(c)
	require.NoError(t, err)
	return set
}

func TestMailNamesEachMistake(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Mail)
		base   string
		want   string // document: field: "input"
		clause string
	}{
		{"no domain", func(m *Mail) { m.Domains = nil }, "", `mail: Domains: give at least one`, "section 3.2.3"},
		{"domain in capitals", func(m *Mail) { m.Domains = []string{"Example.com"} }, "", `mail: Domains: "Example.com": write it as "example.com"`, "RFC 5890"},
		{"domain with the root dot", func(m *Mail) { m.Domains = []string{"example.com."} }, "", `write it as "example.com"`, "RFC 5890"},
		{"domain in U-labels", func(m *Mail) { m.Domains = []string{"bücher.example"} }, "", `write it as "xn--bcher-kva.example"`, "RFC 5890"},
		{"address as domain", func(m *Mail) { m.Domains = []string{"192.0.2.1"} }, "", `use a DNS name, not an address`, "RFC 2782"},
		{"domain with a blank", func(m *Mail) { m.Domains = []string{"exa mple.com"} }, "", `"exa mple.com": use a DNS name`, "RFC 1123"},
		{"domain with markup", func(m *Mail) { m.Domains = []string{"<b>.example"} }, "", `use a DNS name`, "RFC 1123"},
		{"domain with a line break", func(m *Mail) { m.Domains = []string{"example.com\n"} }, "", `use a DNS name`, "RFC 1123"},
		{"long domain", func(m *Mail) { m.Domains = []string{strings.Repeat("a234567.", 30) + "org"} }, "", `at most 253`, "RFC 1035"},
		{"domain twice", func(m *Mail) { m.Domains = []string{"a.example", "a.example"} }, "", `twice`, ""},
		{"long name", func(m *Mail) { m.Name = strings.Repeat("ö", 61) }, "", `mail: Name: `, "section 3.2.4"},
		{"no name and a long domain", func(m *Mail) { m.Name, m.Domains[1] = "", strings.Repeat("a234567.", 8)+"org" }, "", `mail: Name: give a name`, "section 3.2.4"},
		{"long short name", func(m *Mail) { m.ShortName = strings.Repeat("n", 21) }, "", `mail: ShortName: `, "section 3.2.4"},
		{"name with a control character", func(m *Mail) { m.Name = "a\x00b" }, "", `mail: Name: "a\x00b"`, "pacc"},
		{"name with a line break", func(m *Mail) { m.Name = "a\nb" }, "", `mail: Name: "a\nb"`, "pacc"},
		{"name that is not UTF-8", func(m *Mail) { m.Name = "a\xff" }, "", `mail: Name: "a\xff"`, "pacc"},
		{"name that turns the direction", func(m *Mail) { m.Name = "a\u202eb" }, "", `mail: Name: `, "pacc"},
		{"name with blanks around", func(m *Mail) { m.Name = " a" }, "", `mail: Name: `, "pacc"},
		{"documentation without https", func(m *Mail) { m.Documentation = "http://example.com" }, "", `mail: Documentation: `, "pacc"},
		{"documentation with markup", func(m *Mail) { m.Documentation = `https://example.com/"><b>` }, "", `mail: Documentation: `, "pacc"},
		{"documentation with a password", func(m *Mail) { m.Documentation = "https://a:b@example.com/" }, "", `mail: Documentation: `, "pacc"},
		{"unknown protocol", func(m *Mail) { m.Services[0].Protocol = "nntp" }, "", `mail: Services[0].Protocol: "nntp"`, "section 3.5"},
		{"unknown security", func(m *Mail) { m.Services[0].Security = 7 }, "", `mail: Services[0].Security: "7"`, "RFC 8314"},
		{"host in capitals", func(m *Mail) { m.Services[0].Host = "IMAP.example.com" }, "", `mail: Services[0].Host: "IMAP.example.com"`, "RFC 5890"},
		{"address as host", func(m *Mail) { m.Services[0].Host = "192.0.2.1" }, "", `mail: Services[0].Host: "192.0.2.1"`, "RFC 2782"},
		{"host with a port", func(m *Mail) { m.Services[0].Host = "imap.example.com:993" }, "", `mail: Services[0].Host: `, "RFC 1123"},
		{"base without a name", func(m *Mail) {}, "https://192.0.2.1", `the host of the base is an address`, "RFC 2782"},
		{"sieve with implicit TLS", func(m *Mail) { m.Services[5].Security = ImplicitTLS }, "", `mail: Services[5].Port: no port is registered`, "RFC 5804"},
		{"service twice", func(m *Mail) { m.Services[1] = m.Services[0] }, "", `mail: Services[1].Protocol: "imap": the service is there twice`, ""},
		{"OAuth without a server", func(m *Mail) { m.Authentication = []AuthMethod{AuthOAuth2, AuthPassword} }, "", `mail: Authentication: "oauth2"`, "section 6.4"},
		{"OAuth for a service without a server", func(m *Mail) { m.Services[0].Authentication = []AuthMethod{AuthOAuth2} }, "", `mail: Services[0].Authentication: "oauth2": there is no authorization server`, "section 6.4"},
		{"no method", func(m *Mail) { m.Services[0].Authentication = []AuthMethod{} }, "", `mail: Services[0].Authentication: a service without a method`, "section 3.7.4"},
		{"services for a domain that is not one", func(m *Mail) { m.PerDomain = map[string][]Service{"example.org": {{Protocol: IMAP}}} }, "", `mail: PerDomain[example.org]: "example.org": it is not a mail domain`, "section 3.2.3"},
		{"services for a domain that is spelt differently", func(m *Mail) { m.PerDomain = map[string][]Service{"Example.com": {{Protocol: IMAP}}} }, "", `mail: PerDomain[Example.com]: "Example.com": it is not a mail domain`, "section 3.2.3"},
		{"no service for a domain", func(m *Mail) { m.PerDomain = map[string][]Service{"example.net": {}} }, "", `mail: PerDomain[example.net]: give at least one service`, "section 6"},
		{"a bad host of a domain", func(m *Mail) {
			m.PerDomain = map[string][]Service{"example.net": {{Protocol: IMAP}, {Protocol: POP3, Host: "POP"}}}
		}, "", `mail: PerDomain[example.net][1].Host: "POP"`, "RFC 5890"},
		{"a service of a domain twice", func(m *Mail) { m.PerDomain = map[string][]Service{"example.net": {{Protocol: IMAP}, {Protocol: IMAP}}} }, "", `mail: PerDomain[example.net][1].Protocol: "imap": the service is there twice`, ""},
		{"no service for the other domain", func(m *Mail) { m.Services, m.PerDomain = nil, map[string][]Service{"example.net": {{Protocol: IMAP}}} }, "", `mail: Services: give at least one service`, "section 6"},
		{"unknown method", func(m *Mail) { m.Authentication = []AuthMethod{AuthPassword, "NTLM"} }, "", `mail: Authentication: "NTLM"`, "section 3.7.4"},
		{"method twice", func(m *Mail) { m.Authentication = []AuthMethod{AuthPassword, AuthPassword} }, "", `the method is there twice`, ""},
		{"client identifier beyond ASCII", func(m *Mail) { m.ClientID = "ö" }, "", `mail: ClientID: "ö"`, "RFC 6749"},
		{"parts of a second", func(m *Mail) { m.TTL = time.Millisecond }, "", `mail: TTL: "1ms"`, "RFC 2181"},
		{"negative time to live", func(m *Mail) { m.TTL = -time.Second }, "", `mail: TTL: "-1s"`, "RFC 2181"},
		{"endless time to live", func(m *Mail) { m.TTL = 1 << 31 * time.Second }, "", `mail: TTL: `, "RFC 2181"},
		{"no service", func(m *Mail) { m.Services = nil }, "", `mail: Services: give at least one service`, "section 6"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := mailExample()
			tt.change(m)
			set, err := Build(Config{Base: mustBase(t, orDefault(tt.base, "https://mail.example.com")), Mail: m})
			require.ErrorContains(t, err, tt.want)
			require.Nil(t, set)
			var e *Error
			require.ErrorAs(t, err, &e)
			require.True(t, strings.HasPrefix(e.Error(), "discovery: mail: "))
			require.ErrorContains(t, err, tt.clause)
		})
	}
}

func TestMailReportsEveryMistakeAtOnce(t *testing.T) {
	m := mailExample()
	m.Domains[1], m.Services[0].Host, m.TTL = "A", "B", -1
	_, err := Build(Config{Base: mustBase(t, "https://mail.example.com"), Mail: m})
	for _, want := range []string{"Domains", "Services[0].Host", "TTL"} {
		require.ErrorContains(t, err, "mail: "+want)
	}
}

func TestMailDoesNotChangeTheConfiguration(t *testing.T) {
	m := mailExample()
	mailSet(t, "https://mail.example.com", Config{Mail: m, OAuth: withRegistration()})
	require.Equal(t, mailExample(), m)
}

func TestMailDoesNotFollowTheConfiguration(t *testing.T) {
	m := mailExample()
	set := mailSet(t, "https://mail.example.com", Config{Mail: m})
	before := set.DNS().String()
	m.Domains[0], m.Services[0].Host = "evil.example", "evil.example"
	require.Equal(t, before, set.DNS().String())
}

func TestMailIsFoundAtABaseWithoutAName(t *testing.T) {
	m := &Mail{Domains: []string{"example.com"}, Services: []Service{{Protocol: IMAP, Host: "imap.example.com"}}}
	h := NewServer(mailSet(t, "https://[2001:db8::1]:8443", Config{Mail: m}), ServerConfig{})
	for _, path := range []string{userAgentPath, autoconfigPaths[0]} {
		for _, host := range []string{"[2001:db8::1]:8443", "[2001:DB8::1]"} {
			res, _ := ask(t, h, "GET", path, "Host: "+host)
			require.Equal(t, 200, res.StatusCode, host)
		}
	}
}

// Every path at which a client may ask, and what is there in a proxy that mounts the
// server on a path.
var mailPaths = []string{userAgentPath, autoconfigPaths[0], autoconfigPaths[1], autoconfigPaths[2], autodiscoverPath, autodiscoverJSONPath, mtaSTSPath}

func TestMailDocumentsAreAbsentWithoutAHost(t *testing.T) {
	for _, base := range []string{"", "/mail"} {
		set := mailSet(t, base, Config{Mail: mailExample(), MTASTS: &MTASTS{MX: []string{"mx.example.com"}}})
		h := NewServer(set, ServerConfig{})
		for _, path := range mailPaths {
			for _, host := range []string{"example.com", "autoconfig.example.com", "ua-auto-config.example.com", "mta-sts.example.com"} {
				for _, method := range []string{"GET", "POST"} {
					for _, prefix := range []string{"", base} {
						res, _ := ask(t, h, method, prefix+path+"?emailaddress=a@example.com&Email=a@example.com&Protocol=AutodiscoverV1", "Host: "+host)
						require.Equal(t, 404, res.StatusCode, "%s %s", method, path)
						require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
					}
				}
			}
		}
		require.Nil(t, set.DNS())
		require.Nil(t, set.Bytes(UserAgentDocument))
		require.Nil(t, set.Bytes(MTASTSDocument))
	}
}

func TestMailPathsAreThereWhetherAProxyStripsThePrefixOrNot(t *testing.T) {
	set := mailSet(t, "https://example.com/mail", Config{Mail: mailExample()})
	h := NewServer(set, ServerConfig{})
	_, want := ask(t, h, "GET", "/mail/config-v1.1.xml", "Host: autoconfig.example.net")
	for _, target := range []string{"/config-v1.1.xml", "/mail/mail/config-v1.1.xml", "/.well-known/autoconfig/mail/config-v1.1.xml", "/mail/.well-known/autoconfig/mail/config-v1.1.xml", "/.well-known/mail-v1.xml"} {
		res, body := ask(t, h, "GET", target, "Host: autoconfig.example.net")
		require.Equal(t, 200, res.StatusCode, target)
		require.Equal(t, want, body, target)
	}
	res, _ := ask(t, h, "GET", "/mail/.well-known/user-agent-configuration.json", "Host: ua-auto-config.example.net")
	require.Equal(t, 200, res.StatusCode)
	for _, target := range []string{"/mail/config-v1.1.xml/", "/mail/config-v1.1.xml/x", "/mail/Config-v1.1.xml", "/mail%2Fconfig-v1.1.xml", "//mail/config-v1.1.xml"} {
		res, _ := ask(t, h, "GET", target, "Host: autoconfig.example.net")
		require.Equal(t, 404, res.StatusCode, target)
	}
}

func TestDomainOf(t *testing.T) {
	tests := map[string]string{
		"fred@example.com":              "example.com",
		"fred@EXAMPLE.com":              "example.com",
		`"a@b"@example.com`:             "example.com",
		"fred@bücher.example":           "xn--bcher-kva.example",
		"fred@BÜCHER.example":           "xn--bcher-kva.example",
		"fred":                          "",
		"fred@":                         "",
		"fred@\xff":                     "",
		"@" + strings.Repeat("a", 2000): "",
	}
	for address, want := range tests {
		require.Equal(t, want, domainOf(address), "%q", address)
	}
}

func TestPasswordsAreNotAskedForInTheClear(t *testing.T) {
	for raw, published := range map[string]bool{
		"https://mail.example.com": true,
		"http://localhost:8080":    true, // no network is on the way
		"http://mail.example.com":  false,
	} {
		base, err := publicurl.Parse(raw, publicurl.AllowInsecureHTTP())
		require.NoError(t, err)
		set, err := Build(Config{Base: base, JMAP: &JMAP{}, DAV: &DAV{}, Mail: &Mail{
			Domains:  []string{"example.com"},
			Services: []Service{{Protocol: IMAP, Host: "imap.example.com"}},
		}})
		require.NoError(t, err, raw)
		body := string(set.Bytes(AutoconfigDocument("example.com")))
		require.Contains(t, body, "imap.example.com")
		if published {
			require.Contains(t, body, raw+"/jmap/session")
		} else {
			require.NotContains(t, body, "http://")
		}
	}
}
