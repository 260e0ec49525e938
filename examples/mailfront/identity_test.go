package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/rsa"
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
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
)

// processVariable makes this test program a mailfront.
const processVariable = "MAILFRONT_TEST_PROCESS"

// secondProcess starts a mailfront as a process of its own, behind a proxy, and returns it
// with what ends it.
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
	return &site{running: &running{t: t, ctx: ctx}, base: front.URL, client: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       testTimeout,
	}}, end
}

// The identity provider is a second process of this sample. Its tokens have no signature:
// they are introspected.
func TestTokensOfASecondProcessAreAccepted(t *testing.T) {
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
	for _, at := range []struct{ base, how string }{{testBase, direct}, {testBase + ":8443", kept}, {testBase + "/mail", stripped}, {testBase + ":8443/mail", kept}} {
		t.Run(at.base+" "+at.how, func(t *testing.T) {
			s := newSite(t, at.base, at.how, map[string]string{"MAILFRONT_AUTHORIZATION_SERVERS": provider.base})
			token := "Bearer " + signInAtTheIssuerThatIsNamed(t, s, provider)

			response, body := s.do(http.MethodGet, "/jmap/session", "", "Authorization", token)
			require.Equal(t, http.StatusOK, response.StatusCode, body)
			require.Contains(t, body, `"username":"`+testAccount+`"`)
			response, body = s.do(http.MethodPost, "/jmap/", `{"using":["urn:ietf:params:jmap:core"],"methodCalls":[["Core/echo",{},"a"]]}`, "Authorization", token, "Content-Type", "application/json")
			require.Equal(t, http.StatusOK, response.StatusCode, body)
			response, body = s.do("PROPFIND", "/dav/cal/", "", "Authorization", token, "Depth", "0")
			require.Equal(t, http.StatusMultiStatus, response.StatusCode, body)

			for name, wrong := range map[string]string{"changed": token + "x", "none": "Bearer x", "the password": "Bearer " + testPassword, "a signed one of nobody": "Bearer eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2V2aWwuZXhhbXBsZSJ9."} {
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
			require.JSONEq(t, `{"issuer":"`+provider.base+`"}`, body)
		})
	}
	t.Run("the identity provider is away", func(t *testing.T) {
		s := newSite(t, testBase, direct, map[string]string{"MAILFRONT_AUTHORIZATION_SERVERS": provider.base})
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
		s.awaitLog("identity provider cannot be used (MAILFRONT_AUTHORIZATION_SERVERS)", provider.base)
		response, _ = s.do("PROPFIND", "/dav/cal/", "", "Authorization", basic(testAccount, testPassword), "Depth", "0")
		require.Equal(t, http.StatusMultiStatus, response.StatusCode, "passwords do without it")
	})
}

// signInAtTheIssuerThatIsNamed does what a client does that knows the server alone: it goes
// from the challenge to the metadata of the resource, and to the issuer that is there.
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
	require.Equal(t, []string{provider.base}, resource.Servers)

	found, err := oidc.NewProvider(oidc.ClientContext(t.Context(), provider.client), resource.Servers[0])
	require.NoError(t, err)
	config := oauth2.Config{ClientID: builtInClient, Endpoint: found.Endpoint(), RedirectURL: testRedirect, Scopes: []string{oidc.ScopeOpenID, "email"}}
	verifier := oauth2.GenerateVerifier()
	got := provider.signIn(config.AuthCodeURL("my state", oauth2.S256ChallengeOption(verifier)))
	tokens, err := config.Exchange(oidc.ClientContext(t.Context(), provider.client), got.Get("code"), oauth2.VerifierOption(verifier))
	require.NoError(t, err)
	return tokens.AccessToken
}

func basic(name, password string) string {
	r, _ := http.NewRequest(http.MethodGet, "/", nil)
	r.SetBasicAuth(name, password)
	return r.Header.Get("Authorization")
}

