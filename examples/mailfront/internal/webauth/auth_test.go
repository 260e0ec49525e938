package webauth

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
	"github.com/seed-94e48765/portico/publicurl"
)

const (
	serverURL = "https://mail.example.test"
	userName  = "demo@example.test"
	userPass  = "correct horse"
)

// newAuth returns an Auth of userName, and its log.
func newAuth(t *testing.T, tokens TokenSource) (*Auth, *bytes.Buffer) {
	t.Helper()
	base, err := publicurl.Parse(serverURL)
	require.NoError(t, err)
	set, err := discovery.Build(discovery.Config{Base: base, OAuth: &discovery.OAuth{}, Resources: []discovery.Resource{{Path: "/dav/"}}})
	require.NoError(t, err)
	var b bytes.Buffer
	log := slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return &Auth{
		Account:  userName,
		Password: func(name, password string) bool { return name == userName && password == userPass },
		Tokens:   tokens,
		Guard:    guard.New(guard.DefaultLimits, nil, log),
		Current:  func() *discovery.Set { return set },
		Log:      log,
	}, &b
}

// knownTokens are tokens by their text.
type knownTokens map[string]Caller

func (k knownTokens) Caller(_ context.Context, token string) (Caller, error) {
	if c, ok := k[token]; ok {
		return c, nil
	}
	if token == "expired" {
		return Caller{}, ErrWrong
	}
	return Caller{}, ErrNotToken
}

// apiRequest returns a request of a known client on TLS.
func apiRequest(authorization string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, serverURL+"/dav/", nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return client.WithRequest(r, client.Client{IP: netip.MustParseAddr("198.51.100.7"), Known: true, TLS: true, TLSKnown: true, Listener: "https"})
}

func basicOf(name, password string) string {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.SetBasicAuth(name, password)
	return r.Header.Get("Authorization")
}

func TestAuthenticate(t *testing.T) {
	byToken := Caller{Account: userName, Scopes: []string{"openid"}}
	byPassword := Caller{Account: userName, ByPassword: true}
	for _, tc := range []struct {
		name, authorization string
		want                Caller
		err                 error
		guesses             uint64 // wrong passwords that were compared
	}{
		{name: "nothing", err: ErrNoCredentials},
		{name: "another scheme", authorization: "Digest x", err: ErrNoCredentials},
		{name: "Basic", authorization: basicOf(userName, userPass), want: byPassword},
		{name: "Basic, wrong password", authorization: basicOf(userName, "wrong"), err: ErrWrong, guesses: 1},
		{name: "Basic, wrong name", authorization: basicOf("else", userPass), err: ErrWrong, guesses: 1},
		{name: "a token", authorization: "Bearer good", want: byToken},
		{name: "a token, scheme in lower case", authorization: "bearer good", want: byToken},
		{name: "an expired token is not a guess", authorization: "Bearer expired", err: ErrWrong},
		{name: "the password as a bearer token", authorization: "Bearer " + userPass, want: byPassword},
		{name: "another text as a bearer token", authorization: "Bearer wrong", err: ErrWrong, guesses: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, _ := newAuth(t, knownTokens{"good": byToken})
			got, err := a.Authenticate(apiRequest(tc.authorization))
			require.ErrorIs(t, err, tc.err)
			require.Equal(t, tc.want, got)
			require.Equal(t, tc.guesses, a.Guard.Counts().WrongLogins)
		})
	}
}

func TestScopes(t *testing.T) {
	require.True(t, Caller{Scopes: []string{"openid", "email"}}.Allows("email"))
	require.False(t, Caller{Scopes: []string{"openid"}}.Allows("email"))
	require.True(t, Caller{ByPassword: true}.Allows("email"))
}

func TestTheChallengeDependsOnTheError(t *testing.T) {
	a, _ := newAuth(t, knownTokens{})
	for _, tc := range []struct {
		name       string
		err        error
		status     int
		challenges int
		retry      bool
	}{
		{name: "no credentials", err: ErrNoCredentials, status: http.StatusUnauthorized, challenges: 2},
		{name: "wrong credentials", err: ErrWrong, status: http.StatusUnauthorized, challenges: 2},
		{name: "a token without the scope", err: ErrScope, status: http.StatusForbidden, challenges: 2},
		{name: "the issuer is away", err: ErrIssuerAway, status: http.StatusServiceUnavailable, retry: true},
		{name: "too fast", err: guard.ErrTooFast, status: http.StatusTooManyRequests, retry: true},
		{name: "busy", err: guard.ErrBusy, status: http.StatusServiceUnavailable, retry: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			a.ChallengeBasic(w, apiRequest(""), tc.err)
			require.Equal(t, tc.status, w.Code)
			require.Len(t, w.Header().Values("WWW-Authenticate"), tc.challenges, w.Header())
			require.Equal(t, tc.retry, w.Header().Get("Retry-After") != "")
		})
	}
}

func TestCrossSiteGuessesLookAlike(t *testing.T) {
	a, log := newAuth(t, knownTokens{})
	r := apiRequest(basicOf(userName, "wrong"))
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	for range 20 {
		_, err := a.Authenticate(r)
		require.Equal(t, ErrWrong, err)
	}
	require.NotContains(t, log.String(), "event=ban ")
	_, err := a.Authenticate(apiRequest(basicOf(userName, userPass)))
	require.NoError(t, err, "the visitor is not locked out")
}

func TestPlaintextPasswords(t *testing.T) {
	known := client.Client{IP: netip.MustParseAddr("198.51.100.7"), Known: true, TLSKnown: true, Listener: "http"}
	for _, tc := range []struct {
		name    string
		client  client.Client
		refused bool
	}{
		{name: "known plain text", client: known, refused: true},
		{name: "TLS", client: client.Client{IP: known.IP, Known: true, TLS: true, TLSKnown: true}},
		{name: "not known", client: client.Client{IP: known.IP, Known: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, log := newAuth(t, knownTokens{})
			w := httptest.NewRecorder()
			require.Equal(t, tc.refused, a.RefusePlaintext(w, tc.client))
			require.Equal(t, tc.refused, a.IsPlaintext(client.WithRequest(apiRequest(""), tc.client)))
			if tc.refused {
				require.Equal(t, http.StatusForbidden, w.Code)
				require.Contains(t, log.String(), "event=plaintext_refused")
			}
		})
	}
}

func TestUncomparedCredentials(t *testing.T) {
	a, log := newAuth(t, knownTokens{})
	a.Guard = guard.New(guard.DefaultLimits, nil, slog.New(slog.DiscardHandler))
	request := func(password string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, serverURL+"/dav/", nil) // of an unknown client
		r.SetBasicAuth(userName, password)
		return r
	}
	for range guard.DefaultLimits.Unknown[guard.Guessing].Burst {
		_, err := a.Authenticate(request("wrong"))
		require.Equal(t, ErrWrong, err)
	}
	_, err := a.Authenticate(request(userPass))
	require.ErrorIs(t, err, guard.ErrTooFast)
	require.ErrorIs(t, err, discovery.ErrUnavailable)
	require.NotErrorIs(t, err, discovery.ErrUnauthenticated, "a client would forget the password")
	a.LogError(request(userPass), err)
	require.NotContains(t, log.String(), "level=ERROR")
}
