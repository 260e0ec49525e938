// What to copy: identityProviders, which accepts the access tokens of other issuers: a
// signed one by the issuer's keys, and only if it is for this server, every other one by
// asking the issuer. What to change: accountOf, which finds your account for a token.

package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/internal/settings"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/publicurl"
)

const (
	providerTimeout = 5 * time.Second  // of each request to an issuer
	providerRetry   = 5 * time.Second  // after a failure: no request before
	maxProviderBody = 256 << 10        // bytes of an answer
	activeFor       = 30 * time.Second // how long an answer that a token is active counts
	maxActive       = 1000
)

// readIssuers reads the settings of a server that is not its own identity provider.
func (cfg *config) readIssuers(values *settings.Values) error {
	s := values.Get("AUTHORIZATION_SERVERS")
	for _, item := range s.List() {
		if item.Text != "" {
			cfg.issuers = append(cfg.issuers, item.Text)
		}
	}
	base, err := publicurl.FromHostname("mail.example.com") // for the check alone
	if err != nil {
		return err
	}
	if _, err := discovery.Build(discovery.Config{Base: base, AuthorizationServers: cfg.issuers}); err != nil {
		var e *discovery.Error
		if errors.As(err, &e) {
			return s.Errorf("%q: %s", e.Input, e.Rule)
		}
		return s.Errorf("%w", err)
	}
	client, audience := values.Get("INTROSPECTION_CLIENT"), values.Get("TOKEN_AUDIENCE")
	for _, other := range []settings.Value{client, audience} {
		if other.Text != "" && len(cfg.issuers) == 0 {
			return fmt.Errorf("mailfront: %s is set, and MAILFRONT_AUTHORIZATION_SERVERS is not: mailfront is its own identity provider then", other.From)
		}
	}
	cfg.tokenAudience = audience.Text
	if client.Text != "" {
		id, secret, ok := strings.Cut(client.Text, ":")
		if !ok || id == "" || secret == "" {
			return fmt.Errorf("mailfront: %s: use id:secret", client.From) // not quoted: it has a secret
		}
		cfg.introspectionID, cfg.introspectionSecret = id, secret
	}
	return nil
}

// errProviderAway is temporary: nothing is known of the token.
var errProviderAway = fmt.Errorf("mailfront: the identity provider does not answer: %w", discovery.ErrUnavailable)

// An identityProviders accepts the tokens of other issuers.
type identityProviders struct {
	cfg    *config
	log    *slog.Logger
	base   func() string // the public URL
	client *http.Client

	mu        sync.Mutex
	providers map[string]*identityProvider // by issuer
	active    map[string]activeToken       // by the hash of the token
}

// An identityProvider is what is known of an issuer.
type identityProvider struct {
	mu            sync.Mutex // held while the metadata is on its way: once is enough
	metadata      *oidc.Provider
	introspection string // URL, or ""
	failed        time.Time
}

type activeToken struct {
	caller caller
	until  time.Time
}

func newIdentityProviders(cfg *config, log *slog.Logger, base func() string) *identityProviders {
	p := &identityProviders{cfg: cfg, log: log, base: base, providers: make(map[string]*identityProvider), active: make(map[string]activeToken)}
	for _, issuer := range cfg.issuers {
		p.providers[issuer] = new(identityProvider)
	}
	p.client = &http.Client{
		Transport: limitedBodies{http.DefaultTransport},
		Timeout:   providerTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { // with a token in it
			return errors.New("an identity provider does not redirect")
		},
	}
	return p
}

// limitedBodies bounds what an issuer can make us read.
type limitedBodies struct{ http.RoundTripper }

func (l limitedBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := l.RoundTripper.RoundTrip(r)
	if err == nil {
		response.Body = http.MaxBytesReader(nil, response.Body, maxProviderBody)
	}
	return response, err
}

// provider returns the metadata of an issuer. After a failure it waits a while before it
// asks again.
func (p *identityProviders) provider(issuer string) (*identityProvider, error) {
	known := p.providers[issuer]
	known.mu.Lock()
	defer known.mu.Unlock()
	switch {
	case known.metadata != nil:
		return known, nil
	case time.Since(known.failed) < providerRetry:
		return nil, errProviderAway
	}
	// Its keys are fetched with this context later on, too.
	metadata, err := oidc.NewProvider(oidc.ClientContext(context.Background(), p.client), issuer)
	var more struct {
		Introspection string `json:"introspection_endpoint"`
	}
	if err == nil {
		err = metadata.Claims(&more)
	}
	if err != nil {
		known.failed = time.Now()
		return nil, p.away(issuer, err)
	}
	known.metadata, known.introspection = metadata, more.Introspection
	return known, nil
}

func (p *identityProviders) away(issuer string, err error) error {
	p.log.Error("identity provider cannot be used (MAILFRONT_AUTHORIZATION_SERVERS)", "issuer", issuer, "reason", client.Quote(err.Error()))
	return fmt.Errorf("%w: %s", errProviderAway, issuer)
}

