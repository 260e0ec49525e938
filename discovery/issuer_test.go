package discovery

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const foreign = "https://id.example.net/realms/mail"

// withForeignIssuers is a mail server behind an identity provider.
func withForeignIssuers(t testing.TB, base string, issuers ...string) Config {
	t.Helper()
	return Config{
		Base:                 mustBase(t, base),
		AuthorizationServers: issuers,
		JMAP:                 &JMAP{},
		DAV:                  &DAV{},
		WebUI:                &WebUI{},
		Resources:            []Resource{{Scopes: []string{"openid", "email"}}, {Path: "/dav/cal/"}},
		Mail:                 &Mail{Domains: []string{"example.com"}, Services: []Service{{Protocol: IMAP}, {Protocol: Submission}}, Authentication: []AuthMethod{AuthOAuth2}},
	}
}

func TestDocumentsReferToForeignIssuers(t *testing.T) {
	for _, base := range []string{"https://mail.example.com", "https://example.com:8443/mail"} {
		const second = "https://second.example/"
		set, err := Build(withForeignIssuers(t, base, foreign, second))
		require.NoError(t, err)
		h := NewServer(set, ServerConfig{})

		for _, d := range []Document{BaseResource, ResourceDocument("/jmap/session"), ResourceDocument("/dav/cal/")} {
			require.Equal(t, []any{foreign, second}, decode(t, set, d)["authorization_servers"], "%s", d)
		}
		require.Equal(t, []any{"openid", "email"}, decode(t, set, BaseResource)["scopes_supported"])
		require.NotContains(t, decode(t, set, ResourceDocument("/dav/cal/")), "scopes_supported")
		for _, path := range []string{"", "/jmap/session", "/dav/cal/"} {
			require.Contains(t, set.Challenge(nil, path), "/.well-known/oauth-protected-resource"+set.Base().Prefix()+path+`"`)
		}

		require.Nil(t, set.Bytes(OAuthDocument), "the server is not an authorization server")
		require.Nil(t, set.Bytes(OpenIDDocument))
		for _, name := range []string{"oauth-authorization-server", "openid-configuration"} {
			res, _ := ask(t, h, "GET", set.Base().Prefix()+"/.well-known/"+name)
			require.Equal(t, 404, res.StatusCode)
		}

		res, body := ask(t, h, "GET", "/api/discover/jane@example.com")
		require.Equal(t, 200, res.StatusCode)
		require.JSONEq(t, `{"issuer":"`+foreign+`"}`, body)

		autoconfig, err := checkAutoconfig(string(set.Bytes(AutoconfigDocument("example.com"))))
		require.NoError(t, err)
		oauth := autoconfig.one("oAuth2")
		require.Equal(t, foreign, oauth.one("issuer").text)
		require.Equal(t, "openid email", oauth.one("scope").text)
		require.Empty(t, append(oauth.all("authURL"), oauth.all("tokenURL")...), "what is only in the metadata of the issuer")

		pacc := readUserAgent(t, set)
		require.Equal(t, foreign, pacc.Authentication.OAuth.Issuer)
		require.False(t, *pacc.Authentication.Password)
		require.Equal(t, base, set.Issuer())
	}
}

// Before the server has a name, clients of the web application can sign in already.
func TestForeignIssuersOnRelativeBase(t *testing.T) {
	set, err := Build(withForeignIssuers(t, "/mail", foreign))
	require.NoError(t, err)
	require.JSONEq(t, `{"issuer":"`+foreign+`"}`, string(set.Bytes(WebUIDocument)))
	require.Nil(t, set.Bytes(BaseResource))
}

func TestForeignIssuersAreThereByDefault(t *testing.T) {
	c := withForeignIssuers(t, "https://mail.example.com", foreign)
	c.Mail.Authentication = nil
	set, err := Build(c)
	require.NoError(t, err)
	require.Equal(t, foreign, readUserAgent(t, set).Authentication.OAuth.Issuer)
	require.True(t, *readUserAgent(t, set).Authentication.Password)

	c.Resources = []Resource{{AuthorizationServers: []string{"https://other.example"}}}
	set, err = Build(c)
	require.NoError(t, err)
	require.Equal(t, []any{"https://other.example"}, decode(t, set, BaseResource)["authorization_servers"])
	require.Equal(t, []any{foreign}, decode(t, set, ResourceDocument("/jmap/session"))["authorization_servers"])
}

