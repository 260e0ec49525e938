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
		{name: "no domain", change: func(m *Mail) { m.Domains = nil }, want: `mail: Domains: give at least one`, clause: "section 3.2.3"},
		{name: "domain in capitals", change: func(m *Mail) { m.Domains = []string{"Example.com"} }, want: `mail: Domains: "Example.com": write it as "example.com"`, clause: "RFC 5890"},
		{name: "domain with the root dot", change: func(m *Mail) { m.Domains = []string{"example.com."} }, want: `write it as "example.com"`, clause: "RFC 5890"},
		{name: "domain in U-labels", change: func(m *Mail) { m.Domains = []string{"bücher.example"} }, want: `write it as "xn--bcher-kva.example"`, clause: "RFC 5890"},
		{name: "address as domain", change: func(m *Mail) { m.Domains = []string{"192.0.2.1"} }, want: `use a DNS name, not an address`, clause: "RFC 2782"},
		{name: "domain with a blank", change: func(m *Mail) { m.Domains = []string{"exa mple.com"} }, want: `"exa mple.com": use a DNS name`, clause: "RFC 1123"},
		{name: "domain with markup", change: func(m *Mail) { m.Domains = []string{"<b>.example"} }, want: `use a DNS name`, clause: "RFC 1123"},
		{name: "domain with a line break", change: func(m *Mail) { m.Domains = []string{"example.com\n"} }, want: `use a DNS name`, clause: "RFC 1123"},
		{name: "long domain", change: func(m *Mail) { m.Domains = []string{strings.Repeat("a234567.", 30) + "org"} }, want: `at most 253`, clause: "RFC 1035"},
		{name: "domain twice", change: func(m *Mail) { m.Domains = []string{"a.example", "a.example"} }, want: `duplicate domain`},
		{name: "long name", change: func(m *Mail) { m.Name = strings.Repeat("ö", 61) }, want: `mail: Name: `, clause: "section 3.2.4"},
		{name: "no name and a long domain", change: func(m *Mail) { m.Name, m.Domains[1] = "", strings.Repeat("a234567.", 8)+"org" }, want: `mail: Name: give a name`, clause: "section 3.2.4"},
		{name: "long short name", change: func(m *Mail) { m.ShortName = strings.Repeat("n", 21) }, want: `mail: ShortName: `, clause: "section 3.2.4"},
		{name: "name with a control character", change: func(m *Mail) { m.Name = "a\x00b" }, want: `mail: Name: "a\x00b"`, clause: "pacc"},
		{name: "name with a line break", change: func(m *Mail) { m.Name = "a\nb" }, want: `mail: Name: "a\nb"`, clause: "pacc"},
		{name: "name that is not UTF-8", change: func(m *Mail) { m.Name = "a\xff" }, want: `mail: Name: "a\xff"`, clause: "pacc"},
		{name: "name that turns the direction", change: func(m *Mail) { m.Name = "a\u202eb" }, want: `mail: Name: `, clause: "pacc"},
		{name: "name with blanks around", change: func(m *Mail) { m.Name = " a" }, want: `mail: Name: `, clause: "pacc"},
		{name: "documentation without https", change: func(m *Mail) { m.Documentation = "http://example.com" }, want: `mail: Documentation: `, clause: "pacc"},
		{name: "documentation with markup", change: func(m *Mail) { m.Documentation = `https://example.com/"><b>` }, want: `mail: Documentation: `, clause: "pacc"},
		{name: "documentation with a password", change: func(m *Mail) { m.Documentation = "https://a:b@example.com/" }, want: `mail: Documentation: `, clause: "pacc"},
		{name: "unknown protocol", change: func(m *Mail) { m.Services[0].Protocol = "nntp" }, want: `mail: Services[0].Protocol: "nntp"`, clause: "section 3.5"},
		{name: "unknown security", change: func(m *Mail) { m.Services[0].Security = 7 }, want: `mail: Services[0].Security: "7"`, clause: "RFC 8314"},
		{name: "host in capitals", change: func(m *Mail) { m.Services[0].Host = "IMAP.example.com" }, want: `mail: Services[0].Host: "IMAP.example.com"`, clause: "RFC 5890"},
		{name: "address as host", change: func(m *Mail) { m.Services[0].Host = "192.0.2.1" }, want: `mail: Services[0].Host: "192.0.2.1"`, clause: "RFC 2782"},
		{name: "host with a port", change: func(m *Mail) { m.Services[0].Host = "imap.example.com:993" }, want: `mail: Services[0].Host: `, clause: "RFC 1123"},
		{name: "base without a name", change: func(m *Mail) {}, base: "https://192.0.2.1", want: `the host of the base is an address`, clause: "RFC 2782"},
		{name: "sieve with implicit TLS", change: func(m *Mail) { m.Services[5].Security = ImplicitTLS }, want: `mail: Services[5].Port: no port is registered`, clause: "RFC 5804"},
		{name: "TLS in the protocol", change: func(m *Mail) { m.Services[0].Protocol = "imaps" }, want: "and the field Security for TLS", clause: "section 3.5"},
		{name: "service twice", change: func(m *Mail) { m.Services[1] = m.Services[0] }, want: `mail: Services[1].Protocol: "imap": duplicate service`},
		{name: "OAuth without a server", change: func(m *Mail) { m.Authentication = []AuthMethod{AuthOAuth2, AuthPassword} }, want: `mail: Authentication: "oauth2"`, clause: "section 6.4"},
		{name: "OAuth for a service without a server", change: func(m *Mail) { m.Services[0].Authentication = []AuthMethod{AuthOAuth2} }, want: `mail: Services[0].Authentication: "oauth2": there is no authorization server`, clause: "section 6.4"},
		{name: "no method", change: func(m *Mail) { m.Services[0].Authentication = []AuthMethod{} }, want: `mail: Services[0].Authentication: a service without a method`, clause: "section 3.7.4"},
		{name: "services for a domain that is not one", change: func(m *Mail) { m.PerDomain = map[string][]Service{"example.org": {{Protocol: IMAP}}} }, want: `mail: PerDomain[example.org]: "example.org": it is not a mail domain`, clause: "section 3.2.3"},
		{name: "services for a domain that is spelt differently", change: func(m *Mail) { m.PerDomain = map[string][]Service{"Example.com": {{Protocol: IMAP}}} }, want: `mail: PerDomain[Example.com]: "Example.com": it is not a mail domain`, clause: "section 3.2.3"},
		{name: "no service for a domain", change: func(m *Mail) { m.PerDomain = map[string][]Service{"example.net": {}} }, want: `mail: PerDomain[example.net]: give at least one service`, clause: "section 6"},
		{name: "a bad host of a domain", change: func(m *Mail) {
			m.PerDomain = map[string][]Service{"example.net": {{Protocol: IMAP}, {Protocol: POP3, Host: "POP"}}}
		}, want: `mail: PerDomain[example.net][1].Host: "POP"`, clause: "RFC 5890"},
		{name: "a service of a domain twice", change: func(m *Mail) { m.PerDomain = map[string][]Service{"example.net": {{Protocol: IMAP}, {Protocol: IMAP}}} }, want: `mail: PerDomain[example.net][1].Protocol: "imap": duplicate service`},
		{name: "no service for the other domain", change: func(m *Mail) { m.Services, m.PerDomain = nil, map[string][]Service{"example.net": {{Protocol: IMAP}}} }, want: `mail: Services: give at least one service`, clause: "section 6"},
		{name: "unknown method", change: func(m *Mail) { m.Authentication = []AuthMethod{AuthPassword, "NTLM"} }, want: `mail: Authentication: "NTLM"`, clause: "section 3.7.4"},
		{name: "method twice", change: func(m *Mail) { m.Authentication = []AuthMethod{AuthPassword, AuthPassword} }, want: `duplicate method`},
		{name: "client identifier beyond ASCII", change: func(m *Mail) { m.ClientID = "ö" }, want: `mail: ClientID: "ö"`, clause: "RFC 6749"},
		{name: "parts of a second", change: func(m *Mail) { m.TTL = time.Millisecond }, want: `mail: TTL: "1ms"`, clause: "RFC 2181"},
		{name: "negative time to live", change: func(m *Mail) { m.TTL = -time.Second }, want: `mail: TTL: "-1s"`, clause: "RFC 2181"},
		{name: "endless time to live", change: func(m *Mail) { m.TTL = 1 << 31 * time.Second }, want: `mail: TTL: `, clause: "RFC 2181"},
		{name: "no service", change: func(m *Mail) { m.Services = nil }, want: `mail: Services: give at least one service`, clause: "section 6"},
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

