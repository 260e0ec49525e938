package signin_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
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

func (s *site) post(target string, form url.Values, fields ...string) (*http.Response, string) {
	s.t.Helper()
	return s.do(http.MethodPost, target, form.Encode(), append(fields, "Content-Type", "application/x-www-form-urlencoded")...)
}

func (s *site) authURL(verifier string, changes ...string) string {
	return signintest.AuthURL(serverURL, verifier, changes...)
}

// open asks for the page, and returns its form.
func (s *site) open(authURL string) (action string, form url.Values) {
	s.t.Helper()
	response, page := s.do(http.MethodGet, authURL, "")
	require.Equal(s.t, http.StatusOK, response.StatusCode, page)
	return s.form(page)
}

func (s *site) form(page string) (action string, form url.Values) {
	s.t.Helper()
	action, form, ok := signintest.Form(page)
	require.True(s.t, ok, page)
	return action, form
}

// signIn fills in the form, and returns what the application gets.
func (s *site) signIn(authURL string) url.Values {
	s.t.Helper()
	action, form := s.open(authURL)
	form.Set("username", userName)
	form.Set("password", userPass)
	response, page := s.post(action, form)
	require.Equal(s.t, http.StatusSeeOther, response.StatusCode, page)
	return s.sentBack(response)
}

// sentBack returns what an answer sends to the application.
func (s *site) sentBack(response *http.Response) url.Values {
	s.t.Helper()
	to, err := response.Location()
	require.NoError(s.t, err)
	require.True(s.t, strings.HasPrefix(to.String(), signintest.Redirect+"?"), to)
	require.Equal(s.t, "no-store", response.Header.Get("Cache-Control"))
	return to.Query()
}

// token asks the token endpoint.
func (s *site) token(form url.Values) (int, map[string]any) {
	s.t.Helper()
	response, body := s.post("/auth/token", form)
	require.Equal(s.t, "no-store", response.Header.Get("Cache-Control"))
	require.Equal(s.t, "*", response.Header.Get("Access-Control-Allow-Origin"))
	var got map[string]any
	require.NoError(s.t, json.Unmarshal([]byte(body), &got), body)
	return response.StatusCode, got
}

func (s *site) register(body string) (int, map[string]any) {
	s.t.Helper()
	response, answer := s.do(http.MethodPost, "/auth/register", body, "Content-Type", "application/json")
	require.Equal(s.t, "no-store", response.Header.Get("Cache-Control"))
	var got map[string]any
	require.NoError(s.t, json.Unmarshal([]byte(answer), &got), answer)
	return response.StatusCode, got
}
