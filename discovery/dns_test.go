package discovery

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/publicurl"
)

// lines returns the records of one domain, without owner's domain and TTL.
func lines(t testing.TB, set *Set, domain string) []string {
	t.Helper()
	var got []string
	for line := range strings.Lines(set.DNS().String()) {
		owner, rest, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " 3600 IN ")
		require.True(t, ok, line)
		if label, ok := strings.CutSuffix(owner, "."+domain+"."); ok {
			got = append(got, label+" "+rest)
		}
	}
	return got
}

func TestDNSHasRealHostsAndPorts(t *testing.T) {
	set := mailSet(t, "https://mail.example.org:8443/m", Config{Mail: mailExample(), JMAP: new(JMAP), DAV: new(DAV), MTASTS: &MTASTS{MX: []string{"mx.example.org"}}})
	want := []string{
		"_imaps._tcp SRV 0 1 993 mail.example.org.",
		"_imap._tcp SRV 1 1 143 imap.example.com.",
		"_pop3s._tcp SRV 2 1 1995 mail.example.org.",
		"_pop3._tcp SRV 0 0 0 .",
		"_submissions._tcp SRV 0 1 465 mail.example.org.",
		"_submission._tcp SRV 1 1 587 mail.example.org.",
		"_sieve._tcp SRV 0 1 4190 mail.example.org.",
		"_jmap._tcp SRV 0 1 8443 mail.example.org.",
		"_caldavs._tcp SRV 0 1 8443 mail.example.org.",
		`_caldavs._tcp TXT "path=/m/dav/cal/"`,
		"_caldav._tcp SRV 0 0 0 .",
		"_carddavs._tcp SRV 0 1 8443 mail.example.org.",
		`_carddavs._tcp TXT "path=/m/dav/card/"`,
		"_carddav._tcp SRV 0 0 0 .",
		"_autodiscover._tcp SRV 0 1 8443 mail.example.org.",
		"autoconfig CNAME mail.example.org.",
		"autodiscover CNAME mail.example.org.",
		"ua-auto-config CNAME mail.example.org.",
		"mta-sts CNAME mail.example.org.",
		`_ua-auto-config TXT "` + userAgentDigest(set.Bytes(UserAgentDocument)) + `"`,
		`_mta-sts TXT "` + mtaSTSRecord(set.Bytes(MTASTSDocument)) + `"`,
	}
	require.Equal(t, want, lines(t, set, "example.com"))
	require.Equal(t, want, lines(t, set, "example.net"))
}

func TestDNSOfAbsentServices(t *testing.T) {
	m := &Mail{Domains: []string{"example.com"}, Services: []Service{{Protocol: IMAP}}}
	set := mailSet(t, "https://example.com/mail", Config{Mail: m, DAV: &DAV{AddressBookPath: None, CalendarPath: "/cal"}})
	require.Equal(t, []string{
		"_imaps._tcp SRV 0 1 993 example.com.",
		"_imap._tcp SRV 0 0 0 .",
		"_pop3s._tcp SRV 0 0 0 .",
		"_pop3._tcp SRV 0 0 0 .",
		"_submissions._tcp SRV 0 0 0 .",
		"_submission._tcp SRV 0 0 0 .",
		"_sieve._tcp SRV 0 0 0 .",
		"_jmap._tcp SRV 0 0 0 .",
		"_caldavs._tcp SRV 0 1 443 example.com.",
		`_caldavs._tcp TXT "path=/mail/cal"`,
		"_caldav._tcp SRV 0 0 0 .",
		"_carddavs._tcp SRV 0 0 0 .",
		"_carddav._tcp SRV 0 0 0 .",
		"_autodiscover._tcp SRV 0 1 443 example.com.",
		"autoconfig CNAME example.com.",
		"autodiscover CNAME example.com.",
		"ua-auto-config CNAME example.com.",
		`_ua-auto-config TXT "` + userAgentDigest(set.Bytes(UserAgentDocument)) + `"`,
	}, lines(t, set, "example.com"))
}

func TestDNSNeverPointsToAddressOrItself(t *testing.T) {
	m := &Mail{Domains: []string{"example.com"}, Services: []Service{{Protocol: IMAP, Host: "imap.example.com"}}}
	set := mailSet(t, "https://[2001:db8::1]", Config{Mail: m, JMAP: new(JMAP)})
	require.NotContains(t, set.DNS().String(), "2001")
	require.NotContains(t, set.DNS().String(), "_jmap")

	m.Domains = []string{"example.com", "autodiscover.example.com"}
	set = mailSet(t, "https://autoconfig.example.com", Config{Mail: m})
	for _, r := range set.DNS() {
		if r.Type == CNAME {
			require.NotEqual(t, r.Name, r.Target)
			require.NotEqual(t, "autodiscover.example.com.", r.Name, "the mail domain has other records")
		}
	}
}

func TestDNSPublishesHTTPAsSuch(t *testing.T) {
	m := &Mail{Domains: []string{"example.com"}, Services: []Service{{Protocol: IMAP}}}
	set := mailSet(t, "http://localhost:8080", Config{Mail: m, JMAP: new(JMAP), DAV: new(DAV)})
	got := lines(t, set, "example.com")
	require.Contains(t, got, "_jmap._tcp SRV 0 0 0 .")
	require.Contains(t, got, "_caldavs._tcp SRV 0 0 0 .")
	require.Contains(t, got, "_caldav._tcp SRV 0 1 8080 localhost.")
	require.Contains(t, got, `_carddav._tcp TXT "path=/dav/card/"`)
	c := readUserAgent(t, set)
	require.Len(t, c.Protocols, 1)
}

