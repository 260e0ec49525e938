// Package signintest provides an application, its requests and the form of the user for tests of a
// sign-in.
package signintest

import (
	"html"
	"net/url"
	"regexp"

	"golang.org/x/oauth2"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin"
)

// Redirect is the redirect URI of the requests.
const Redirect = "http://127.0.0.1:5555/callback"

// AuthURL returns a valid authorization request of signin.BuiltInClient. changes are names
// and values of parameters; an empty value removes one.
func AuthURL(base, verifier string, changes ...string) string {
	q := url.Values{
		"client_id": {signin.BuiltInClient}, "redirect_uri": {Redirect}, "response_type": {"code"},
		"scope": {"openid email offline_access"}, "state": {"the state"}, "nonce": {"the nonce"},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(changes); i += 2 {
		q.Set(changes[i], changes[i+1])
		if changes[i+1] == "" {
			q.Del(changes[i])
		}
	}
	return base + signin.LoginPath + "?" + q.Encode()
}

// CodeForm returns a valid token request for a code that AuthURL has led to.
func CodeForm(code, verifier string) url.Values {
	return url.Values{
		"grant_type": {"authorization_code"}, "client_id": {signin.BuiltInClient},
		"redirect_uri": {Redirect}, "code": {code}, "code_verifier": {verifier},
	}
}

var (
	formAction  = regexp.MustCompile(`<form method="post" action="([^"]*)"`)
	formRequest = regexp.MustCompile(`name="request" value="([^"]*)"`)
)

// Form returns the action of the form of a sign-in page and its hidden field. If the page has no
// form, ok is false.
func Form(page string) (action string, form url.Values, ok bool) {
	a, r := formAction.FindStringSubmatch(page), formRequest.FindStringSubmatch(page)
	if a == nil || r == nil {
		return "", nil, false
	}
	return html.UnescapeString(a[1]), url.Values{"request": {html.UnescapeString(r[1])}}, true
}
