package signin

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/webauth"
)

// token handles the token endpoint (RFC 6749 section 3.2).
func (s *Provider) token(w http.ResponseWriter, r *http.Request) {
	webauth.NoStore(w)
	answer, err := s.exchange(w, r)
	if err == nil {
		webauth.WriteJSON(w, http.StatusOK, answer)
		return
	}
	if isStoreError(err) {
		s.fail(w, r, err)
		return
	}
	if errors.Is(err, errNoGrant) {
		err = oidc.ErrInvalidGrant().WithDescription("the code or token is unknown, used or expired").WithParent(err)
	}
	e := oidc.DefaultToServerError(err, "internal server error")
	status := http.StatusBadRequest
	switch e.ErrorType {
	case oidc.ServerError:
		s.auth.ServerError(w, r, err)
		return
	case oidc.InvalidClient: // RFC 6749 section 5.2
		status = http.StatusUnauthorized
		w.Header().Set("WWW-Authenticate", `Basic realm="mailfront"`)
	}
	s.auth.LogFailure(r, "no token", string(e.ErrorType), e.Description)
	webauth.WriteJSON(w, status, e)
}

// exchange exchanges a code or refresh token for tokens.
func (s *Provider) exchange(w http.ResponseWriter, r *http.Request) (*oidc.AccessTokenResponse, error) {
	if s.auth.IsPlaintext(r) { // RFC 6749 section 3.2
		return nil, oidc.ErrInvalidRequest().WithDescription("TLS is required: use https")
	}
	form, err := postedForm(w, r)
	if err != nil {
		return nil, err
	}
	r.Form = form // ignore the query of the URL, which proxies log
	ctx := op.ContextWithIssuer(r.Context(), s.current().Issuer())
	var answer *oidc.AccessTokenResponse
	var scopes []string
	switch grantType := oidc.GrantType(form.Get("grant_type")); grantType {
	case oidc.GrantTypeCode:
		request, err := op.ParseAccessTokenRequest(r, s.provider.Decoder())
		if err != nil {
			return nil, err
		}
		code, client, err := op.ValidateAccessTokenRequest(ctx, request, s.provider)
		if err != nil {
			return nil, err
		}
		scopes = code.GetScopes()
		answer, err = op.CreateTokenResponse(ctx, code, client, s.provider, true, request.Code, "")
		if err != nil {
			return nil, err
		}
	case oidc.GrantTypeRefreshToken:
		request, err := op.ParseRefreshTokenRequest(r, s.provider.Decoder())
		if err != nil {
			return nil, err
		}
		old, client, err := op.ValidateRefreshTokenRequest(ctx, request, s.provider)
		if err != nil {
			return nil, err
		}
		scopes = old.GetScopes()
		answer, err = op.CreateTokenResponse(ctx, old, client, s.provider, true, "", request.RefreshToken)
		if err != nil {
			return nil, err
		}
	case "":
		return nil, oidc.ErrInvalidRequest().WithDescription("grant_type is missing")
	default:
		return nil, oidc.ErrUnsupportedGrantType().WithDescription("use authorization_code or refresh_token")
	}
	if !slices.Contains(scopes, oidc.ScopeOpenID) {
		answer.IDToken = "" // plain OAuth has no ID token
	}
	return answer, nil
}

// postedForm parses the body of a request. Every parameter may occur once.
func postedForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, oidc.ErrInvalidRequest().WithDescription("the body must be application/x-www-form-urlencoded")
	}
	if err := r.ParseForm(); err != nil {
		return nil, oidc.ErrInvalidRequest().WithDescription("the body cannot be read").WithParent(err)
	}
	if repeated(r.PostForm) {
		return nil, oidc.ErrInvalidRequest().WithDescription("duplicate parameter")
	}
	return r.PostForm, nil
}

var errNotOurs = errors.New("signin: not a token of this server")

// tokenOf returns the grant, scopes and expiry of an access token. The error is errNotOurs, errNoGrant
// or one of the store.
func (s *Provider) tokenOf(ctx context.Context, token string) (*accessToken, error) {
	text, err := s.provider.Crypto().Decrypt(token)
	switch {
	case isStoreError(err):
		return nil, err
	case err != nil:
		return nil, errNotOurs
	}
	id, _, _ := strings.Cut(text, ":")
	return s.storage.lookup(ctx, id)
}

// Caller returns the account and the scopes of an access token. It implements TokenSource.
func (s *Provider) Caller(ctx context.Context, token string) (webauth.Caller, error) {
	t, err := s.tokenOf(ctx, token)
	switch {
	case err == nil:
		return webauth.Caller{Account: t.grant.Subject, Scopes: t.Scopes}, nil
	case errors.Is(err, errNotOurs) && !looksLikeToken(token):
		return webauth.Caller{}, webauth.ErrNotToken
	case errors.Is(err, errNotOurs) || errors.Is(err, errNoGrant):
		return webauth.Caller{}, webauth.ErrWrong // it has expired or is from before a restart, and is not a guess at a password
	}
	return webauth.Caller{}, fmt.Errorf("%w: %w", discovery.ErrUnavailable, err)
}

// userinfo handles the UserInfo endpoint (OpenID Connect Core 1.0 section 5.3).
func (s *Provider) userinfo(w http.ResponseWriter, r *http.Request) {
	webauth.NoStore(w)
	c, err := s.auth.Authenticate(r)
	if err == nil && !c.Allows(oidc.ScopeOpenID) {
		err = webauth.ErrScope
	}
	if err != nil {
		s.auth.Challenge(w, r, err)
		return
	}
	scopes := c.Scopes
	if c.ByPassword {
		scopes = Scopes
	}
	webauth.WriteJSON(w, http.StatusOK, userInfo(c.Account, scopes))
}

// introspect handles token introspection (RFC 7662). The caller has to authenticate by a token of the
// account or by the password as bearer token. Section 2.1 leaves the method to the server.
func (s *Provider) introspect(w http.ResponseWriter, r *http.Request) {
	webauth.NoStore(w)
	if _, err := s.auth.Authenticate(r); err != nil {
		s.auth.Challenge(w, r, err)
		return
	}
	form, err := postedForm(w, r)
	if err != nil || form.Get("token") == "" {
		e := oidc.DefaultToServerError(err, "")
		if err == nil {
			e = oidc.ErrInvalidRequest().WithDescription("token is missing")
		}
		webauth.WriteJSON(w, http.StatusBadRequest, e)
		return
	}
	answer := new(oidc.IntrospectionResponse)
	t, err := s.tokenOf(r.Context(), form.Get("token"))
	if err != nil && !errors.Is(err, errNotOurs) && !errors.Is(err, errNoGrant) {
		s.fail(w, r, err)
		return
	}
	if err == nil {
		answer = &oidc.IntrospectionResponse{
			Active:     true,
			Scope:      t.Scopes,
			ClientID:   t.grant.Request.ClientID,
			TokenType:  oidc.BearerToken,
			Expiration: oidc.FromTime(t.Expires),
			IssuedAt:   oidc.FromTime(t.Issued),
			Subject:    t.grant.Subject,
			Username:   t.grant.Subject,
			Issuer:     responseIssuer(s.current()),
		}
	}
	webauth.WriteJSON(w, http.StatusOK, answer)
}

// keys serves the JWK Set (RFC 7517 section 5).
func (s *Provider) keys(w http.ResponseWriter, r *http.Request) {
	if _, err := s.storage.keys.current(r.Context()); err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	op.Keys(w, r, s.storage)
}
