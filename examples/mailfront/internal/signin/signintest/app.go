package signintest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
)

// An App is an application that signs the user in with the user's browser. Its methods fail the test
// after an unexpected answer.
type App struct {
	T              testing.TB
	Base           string // the public base URL
	User, Password string

	// Do sends a request and returns the answer with its body. fields are names and values of header
	// fields. A target that begins with a slash is below Base.
	Do func(method, target, body string, fields ...string) (*http.Response, string)
}

// Post sends a form.
func (a *App) Post(target string, form url.Values, fields ...string) (*http.Response, string) {
	a.T.Helper()
	return a.Do(http.MethodPost, target, form.Encode(), append(fields, "Content-Type", "application/x-www-form-urlencoded")...)
}

// AuthURL returns a valid authorization request with changes: see [AuthURL].
func (a *App) AuthURL(verifier string, changes ...string) string {
	return AuthURL(a.Base, verifier, changes...)
}

// Open requests the sign-in page, and returns its form.
func (a *App) Open(authURL string) (action string, form url.Values) {
	a.T.Helper()
	response, page := a.Do(http.MethodGet, authURL, "")
	require.Equal(a.T, http.StatusOK, response.StatusCode, page)
	return a.Form(page)
}

// Form returns the form of a page: see [Form].
func (a *App) Form(page string) (action string, form url.Values) {
	a.T.Helper()
	action, form, ok := Form(page)
	require.True(a.T, ok, page)
	return action, form
}

// SignIn submits the form of the sign-in page, and returns the parameters that the application gets.
func (a *App) SignIn(authURL string) url.Values {
	a.T.Helper()
	action, form := a.Open(authURL)
	form.Set("username", a.User)
	form.Set("password", a.Password)
	response, page := a.Post(action, form)
	require.Equal(a.T, http.StatusSeeOther, response.StatusCode, page)
	return a.SentBack(response)
}

// SentBack returns the parameters that an answer sends to the application.
func (a *App) SentBack(response *http.Response) url.Values {
	a.T.Helper()
	to, err := response.Location()
	require.NoError(a.T, err)
	require.True(a.T, strings.HasPrefix(to.String(), Redirect+"?"), to)
	require.Equal(a.T, "no-store", response.Header.Get("Cache-Control"))
	return to.Query()
}

// Token sends a request to the token endpoint.
func (a *App) Token(form url.Values) (int, map[string]any) {
	a.T.Helper()
	response, body := a.Post("/auth/token", form)
	require.Equal(a.T, "no-store", response.Header.Get("Cache-Control"))
	require.Equal(a.T, "*", response.Header.Get("Access-Control-Allow-Origin"))
	var got map[string]any
	require.NoError(a.T, json.Unmarshal([]byte(body), &got), body)
	return response.StatusCode, got
}

// AccessToken signs in and returns an access token, with its code and verifier. changes are those of
// [AuthURL].
func (a *App) AccessToken(changes ...string) (token, code, verifier string) {
	a.T.Helper()
	verifier = oauth2.GenerateVerifier()
	code = a.SignIn(a.AuthURL(verifier, changes...)).Get("code")
	status, answer := a.Token(CodeForm(code, verifier))
	require.Equal(a.T, http.StatusOK, status, answer)
	token, ok := answer["access_token"].(string)
	require.True(a.T, ok, answer)
	return token, code, verifier
}
