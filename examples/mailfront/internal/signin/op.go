package signin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// Scopes are the scopes that a client gets if it requests them.
var Scopes = []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail, oidc.ScopeOfflineAccess}

// Claims are the claims of the ID token and of userinfo.
var Claims = []string{
	"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "amr", "azp",
	"preferred_username", "email", "email_verified",
}

// A signedIn has the data that codes and refresh tokens have in common.
type signedIn struct{ grant *grant }

func (s signedIn) GetAMR() []string       { return []string{"pwd"} } // RFC 8176 section 2
func (s signedIn) GetAudience() []string  { return []string{s.grant.Request.ClientID} }
func (s signedIn) GetAuthTime() time.Time { return s.grant.AuthTime }
func (s signedIn) GetClientID() string    { return s.grant.Request.ClientID }
func (s signedIn) GetSubject() string     { return s.grant.Subject }

// A codeRequest implements op.AuthRequest for a grant whose code is exchanged.
type codeRequest struct{ signedIn }

func (c codeRequest) GetID() string                      { return c.grant.id }
func (c codeRequest) GetACR() string                     { return "" }
func (c codeRequest) GetNonce() string                   { return c.grant.Request.Nonce }
func (c codeRequest) GetRedirectURI() string             { return c.grant.Request.RedirectURI }
func (c codeRequest) GetResponseType() oidc.ResponseType { return c.grant.Request.ResponseType }
func (c codeRequest) GetResponseMode() oidc.ResponseMode { return c.grant.Request.ResponseMode }
func (c codeRequest) GetScopes() []string                { return c.grant.Request.Scopes }
func (c codeRequest) GetState() string                   { return c.grant.Request.State }
func (c codeRequest) Done() bool                         { return true }
func (c codeRequest) GetCodeChallenge() *oidc.CodeChallenge {
	return &oidc.CodeChallenge{Challenge: c.grant.Request.CodeChallenge, Method: c.grant.Request.CodeChallengeMethod}
}

// A refreshRequest implements op.RefreshTokenRequest for a grant that is continued. Its scopes may be
// reduced.
type refreshRequest struct {
	signedIn
	scopes []string
}

func (r *refreshRequest) GetScopes() []string              { return r.scopes }
func (r *refreshRequest) SetCurrentScopes(scopes []string) { r.scopes = scopes }

// AuthRequestByCode returns the request of a code. It is called once for every exchange.
func (s *storage) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	g, err := s.consume(ctx, code)
	if err != nil {
		return nil, err
	}
	return codeRequest{signedIn{g}}, nil
}

func (s *storage) TokenRequestByRefreshToken(ctx context.Context, token string) (op.RefreshTokenRequest, error) {
	g, err := s.refreshed(ctx, token)
	if err != nil {
		return nil, err
	}
	return &refreshRequest{signedIn{g}, g.Request.Scopes}, nil
}

func (s *storage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	c, err := s.client(id)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (s *storage) CreateAccessToken(ctx context.Context, r op.TokenRequest) (string, time.Time, error) {
	g, err := grantOf(r)
	if err != nil {
		return "", time.Time{}, err
	}
	return s.issue(ctx, g, r.GetScopes())
}

func (s *storage) CreateAccessAndRefreshTokens(ctx context.Context, r op.TokenRequest, old string) (id, refresh string, expires time.Time, err error) {
	g, err := grantOf(r)
	if err == nil {
		refresh, err = s.rotate(ctx, g, old)
	}
	if err == nil {
		id, expires, err = s.issue(ctx, g, r.GetScopes())
	}
	return id, refresh, expires, err
}

func grantOf(r op.TokenRequest) (*grant, error) {
	switch r := r.(type) {
	case codeRequest:
		return r.grant, nil
	case *refreshRequest:
		return r.grant, nil
	}
	return nil, fmt.Errorf("signin: a token request of the type %T", r)
}

// DeleteAuthRequest is called after the exchange. The grant remains, so that a second use of the
// code is detected.
func (s *storage) DeleteAuthRequest(context.Context, string) error { return nil }

// userInfo returns the claims about the account that the scopes of a token include (OpenID
// Connect Core 1.0 section 5.4).
func userInfo(account string, scopes []string) *oidc.UserInfo {
	info := &oidc.UserInfo{Subject: account}
	if slices.Contains(scopes, oidc.ScopeProfile) {
		info.PreferredUsername = account
	}
	if slices.Contains(scopes, oidc.ScopeEmail) {
		info.Email, info.EmailVerified = account, true
	}
	return info
}

func (s *storage) SetUserinfoFromScopes(_ context.Context, info *oidc.UserInfo, account, _ string, scopes []string) error {
	*info = *userInfo(account, scopes)
	return nil
}

func (s *storage) Health(context.Context) error { return nil }

// The methods below of op.Storage are for features that the sign-in does not have.

var errNotHere = errors.New("signin: not supported")

func (s *storage) CreateAuthRequest(context.Context, *oidc.AuthRequest, string) (op.AuthRequest, error) {
	return nil, errNotHere
}
func (s *storage) AuthRequestByID(context.Context, string) (op.AuthRequest, error) {
	return nil, errNotHere
}
func (s *storage) TerminateSession(context.Context, string, string) error { return errNotHere }
func (s *storage) RevokeToken(context.Context, string, string, string) *oidc.Error {
	return oidc.ErrInvalidRequest()
}
func (s *storage) GetRefreshTokenInfo(context.Context, string, string) (string, string, error) {
	return "", "", op.ErrInvalidRefreshToken
}
func (s *storage) AuthorizeClientIDSecret(context.Context, string, string) error {
	return errNotHere
}
func (s *storage) SetUserinfoFromToken(context.Context, *oidc.UserInfo, string, string, string) error {
	return errNotHere
}
func (s *storage) SetIntrospectionFromToken(context.Context, *oidc.IntrospectionResponse, string, string, string) error {
	return errNotHere
}
func (s *storage) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return nil, nil
}
func (s *storage) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, errNotHere
}
func (s *storage) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, errNotHere
}
