package signin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin/signintest"
)

func TestClientRegistration(t *testing.T) {
	s := newSite(t, nil)
	status, got := s.register(`{"client_name":"<b>Mail</b>","redirect_uris":["http://127.0.0.1/callback"],"grant_types":["authorization_code"],"unknown":1}`)
	require.Equal(t, http.StatusCreated, status, got)
	require.Equal(t, "none", got["token_endpoint_auth_method"], "whatever was asked for")
	require.Equal(t, []any{"http://127.0.0.1/callback"}, got["redirect_uris"])
	require.NotContains(t, got, "client_secret")
	id := got["client_id"].(string)
	require.Regexp(t, `^[A-Za-z0-9._-]+$`, id)

	_, page := s.do(http.MethodGet, s.AuthURL("v", "client_id", id), "")
	require.Contains(t, page, "&lt;b&gt;Mail&lt;/b&gt;")
	verifier := oauth2.GenerateVerifier()
	form := signintest.CodeForm(s.SignIn(s.AuthURL(verifier, "client_id", id)).Get("code"), verifier) // at another port
	form.Set("client_id", id)
	status, got = s.Token(form)
	require.Equal(t, http.StatusOK, status, got)

	for _, uri := range []string{"http://127.0.0.1:5555/other", "http://localhost:5555/callback", "http://127.0.0.1:5555/callback?x"} {
		response, _ := s.do(http.MethodGet, s.AuthURL("v", "client_id", id, "redirect_uri", uri), "")
		require.Equal(t, http.StatusBadRequest, response.StatusCode, uri)
	}
}

func TestUnsafeRegistrations(t *testing.T) {
	s := newSite(t, nil)
	for name, test := range map[string]struct{ body, want string }{
		"no JSON":            {body: "redirect_uris=x", want: "invalid_client_metadata"},
		"an array":           {body: "[]", want: "invalid_client_metadata"},
		"too long":           {body: `{"client_name":"` + strings.Repeat("x", 16<<10) + `"}`, want: "invalid_client_metadata"},
		"long name":          {body: `{"client_name":"` + strings.Repeat("x", 64+1) + `","redirect_uris":["https://a.example/"]}`, want: "invalid_client_metadata"},
		"no redirect URI":    {body: `{}`, want: "invalid_redirect_uri"},
		"six redirect URIs":  {body: `{"redirect_uris":["https://a/","https://a/","https://a/","https://a/","https://a/","https://a/"]}`, want: "invalid_redirect_uri"},
		"http elsewhere":     {body: `{"redirect_uris":["https://a.example/","http://a.example/"]}`, want: "invalid_redirect_uri"},
		"script":             {body: `{"redirect_uris":["javascript:alert(1)"]}`, want: "invalid_redirect_uri"},
		"data":               {body: `{"redirect_uris":["data:text/html,x"]}`, want: "invalid_redirect_uri"},
		"fragment":           {body: `{"redirect_uris":["https://a.example/#x"]}`, want: "invalid_redirect_uri"},
		"user":               {body: `{"redirect_uris":["https://a@b.example/"]}`, want: "invalid_redirect_uri"},
		"no host":            {body: `{"redirect_uris":["https:///x"]}`, want: "invalid_redirect_uri"},
		"relative":           {body: `{"redirect_uris":["/x"]}`, want: "invalid_redirect_uri"},
		"line break":         {body: `{"redirect_uris":["https://a.example/\r\nSet-Cookie: a=b"]}`, want: "invalid_redirect_uri"},
		"implicit":           {body: `{"redirect_uris":["https://a.example/"],"response_types":["token"]}`, want: "invalid_client_metadata"},
		"client credentials": {body: `{"redirect_uris":["https://a.example/"],"grant_types":["client_credentials"]}`, want: "invalid_client_metadata"},
	} {
		status, got := s.register(test.body)
		require.Equal(t, http.StatusBadRequest, status, name)
		require.Equal(t, test.want, got["error"], name)
	}
	status, got := s.register(`{"redirect_uris":["https://a.example/cb","com.example.app:/cb"]}`)
	require.Equal(t, http.StatusCreated, status, got)
}

func TestSelfRegisteredNeedsConsent(t *testing.T) {
	s := newSite(t, nil)
	response, body := s.do(http.MethodPost, "/auth/register", `{"redirect_uris":["https://evil.example/phish"]}`, "Content-Type", "application/json")
	require.Equal(t, http.StatusCreated, response.StatusCode, body)
	_, id, _ := strings.Cut(body, `"client_id":"`)
	id, _, _ = strings.Cut(id, `"`)
	response, body = s.do(http.MethodGet, "/login?"+url.Values{"client_id": {id}, "redirect_uri": {"https://evil.example/phish"}}.Encode(), "")
	require.Equal(t, http.StatusBadRequest, response.StatusCode, body)
	require.Empty(t, response.Header.Get("Location"))
}

func TestDeceptiveClientsAreRefused(t *testing.T) {
	s := newSite(t, nil)
	for _, body := range []string{
		`{"redirect_uris":["https://%D0%B0pple.com/cb"]}`,
		`{"redirect_uris":["https://app.example/cb"],"client_name":"a\u202eb"}`,
	} {
		response, answer := s.do(http.MethodPost, "/auth/register", body, "Content-Type", "application/json")
		require.Equal(t, http.StatusBadRequest, response.StatusCode, "%s: %s", body, answer)
	}
}
