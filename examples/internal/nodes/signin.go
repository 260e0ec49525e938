package nodes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Steps of a sign-in, in order.
var Steps = []string{"sign-in page", "password", "token", "userinfo", "refresh", "keys"}

// A SignIn is an application that signs a user in.
type SignIn struct {
	Base     string // the public URL
	User     string
	Password string

	// Do sends the request of a step, whose URL is below Base, to a node. It must not
	// follow redirects.
	Do func(step int, r *http.Request) (*http.Response, error)

	// Before is called before each step, if it is not nil.
	Before func(step int)
}

// Client and scopes that mailfront accepts from every application.
const (
	clientID = "mailfront-demo"
	redirect = "http://127.0.0.1:5555/callback"
)

var (
	formAction  = regexp.MustCompile(`<form method="post" action="([^"]*)"`)
	formRequest = regexp.MustCompile(`name="request" value="([^"]*)"`)
)

// tokens is an answer of the token endpoint.
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
	Error   string `json:"error"`
}

// Run signs the user in with an authorization code and PKCE, requests the user's
// information, redeems the refresh token, and verifies the ID tokens with the published
// keys. The error names the step.
func (s SignIn) Run(ctx context.Context) error {
	verifier := oauth2.GenerateVerifier()
	page, err := s.get(ctx, 0, "/login?"+url.Values{
		"client_id": {clientID}, "redirect_uri": {redirect}, "response_type": {"code"}, "scope": {"openid email offline_access"},
		"state": {"the state"}, "nonce": {"the nonce"},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"},
	}.Encode(), "")
	if err != nil {
		return err
	}
	action, hidden := formAction.FindSubmatch(page), formRequest.FindSubmatch(page)
	if action == nil || hidden == nil {
		return failed(0, "no form in %.200q", page)
	}
	path, ok := strings.CutPrefix(html.UnescapeString(string(action[1])), s.Base)
	if !ok {
		return failed(0, "the form's action is %q, want a URL below %q", action[1], s.Base)
	}
	answer, err := s.post(ctx, 1, path, url.Values{"request": {html.UnescapeString(string(hidden[1]))}, "username": {s.User}, "password": {s.Password}})
	if err != nil {
		return err
	}
	answer.Body.Close()
	location, err := answer.Location()
	if err != nil || location.Query().Get("code") == "" {
		return failed(1, "status %d, Location %q: want a redirect with a code", answer.StatusCode, answer.Header.Get("Location"))
	}
	first, err := s.tokens(ctx, 2, url.Values{
		"grant_type": {"authorization_code"}, "client_id": {clientID}, "redirect_uri": {redirect},
		"code": {location.Query().Get("code")}, "code_verifier": {verifier},
	})
	if err != nil {
		return err
	}
	info, err := s.get(ctx, 3, "/auth/userinfo", first.Access)
	if err != nil {
		return err
	}
	if !strings.Contains(string(info), s.User) {
		return failed(3, "got %.200q, want the user's address", info)
	}
	second, err := s.tokens(ctx, 4, url.Values{"grant_type": {"refresh_token"}, "client_id": {clientID}, "refresh_token": {first.Refresh}})
	if err != nil {
		return err
	}
	for _, id := range []string{first.ID, second.ID} {
		keys := oidc.NewRemoteKeySet(oidc.ClientContext(ctx, &http.Client{Transport: stepTransport{s, 5}}), s.Base+"/auth/jwks.json")
		if _, err := oidc.NewVerifier(s.Base, keys, &oidc.Config{ClientID: clientID}).Verify(ctx, id); err != nil {
			return failed(5, "%w", err)
		}
	}
	return nil
}

// Refused is the error of a step that was answered with an unexpected status.
type Refused struct {
	Status     int
	RetryAfter string
	text       string
}

func (e *Refused) Error() string { return fmt.Sprintf("status %d: %.200q", e.Status, e.text) }

func failed(step int, format string, args ...any) error {
	return fmt.Errorf(Steps[step]+": "+format, args...)
}

func (s SignIn) send(step int, r *http.Request) (*http.Response, error) {
	if s.Before != nil {
		s.Before(step)
	}
	answer, err := s.Do(step, r)
	if err != nil {
		return nil, failed(step, "%w", err)
	}
	if answer.StatusCode >= http.StatusBadRequest {
		defer answer.Body.Close()
		body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
		if err != nil {
			return nil, failed(step, "%w", err)
		}
		return nil, failed(step, "%w", &Refused{answer.StatusCode, answer.Header.Get("Retry-After"), string(body)})
	}
	return answer, nil
}

func (s SignIn) get(ctx context.Context, step int, path, bearer string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Base+path, nil)
	if err != nil {
		return nil, err
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	answer, err := s.send(step, r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return nil, failed(step, "%w", err)
	}
	return body, nil
}

func (s SignIn) post(ctx context.Context, step int, path string, form url.Values) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Base+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return s.send(step, r)
}

func (s SignIn) tokens(ctx context.Context, step int, form url.Values) (t tokens, err error) {
	answer, err := s.post(ctx, step, "/auth/token", form)
	if err != nil {
		return t, err
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&t); err != nil {
		return t, failed(step, "%w", err)
	}
	if t.Access == "" || t.Refresh == "" || t.ID == "" {
		return t, failed(step, "%w", errors.New("the answer lacks a token"))
	}
	return t, nil
}

// A stepTransport sends the requests of a library by SignIn.Do.
type stepTransport struct {
	s    SignIn
	step int
}

func (t stepTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.s.Before != nil {
		t.s.Before(t.step)
	}
	return t.s.Do(t.step, r)
}