func TestMailDoesNotChangeConfiguration(t *testing.T) {
	m := mailExample()
	mailSet(t, "https://mail.example.com", Config{Mail: m, OAuth: withRegistration()})
	require.Equal(t, mailExample(), m)
}

func TestMailDoesNotFollowConfiguration(t *testing.T) {
	m := mailExample()
	set := mailSet(t, "https://mail.example.com", Config{Mail: m})
	before := set.DNS().String()
	m.Domains[0], m.Services[0].Host = "evil.example", "evil.example"
	require.Equal(t, before, set.DNS().String())
}

func TestServicesAreCopied(t *testing.T) {
	methods, own := []AuthMethod{AuthPassword}, []AuthMethod{AuthPassword}
	set := mailSet(t, "https://mail.example.com", Config{OAuth: withRegistration(), Mail: &Mail{
		Domains:   []string{"example.com", "example.net"},
		Services:  []Service{{Protocol: IMAP, Authentication: methods}},
		PerDomain: map[string][]Service{"example.net": {{Protocol: IMAP, Authentication: own}}},
	}})
	before := set.DNS().String()
	require.Contains(t, before, "_autodiscover._tcp.example.com.")
	require.Contains(t, before, "_autodiscover._tcp.example.net.")
	methods[0], own[0] = AuthOAuth2, AuthOAuth2
	require.Equal(t, before, set.DNS().String())
}

func TestMailIsFoundAtBaseWithoutName(t *testing.T) {
	m := &Mail{Domains: []string{"example.com"}, Services: []Service{{Protocol: IMAP, Host: "imap.example.com"}}}
	h := NewServer(mailSet(t, "https://[2001:db8::1]:8443", Config{Mail: m}), ServerConfig{})
	for _, path := range []string{userAgentPath, autoconfigPaths[0]} {
		for _, host := range []string{"[2001:db8::1]:8443", "[2001:DB8::1]"} {
			res, _ := ask(t, h, "GET", path, "Host: "+host)
			require.Equal(t, 200, res.StatusCode, host)
		}
	}
}

// Every path that a client may request, through a proxy that mounts the server on a path.
var mailPaths = []string{userAgentPath, autoconfigPaths[0], autoconfigPaths[1], autoconfigPaths[2], autodiscoverPath, autodiscoverJSONPath, mtaSTSPath}

func TestMailDocumentsAreAbsentWithoutHost(t *testing.T) {
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

func TestMailPathsWithStripping(t *testing.T) {
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

func TestNoPasswordsInTheClear(t *testing.T) {
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
