package discovery

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// twoDomains is a server with separate hosts for example.net.
func twoDomains() Config {
	return Config{
		Mail: &Mail{
			Domains:   []string{"example.com", "example.net"},
			Services:  []Service{{Protocol: IMAP}, {Protocol: Submission}},
			PerDomain: map[string][]Service{"example.net": {{Protocol: IMAP, Host: "imap.example.net"}, {Protocol: POP3, Host: "autoconfig.example.net"}}},
		},
		MTASTS: &MTASTS{MX: []string{"mx.example.com"}, PerDomain: map[string][]string{"example.net": {"mx1.example.net", "mx2.example.net"}}},
	}
}

func TestDomainHasServicesOfItsOwn(t *testing.T) {
	set := mailSet(t, "https://mail.example.com", twoDomains())
	h := NewServer(set, ServerConfig{})
	for _, tt := range []struct {
		name, target, host string
		has, lacks         []string
	}{
		{name: "autoconfig by host", target: "/mail/config-v1.1.xml", host: "autoconfig.example.net",
			has: []string{"<hostname>imap.example.net</hostname>", `type="pop3"`}, lacks: []string{"mail.example.com", `type="smtp"`}},
		{name: "autoconfig by address", target: "/mail/config-v1.1.xml?emailaddress=jane@example.net", host: "mail.example.com",
			has: []string{"<hostname>imap.example.net</hostname>", `type="pop3"`}, lacks: []string{"mail.example.com", `type="smtp"`}},
		{name: "autoconfig of the other domain", target: "/mail/config-v1.1.xml", host: "autoconfig.example.com",
			has: []string{"<hostname>mail.example.com</hostname>", `type="smtp"`}, lacks: []string{"example.net", `type="pop3"`}},
		{name: "PACC by host", target: userAgentPath, host: "ua-auto-config.example.net",
			has: []string{"imap.example.net", `"pop3"`}, lacks: []string{`"submit"`, `"host":"mail.example.com"`}},
		{name: "PACC of the other domain", target: userAgentPath, host: "ua-auto-config.example.com",
			has: []string{"mail.example.com", `"submit"`}, lacks: []string{"example.net"}},
		{name: "PACC at the base", target: userAgentPath, host: "mail.example.com",
			has: []string{"mail.example.com", `"submit"`}, lacks: []string{"example.net"}},
		{name: "PACC ignores an address", target: userAgentPath + "?emailaddress=jane@example.net", host: "mail.example.com",
			has: []string{"mail.example.com", `"submit"`}, lacks: []string{"example.net"}},
		{name: "a policy", target: mtaSTSPath, host: "mta-sts.example.net",
			has: []string{"mx: mx1.example.net\r\nmx: mx2.example.net\r\n"}, lacks: []string{"mx.example.com"}},
		{name: "the other policy", target: mtaSTSPath + "?emailaddress=jane@example.net", host: "mta-sts.example.com",
			has: []string{"mx: mx.example.com\r\n"}, lacks: []string{"example.net"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res, body := ask(t, h, "GET", tt.target, "Host: "+tt.host)
			require.Equal(t, 200, res.StatusCode)
			for _, s := range tt.has {
				require.Contains(t, body, s)
			}
			for _, s := range tt.lacks {
				require.NotContains(t, body, s)
			}
		})
	}
	outlook := func(address string) string {
		_, body := post(t, h, autodiscoverPath, outlookAsks(address))
		return body
	}
	require.Contains(t, outlook("jane@example.net"), "<Server>imap.example.net</Server>")
	require.NotContains(t, outlook("jane@example.net"), "<Type>SMTP</Type>")
	require.Contains(t, outlook("jane@example.com"), "<Server>mail.example.com</Server>")

	// The names of the documents, as their comments have them.
	require.Contains(t, string(set.Bytes(UserAgentDocument)), "mail.example.com")
	require.Contains(t, string(set.Bytes(UserAgentDocument+":example.net")), "imap.example.net")
	require.Nil(t, set.Bytes(UserAgentDocument+":example.com"))
	require.Contains(t, string(set.Bytes(MTASTSDocument)), "mx.example.com")
	require.Contains(t, string(set.Bytes(MTASTSDocument+":example.net")), "mx1.example.net")
}

