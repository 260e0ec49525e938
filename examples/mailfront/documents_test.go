package main

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/pkg/client/rp"
	zitadel "github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin/signintest"
)

var sites = []struct{ base, how string }{
	{base: testBase, how: direct},
	{base: testBase, how: kept},
	{base: testBase + ":8443", how: direct},
	{base: testBase + ":8443/mail", how: stripped},
	{base: testBase + "/mail", how: direct},
	{base: testBase + "/mail", how: stripped},
	{base: testBase + "/mail", how: kept},
	{base: "https://127.0.0.1:8443", how: direct},
	{base: "http://127.0.0.1:8080/mail", how: plain},
}

func TestSignInWithCoreOSClient(t *testing.T) {
	for _, at := range sites {
		t.Run(at.base+" "+at.how, func(t *testing.T) {
			s := newSite(t, at.base, at.how, nil)
			ctx := oidc.ClientContext(t.Context(), s.client)
			provider, err := oidc.NewProvider(ctx, at.base)
			require.NoError(t, err)
			config := oauth2.Config{
				ClientID: signin.BuiltInClient, Endpoint: provider.Endpoint(), RedirectURL: signintest.Redirect,
				Scopes: []string{oidc.ScopeOpenID, "email", oidc.ScopeOfflineAccess},
			}
			verifier := oauth2.GenerateVerifier()
			got := s.SignIn(config.AuthCodeURL("my state", oauth2.S256ChallengeOption(verifier), oidc.Nonce("my nonce")))
			require.Equal(t, "my state", got.Get("state"))
			require.Equal(t, at.base, got.Get("iss"))

			tokens, err := config.Exchange(ctx, got.Get("code"), oauth2.VerifierOption(verifier))
			require.NoError(t, err)
			raw, _ := tokens.Extra("id_token").(string)
			id, err := provider.Verifier(&oidc.Config{ClientID: signin.BuiltInClient}).Verify(ctx, raw)
			require.NoError(t, err)
			require.NoError(t, id.VerifyAccessToken(tokens.AccessToken))
			require.Equal(t, at.base, id.Issuer)
			require.Equal(t, "my nonce", id.Nonce)
			info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
			require.NoError(t, err)
			require.Equal(t, id.Subject, info.Subject)
			require.Equal(t, testAccount, info.Email)
			require.True(t, info.EmailVerified)

			old := tokens.AccessToken
			tokens.Expiry = tokens.Expiry.AddDate(-1, 0, 0)
			tokens, err = config.TokenSource(ctx, tokens).Token()
			require.NoError(t, err)
			require.NotEqual(t, old, tokens.AccessToken)
			response, body := s.do(http.MethodGet, "/jmap/session", "", "Authorization", "Bearer "+tokens.AccessToken)
			require.Equal(t, http.StatusOK, response.StatusCode)
			require.Contains(t, body, `"apiUrl":"`+at.base+`/jmap/"`)
		})
	}
}

func TestSignInWithZitadelClient(t *testing.T) {
	for _, at := range sites {
		t.Run(at.base+" "+at.how, func(t *testing.T) {
			s := newSite(t, at.base, at.how, nil)
			var metadata struct {
				Registration string `json:"registration_endpoint"`
			}
			_, body := s.do(http.MethodGet, "/.well-known/openid-configuration", "")
			require.NoError(t, json.Unmarshal([]byte(body), &metadata))
			require.Equal(t, at.base+"/auth/register", metadata.Registration)
			var registered struct {
				ID string `json:"client_id"`
			}
			_, body = s.do(http.MethodPost, metadata.Registration, `{"redirect_uris":["`+signintest.Redirect+`"]}`, "Content-Type", "application/json")
			require.NoError(t, json.Unmarshal([]byte(body), &registered), body)
			client := registered.ID

			party, err := rp.NewRelyingPartyOIDC(t.Context(), at.base, client, "", signintest.Redirect,
				[]string{zitadel.ScopeOpenID, zitadel.ScopeEmail, zitadel.ScopeProfile}, rp.WithHTTPClient(s.client))
			require.NoError(t, err)
			verifier := oauth2.GenerateVerifier()
			got := s.SignIn(rp.AuthURL("my state", party, rp.WithCodeChallenge(oauth2.S256ChallengeFromVerifier(verifier))))
			require.Equal(t, "my state", got.Get("state"))
			tokens, err := rp.CodeExchange[*zitadel.IDTokenClaims](t.Context(), got.Get("code"), party, rp.WithCodeVerifier(verifier))
			require.NoError(t, err)
			require.Equal(t, at.base, tokens.IDTokenClaims.Issuer)
			info, err := rp.Userinfo[*zitadel.UserInfo](t.Context(), tokens.AccessToken, tokens.TokenType, tokens.IDTokenClaims.Subject, party)
			require.NoError(t, err)
			require.Equal(t, testAccount, info.Email)
			require.Equal(t, testAccount, info.PreferredUsername)
		})
	}
}