func TestIssuerRules(t *testing.T) {
	const clause = "RFC 8414 section 2"
	var tests []brokenRule
	for _, issuer := range []string{"http://id.example", "http://10.0.0.5:8080", "https://id.example?x", "https://id.example#x", "https://", "id.example", "https://u:p@id.example", "https://id.example/ x", "https://id.example/\r\nx", "",
		"https://<id.example>/realms/mail", "https://id.example/{tenant}", `https://id.example/"x`, `https://id.example/x\y`, "https://id.example:0", "https://id.example:99999"} {
		tests = append(tests, brokenRule{name: "issuer " + issuer, config: Config{AuthorizationServers: []string{issuer}}, document: configDocument, field: "AuthorizationServers", input: issuer, rule: "https URL", clause: clause})
	}
	tests = append(tests,
		brokenRule{name: "issuer twice", config: Config{AuthorizationServers: []string{foreign, "https://b.example", foreign}}, document: configDocument, field: "AuthorizationServers", input: foreign, rule: "duplicate", clause: clause},
		brokenRule{name: "both kinds", config: Config{OAuth: &OAuth{}, AuthorizationServers: []string{foreign}}, document: configDocument, field: "AuthorizationServers", input: foreign, rule: "Config.OAuth", clause: "RFC 9728 section 2"},
		brokenRule{name: "OpenID without OAuth", config: Config{OpenID: &OpenID{}, AuthorizationServers: []string{foreign}}, document: OpenIDDocument, field: "OpenID", rule: "Config.OAuth", clause: openIDClause},
	)
	for _, u := range []string{"https://example.com", "https://example.com/mail//", "https://example.com/other", "https://EXAMPLE.com/mail", "http://example.com/mail", "/"} {
		tests = append(tests, brokenRule{name: "own issuer " + u, config: Config{OAuth: &OAuth{Issuer: u}}, document: OAuthDocument, field: "issuer", input: u, rule: "clients find the document at the base", clause: "RFC 8414 section 3.3"})
	}
	testBrokenRules(t, tests)
}

func TestPastedDiscoveryURL(t *testing.T) {
	for pasted, want := range map[string]string{
		"https://id.example/.well-known/openid-configuration":                          "https://id.example",
		"https://id.example:8443/.well-known/openid-configuration":                     "https://id.example:8443",
		"https://id.example/realms/mail/.well-known/openid-configuration":              "https://id.example/realms/mail",
		"https://id.example/application/o/mail/.well-known/openid-configuration?x=y#z": "https://id.example/application/o/mail",
		"https://id.example/.well-known/oauth-authorization-server":                    "https://id.example",
		"https://id.example/.well-known/oauth-authorization-server/realms/mail":        "https://id.example/realms/mail",
		"https://id.example/realms/mail/.well-known":                                   "https://id.example/realms/mail",
		"https://id.example/.well-known/":                                              "https://id.example",
		"http://localhost:9000/.well-known/openid-configuration":                       "http://localhost:9000",
	} {
		for field, c := range map[string]Config{
			"AuthorizationServers":  {AuthorizationServers: []string{pasted}},
			"authorization_servers": {OAuth: &OAuth{}, Resources: []Resource{{AuthorizationServers: []string{pasted}}}},
		} {
			c.Base = mustBase(t, "https://mail.example.com")
			errs := buildErrors(t, c)
			require.Len(t, errs, 1, "%s", pasted)
			require.Equal(t, field, errs[0].Field)
			require.Equal(t, pasted, errs[0].Input)
			require.Contains(t, errs[0].Rule, `"`+want+`" or "`+want+`/"`)
			require.Equal(t, "RFC 8414 section 2", errs[0].Clause)
		}
	}
	errs := buildErrors(t, Config{Base: mustBase(t, "https://mail.example.com"), AuthorizationServers: []string{"http://id.example/.well-known/openid-configuration"}})
	require.Len(t, errs, 1)
	require.Contains(t, errs[0].Rule, "https URL", "a correction is an issuer itself")
}

