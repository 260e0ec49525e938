package webauth

import (
	"crypto/rand"
	"crypto/rsa"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
)

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
		WriteJSON(w, http.StatusOK, map[string]any{"issuer": issuer.URL + "/realms/mail", "jwks_uri": issuer.URL + "/keys", "authorization_endpoint": issuer.URL + "/a", "token_endpoint": issuer.URL + "/t"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, r *http.Request) {
		if keysAway.Load() {
			http.Error(w, "away", http.StatusBadGateway)
			return
		}
		WriteJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "RS256", Use: "sig"}}})
	})
	sign := func(t *testing.T, key *rsa.PrivateKey, id string, claims map[string]any) string {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, (&jose.SignerOptions{}).WithType("at+jwt").WithHeader("kid", id))
		require.NoError(t, err)
		token, err := jwt.Signed(signer).Claims(claims).Serialize()
		require.NoError(t, err)
		return token
	}
	issuers := testIssuers("", "", "https://unused.example", issuer.URL+"/realms/mail")
	ask := func(t *testing.T, token string) int { return statusOf(t, issuers, token) }
	good := func() map[string]any {
		return map[string]any{
			"iss": issuer.URL + "/realms/mail", "aud": []string{"account", serverURL}, "sub": "4711", "email": userName, "email_verified": true,
			"exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(), "scope": "openid email", "client_id": "app",
		}
	}
	for _, tt := range []struct {
		name   string
		change func(map[string]any)
		want   int
	}{
		{name: "good", change: func(map[string]any) {}, want: http.StatusOK},
		{name: "one audience", change: func(c map[string]any) { c["aud"] = serverURL }, want: http.StatusOK},
		{name: "the account as subject", change: func(c map[string]any) { c["sub"] = userName; delete(c, "email") }, want: http.StatusOK},
		{name: "for another server", change: func(c map[string]any) { c["aud"] = []string{"https://other.example"} }, want: http.StatusUnauthorized},
		{name: "an ID token", change: func(c map[string]any) { c["aud"] = "app" }, want: http.StatusUnauthorized},
		{name: "an ID token for an application with the name of the server", change: func(c map[string]any) { c["at_hash"] = "MTIzNDU2Nzg5MDEyMzQ1Ng" }, want: http.StatusUnauthorized},
		{name: "an ID token of Keycloak", change: func(c map[string]any) { c["typ"] = "ID" }, want: http.StatusUnauthorized},
		{name: "an offline token of Keycloak", change: func(c map[string]any) { c["typ"] = "Offline" }, want: http.StatusUnauthorized},
		{name: "an access token of Keycloak", change: func(c map[string]any) { c["typ"] = "Bearer" }, want: http.StatusOK},
		{name: "an ID token of Cognito", change: func(c map[string]any) { c["token_use"] = "id" }, want: http.StatusUnauthorized},
		{name: "an access token of Cognito", change: func(c map[string]any) { c["token_use"] = "access" }, want: http.StatusOK},
		{name: "no audience", change: func(c map[string]any) { delete(c, "aud") }, want: http.StatusUnauthorized},
		{name: "of an issuer that is not listed", change: func(c map[string]any) { c["iss"] = issuer.URL + "/realms/other" }, want: http.StatusUnauthorized},
		{name: "of an issuer with a slash", change: func(c map[string]any) { c["iss"] = issuer.URL + "/realms/mail/" }, want: http.StatusUnauthorized},
		{name: "of no issuer", change: func(c map[string]any) { delete(c, "iss") }, want: http.StatusUnauthorized},
		{name: "expired", change: func(c map[string]any) { c["exp"] = time.Now().Add(-time.Minute).Unix() }, want: http.StatusUnauthorized},
		{name: "of another account", change: func(c map[string]any) { c["email"] = "else@example.test" }, want: http.StatusUnauthorized},
		{name: "an address that is not verified", change: func(c map[string]any) { c["email_verified"] = false }, want: http.StatusUnauthorized},
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
		claims["sub"] = userName
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

// An issuer that requires the secret of its client, and one that redirects.
func TestIntrospectionWithSecret(t *testing.T) {
	mux := http.NewServeMux()
	issuer := httptest.NewServer(mux)
	defer issuer.Close()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		WriteJSON(w, http.StatusOK, map[string]any{"issuer": issuer.URL, "jwks_uri": issuer.URL + "/keys", "authorization_endpoint": issuer.URL + "/a", "token_endpoint": issuer.URL + "/t", "introspection_endpoint": issuer.URL + "/introspect"})
	})
	answers := map[string]map[string]any{
		"good":      {"active": true, "username": userName},
		"for us":    {"active": true, "sub": userName, "aud": serverURL, "iss": issuer.URL, "exp": time.Now().Add(time.Minute).Unix()},
		"inactive":  {"active": false, "username": userName},
		"for other": {"active": true, "username": userName, "aud": []string{"https://other.example"}},
		"of other":  {"active": true, "username": userName, "iss": "https://other.example"},
		"expired":   {"active": true, "username": userName, "exp": time.Now().Add(-time.Minute).Unix()},
		"no one":    {"active": true, "username": "else@example.test"},
		"unclear":   {"username": userName},
		"bearer":    {"active": true, "username": userName, "token_type": "Bearer", "token_use": "access_token"},
		"refresh":   {"active": true, "username": userName, "token_type": "refresh_token"},
		"of Hydra":  {"active": true, "username": userName, "token_type": "Bearer", "token_use": "refresh_token"},
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
			WriteJSON(w, http.StatusOK, answers[token])
		}
	})
	for secret, want := range map[string]map[string]int{
		"s:c r%t": {"good": 200, "for us": 200, "inactive": 401, "for other": 401, "of other": 401, "expired": 401, "no one": 401, "unclear": 401, "bearer": 200, "refresh": 401, "of Hydra": 401, "elsewhere": 503, "endless": 503, "page": 503},
		"wrong":   {"good": 503}, // the secret is wrong, not the token
	} {
		issuers := testIssuers("mail", secret, issuer.URL)
		for token, status := range want {
			require.Equal(t, status, statusOf(t, issuers, strings.ReplaceAll(token, " ", "-")), token)
		}
	}
}

func testIssuers(id, secret string, issuers ...string) *Issuers {
	return NewIssuers(IssuersConfig{
		Issuers: issuers, Account: userName, Audience: func() string { return serverURL },
		ClientID: id, ClientSecret: secret, Log: slog.New(slog.DiscardHandler),
		Guard: guard.New(guard.DefaultLimits, nil, slog.New(slog.DiscardHandler)),
	})
}

// statusOf returns the status of the answer to a request with a token.
func statusOf(t *testing.T, tokens TokenSource, token string) int {
	t.Helper()
	a, _ := newAuth(t, tokens)
	r := apiRequest("Bearer " + token)
	w := httptest.NewRecorder()
	c, err := a.Authenticate(r)
	if err != nil {
		a.Challenge(w, r, err)
		return w.Code
	}
	require.Equal(t, userName, c.Account)
	return http.StatusOK
}
