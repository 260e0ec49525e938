package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin/signintest"
)

// processVariable makes this test program a mailfront.
const processVariable = "MAILFRONT_TEST_PROCESS"

// secondProcess starts a mailfront in a separate process, behind a proxy. It also returns a
// function that ends it.
func secondProcess(t *testing.T) (s *site, end func()) {
	t.Helper()
	var backend atomic.Value
	front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: backend.Load().(string)})
		r.SetXForwarded()
	}})
	t.Cleanup(front.Close)
	executable, err := os.Executable()
	require.NoError(t, err)
	process := exec.Command(executable, "-test.run=^"+t.Name()+"$")
	process.Env = append(os.Environ(), processVariable+"=1", "MAILFRONT_PUBLIC_URL="+front.URL, "MAILFRONT_TRUSTED_PROXIES="+proxyIP, "MAILFRONT_DEMO_PASSWORD="+testPassword)
	input, err := process.StdinPipe() // it ends with its input
	require.NoError(t, err)
	out, err := process.StdoutPipe()
	require.NoError(t, err)
	process.Stderr = t.Output()
	require.NoError(t, process.Start())
	ended := false
	end = func() {
		if !ended {
			ended = true
			input.Close()
			process.Wait()
		}
	}
	t.Cleanup(end)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[0] == "http" {
			backend.Store(fields[1])
			break
		}
	}
	require.NotNil(t, backend.Load(), "the second process does not start")
	go io.Copy(io.Discard, out)
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	provider := &site{running: &running{t: t, ctx: ctx}, client: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       testTimeout,
	}}
	provider.App = appOf(provider, front.URL)
	return provider, end
}

// The identity provider is a second process of this sample. Its tokens have no signature and are
// introspected.
func TestTokensOfSecondProcess(t *testing.T) {
	if os.Getenv(processVariable) != "" {
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			io.Copy(io.Discard, os.Stdin)
			cancel()
		}()
		require.NoError(t, run(ctx, nil, os.LookupEnv, os.Stdout, os.Stderr, nil))
		return
	}
	provider, end := secondProcess(t)
	for _, at := range []struct{ base, how string }{
		{base: testBase, how: direct},
		{base: testBase + ":8443", how: kept},
		{base: testBase + "/mail", how: stripped},
		{base: testBase + ":8443/mail", how: kept},
	} {
		t.Run(at.base+" "+at.how, func(t *testing.T) {
			s := newSite(t, at.base, at.how, map[string]string{"MAILFRONT_AUTHORIZATION_SERVERS": provider.Base})
			token := "Bearer " + signInAtTheIssuerThatIsNamed(t, s, provider)

			response, body := s.do(http.MethodGet, "/jmap/session", "", "Authorization", token)
			require.Equal(t, http.StatusOK, response.StatusCode, body)
			require.Contains(t, body, `"username":"`+testAccount+`"`)
			response, body = s.do(http.MethodPost, "/jmap/", `{"using":["urn:ietf:params:jmap:core"],"methodCalls":[["Core/echo",{},"a"]]}`, "Authorization", token, "Content-Type", "application/json")
			require.Equal(t, http.StatusOK, response.StatusCode, body)
			response, body = s.do("PROPFIND", "/dav/cal/", "", "Authorization", token, "Depth", "0")
			require.Equal(t, http.StatusMultiStatus, response.StatusCode, body)

			for name, wrong := range map[string]string{"changed": token + "x", "none": "Bearer x", "the password": "Bearer " + testPassword, "a signed one of an unknown issuer": "Bearer eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2V2aWwuZXhhbXBsZSJ9."} {
				response, _ = s.do(http.MethodGet, "/jmap/session", "", "Authorization", wrong)
				require.Equal(t, http.StatusUnauthorized, response.StatusCode, name)
				require.Contains(t, response.Header.Get("WWW-Authenticate"), `error="invalid_token"`, name)
			}
			for _, path := range []string{"/login", "/auth/token", "/auth/jwks.json", "/auth/register", "/auth/userinfo", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
				response, _ = s.do(http.MethodGet, path, "")
				require.Equal(t, http.StatusNotFound, response.StatusCode, "mailfront is not an identity provider: %s", path)
			}
			response, body = s.do(http.MethodGet, "/api/discover/"+testAccount, "")
			require.Equal(t, http.StatusOK, response.StatusCode)
			require.JSONEq(t, `{"issuer":"`+provider.Base+`"}`, body)
		})
	}
	t.Run("the identity provider is away", func(t *testing.T) {
		s := newSite(t, testBase, direct, map[string]string{"MAILFRONT_AUTHORIZATION_SERVERS": provider.Base})
		token := "Bearer " + signInAtTheIssuerThatIsNamed(t, s, provider)
		response, _ := s.do("PROPFIND", "/dav/cal/", "", "Authorization", token, "Depth", "0")
		require.Equal(t, http.StatusMultiStatus, response.StatusCode)
		end()
		response, _ = s.do("PROPFIND", "/dav/cal/", "", "Authorization", token, "Depth", "0")
		require.Equal(t, http.StatusMultiStatus, response.StatusCode, "it has been asked about this one")
		response, _ = s.do("PROPFIND", "/dav/cal/", "", "Authorization", token+"x", "Depth", "0")
		require.Equal(t, http.StatusServiceUnavailable, response.StatusCode, "nothing is known of this one")
		require.NotEmpty(t, response.Header.Get("Retry-After"))
		response, _ = s.do(http.MethodGet, "/jmap/session", "", "Authorization", token+"y")
		require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
		require.NotEmpty(t, response.Header.Get("Retry-After"))
		s.awaitLog("identity provider cannot be used (MAILFRONT_AUTHORIZATION_SERVERS)", provider.Base)
		response, _ = s.do("PROPFIND", "/dav/cal/", "", "Authorization", basic(testAccount, testPassword), "Depth", "0")
		require.Equal(t, http.StatusMultiStatus, response.StatusCode, "passwords do without it")
	})
}

// signInAtTheIssuerThatIsNamed begins with the challenge of the server, which leads to the
// metadata of the resource and to the issuer.
func signInAtTheIssuerThatIsNamed(t *testing.T, s, provider *site) (token string) {
	t.Helper()
	response, _ := s.do(http.MethodGet, "/jmap/session", "")
	require.Equal(t, http.StatusUnauthorized, response.StatusCode)
	_, metadata, ok := strings.Cut(response.Header.Get("WWW-Authenticate"), `resource_metadata="`)
	require.True(t, ok)
	_, body := s.do(http.MethodGet, strings.TrimSuffix(metadata, `"`), "")
	var resource struct {
		Servers []string `json:"authorization_servers"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &resource))
	require.Equal(t, []string{provider.Base}, resource.Servers)

	found, err := oidc.NewProvider(oidc.ClientContext(t.Context(), provider.client), resource.Servers[0])
	require.NoError(t, err)
	config := oauth2.Config{ClientID: signin.BuiltInClient, Endpoint: found.Endpoint(), RedirectURL: signintest.Redirect, Scopes: []string{oidc.ScopeOpenID, "email"}}
	verifier := oauth2.GenerateVerifier()
	got := provider.SignIn(config.AuthCodeURL("my state", oauth2.S256ChallengeOption(verifier)))
	tokens, err := config.Exchange(oidc.ClientContext(t.Context(), provider.client), got.Get("code"), oauth2.VerifierOption(verifier))
	require.NoError(t, err)
	return tokens.AccessToken
}

func basic(name, password string) string {
	r, _ := http.NewRequest(http.MethodGet, "/", nil)
	r.SetBasicAuth(name, password)
	return r.Header.Get("Authorization")
}
