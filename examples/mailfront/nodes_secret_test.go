//go:build unix

package main

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/store/storetest"
)

// A sign-in that only a removed secret opens has ended: a client that gets 401 signs in again. If a
// node lacks the secret in use, the sign-in may be valid, and a client keeps its tokens after 503.
func TestTokensOfARemovedSecret(t *testing.T) {
	c := newCluster(t, 1, configured)
	unused, used := c.tokens(), c.tokens()
	bearer := func(tokens map[string]any) string { return "Bearer " + tokens["access_token"].(string) }
	userinfo := func(s *site, tokens map[string]any) *http.Response {
		response, _ := s.do(http.MethodGet, "/auth/userinfo", "", "Authorization", bearer(tokens))
		return response
	}
	refresh := func(s *site, tokens map[string]any) (int, map[string]any) {
		return s.Token(url.Values{"grant_type": {"refresh_token"}, "client_id": {signin.BuiltInClient}, "refresh_token": {tokens["refresh_token"].(string)}})
	}
	both := c.start(map[string]string{"MAILFRONT_SECRET": otherSecret + "," + storetest.Secret})
	require.Equal(t, http.StatusOK, userinfo(both, used).StatusCode)
	require.Zero(t, both.logged("event=sign_in_sealed"))

	t.Run("a node that lacks the secret in use", func(t *testing.T) {
		old := c.nodes[0]
		response := userinfo(old, used)
		require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
		require.Empty(t, response.Header.Get("WWW-Authenticate"))
		for listener, signIn := range tokenClients {
			_, answer := signIn(mailGreeted(old, listener), "OAUTHBEARER", saslBearer("", used["access_token"].(string)))
			require.Regexp(t, tokenPutOff[listener], answer)
		}
		form := url.Values{"grant_type": {"refresh_token"}, "client_id": {signin.BuiltInClient}, "refresh_token": {used["refresh_token"].(string)}}
		response, _ = old.do(http.MethodPost, "/auth/token", form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
		require.Equal(t, http.StatusInternalServerError, response.StatusCode)
		old.awaitLog("level=ERROR", "event=store_error", "MAILFRONT_SECRET")
		require.Zero(t, old.logged("event=sign_in_sealed"))
	})

	s := c.start(map[string]string{"MAILFRONT_SECRET": otherSecret})
	require.Equal(t, http.StatusOK, userinfo(s, used).StatusCode, "it was sealed again")
	status, _ := refresh(s, used)
	require.Equal(t, http.StatusOK, status)
	response := userinfo(s, unused)
	require.Equal(t, http.StatusUnauthorized, response.StatusCode)
	require.Contains(t, response.Header.Get("WWW-Authenticate"), `error="invalid_token"`)
	status, answer := refresh(s, unused)
	require.Equal(t, http.StatusBadRequest, status)
	require.Equal(t, "invalid_grant", answer["error"])
	for listener, signIn := range tokenClients {
		_, answer := signIn(mailGreeted(s, listener), "OAUTHBEARER", saslBearer("", unused["access_token"].(string)))
		require.Regexp(t, tokenRefused[listener], answer)
	}
	s.awaitLogs(1, "level=WARN", "event=sign_in_sealed", "setting=MAILFRONT_SECRET")
	require.NotContains(t, s.log.String(), otherSecret)
	require.Equal(t, http.StatusOK, userinfo(both, unused).StatusCode, "the secret was added again")
}

func TestAdministratorSessionOfARemovedSecret(t *testing.T) {
	c := newCluster(t, 1, nil)
	c.setUp(0)
	status, _ := c.nodes[0].signInAdmin(adminPassword)
	require.Equal(t, http.StatusOK, status)
	both := c.start(map[string]string{"MAILFRONT_SECRET": otherSecret + "," + storetest.Secret})
	require.Equal(t, testBase, both.issuer(), "it has sealed the set-up again")

	status, _ = c.nodes[0].admin()
	require.Equal(t, http.StatusServiceUnavailable, status, "a node that lacks the secret in use")
	s := c.start(map[string]string{"MAILFRONT_SECRET": otherSecret})
	status, page := s.admin()
	require.Equal(t, http.StatusOK, status)
	require.NotContains(t, page, "Sign out")
	status, page = s.signInAdmin(adminPassword)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, page, "Sign out")
}

// A ban that a node cannot open does not prevent the use of the others.
func TestBansOfARemovedSecret(t *testing.T) {
	c := newCluster(t, 1, nil)
	c.setUp(0)
	for address, secret := range map[string]string{"192.0.2.8/32": otherSecret, "192.0.2.9/32": storetest.Secret} {
		b, err := json.Marshal(guard.Ban{Address: netip.MustParsePrefix(address), Until: time.Now().Add(time.Minute)})
		require.NoError(t, err)
		st, err := store.NewRedis(c.store.URL(), secret)
		require.NoError(t, err)
		_, err = st.PutIfAbsent(t.Context(), store.BanName(address), b, time.Minute)
		require.NoError(t, err)
		require.NoError(t, st.Close())
	}
	s := c.start(nil) // reads the bans
	s.awaitLogs(1, "level=WARN", "event=entry_sealed", "setting=MAILFRONT_SECRET", "192.0.2.8/32")
	status, page := s.signInAdmin(adminPassword)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, page, "<h2>Bans: 1</h2>")
	require.Contains(t, page, "192.0.2.9/32")
	require.Zero(t, s.logged("event=store_error"))
}
