package webauth

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
	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
)

const (
	providerTimeout = 5 * time.Second  // for each request to an issuer
	providerRetry   = 5 * time.Second  // minimum time between a failure and the next request
	maxProviderBody = 256 << 10        // maximum size of an answer in bytes
	maxProviderBusy = 16               // maximum of connections to an issuer
	activeFor       = 30 * time.Second // how long an active token is not introspected again
	maxActive       = 1000
	reportInterval  = time.Minute // minimum time between two log lines about an issuer
)

// ErrIssuerAway is returned when an issuer does not answer. The token may be valid.
var ErrIssuerAway = fmt.Errorf("mailfront: the identity provider does not answer: %w", discovery.ErrUnavailable)

// IssuersConfig configures [NewIssuers].
type IssuersConfig struct {
	Issuers []string // spelled as in the metadata of the issuer
	// Account is the account of tokens. A token is accepted if its username or subject is Account, or
	// if its email address is Account and the issuer has verified the address.
	Account  string
	Audience func() string // required audience (aud) of tokens (RFC 9068 section 4)
	// Introspection is the issuer to which tokens without a signature are sent. Such a token does not
	// name its issuer, and an issuer that receives the token could use it. The default is the only
	// issuer. If there are several issuers and Introspection is empty, such tokens are refused.
	Introspection string
	// ClientID and ClientSecret authenticate introspection (RFC 7662). Without them the token itself
	// authenticates it.
	ClientID, ClientSecret string
	// Guard limits how often a client can cause a request to an issuer, by the limit for logging in. A
	// token that was valid a moment ago is not counted. Tokens that a page of another site may have
	// sent have a limit of their own, so that such a page cannot use up the logins of its visitor.
	Guard *guard.Guard
	Log   *slog.Logger
}

// Issuers accepts the access tokens of other issuers. It is a TokenSource. A signed token is
// verified with the keys of the issuer that it names, and must be for this server. Every other
// token is introspected (RFC 7662) at one issuer.
type Issuers struct {
	IssuersConfig
	client  *http.Client
	limited *client.LimitedLog

	mu        sync.Mutex
	providers map[string]*issuerState               // by issuer
	active    *simplelru.LRU[[32]byte, activeToken] // by the hash of the token
}

// An issuerState has the metadata of an issuer.
type issuerState struct {
	mu            sync.Mutex // held during the request for the metadata, so that one is made at a time
	metadata      *oidc.Provider
	introspection string // URL, or ""
	failed        time.Time

	reported   time.Time // time of the last log line about the issuer; guarded by Issuers.mu
	suppressed int       // number of log lines that were suppressed since then
}

type activeToken struct {
	caller Caller
	until  time.Time
}

