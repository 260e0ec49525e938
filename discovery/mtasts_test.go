package discovery

import (
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMTASTSPolicyHosts(t *testing.T) {
	set := mailSet(t, "https://mail.example.org/m", Config{Mail: mailExample(), MTASTS: &MTASTS{Mode: MTASTSEnforce, MX: []string{"mx.example.com", "*.example.net"}}})
	h := NewServer(set, ServerConfig{})
	for _, host := range []string{"mta-sts.example.com", "mta-sts.example.net", "MTA-STS.example.com:443"} {
		res, body := ask(t, h, "GET", "/.well-known/mta-sts.txt", "Host: "+host)
		require.Equal(t, 200, res.StatusCode, host)
		require.Equal(t, "text/plain", res.Header.Get("Content-Type"))
		require.Equal(t, "version: STSv1\r\nmode: enforce\r\nmx: mx.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n", body)
		require.Equal(t, string(set.Bytes(MTASTSDocument)), body)
	}
	for _, host := range []string{"mta-sts.example.org", "example.com", "mail.example.org", "mta-sts.mail.example.org", "autoconfig.example.com", "mta-sts.example.com.evil.example", "xmta-sts.example.com", ""} {
		res, body := ask(t, h, "GET", "/.well-known/mta-sts.txt", "Host: "+host, "X-Forwarded-Host: mta-sts.example.com", "Forwarded: host=mta-sts.example.com")
		require.Equal(t, 404, res.StatusCode, host)
		require.NotContains(t, body, "example")
	}
}

var mtaSTSText = regexp.MustCompile(`^v=STSv1; id=[A-Za-z0-9]{1,32};$`)

func TestMTASTSIDIsDerivedFromPolicy(t *testing.T) {
	id := func(p MTASTS) string {
		set := mailSet(t, "https://mail.example.com", Config{Mail: mailExample(), MTASTS: &p})
		var texts []string
		for _, r := range set.DNS() {
			if r.Name == "_mta-sts.example.com." || r.Name == "_mta-sts.example.net." {
				require.Equal(t, TXT, r.Type)
				texts = append(texts, r.Text)
			}
		}
		require.Len(t, texts, 2)
		require.Equal(t, texts[0], texts[1])
		require.Regexp(t, mtaSTSText, texts[0])
		return texts[0]
	}
	policies := []MTASTS{
		{MX: []string{"mx.example.com"}},
		{MX: []string{"mx.example.com"}, Mode: MTASTSEnforce},
		{MX: []string{"mx2.example.com"}},
		{MX: []string{"mx.example.com"}, MaxAge: time.Hour},
		{Mode: MTASTSNone},
	}
	seen := map[string]bool{}
	for _, p := range policies {
		require.Equal(t, id(p), id(p), "the same after a restart")
		seen[id(p)] = true
	}
	require.Len(t, seen, len(policies), "and another for another policy")
	require.Equal(t, id(MTASTS{MX: []string{"a.example"}}), id(MTASTS{MX: []string{"a.example"}, Mode: MTASTSTesting, MaxAge: 604800 * time.Second}))
}

func TestMTASTSNamesEachMistake(t *testing.T) {
	good := []string{"mx.example.com"}
	tests := []struct {
		name string
		p    MTASTS
		want string
	}{
		{name: "unknown mode", p: MTASTS{Mode: "enforced", MX: good}, want: `mta-sts: mode: "enforced"`},
		{name: "no host", p: MTASTS{}, want: `mta-sts: mx: give at least one host`},
		{name: "host in capitals", p: MTASTS{MX: []string{"MX.example.com"}}, want: `mta-sts: mx: "MX.example.com"`},
		{name: "wildcard inside", p: MTASTS{MX: []string{"mx.*.example.com"}}, want: `mta-sts: mx: "mx.*.example.com"`},
		{name: "two wildcards", p: MTASTS{MX: []string{"*.*.example.com"}}, want: `mta-sts: mx: `},
		{name: "wildcard alone", p: MTASTS{MX: []string{"*."}}, want: `mta-sts: mx: `},
		{name: "partial wildcard", p: MTASTS{MX: []string{"mx*.example.com"}}, want: `mta-sts: mx: `},
		{name: "address", p: MTASTS{MX: []string{"192.0.2.1"}}, want: `mta-sts: mx: `},
		{name: "second line", p: MTASTS{MX: []string{"mx.example.com\r\nmode: none"}}, want: `mta-sts: mx: "mx.example.com\r\nmode: none"`},
		{name: "a policy for a domain that is not one", p: MTASTS{MX: good, PerDomain: map[string][]string{"example.org": good}}, want: `mta-sts: PerDomain[example.org]: "example.org": it is not a mail domain`},
		{name: "no host for a domain", p: MTASTS{MX: good, PerDomain: map[string][]string{"example.net": nil}}, want: `mta-sts: PerDomain[example.net]: give at least one host`},
		{name: "no host for a domain, in mode none", p: MTASTS{Mode: MTASTSNone, PerDomain: map[string][]string{"example.net": {}}}, want: `mta-sts: PerDomain[example.net]: give at least one host`},
		{name: "a bad host for a domain", p: MTASTS{MX: good, PerDomain: map[string][]string{"example.net": {"192.0.2.1"}}}, want: `mta-sts: mx: "192.0.2.1"`},
		{name: "no host for the other domain", p: MTASTS{PerDomain: map[string][]string{"example.net": good}}, want: `mta-sts: mx: give at least one host`},
		{name: "negative age", p: MTASTS{MX: good, MaxAge: -time.Second}, want: `mta-sts: max_age: "-1s"`},
		{name: "more than a year", p: MTASTS{MX: good, MaxAge: 31_557_601 * time.Second}, want: `mta-sts: max_age: `},
		{name: "parts of a second", p: MTASTS{MX: good, MaxAge: 1500 * time.Millisecond}, want: `mta-sts: max_age: "1.5s"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Build(Config{Base: mustBase(t, "https://mail.example.com"), Mail: mailExample(), MTASTS: &tt.p})
			require.ErrorContains(t, err, "discovery: "+tt.want)
			require.ErrorContains(t, err, "RFC 8461 section 3.2")
		})
	}
	_, err := Build(Config{Base: mustBase(t, "https://mail.example.com"), MTASTS: &MTASTS{MX: good}})
	require.ErrorContains(t, err, "mta-sts: Mail: a policy applies to mail domains")
	_, err = Build(Config{Base: mustBase(t, "https://mail.example.com"), Mail: mailExample(), MTASTS: &MTASTS{MX: good, MaxAge: 31_557_600 * time.Second}})
	require.NoError(t, err)
}