func TestDNSOfDomainWithServicesOfItsOwn(t *testing.T) {
	set := mailSet(t, "https://mail.example.com", twoDomains())
	zone := set.DNS().String()
	for _, line := range []string{
		"_imaps._tcp.example.com. 3600 IN SRV 0 1 993 mail.example.com.",
		"_imaps._tcp.example.net. 3600 IN SRV 0 1 993 imap.example.net.",
		"_pop3s._tcp.example.com. 3600 IN SRV 0 0 0 .",
		"_pop3s._tcp.example.net. 3600 IN SRV 1 1 995 autoconfig.example.net.",
		"_submissions._tcp.example.net. 3600 IN SRV 0 0 0 .",
		"autoconfig.example.com. 3600 IN CNAME mail.example.com.",
		fmt.Sprintf("_ua-auto-config.example.com. 3600 IN TXT %q", userAgentDigest(set.Bytes(UserAgentDocument))),
		fmt.Sprintf("_ua-auto-config.example.net. 3600 IN TXT %q", userAgentDigest(set.Bytes(UserAgentDocument+":example.net"))),
		fmt.Sprintf("_mta-sts.example.com. 3600 IN TXT %q", mtaSTSRecord(set.Bytes(MTASTSDocument))),
		fmt.Sprintf("_mta-sts.example.net. 3600 IN TXT %q", mtaSTSRecord(set.Bytes(MTASTSDocument+":example.net"))),
	} {
		require.Contains(t, zone, line+"\n")
	}
	require.NotContains(t, zone, "autoconfig.example.net. 3600 IN CNAME", "a host of a service has an address record")
}

func TestEveryDomainHasServicesOfItsOwn(t *testing.T) {
	c := twoDomains()
	c.Mail.Services, c.MTASTS.MX = nil, nil
	c.Mail.PerDomain["example.com"] = []Service{{Protocol: IMAP, Security: StartTLS}} // PACC cannot express it
	c.MTASTS.PerDomain["example.com"] = []string{"mx.example.com"}
	set := mailSet(t, "https://mail.example.com", c)
	require.Nil(t, set.Bytes(UserAgentDocument))
	require.Nil(t, set.Bytes(MTASTSDocument))
	h := NewServer(set, ServerConfig{})
	for host, want := range map[string]int{"mail.example.com": 404, "ua-auto-config.example.com": 404, "ua-auto-config.example.net": 200} {
		res, _ := ask(t, h, "GET", userAgentPath, "Host: "+host)
		require.Equal(t, want, res.StatusCode, host)
	}
	require.NotContains(t, set.DNS().String(), "_ua-auto-config.example.com.")
	require.Contains(t, set.DNS().String(), "_ua-auto-config.example.net.")
}

// mailDomains returns a server for n domains. Every second domain has separate services.
func mailDomains(tb testing.TB, n int) Config {
	c := Config{
		Base: mustBase(tb, "https://mail.example.org"), OAuth: withRegistration(), JMAP: &JMAP{}, DAV: &DAV{},
		Mail:   &Mail{Services: []Service{{Protocol: IMAP}, {Protocol: Submission}}, PerDomain: make(map[string][]Service)},
		MTASTS: &MTASTS{MX: []string{"mx.example.org"}, PerDomain: make(map[string][]string)},
	}
	for i := range n {
		d := fmt.Sprintf("domain%05d.example", i)
		c.Mail.Domains = append(c.Mail.Domains, d)
		if i%2 == 0 {
			c.Mail.PerDomain[d] = []Service{{Protocol: IMAP, Host: "imap." + d}, {Protocol: Submission, Host: "smtp." + d}}
			c.MTASTS.PerDomain[d] = []string{"mx." + d}
		}
	}
	return c
}

// BenchmarkBuild builds the documents and the DNS records of many mail domains, and
// reports the time and memory per domain, which do not depend on their number.
func BenchmarkBuild(b *testing.B) {
	for _, n := range []int{50, 500, 5000} {
		b.Run(fmt.Sprintf("domains=%d", n), func(b *testing.B) {
			c := mailDomains(b, n)
			b.ReportAllocs()
			start := time.Now()
			for b.Loop() {
				set, err := Build(c)
				if err != nil {
					b.Fatal(err)
				}
				if len(set.DNS()) < 20*n {
					b.Fatal("records are missing")
				}
			}
			b.ReportMetric(float64(time.Since(start).Nanoseconds())/float64(b.N)/float64(n), "ns/domain")
		})
	}
}

// Twenty times as many domains take twenty times the allocations.
func TestBuildIsLinearInNumberOfDomains(t *testing.T) {
	perDomain := func(n int) float64 {
		c := mailDomains(t, n)
		return testing.AllocsPerRun(1, func() {
			set, err := Build(c)
			require.NoError(t, err)
			require.NotEmpty(t, set.DNS())
		}) / float64(n)
	}
	require.InEpsilon(t, perDomain(100), perDomain(2000), 0.2)
}
