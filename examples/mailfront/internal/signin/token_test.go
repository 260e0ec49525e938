package signin_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin/signintest"
)

func TestCodeIsValidOnce(t *testing.T) {
	s := newSite(t, map[string][]string{"app": {signintest.Redirect}})
	verifier := oauth2.GenerateVerifier()
	for name, test := range map[string]struct {
		change func(url.Values)
		want   string
	}{
		"no verifier":          {change: func(f url.Values) { f.Del("code_verifier") }, want: "invalid_request"},
		"another verifier":     {change: func(f url.Values) { f.Set("code_verifier", oauth2.GenerateVerifier()) }, want: "invalid_grant"},
		"another client":       {change: func(f url.Values) { f.Set("client_id", "app") }, want: "invalid_grant"},
		"an unknown client":    {change: func(f url.Values) { f.Set("client_id", "x") }, want: "invalid_client"},
		"another redirect URI": {change: func(f url.Values) { f.Set("redirect_uri", signintest.Redirect+"2") }, want: "invalid_grant"},
		"no redirect URI":      {change: func(f url.Values) { f.Del("redirect_uri") }, want: "invalid_grant"},
		"not the code":         {change: func(f url.Values) { f.Set("code", f.Get("code")+"x") }, want: "invalid_grant"},
		"another grant type":   {change: func(f url.Values) { f.Set("grant_type", "password") }, want: "unsupported_grant_type"},
		"no grant type":        {change: func(f url.Values) { f.Del("grant_type") }, want: "invalid_request"},
		"the code twice":       {change: func(f url.Values) { f.Add("code", f.Get("code")) }, want: "invalid_request"},
	} {
		form := signintest.CodeForm(s.SignIn(s.AuthURL(verifier)).Get("code"), verifier)
		test.change(form)
		status, got := s.Token(form)
		require.Equal(t, test.want, got["error"], name)
		if test.want == "invalid_client" {
			require.Equal(t, http.StatusUnauthorized, status, name)
		} else {
			require.Equal(t, http.StatusBadRequest, status, name)
		}
		require.NotContains(t, got, "access_token", name)
	}

	form := signintest.CodeForm(s.SignIn(s.AuthURL(verifier)).Get("code"), verifier)
	status, got := s.Token(form)
	require.Equal(t, http.StatusOK, status, got)
	bearer := "Bearer " + got["access_token"].(string)
	response, _ := s.do(http.MethodGet, "/auth/userinfo", "", "Authorization", bearer)
	require.Equal(t, http.StatusOK, response.StatusCode)
	status, replay := s.Token(form)
	require.Equal(t, http.StatusBadRequest, status)
	require.Equal(t, "invalid_grant", replay["error"])
	response, _ = s.do(http.MethodGet, "/auth/userinfo", "", "Authorization", bearer)
	require.Equal(t, http.StatusUnauthorized, response.StatusCode, "a replayed code ends what it began")
	status, _ = s.Token(url.Values{"grant_type": {"refresh_token"}, "client_id": {signin.BuiltInClient}, "refresh_token": {got["refresh_token"].(string)}})
	require.Equal(t, http.StatusBadRequest, status)
}

func TestRefreshTokenRotation(t *testing.T) {
	s := newSite(t, map[string][]string{"app": {signintest.Redirect}})
	verifier := oauth2.GenerateVerifier()
	_, first := s.Token(signintest.CodeForm(s.SignIn(s.AuthURL(verifier)).Get("code"), verifier))
	refresh := func(token any, client string, more ...string) (int, map[string]any) {
		form := url.Values{"grant_type": {"refresh_token"}, "client_id": {client}, "refresh_token": {token.(string)}}
		for i := 0; i < len(more); i += 2 {
			form.Set(more[i], more[i+1])
		}
		return s.Token(form)
	}
	status, got := refresh(first["refresh_token"], "app")
	require.Equal(t, "invalid_grant", got["error"], status)
	status, got = refresh(first["refresh_token"], signin.BuiltInClient, "scope", "openid profile")
	require.Equal(t, "invalid_scope", got["error"], status)
	status, second := refresh(first["refresh_token"], signin.BuiltInClient, "scope", "email offline_access")
	require.Equal(t, http.StatusOK, status, second)
	require.NotEqual(t, first["refresh_token"], second["refresh_token"])
	require.NotContains(t, second, "id_token", "without the scope openid")

	status, got = refresh(first["refresh_token"], signin.BuiltInClient)
	require.Equal(t, "invalid_grant", got["error"], status)
	status, _ = refresh(second["refresh_token"], signin.BuiltInClient)
	require.Equal(t, http.StatusBadRequest, status, "one of the two was stolen")
	for _, token := range []any{first["access_token"], second["access_token"]} {
		response, _ := s.do(http.MethodGet, "/auth/userinfo", "", "Authorization", "Bearer "+token.(string))
		require.Equal(t, http.StatusUnauthorized, response.StatusCode)
	}
}

func TestNoOfflineAccess(t *testing.T) {
	s := newSite(t, nil)
	verifier := oauth2.GenerateVerifier()
	_, got := s.Token(signintest.CodeForm(s.SignIn(s.AuthURL(verifier, "scope", "openid more")).Get("code"), verifier))
	require.NotContains(t, got, "refresh_token")
	require.Equal(t, "openid", got["scope"])
	require.Equal(t, "Bearer", got["token_type"])
}

func TestIntrospection(t *testing.T) {
	s := newSite(t, nil)
	verifier := oauth2.GenerateVerifier()
	_, tokens := s.Token(signintest.CodeForm(s.SignIn(s.AuthURL(verifier)).Get("code"), verifier))
	ask := func(token string, fields ...string) (int, map[string]any) {
		response, body := s.Post("/auth/introspect", url.Values{"token": {token}}, fields...)
		var got map[string]any
		if strings.HasPrefix(body, "{") {
			require.NoError(t, json.Unmarshal([]byte(body), &got), body)
		}
		return response.StatusCode, got
	}
	status, _ := ask(tokens["access_token"].(string))
	require.Equal(t, http.StatusUnauthorized, status)
	status, got := ask(tokens["access_token"].(string), "Authorization", "Bearer "+userPass)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, true, got["active"])
	require.Equal(t, userName, got["sub"])
	require.Equal(t, serverURL, got["iss"])
	require.Equal(t, signin.BuiltInClient, got["client_id"])
	for _, token := range []string{"x", tokens["refresh_token"].(string), tokens["access_token"].(string) + "x"} {
		_, got = ask(token, "Authorization", "Bearer "+userPass)
		require.Equal(t, map[string]any{"active": false}, got)
	}
}