func TestWhatDocumentsNameIsThere(t *testing.T) {
	for _, at := range sites {
		t.Run(at.base+" "+at.how, func(t *testing.T) {
			s := newSite(t, at.base, at.how, nil)
			for _, path := range []string{"/.well-known/openid-configuration", "/api/discover", "/api/discover/someone@example.test"} {
				response, body := s.do(http.MethodGet, path, "")
				require.Equal(t, http.StatusOK, response.StatusCode, path)
				var metadata map[string]any
				require.NoError(t, json.Unmarshal([]byte(body), &metadata))
				require.Equal(t, at.base, metadata["issuer"])
				require.NotContains(t, metadata, "device_authorization_endpoint")
				n := 0
				for name, value := range metadata {
					if !strings.HasSuffix(name, "_endpoint") && name != "jwks_uri" {
						continue
					}
					n++
					response, _ := s.do(http.MethodOptions, value.(string), "")
					require.NotEqual(t, http.StatusNotFound, response.StatusCode, name)
				}
				require.Equal(t, 6, n, "authorization, token, introspection, registration, userinfo, keys")
			}
			response, body := s.do(http.MethodPost, "/jmap/", "", "Content-Type", "application/json")
			require.Equal(t, http.StatusUnauthorized, response.StatusCode, body)
			_, metadata, ok := strings.Cut(response.Header.Get("WWW-Authenticate"), `resource_metadata="`)
			require.True(t, ok)
			response, body = s.do(http.MethodGet, strings.TrimSuffix(metadata, `"`), "")
			require.Equal(t, http.StatusOK, response.StatusCode, metadata)
			require.Contains(t, body, `"resource":"`+at.base+`/jmap/"`)
		})
	}
}

func TestBootstrapDocuments(t *testing.T) {
	for _, test := range []struct{ name, mode, url, prefix string }{
		{name: "nothing is set", prefix: ""},
		{name: "bootstrap", mode: "bootstrap", url: "https://mail.example.com"},
		{name: "recovery", mode: "recovery", url: "https://mail.example.com"},
		{name: "recovery on a path", mode: "recovery", url: "https://example.com/mail", prefix: "/mail"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t, testBase, direct, map[string]string{"MAILFRONT_PUBLIC_URL": test.url, "MAILFRONT_MODE": test.mode})
			for _, path := range []string{"/.well-known/openid-configuration", test.prefix + "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/api/discover"} {
				response, body := s.do(http.MethodGet, path, "")
				require.Equal(t, http.StatusOK, response.StatusCode, path)
				require.Equal(t, "no-store", response.Header.Get("Cache-Control"), path)
				require.Contains(t, body, `"issuer":"`+test.prefix+`"`, path)
				require.Contains(t, body, `"authorization_endpoint":"`+test.prefix+`/login"`, path)
				require.Contains(t, body, `"token_endpoint":"`+test.prefix+`/auth/token"`, path)
				require.NotContains(t, body, "://", path)
			}
			for _, path := range []string{"/.well-known/oauth-protected-resource", "/.well-known/mta-sts.txt", "/mail/config-v1.1.xml"} {
				response, _ := s.do(http.MethodGet, path, "")
				require.Equal(t, http.StatusNotFound, response.StatusCode, path)
			}
			action, form := s.Open(s.AuthURL("v"))
			require.Equal(t, test.prefix+"/login/password", action)
			form.Set("username", testAccount)
			form.Set("password", testPassword)
			response, page := s.Post(action, form)
			require.Equal(t, http.StatusSeeOther, response.StatusCode, page)
			require.Empty(t, s.SentBack(response).Get("iss"), "it is a URL")
			require.NotEmpty(t, s.SentBack(response).Get("code"))
			response, _ = s.do(http.MethodGet, "/whoami", "")
			require.Equal(t, http.StatusOK, response.StatusCode)
			s.awaitLog("event=session")
		})
	}
}

func TestPublishedPorts(t *testing.T) {
	s := newSite(t, testBase, direct, map[string]string{
		"MAILFRONT_HOSTNAME": "mx.example.test", "MAILFRONT_DOMAINS": "example.test,two.test", "MAILFRONT_PUBLIC_PORTS": "imaps=1993,pop3=-,pop3s=-",
	})
	for _, domain := range []string{"example.test", "two.test"} {
		response, body := s.do(http.MethodGet, "https://autoconfig."+domain+"/mail/config-v1.1.xml", "")
		require.Equal(t, http.StatusOK, response.StatusCode, body)
		require.Contains(t, body, "<hostname>mx.example.test</hostname>")
		require.Contains(t, body, "<port>1993</port>")
		require.Contains(t, body, "<port>465</port>")
		require.NotContains(t, body, "pop3")
		response, body = s.do(http.MethodGet, "https://mta-sts."+domain+"/.well-known/mta-sts.txt", "")
		require.Equal(t, http.StatusOK, response.StatusCode, body)
		require.Contains(t, body, "mx: mx.example.test")
	}
	for name, env := range map[string]map[string]string{
		"an address":                    {"MAILFRONT_PUBLIC_URL": "https://127.0.0.1"},
		"no other server can send here": {"MAILFRONT_PUBLIC_PORTS": "smtp=2525"},
	} {
		s := newSite(t, testBase, direct, env)
		response, _ := s.do(http.MethodGet, "https://mta-sts.example.test/.well-known/mta-sts.txt", "")
		require.Equal(t, http.StatusNotFound, response.StatusCode, name)
	}
}