// NewIssuers returns Issuers. It sends no request before the first token.
func NewIssuers(c IssuersConfig) *Issuers {
	if c.Introspection == "" && len(c.Issuers) == 1 {
		c.Introspection = c.Issuers[0]
	}
	p := &Issuers{IssuersConfig: c, limited: client.NewLimitedLog(c.Log), providers: make(map[string]*issuerState)}
	for _, issuer := range c.Issuers {
		p.providers[issuer] = new(issuerState)
	}
	var err error
	if p.active, err = simplelru.NewLRU[[32]byte, activeToken](maxActive, nil); err != nil {
		panic(err) // not reached: maxActive is positive
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxConnsPerHost = maxProviderBusy
	p.client = &http.Client{
		Transport: limitedBodies{transport},
		Timeout:   providerTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { // the request may contain a token
			return errors.New("an identity provider does not redirect")
		},
	}
	return p
}

// limitedBodies limits the size of an issuer's answers.
type limitedBodies struct{ http.RoundTripper }

func (l limitedBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := l.RoundTripper.RoundTrip(r)
	if err == nil {
		response.Body = http.MaxBytesReader(nil, response.Body, maxProviderBody)
	}
	return response, err
}

// provider returns the metadata of an issuer. After a failure it sends no request for providerRetry.
func (p *Issuers) provider(issuer string) (*issuerState, error) {
	known := p.providers[issuer]
	known.mu.Lock()
	defer known.mu.Unlock()
	switch {
	case known.metadata != nil:
		return known, nil
	case time.Since(known.failed) < providerRetry:
		return nil, ErrIssuerAway
	}
	// The key set uses this context later, too.
	metadata, err := oidc.NewProvider(oidc.ClientContext(context.Background(), p.client), issuer)
	var more struct {
		Keys          string `json:"jwks_uri"`
		Introspection string `json:"introspection_endpoint"`
	}
	if err == nil {
		err = metadata.Claims(&more)
	}
	for _, u := range []string{more.Keys, more.Introspection} { // RFC 8414 section 2
		if strings.HasPrefix(issuer, "https:") && u != "" && !strings.HasPrefix(u, "https:") {
			err = fmt.Errorf("the metadata has %q, which is not an https URL", u)
		}
	}
	if err != nil {
		known.failed = time.Now()
		return nil, p.away(context.Background(), issuer, err)
	}
	known.metadata, known.introspection = metadata, more.Introspection
	return known, nil
}

// away logs that an issuer cannot be used, at most once in each interval, because clients cause
// the requests. A request whose ctx has ended is ignored, because the client did not wait for
// the answer.
func (p *Issuers) away(ctx context.Context, issuer string, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.providers[issuer]
	switch {
	case ctx.Err() != nil:
	case time.Since(known.reported) < reportInterval:
		known.suppressed++
	default:
		p.Log.Error("identity provider cannot be used (MAILFRONT_AUTHORIZATION_SERVERS)", "issuer", issuer,
			"reason", client.Quote(err.Error()), "suppressed", known.suppressed)
		known.reported, known.suppressed = time.Now(), 0
	}
	return fmt.Errorf("%w: %s", ErrIssuerAway, issuer)
}

// Caller returns the caller of a token. The error is ErrWrong for a token that is not valid
// here, ErrIssuerAway, or the error of [guard.Guard.Allow]. ctx is the context of the request.
func (p *Issuers) Caller(ctx context.Context, token string) (Caller, error) {
	key := sha256.Sum256([]byte(token))
	if c, ok := p.known(key); ok {
		return c, nil
	}
	cl := client.FromContext(ctx)
	action := guard.LoggingIn
	if isFromOtherSite(ctx) {
		action = guard.LoggingInElsewhere
	}
	if err := p.Guard.Allow(cl, action); err != nil {
		return Caller{}, tooMany(err)
	}
	c, err := p.check(ctx, key, token)
	if errors.Is(err, ErrWrong) {
		cl.Log(p.Log, "token_refused")
	}
	return c, err
}

// Check is like Caller without the limit, for servers that limit logins themselves.
func (p *Issuers) Check(ctx context.Context, token string) (Caller, error) {
	key := sha256.Sum256([]byte(token))
	if c, ok := p.known(key); ok {
		return c, nil
	}
	return p.check(ctx, key, token)
}

// known returns the caller of a token that was valid a moment ago.
func (p *Issuers) known(key [32]byte) (Caller, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known, ok := p.active.Get(key)
	return known.caller, ok && time.Now().Before(known.until)
}

func (p *Issuers) check(ctx context.Context, key [32]byte, token string) (Caller, error) {
	c, expires, err := p.query(ctx, token)
	if err != nil {
		return Caller{}, err
	}
	until := time.Now().Add(activeFor)
	if expires.Before(until) {
		until = expires
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active.Add(key, activeToken{c, until})
	return c, nil
}

// query returns the caller of a token and when the token expires.
func (p *Issuers) query(ctx context.Context, token string) (c Caller, expires time.Time, err error) {
	var t tokenClaims
	if issuer, signed := issuerOf(token); signed {
		if !slices.Contains(p.Issuers, issuer) {
			return c, expires, ErrWrong
		}
		t, err = p.verify(ctx, issuer, token)
	} else {
		t, err = p.introspect(ctx, token)
	}
	if err != nil {
		return c, expires, err
	}
	account := p.accountOf(t)
	if account == "" || !t.isAccessToken() {
		return c, expires, ErrWrong
	}
	expires = time.Now().Add(activeFor)
	if t.Expires > 0 {
		expires = time.Unix(int64(t.Expires), 0)
	}
	return Caller{Account: account, Scopes: strings.Fields(t.Scope)}, expires, nil
}

// tokenClaims are the claims of a signed token (RFC 9068 section 2.2) or the members of an
// introspection response (RFC 7662 section 2.2).
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

	Type       string `json:"token_type"`
	Use        string `json:"token_use"` // used by Ory Hydra and Amazon Cognito
	Kind       string `json:"typ"`       // used by Keycloak, also in ID tokens and refresh tokens
	AccessHash string `json:"at_hash"`   // OpenID Connect Core 1.0 section 3.1.3.6
}

// isAccessToken reports whether no claim marks the token as an ID token or a refresh token. A
// server may also report a refresh token as active (RFC 7662 section 2.1). Neither is meant for
// a resource server, and a refresh token is valid for longer than an access token.
func (t tokenClaims) isAccessToken() bool {
	switch strings.ToLower(t.Use) {
	case "", "access", "access_token":
	default:
		return false
	}
	switch strings.ToLower(t.Kind) {
	case "id", "refresh", "offline", "logout":
		return false
	}
	return t.AccessHash == "" && !strings.Contains(strings.ToLower(t.Type), "refresh")
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

// accountOf returns the account of a token, or "". An email address that the issuer has not
// verified is ignored, because the user may have entered any address.
func (p *Issuers) accountOf(t tokenClaims) string {
	names := []string{t.Username, t.Subject}
	if t.EmailVerified {
		names = append(names, t.Email)
	}
	if slices.Contains(names, p.Account) {
		return p.Account
	}
	return ""
}

// issuerOf returns the issuer that a signed token names. Nothing is verified yet.
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

// verify checks the signature, issuer, audience and expiry of a signed token.
func (p *Issuers) verify(ctx context.Context, issuer, token string) (t tokenClaims, err error) {
	provider, err := p.provider(issuer)
	if err != nil {
		return t, err
	}
	verifier := provider.metadata.VerifierContext(oidc.ClientContext(ctx, p.client), &oidc.Config{ClientID: p.Audience()})
	good, err := verifier.Verify(ctx, token)
	if err != nil && strings.Contains(err.Error(), "fetching keys") { // package oidc has no type for it
		return t, p.away(ctx, issuer, err)
	}
	if err != nil {
		p.Log.Debug("token refused", "issuer", issuer, "reason", client.Quote(err.Error()))
		return t, ErrWrong
	}
	if err := good.Claims(&t); err != nil {
		return t, ErrWrong
	}
	return t, nil
}

// introspect sends a token without a signature to an issuer for introspection (RFC 7662).
func (p *Issuers) introspect(ctx context.Context, token string) (t tokenClaims, err error) {
	issuer := p.Introspection
	if issuer == "" {
		p.limited.Warn("refused a token without a signature, because it does not name its issuer and there are several: set MAILFRONT_INTROSPECTION_ISSUER to the issuer of such tokens",
			"token_refused", client.FromContext(ctx).Listener, slog.Int("issuers", len(p.Issuers)))
		return t, ErrWrong
	}
	provider, err := p.provider(issuer)
	switch {
	case err != nil:
		return t, err
	case provider.introspection == "":
		return t, ErrWrong // its tokens are signed
	}
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, provider.introspection, strings.NewReader(form.Encode()))
	if err != nil {
		return t, p.away(ctx, issuer, err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	if p.ClientID != "" { // RFC 6749 section 2.3.1
		r.SetBasicAuth(url.QueryEscape(p.ClientID), url.QueryEscape(p.ClientSecret))
	} else {
		r.Header.Set("Authorization", "Bearer "+token) // a token may authenticate its own introspection
	}
	response, err := p.client.Do(r)
	if err != nil {
		return t, p.away(ctx, issuer, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return t, p.away(ctx, issuer, err)
	case response.StatusCode == http.StatusUnauthorized && p.ClientID == "":
		return t, ErrWrong // an invalid token cannot authenticate its introspection
	case response.StatusCode != http.StatusOK:
		return t, p.away(ctx, issuer, fmt.Errorf("introspection: %s (MAILFRONT_INTROSPECTION_CLIENT)", response.Status))
	case json.Unmarshal(body, &t) != nil:
		return t, p.away(ctx, issuer, errors.New("introspection: the answer is not JSON"))
	case !t.Active,
		t.Issuer != "" && t.Issuer != issuer,
		len(t.Audience) > 0 && !slices.Contains(t.Audience, p.Audience()),
		t.Expires > 0 && !time.Now().Before(time.Unix(int64(t.Expires), 0)):
		return t, ErrWrong
	}
	return t, nil
}