// An identity provider such as Keycloak signs its access tokens.
func TestSignedTokensOfAnotherIssuer(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	mux := http.NewServeMux()
	issuer := httptest.NewServer(mux)
	defer issuer.Close()
	var keysAway atomic.Bool
	mux.HandleFunc("/realms/mail/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"issuer": issuer.URL + "/realms/mail", "jwks_uri": issuer.URL + "/keys", "authorization_endpoint": issuer.URL + "/a", "token_endpoint": issuer.URL + "/t"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, r *http.Request) {
		if keysAway.Load() {
			http.Error(w, "away", http.StatusBadGateway)
			return
		}
		writeJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "RS256", Use: "sig"}}})
	})
	sign := func(t *testing.T, key *rsa.PrivateKey, id string, claims map[string]any) string {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, (&jose.SignerOptions{}).WithType("at+jwt").WithHeader("kid", id))
		require.NoError(t, err)
		token, err := jwt.Signed(signer).Claims(claims).Serialize()
		require.NoError(t, err)
		return token
	}
	s := newSite(t, testBase, direct, map[string]string{"MAILFRONT_AUTHORIZATION_SERVERS": "https://unused.example," + issuer.URL + "/realms/mail"})
	ask := func(t *testing.T, token string) int {
		response, _ := s.do("PROPFIND", "/dav/cal/", "", "Authorization", "Bearer "+token, "Depth", "0")
		return response.StatusCode
	}
	good := func() map[string]any {
		return map[string]any{
			"iss": issuer.URL + "/realms/mail", "aud": []string{"account", testBase}, "sub": "4711", "email": testAccount, "email_verified": true,
			"exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(), "scope": "openid email", "client_id": "app",
		}
	}
	for _, tt := range []struct {
		name   string
		change func(map[string]any)
		want   int
	}{
		{name: "good", change: func(map[string]any) {}, want: http.StatusMultiStatus},
		{name: "one audience", change: func(c map[string]any) { c["aud"] = testBase }, want: http.StatusMultiStatus},
		{name: "the account as subject", change: func(c map[string]any) { c["sub"] = testAccount; delete(c, "email") }, want: http.StatusMultiStatus},
		{name: "for another server", change: func(c map[string]any) { c["aud"] = []string{"https://other.example"} }, want: http.StatusUnauthorized},
		{name: "an ID token", change: func(c map[string]any) { c["aud"] = "app" }, want: http.StatusUnauthorized},
		{name: "for nobody", change: func(c map[string]any) { delete(c, "aud") }, want: http.StatusUnauthorized},
		{name: "of an issuer that is not listed", change: func(c map[string]any) { c["iss"] = issuer.URL + "/realms/other" }, want: http.StatusUnauthorized},
		{name: "of an issuer with a slash", change: func(c map[string]any) { c["iss"] = issuer.URL + "/realms/mail/" }, want: http.StatusUnauthorized},
		{name: "of no issuer", change: func(c map[string]any) { delete(c, "iss") }, want: http.StatusUnauthorized},
		{name: "expired", change: func(c map[string]any) { c["exp"] = time.Now().Add(-time.Minute).Unix() }, want: http.StatusUnauthorized},
		{name: "of another account", change: func(c map[string]any) { c["email"] = "else@example.test" }, want: http.StatusUnauthorized},
		{name: "an address that nobody has verified", change: func(c map[string]any) { c["email_verified"] = false }, want: http.StatusUnauthorized},
		{name: "an address of which it is not known", change: func(c map[string]any) { delete(c, "email_verified") }, want: http.StatusUnauthorized},
	} {
		t.Run(tt.name, func(t *testing.T) {
			claims := good()
			tt.change(claims)
			require.Equal(t, tt.want, ask(t, sign(t, key, "k", claims)))
		})
	}
	t.Run("signed by another key", func(t *testing.T) {
		require.Equal(t, http.StatusUnauthorized, ask(t, sign(t, other, "k", good())))
	})
	t.Run("changed", func(t *testing.T) {
		parts := strings.Split(sign(t, key, "k", good()), ".")
		claims := good()
		claims["sub"] = testAccount
		forged := strings.Split(sign(t, other, "k", claims), ".")
		require.Equal(t, http.StatusUnauthorized, ask(t, parts[0]+"."+forged[1]+"."+parts[2]))
		require.Equal(t, http.StatusUnauthorized, ask(t, "eyJhbGciOiJub25lIn0."+parts[1]+"."))
	})
	t.Run("the keys are away", func(t *testing.T) {
		keysAway.Store(true)
		require.Equal(t, http.StatusServiceUnavailable, ask(t, sign(t, key, "new", good())), "a new key has to be fetched")
		keysAway.Store(false)
	})
}

