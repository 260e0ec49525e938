package signin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
)

const (
	codeLifetime    = time.Minute
	accessLifetime  = time.Hour
	refreshLifetime = 30 * 24 * time.Hour
)

var errNoGrant = errors.New("signin: unknown, used or expired")

// A grant is a sign-in of the account by a client. It ends when it expires or is deleted from
// the store. Its tokens are valid only as long as it exists.
type grant struct {
	id     string
	stored []byte // encoded value in the store

	Subject  string            `json:"subject"`
	Request  *oidc.AuthRequest `json:"request"` // the authorization request of the client
	AuthTime time.Time         `json:"auth_time"`
	Refresh  string            `json:"refresh,omitempty"` // hash of the only valid refresh token
	Expires  time.Time         `json:"expires"`
}

// An accessToken is valid until it expires or its grant ends.
type accessToken struct {
	grant *grant

	GrantID string    `json:"grant"`
	Scopes  []string  `json:"scopes"`
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires"`
}

// storage keeps grants, codes and tokens in a store, which several nodes may share. Nothing is stored
// before a password was right, so only the account itself can fill the store. The names and values in
// the store contain no code and no token.
type storage struct {
	store  store.Store
	open   func(string) (string, error) // decrypts a code of this server
	client func(id string) (*application, error)
	keys   *keys
	ended  func(err error) // reports a sign-in that ended because a secret was removed; may be nil
}

func grantName(id string) string { return store.SecretName("signin/grant", id) }

func codeName(code string) string { return store.SecretName("signin/code", code) }

func accessName(id string) string { return store.SecretName("signin/access", id) }

// add starts a grant. SaveAuthCode adds its code.
func (s *storage) add(ctx context.Context, g *grant) error {
	g.id, g.AuthTime = rand.Text(), time.Now()
	g.Expires = g.AuthTime.Add(codeLifetime)
	var err error
	if g.stored, err = json.Marshal(g); err != nil {
		return err
	}
	_, err = s.store.PutIfAbsent(ctx, grantName(g.id), g.stored, codeLifetime)
	return err
}

// load returns a grant, or errNoGrant if it has ended.
func (s *storage) load(ctx context.Context, id string) (*grant, error) {
	g := &grant{id: id}
	var err error
	if g.stored, err = s.store.Get(ctx, grantName(id)); err != nil {
		return nil, s.noGrant(ctx, err)
	}
	if err := json.Unmarshal(g.stored, g); err != nil {
		return nil, err
	}
	if !time.Now().Before(g.Expires) {
		return nil, errNoGrant
	}
	return g, nil
}

// noGrant returns errNoGrant if err shows that a sign-in has ended: its value is absent, or was sealed
// with a secret that the nodes have removed from MAILFRONT_SECRET. It returns err if nothing is known
// about the sign-in: the store does not answer, or this node lacks a secret of the other nodes.
func (s *storage) noGrant(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, store.ErrAbsent):
		return errNoGrant
	case errors.Is(err, store.ErrSealed) && s.keys.canOpen(ctx):
		if s.ended != nil {
			s.ended(err)
		}
		return errNoGrant
	}
	return err
}

// swap replaces g by changed, unless the grant has changed since g was loaded.
func (s *storage) swap(ctx context.Context, g *grant, changed grant) (bool, error) {
	b, err := json.Marshal(changed)
	if err != nil {
		return false, err
	}
	return s.store.CompareAndSwap(ctx, grantName(g.id), g.stored, b, time.Until(changed.Expires))
}

// end ends a grant with all its tokens.
func (s *storage) end(ctx context.Context, id string) error {
	return s.store.Delete(ctx, grantName(id))
}

// SaveAuthCode stores the code of a grant.
func (s *storage) SaveAuthCode(ctx context.Context, id, code string) error {
	_, err := s.store.PutIfAbsent(ctx, codeName(code), []byte(id), codeLifetime)
	return err
}