func TestDNSOmitsLongPaths(t *testing.T) {
	for _, test := range []struct {
		length int // of path=…, of which a string of TXT takes 255
		there  bool
	}{
		{length: 254, there: true},
		{length: 255, there: true},
		{length: 256},
	} {
		path := "/" + strings.Repeat("d", test.length-len("path=//")) + "/"
		m := &Mail{Domains: []string{"example.com"}, Services: []Service{{Protocol: IMAP}}}
		got := lines(t, mailSet(t, "https://mail.example.com", Config{Mail: m, DAV: &DAV{CalendarPath: path}}), "example.com")
		require.Contains(t, got, "_caldavs._tcp SRV 0 1 443 mail.example.com.")
		require.Contains(t, got, `_carddavs._tcp TXT "path=/dav/card/"`)
		if test.there {
			require.Contains(t, got, `_caldavs._tcp TXT "path=`+path+`"`, test.length)
		} else {
			require.NotContains(t, strings.Join(got, "\n"), "_caldavs._tcp TXT", test.length)
		}
	}
}

func TestDNSHasConfiguredTimeToLive(t *testing.T) {
	m := mailExample()
	m.TTL = 5 * time.Minute
	for _, r := range mailSet(t, "https://mail.example.com", Config{Mail: m}).DNS() {
		require.Equal(t, 5*time.Minute, r.TTL)
		require.Contains(t, r.String(), " 300 IN ")
	}
}

func TestDNSOfNothingIsNothing(t *testing.T) {
	require.Empty(t, (*Set)(nil).DNS())
	require.Empty(t, mailSet(t, "https://example.com", Config{}).DNS())
	require.Empty(t, Records(nil).String())
}

func TestRecordEscapesAndSplits(t *testing.T) {
	tests := []struct {
		name string
		r    Record
		want string
	}{
		{name: "zero", r: Record{}, want: " 0 IN  "},
		{name: "quotes and backslash", r: Record{Name: "a.", Type: TXT, Text: `say "hi" \o/;`}, want: `a. 0 IN TXT "say \034hi\034 \092o/;"`},
		{name: "control and beyond ASCII", r: Record{Name: "a.", Type: TXT, Text: "a\nb\x00é"}, want: `a. 0 IN TXT "a\010b\000\195\169"`},
		{name: "empty text", r: Record{Name: "a.", Type: TXT}, want: `a. 0 IN TXT ""`},
		{name: "255 octets", r: Record{Name: "a.", Type: TXT, Text: strings.Repeat("x", 255)}, want: `a. 0 IN TXT "` + strings.Repeat("x", 255) + `"`},
		{name: "256 octets", r: Record{Name: "a.", Type: TXT, Text: strings.Repeat("x", 256)}, want: `a. 0 IN TXT "` + strings.Repeat("x", 255) + `" "x"`},
		{name: "forged line in the name", r: Record{Name: "a.\nb.", Type: CNAME, Target: "c. ; d"}, want: `a.\010b. 0 IN CNAME c.\032\059\032d`},
		{name: "SRV", r: Record{Name: "_x._tcp.a.", TTL: time.Hour, Type: SRV, Priority: 1, Weight: 2, Port: 3, Target: "b."}, want: `_x._tcp.a. 3600 IN SRV 1 2 3 b.`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, tt.r.String())
		})
	}
}

// readText reads the strings of a TXT record by RFC 1035 section 5.1.
func readText(t testing.TB, s string) string {
	t.Helper()
	var text []byte
	for s != "" {
		require.Equal(t, byte('"'), s[0])
		n := 0
		for s = s[1:]; s[0] != '"'; n++ {
			c := s[0]
			if s = s[1:]; c == '\\' {
				c = (s[0]-'0')*100 + (s[1]-'0')*10 + s[2] - '0'
				s = s[3:]
			}
			require.True(t, ' ' <= s[0] && s[0] <= '~')
			text = append(text, c)
		}
		require.LessOrEqual(t, n, 255)
		s = strings.TrimPrefix(s[1:], " ")
	}
	return string(text)
}

func FuzzRecordTextReadsBack(f *testing.F) {
	f.Add("path=/dav/cal/")
	f.Add(`"; \ ` + "\n\x00\xff")
	f.Add(strings.Repeat("é", 400))
	f.Fuzz(func(t *testing.T, text string) {
		line := Record{Name: "a.", Type: TXT, Text: text}.String()
		require.NotContains(t, line, "\n")
		require.Equal(t, text, readText(t, strings.TrimPrefix(line, "a. 0 IN TXT ")))
	})
}

func TestServiceTargetIsNotAnAlias(t *testing.T) {
	base, err := publicurl.Parse("https://mail.example.com")
	require.NoError(t, err)
	set, err := Build(Config{Base: base, Mail: &Mail{
		Domains:  []string{"example.com"},
		Services: []Service{{Protocol: IMAP, Host: "autodiscover.example.com"}},
	}})
	require.NoError(t, err)
	aliases := 0
	for _, r := range set.DNS() {
		if r.Type == CNAME {
			aliases++
			require.NotEqual(t, "autodiscover.example.com.", r.Name)
		}
	}
	require.NotZero(t, aliases)
}