func TestUncleanPaths(t *testing.T) {
	s := newSite(t, testBase+"/mail", stripped, nil)
	for _, path := range []string{"//login", "/login/../login", "/./login", "//evil.example/%2e%2e"} {
		response, _ := s.do(http.MethodGet, path, "")
		require.Equal(t, http.StatusNotFound, response.StatusCode, path)
		require.Empty(t, response.Header.Get("Location"), path)
	}
}

func TestNoRedirectLosesThePath(t *testing.T) {
	for _, how := range []string{stripped, kept} {
		s := newSite(t, testBase+"/mail", how, nil)
		for _, target := range []string{"/mail/jmap/eventsource", "/mail/jmap/upload/demo"} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				response, _ := s.do(method, strings.TrimPrefix(target, "/mail"), "")
				require.Empty(t, response.Header.Get("Location"), "%s %s", method, target)
			}
		}
	}
}

func TestDefaultDomainIsLogged(t *testing.T) {
	const line = "event=default_domain"
	for _, test := range []struct {
		name, url, hostname, domains, set string // set: the URL of the set-up
		want                              int
	}{
		{name: "a public URL", url: "https://mail.example.com", want: 1},
		{name: "a public URL on an address", url: "https://192.0.2.1", want: 1},
		{name: "a hostname", hostname: "mail.example.com", want: 1},
		{name: "with domains", url: "https://mail.example.com", domains: "example.com"},
		{name: "with the default as domain", url: "https://mail.example.com", domains: "example.test"},
		{name: "below the default domain", url: "https://mail.example.test"},
		{name: "on this machine", url: "http://127.0.0.1:8080"},
		{name: "on this machine, by name", url: "http://localhost:8080"},
		{name: "no public URL"},
		{name: "by the set-up", set: "https://mail.example.com", want: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newAdminSite(t, testBase, direct, map[string]string{
				"MAILFRONT_PUBLIC_URL": test.url, "MAILFRONT_HOSTNAME": test.hostname, "MAILFRONT_DOMAINS": test.domains,
			})
			if test.set != "" {
				require.Zero(t, s.logged(line))
				s.setUp(test.set, adminPassword)
			}
			require.True(t, s.out.await(s.ctx, 1, "mode ")) // the start is over
			require.Equal(t, test.want, s.logged("level=WARN", "MAILFRONT_DOMAINS", line))
		})
	}
}

// Autoconfig and PACC announce tokens for mail, of the server's own provider or of another.
func TestPublishedAuthentication(t *testing.T) {
	for _, test := range []struct {
		name, issuer string
		env          map[string]string
	}{
		{name: "own provider", issuer: testBase},
		{name: "another issuer", issuer: "https://id.example", env: map[string]string{"MAILFRONT_AUTHORIZATION_SERVERS": "https://id.example"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t, testBase, direct, test.env)
			_, body := s.do(http.MethodGet, "/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress=demo@example.test", "")
			var config struct {
				Servers []struct {
					Type    string   `xml:"type,attr"`
					Methods []string `xml:"authentication"`
				} `xml:"emailProvider>incomingServer"`
				Outgoing []struct {
					Methods []string `xml:"authentication"`
				} `xml:"emailProvider>outgoingServer"`
				Issuer string `xml:"oAuth2>issuer"`
				Scope  string `xml:"oAuth2>scope"`
			}
			require.NoError(t, xml.Unmarshal([]byte(body), &config), body)
			require.Equal(t, test.issuer, config.Issuer)
			require.Contains(t, strings.Fields(config.Scope), mailScope)
			want := []string{"OAuth2", "password-cleartext"}
			types := make(map[string]int)
			for _, server := range config.Servers {
				types[server.Type]++
				if server.Type == "imap" || server.Type == "pop3" {
					require.Equal(t, want, server.Methods, server.Type)
				}
			}
			require.Equal(t, 2, types["imap"])
			require.Equal(t, 2, types["pop3"])
			require.Len(t, config.Outgoing, 2)
			for _, server := range config.Outgoing {
				require.Equal(t, want, server.Methods)
			}
			_, body = s.do(http.MethodGet, "/.well-known/user-agent-configuration.json", "")
			require.Contains(t, body, `"oauth-public":{"issuer":"`+test.issuer+`"}`)
		})
	}
}