func TestIssuerWithSlash(t *testing.T) {
	for _, base := range []string{"https://mail.example.com", "https://example.com:8443/mail", "", "/mail"} {
		for _, slash := range []string{"", "/"} {
			c := Config{
				Base: mustBase(t, base), OAuth: &OAuth{Issuer: base + slash, RegistrationPath: "/auth/register", IssuerParameter: true}, OpenID: &OpenID{}, JMAP: &JMAP{}, WebUI: &WebUI{},
				Mail: &Mail{Domains: []string{"example.com"}, Services: []Service{{Protocol: IMAP}}, ClientID: "any"},
			}
			set, err := Build(c)
			require.NoError(t, err)
			issuer := base + slash
			require.Equal(t, issuer, set.Issuer())
			for _, d := range []Document{OAuthDocument, OpenIDDocument, WebUIDocument} {
				require.Equal(t, issuer, decode(t, set, d)["issuer"])
				require.Equal(t, base+"/auth/token", decode(t, set, d)["token_endpoint"])
			}
			res, _ := ask(t, NewServer(set, ServerConfig{}), "GET", "/.well-known/oauth-authorization-server"+set.Base().Prefix())
			require.Equal(t, 200, res.StatusCode, "clients remove the slash (RFC 8414 section 3.1)")
			if set.Base().IsRelative() {
				continue
			}
			for _, d := range []Document{BaseResource, ResourceDocument("/jmap/session")} {
				require.Equal(t, []any{issuer}, decode(t, set, d)["authorization_servers"])
			}
			require.Equal(t, base, decode(t, set, BaseResource)["resource"])
			require.Equal(t, issuer, readUserAgent(t, set).Authentication.OAuth.Issuer)
			require.Contains(t, string(set.Bytes(AutoconfigDocument("example.com"))), "<issuer>"+issuer+"</issuer>")
		}
	}
}

func TestServerWithoutPasswords(t *testing.T) {
	c := Config{OAuth: withRegistration(), JMAP: &JMAP{}, DAV: &DAV{}, Mail: mailExample()}
	c.Mail.Authentication = []AuthMethod{AuthOAuth2}
	set := mailSet(t, "https://mail.example.com", c)
	autoconfig := string(set.Bytes(AutoconfigDocument("example.com")))
	_, err := checkAutoconfig(autoconfig)
	require.NoError(t, err)
	require.Contains(t, autoconfig, "<authentication>OAuth2</authentication>")
	require.NotContains(t, autoconfig, "password")
	require.NotContains(t, autoconfig, "Basic")
	pacc := readUserAgent(t, set)
	require.False(t, *pacc.Authentication.Password)
	require.Equal(t, "https://mail.example.com", pacc.Authentication.OAuth.Issuer)

	// Outlook would ask for a password.
	h := NewServer(set, ServerConfig{})
	_, body := post(t, h, autodiscoverPath, outlookAsks("jane@example.com"))
	require.Equal(t, 601, readOutlook(t, body).Response.Error.ErrorCode)
	require.NotContains(t, set.DNS().String(), "autodiscover")

	c.Mail.Services[0].Authentication = []AuthMethod{AuthPassword}
	h = NewServer(mailSet(t, "https://mail.example.com", c), ServerConfig{})
	_, body = post(t, h, autodiscoverPath, outlookAsks("jane@example.com"))
	require.Len(t, readOutlook(t, body).Response.Account.Protocol, 1)
	require.Equal(t, 2, strings.Count(mailSet(t, "https://mail.example.com", c).DNS().String(), "_autodiscover._tcp."))
}

// PACC clients use only issuers on https. An issuer on loopback is for development.
func TestIssuerOnHTTPIsNotInPACC(t *testing.T) {
	set, err := Build(withForeignIssuers(t, "https://mail.example.com", "http://localhost:9000"))
	require.NoError(t, err)
	require.Nil(t, readUserAgent(t, set).Authentication.OAuth)
	require.Contains(t, string(set.Bytes(AutoconfigDocument("example.com"))), "<issuer>http://localhost:9000</issuer>")
}