// consume returns the grant of a code, once. A request with a wrong code_verifier also uses the
// code up. A code that is used a second time ends the grant, because one of the two requests is
// from a thief (RFC 6749 section 4.1.2).
func (s *storage) consume(ctx context.Context, code string) (*grant, error) {
	id, err := s.open(code)
	switch {
	case isStoreError(err):
		return nil, err
	case err != nil:
		return nil, errNoGrant
	}
	stored, err := s.store.Take(ctx, codeName(code))
	switch {
	case errors.Is(err, store.ErrAbsent):
		if err := s.end(ctx, id); err != nil {
			return nil, err
		}
		return nil, errNoGrant
	case err != nil:
		return nil, s.noGrant(ctx, err)
	case string(stored) != id:
		return nil, errNoGrant
	}
	return s.load(ctx, id)
}

// refreshed returns the grant of a refresh token, which remains valid until rotate. Any other
// token for the grant is an old one, or a guess by a party that has the id. It ends the grant
// (RFC 9700 section 4.14.2).
func (s *storage) refreshed(ctx context.Context, token string) (*grant, error) {
	if _, err := s.keys.current(ctx); err != nil { // canOpen requires this order
		return nil, err
	}
	id, secret, _ := strings.Cut(token, ".")
	g, err := s.load(ctx, id)
	switch {
	case err != nil:
		return nil, err
	case g.Refresh == "":
		return nil, errNoGrant
	case !SameSecret(g.Refresh, hash(secret)):
		if err := s.end(ctx, id); err != nil {
			return nil, err
		}
		return nil, errNoGrant
	}
	return g, nil
}

func hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// rotate replaces the refresh token of a grant. old is "" for the first token. Of several
// requests with the same token one gets a new token, and the others end the grant.
func (s *storage) rotate(ctx context.Context, g *grant, old string) (string, error) {
	for {
		var now *grant
		var err error
		if old == "" {
			now, err = s.load(ctx, g.id)
		} else {
			now, err = s.refreshed(ctx, old)
		}
		if err != nil {
			return "", err
		}
		if now.id != g.id {
			return "", errNoGrant
		}
		secret, changed := rand.Text(), *now
		changed.Refresh, changed.Expires = hash(secret), time.Now().Add(refreshLifetime)
		if ok, err := s.swap(ctx, now, changed); err != nil || ok {
			return g.id + "." + secret, err
		}
	}
}

// issue makes an access token of a grant, and returns its id.
func (s *storage) issue(ctx context.Context, g *grant, scopes []string) (string, time.Time, error) {
	id, at := rand.Text(), time.Now()
	t := accessToken{GrantID: g.id, Scopes: scopes, Issued: at, Expires: at.Add(accessLifetime)}
	for {
		now, err := s.load(ctx, g.id)
		if err != nil {
			return "", time.Time{}, err
		}
		if !now.Expires.Before(t.Expires) {
			break
		}
		changed := *now
		changed.Expires = t.Expires // keep the grant, so that a second use of the code is detected
		if ok, err := s.swap(ctx, now, changed); err != nil {
			return "", time.Time{}, err
		} else if ok {
			break
		}
	}
	b, err := json.Marshal(t)
	if err != nil {
		return "", time.Time{}, err
	}
	_, err = s.store.PutIfAbsent(ctx, accessName(id), b, accessLifetime)
	return id, t.Expires, err
}

// lookup returns the access token with an id, or errNoGrant.
func (s *storage) lookup(ctx context.Context, id string) (*accessToken, error) {
	b, err := s.store.Get(ctx, accessName(id))
	if err != nil {
		return nil, s.noGrant(ctx, err)
	}
	t := new(accessToken)
	if err := json.Unmarshal(b, t); err != nil {
		return nil, err
	}
	if !time.Now().Before(t.Expires) {
		return nil, errNoGrant
	}
	t.grant, err = s.load(ctx, t.GrantID)
	return t, err
}

// SameSecret reports whether two secrets are equal. The time that it takes does not depend on the
// position of a difference. An empty secret is not equal to any other, including itself.
func SameSecret(a, b string) bool {
	return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}
