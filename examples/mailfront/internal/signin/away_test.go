package signin

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/webauth"
	"github.com/seed-94e48765/portico/publicurl"
)

// If a token cannot be looked up, the answer is 503, after which a client tries again. It does not
// count as a wrong password.
func TestStoreAwayIsTemporary(t *testing.T) {
	base, err := publicurl.Parse("https://mail.example.test")
	require.NoError(t, err)
	set, err := discovery.Build(discovery.Config{Base: base, OAuth: &discovery.OAuth{}})
	require.NoError(t, err)
	log := slog.New(slog.DiscardHandler)
	auth := &webauth.Auth{
		Account: "demo@example.test", Guard: guard.New(guard.DefaultLimits, nil, log), Log: log,
		Password: func(_, password string) bool { return password == "correct horse" },
		Current:  func() *discovery.Set { return set },
	}
	const challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" // RFC 7636 appendix B
	authorize := "/login?" + url.Values{
		"client_id": {BuiltInClient}, "redirect_uri": {"http://127.0.0.1/cb"}, "response_type": {"code"},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}.Encode()
	sealed, err := seal{&keys{store: store.NewMemory(1)}, "token"}.Encrypt("x:demo@example.test")
	require.NoError(t, err)
	for _, test := range []struct {
		name, method, target, body, contentType, authorization string
		back                                                   int // the status when the store is back
	}{
		{name: "authorization", method: "GET", target: authorize, back: 200},
		{name: "password", method: "POST", target: "/login/password", body: "request=" + sealed, contentType: "application/x-www-form-urlencoded", back: 400},
		{name: "code", method: "POST", target: "/auth/token", contentType: "application/x-www-form-urlencoded", back: 400,
			body: "grant_type=authorization_code&redirect_uri=http://127.0.0.1/cb&code_verifier=x&client_id=" + BuiltInClient + "&code=" + sealed},
		{name: "refresh token", method: "POST", target: "/auth/token", contentType: "application/x-www-form-urlencoded", back: 400,
			body: "grant_type=refresh_token&client_id=" + BuiltInClient + "&refresh_token=a.b"},
		{name: "token of a registered client", method: "POST", target: "/auth/token", contentType: "application/x-www-form-urlencoded", back: 400,
			body: "grant_type=authorization_code&redirect_uri=http://127.0.0.1/cb&code_verifier=x&client_id=" + sealed + "&code=" + sealed},
		{name: "registration", method: "POST", target: "/auth/register", body: `{"redirect_uris":["https://app.example/cb"]}`, contentType: "application/json", back: 201},
		{name: "keys", method: "GET", target: "/auth/jwks.json", back: 200},
		{name: "access token", method: "GET", target: "/auth/userinfo", authorization: "Bearer " + sealed, back: 401},
		{name: "introspection", method: "POST", target: "/auth/introspect", body: "token=x", contentType: "application/x-www-form-urlencoded", authorization: "Bearer " + sealed, back: 401},
		{name: "introspected token", method: "POST", target: "/auth/introspect", body: "token=" + sealed, contentType: "application/x-www-form-urlencoded", authorization: basic, back: 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			st := &awayStore{Store: store.NewMemory(100), away: true}
			provider, err := New(auth, nil, st)
			require.NoError(t, err)
			auth.Tokens = provider
			mux := http.NewServeMux()
			provider.Routes(mux)
			serve := func() *httptest.ResponseRecorder {
				r := httptest.NewRequest(test.method, test.target, strings.NewReader(test.body))
				r.Host = "mail.example.test"
				for name, value := range map[string]string{"Content-Type": test.contentType, "Authorization": test.authorization} {
					if value != "" {
						r.Header.Set(name, value)
					}
				}
				answer := httptest.NewRecorder()
				mux.ServeHTTP(answer, r)
				return answer
			}
			answer := serve()
			require.Equal(t, http.StatusServiceUnavailable, answer.Code, answer.Body)
			require.NotEmpty(t, answer.Header().Get("Retry-After"))
			require.Empty(t, answer.Header().Get("WWW-Authenticate"))
			require.Zero(t, auth.Guard.Counts().WrongLogins)
			st.away = false
			answer = serve()
			require.Equal(t, test.back, answer.Code, answer.Body)
			require.Zero(t, auth.Guard.Counts().WrongLogins)
		})
	}
}

// basic is the password of the account.
var basic = func() string {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.SetBasicAuth("demo@example.test", "correct horse")
	return r.Header.Get("Authorization")
}()