// caller returns who a token is for: errWrong if it is not good here.
func (p *identityProviders) caller(ctx context.Context, token string) (caller, error) {
	sum := sha256.Sum256([]byte(token))
	key := string(sum[:])
	p.mu.Lock()
	known, ok := p.active[key]
	p.mu.Unlock()
	if ok && time.Now().Before(known.until) {
		return known.caller, nil
	}
	var t tokenClaims
	var err error
	if issuer, signed := issuerOf(token); signed {
		if !slices.Contains(p.cfg.issuers, issuer) {
			return caller{}, errWrong
		}
		t, err = p.verify(ctx, issuer, token)
	} else {
		t, err = p.introspect(ctx, token)
	}
	if err != nil {
		return caller{}, err
	}
	account := p.accountOf(t)
	if account == "" {
		return caller{}, errWrong
	}
	c := caller{account: account, token: &accessToken{scopes: strings.Fields(t.Scope)}}
	until := time.Now().Add(activeFor)
	if expires := time.Unix(int64(t.Expires), 0); t.Expires > 0 && expires.Before(until) {
		until = expires
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	makeRoom(p.active, maxActive, func(a activeToken) time.Time { return a.until })
	p.active[key] = activeToken{c, until}
	return c, nil
}

// tokenClaims are those of a signed token (RFC 9068 section 2.2), and the members of an
// answer about another (RFC 7662 section 2.2).
type tokenClaims struct {
	Active        bool     `json:"active"`
	Issuer        string   `json:"iss"`
	Audience      audience `json:"aud"`
	Subject       string   `json:"sub"`
	Username      string   `json:"username"`
	Email         string   `json:"email"`
	EmailVerified bool     `json:"email_verified"`
	Scope         string   `json:"scope"`
	Expires       float64  `json:"exp"`
}

// An audience is a string or a list (RFC 7519 section 4.1.3).
type audience []string

func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

// accountOf finds the account. An address that the issuer has not verified is what the user
// has typed.
func (p *identityProviders) accountOf(t tokenClaims) string {
	names := []string{t.Username, t.Subject}
	if t.EmailVerified {
		names = append(names, t.Email)
	}
	if account := p.cfg.account(); slices.Contains(names, account) {
		return account
	}
	return ""
}

// audience is what a token must be for (RFC 9068 section 4): else one that another server
// has got from its user could be used here.
func (p *identityProviders) audience() string {
	if p.cfg.tokenAudience != "" {
		return p.cfg.tokenAudience
	}
	return p.base()
}

// issuerOf reads the issuer that a signed token names, before anything is verified.
func issuerOf(token string) (issuer string, signed bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 { // a JWE has five
		return "", false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Issuer string `json:"iss"`
	}
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return "", false
	}
	return claims.Issuer, true
}

// verify checks signature, issuer, audience and expiry of a signed token.
func (p *identityProviders) verify(ctx context.Context, issuer, token string) (t tokenClaims, err error) {
	provider, err := p.provider(issuer)
	if err != nil {
		return t, err
	}
	verifier := provider.metadata.VerifierContext(oidc.ClientContext(ctx, p.client), &oidc.Config{ClientID: p.audience()})
	good, err := verifier.Verify(ctx, token)
	if err != nil && strings.Contains(err.Error(), "fetching keys") { // package oidc has no type for it
		return t, p.away(issuer, err)
	}
	if err != nil {
		p.log.Debug("token refused", "issuer", issuer, "reason", client.Quote(err.Error()))
		return t, errWrong
	}
	if err := good.Claims(&t); err != nil {
		return t, errWrong
	}
	return t, nil
}

// introspect asks the issuers about a token that has no signature (RFC 7662).
func (p *identityProviders) introspect(ctx context.Context, token string) (tokenClaims, error) {
	result := errWrong
	for _, issuer := range p.cfg.issuers {
		t, err := p.introspectAt(ctx, issuer, token)
		if err == nil {
			return t, nil
		}
		if errors.Is(err, errProviderAway) {
			result = err
		}
	}
	return tokenClaims{}, result
}

func (p *identityProviders) introspectAt(ctx context.Context, issuer, token string) (t tokenClaims, err error) {
	provider, err := p.provider(issuer)
	switch {
	case err != nil:
		return t, err
	case provider.introspection == "":
		return t, errWrong // its tokens are signed
	}
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, provider.introspection, strings.NewReader(form.Encode()))
	if err != nil {
		return t, p.away(issuer, err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	if p.cfg.introspectionID != "" { // RFC 6749 section 2.3.1
		r.SetBasicAuth(url.QueryEscape(p.cfg.introspectionID), url.QueryEscape(p.cfg.introspectionSecret))
	} else {
		r.Header.Set("Authorization", "Bearer "+token) // a token may ask about itself
	}
	response, err := p.client.Do(r)
	if err != nil {
		return t, p.away(issuer, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return t, p.away(issuer, err)
	case response.StatusCode == http.StatusUnauthorized && p.cfg.introspectionID == "":
		return t, errWrong // a bad token cannot ask
	case response.StatusCode != http.StatusOK:
		return t, p.away(issuer, fmt.Errorf("introspection: %s (MAILFRONT_INTROSPECTION_CLIENT)", response.Status))
	case json.Unmarshal(body, &t) != nil:
		return t, p.away(issuer, errors.New("introspection: the answer is not JSON"))
	case !t.Active,
		t.Issuer != "" && t.Issuer != issuer,
		len(t.Audience) > 0 && !slices.Contains(t.Audience, p.audience()),
		t.Expires > 0 && !time.Now().Before(time.Unix(int64(t.Expires), 0)):
		return t, errWrong
	}
	return t, nil
}
