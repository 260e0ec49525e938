package discovery

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// userAgentReader has only members that a client reads.
type userAgentReader struct {
	Protocols map[string]struct {
		URL  string `json:"url"`
		Host string `json:"host"`
	} `json:"protocols"`
	Authentication struct {
		OAuth *struct {
			Issuer string `json:"issuer"`
		} `json:"oauth-public"`
		Password *bool `json:"password"`
	} `json:"authentication"`
	Info struct {
		Provider struct {
			Name      string `json:"name"`
			ShortName string `json:"shortName"`
		} `json:"provider"`
		Help struct {
			Documentation string `json:"documentation"`
		} `json:"help"`
	} `json:"info"`
}

func readUserAgent(t testing.TB, set *Set) userAgentReader {
	t.Helper()
	var c userAgentReader
	d := json.NewDecoder(bytes.NewReader(set.Bytes(UserAgentDocument)))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&c))
	return c
}

func TestUserAgentHasServices(t *testing.T) {
	set := mailSet(t, "https://mail.example.com/m", Config{Mail: mailExample(), JMAP: new(JMAP), DAV: new(DAV), OAuth: withRegistration()})
	c := readUserAgent(t, set)
	got := map[string]string{}
	for name, p := range c.Protocols {
		got[name] = p.URL + p.Host
	}
	require.Equal(t, map[string]string{
		"jmap":    "https://mail.example.com/m/jmap/session",
		"imap":    "mail.example.com",
		"submit":  "mail.example.com",
		"smtp":    "mail.example.com",
		"caldav":  "https://mail.example.com/m/dav/cal/",
		"carddav": "https://mail.example.com/m/dav/card/",
		"webdav":  "https://mail.example.com/m/dav/file/",
	}, got, "POP3 is at another port than 995, and ManageSieve has no entry")
	require.Equal(t, set.Issuer(), c.Authentication.OAuth.Issuer)
	require.True(t, *c.Authentication.Password)
	require.Equal(t, "Example & Söhne", c.Info.Provider.Name)
	require.Equal(t, "Example", c.Info.Provider.ShortName)
	require.Equal(t, "https://example.com/help?a=1&b=2", c.Info.Help.Documentation)
}

func TestUserAgentOmitsOtherPorts(t *testing.T) {
	m := &Mail{Domains: []string{"example.com"}, Services: []Service{{Protocol: POP3}}}
	set := mailSet(t, "https://mail.example.com:8443", Config{Mail: m, JMAP: new(JMAP)})
	c := readUserAgent(t, set)
	require.Len(t, c.Protocols, 1)
	require.Equal(t, "mail.example.com", c.Protocols["pop3"].Host)
	require.Nil(t, c.Authentication.OAuth)

	m.Services[0].Security = StartTLS
	set = mailSet(t, "https://mail.example.com:8443", Config{Mail: m, JMAP: new(JMAP)})
	require.Nil(t, set.Bytes(UserAgentDocument))
	res, _ := ask(t, NewServer(set, ServerConfig{}), "GET", userAgentPath, "Host: ua-auto-config.example.com")
	require.Equal(t, 404, res.StatusCode)
	require.NotContains(t, set.DNS().String(), "ua-auto-config")
}

func TestUserAgentOAuth(t *testing.T) {
	password := []AuthMethod{AuthPassword}
	both := []AuthMethod{AuthOAuth2, AuthPassword}
	tests := []struct {
		name             string
		mail, submission []AuthMethod
		base             string
		want             bool
	}{
		{name: "all", base: "https://mail.example.com", want: true},
		{name: "not submission", submission: password, base: "https://mail.example.com"},
		{name: "not the web", mail: password, submission: both, base: "https://mail.example.com"},
		{name: "the web is not in it", mail: password, submission: both, base: "https://mail.example.com:8443", want: true},
		{name: "an issuer that is not https", base: "http://localhost"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := &Mail{Domains: []string{"example.com"}, Authentication: tt.mail, Services: []Service{{Protocol: Submission, Authentication: tt.submission}}}
			c := readUserAgent(t, mailSet(t, tt.base, Config{Mail: m, JMAP: new(JMAP), OAuth: withRegistration()}))
			require.Equal(t, tt.want, c.Authentication.OAuth != nil)
		})
	}
}

func TestUserAgentDigestIsOfBytesServed(t *testing.T) {
	c := Config{Mail: mailExample(), JMAP: new(JMAP), OAuth: withRegistration()}
	var before string
	for range 3 { // restarts
		set := mailSet(t, "https://mail.example.org", c)
		h := NewServer(set, ServerConfig{})
		records := map[string]string{}
		for _, r := range set.DNS() {
			if r.Type == TXT {
				records[r.Name] = r.Text
			}
		}
		for _, host := range []string{"ua-auto-config.example.com", "ua-auto-config.example.net", "example.com", "UA-Auto-Config.Example.com:443", "mail.example.org"} {
			res, body := ask(t, h, "GET", userAgentPath, "Host: "+host)
			require.Equal(t, 200, res.StatusCode, host)
			require.Equal(t, "application/json", res.Header.Get("Content-Type"))
			sum := sha256.Sum256([]byte(body))
			want := "v=UAAC1; a=sha256; d=" + base64.StdEncoding.EncodeToString(sum[:])
			require.Equal(t, want, records["_ua-auto-config.example.com."])
			require.Equal(t, want, records["_ua-auto-config.example.net."])
			require.True(t, before == "" || before == body)
			before = body
		}
		for _, host := range []string{"ua-auto-config.example.org", "evil.example", "ua-auto-config.example.com.evil.example", ""} {
			res, _ := ask(t, h, "GET", userAgentPath, "Host: "+host, "X-Forwarded-Host: example.com")
			require.Equal(t, 404, res.StatusCode, host)
		}
	}
}

func TestUserAgentOfNestedDomain(t *testing.T) {
	for range 20 { // the order of a map is random
		set := mailSet(t, "https://mail.example.org", Config{Mail: &Mail{
			Domains:   []string{"ua-auto-config.example.com", "example.com"},
			Services:  []Service{{Protocol: IMAP, Host: "imap.example.com"}},
			PerDomain: map[string][]Service{"ua-auto-config.example.com": {{Protocol: IMAP, Host: "imap.example.net"}}},
		}})
		_, body := ask(t, NewServer(set, ServerConfig{}), "GET", userAgentPath, "Host: ua-auto-config.example.com")
		require.Contains(t, body, `"host":"imap.example.com"`)
	}
}

func TestUserAgentHidesDomains(t *testing.T) {
	m := mailExample()
	m.Name, m.ShortName, m.Documentation, m.Services[1].Host = "", "", "", ""
	m.Services = m.Services[:1]
	set := mailSet(t, "https://mail.example.org", Config{Mail: m})
	require.Equal(t, "mail.example.org", readUserAgent(t, set).Info.Provider.Name)
	for _, d := range m.Domains {
		require.NotContains(t, string(set.Bytes(UserAgentDocument)), d)
	}
}
