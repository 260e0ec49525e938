package signin_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin/signintest"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/webauth"
	"github.com/seed-94e48765/portico/publicurl"
)

const (
	serverURL = "https://mail.example.test"
	userName  = "demo@example.test"
	userPass  = "correct horse"
)

// A site is a Provider without a network. Its requests are those of a known client on TLS.
type site struct {
	signintest.App
	t       *testing.T
	handler http.Handler
	log     *bytes.Buffer
}

// newSite returns a Provider with clients, which are redirect URIs by client id.
func newSite(t *testing.T, clients map[string][]string) *site {
	t.Helper()
	base, err := publicurl.Parse(serverURL)
	require.NoError(t, err)
	set, err := discovery.Build(discovery.Config{
		Base:      base,
		OAuth:     &discovery.OAuth{RegistrationPath: "/auth/register", IntrospectionPath: "/auth/introspect", IssuerParameter: true, Scopes: signin.Scopes},
		OpenID:    &discovery.OpenID{UserinfoPath: "/auth/userinfo", Claims: signin.Claims},
		Resources: []discovery.Resource{{Path: "/auth/userinfo"}},
	})
	require.NoError(t, err)
	s := &site{t: t, log: new(bytes.Buffer)}
	s.App = signintest.App{T: t, Base: serverURL, User: userName, Password: userPass, Do: s.do}
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	auth := &webauth.Auth{
		Account:  userName,
		Password: func(name, password string) bool { return name == userName && password == userPass },
		Guard:    guard.New(guard.DefaultLimits, nil, log),
		Current:  func() *discovery.Set { return set },
		Log:      log,
	}
	provider, err := signin.New(auth, clients, store.NewMemory(1000))
	require.NoError(t, err)
	auth.Tokens = provider
	mux := http.NewServeMux()
	provider.Routes(mux)
	s.handler = mux
	return s
}

// do sends a request, and returns the answer with its body.
func (s *site) do(method, target, body string, fields ...string) (*http.Response, string) {
	s.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = serverURL + target
	}
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, client.WithRequest(r, client.Client{
		IP: netip.MustParseAddr("198.51.100.7"), Known: true, TLS: true, TLSKnown: true, Listener: "https",
	}))
	return w.Result(), w.Body.String()
}

func (s *site) register(body string) (int, map[string]any) {
	s.t.Helper()
	response, answer := s.do(http.MethodPost, "/auth/register", body, "Content-Type", "application/json")
	require.Equal(s.t, "no-store", response.Header.Get("Cache-Control"))
	var got map[string]any
	require.NoError(s.t, json.Unmarshal([]byte(answer), &got), answer)
	return response.StatusCode, got
}