func TestIssuerSettings(t *testing.T) {
	for name, tt := range map[string]struct {
		env  map[string]string
		want string
	}{
		"http":              {env: map[string]string{"MAILFRONT_AUTHORIZATION_SERVERS": "http://id.example"}, want: `MAILFRONT_AUTHORIZATION_SERVERS is "http://id.example": "http://id.example": an issuer is an https URL`},
		"a pasted URL":      {env: map[string]string{"MAILFRONT_AUTHORIZATION_SERVERS": "https://id.example/realms/mail/.well-known/openid-configuration"}, want: `use the issuer as the document spells it, "https://id.example/realms/mail"`},
		"twice":             {env: map[string]string{"MAILFRONT_AUTHORIZATION_SERVERS": "https://id.example,https://id.example"}, want: "twice"},
		"a client alone":    {env: map[string]string{"MAILFRONT_INTROSPECTION_CLIENT": "a:b"}, want: "MAILFRONT_INTROSPECTION_CLIENT is set, and MAILFRONT_AUTHORIZATION_SERVERS is not"},
		"an audience alone": {env: map[string]string{"MAILFRONT_TOKEN_AUDIENCE": "a"}, want: "MAILFRONT_TOKEN_AUDIENCE is set"},
		"no secret":         {env: map[string]string{"MAILFRONT_AUTHORIZATION_SERVERS": "https://id.example", "MAILFRONT_INTROSPECTION_CLIENT": "topsecret"}, want: "MAILFRONT_INTROSPECTION_CLIENT: use id:secret"},
	} {
		_, err := parseConfig(nil, lookup(tt.env), io.Discard)
		require.ErrorContains(t, err, tt.want, name)
		require.NotContains(t, err.Error(), "topsecret", name)
	}
	cfg, err := parseConfig(nil, lookup(map[string]string{
		"MAILFRONT_AUTHORIZATION_SERVERS": " https://id.example/a/ , https://b.example", "MAILFRONT_INTROSPECTION_CLIENT": "mail:s3:cret", "MAILFRONT_TOKEN_AUDIENCE": "mail",
	}), io.Discard)
	require.NoError(t, err)
	require.Equal(t, []string{"https://id.example/a/", "https://b.example"}, cfg.issuers)
	require.Equal(t, "s3:cret", cfg.introspectionSecret)
	require.Equal(t, "mail", cfg.tokenAudience)
}

// An issuer that wants the secret of its client, and one that sends us elsewhere.
func TestIntrospectionWithTheSecretOfAClient(t *testing.T) {
	mux := http.NewServeMux()
	issuer := httptest.NewServer(mux)
	defer issuer.Close()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"issuer": issuer.URL, "jwks_uri": issuer.URL + "/keys", "authorization_endpoint": issuer.URL + "/a", "token_endpoint": issuer.URL + "/t", "introspection_endpoint": issuer.URL + "/introspect"})
	})
	answers := map[string]map[string]any{
		"good":      {"active": true, "username": testAccount},
		"for us":    {"active": true, "sub": testAccount, "aud": testBase, "iss": issuer.URL, "exp": time.Now().Add(time.Minute).Unix()},
		"inactive":  {"active": false, "username": testAccount},
		"for other": {"active": true, "username": testAccount, "aud": []string{"https://other.example"}},
		"of other":  {"active": true, "username": testAccount, "iss": "https://other.example"},
		"expired":   {"active": true, "username": testAccount, "exp": time.Now().Add(-time.Minute).Unix()},
		"no one":    {"active": true, "username": "else@example.test"},
		"unclear":   {"username": testAccount},
	}
	mux.HandleFunc("/introspect", func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		token := strings.ReplaceAll(r.PostFormValue("token"), "-", " ")
		switch {
		case id != "mail" || secret != url.QueryEscape("s:c r%t"):
			http.Error(w, "who are you?", http.StatusUnauthorized)
		case token == "elsewhere":
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
		case token == "endless":
			w.Write([]byte(strings.Repeat(" ", maxProviderBody+1)))
		case token == "page":
			io.WriteString(w, "<html>")
		default:
			writeJSON(w, http.StatusOK, answers[token])
		}
	})
	for secret, want := range map[string]map[string]int{
		"s:c r%t": {"good": 207, "for us": 207, "inactive": 401, "for other": 401, "of other": 401, "expired": 401, "no one": 401, "unclear": 401, "elsewhere": 503, "endless": 503, "page": 503},
		"wrong":   {"good": 503}, // not the token is wrong
	} {
		s := newSite(t, testBase, direct, map[string]string{"MAILFRONT_AUTHORIZATION_SERVERS": issuer.URL, "MAILFRONT_INTROSPECTION_CLIENT": "mail:" + secret})
		for token, status := range want {
			response, _ := s.do("PROPFIND", "/dav/cal/", "", "Authorization", "Bearer "+strings.ReplaceAll(token, " ", "-"), "Depth", "0")
			require.Equal(t, status, response.StatusCode, token)
		}
	}
}
