package signin

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
)

const (
	codeLifetime    = time.Minute
	accessLifetime  = time.Hour
	refreshLifetime = 30 * 24 * time.Hour
	maxGrants       = 1000
	maxAccessTokens = 10000
)

var errNoGrant = errors.New("signin: unknown, used or expired")

// A grant is one sign-in of the account by one client.
type grant struct {
	id, subject string
	request     *oidc.AuthRequest // of the client
	authTime    time.Time

	// Guarded by storage.mu:
	code     string // "" before it is made
	codeUsed bool
	refresh  string // secret of the one refresh token that is good
	expires  time.Time
}

// An accessToken is good until it expires or its grant ends.
type accessToken struct {
	grant   *grant
	scopes  []string
	issued  time.Time
	expires time.Time
}

// storage holds grants. Nothing gets in before a password was right, so only
// the account itself can fill it, and the oldest goes when it does.
type storage struct {
	key    func() (*signingKey, error)
	open   func(string) (string, error) // decrypts a code that we made
	client func(id string) (*application, error)

	mu     sync.Mutex
	grants map[string]*grant
	access map[string]*accessToken
}

// add starts a grant; its code comes with SaveAuthCode.
func (s *storage) add(g *grant) {
	g.id, g.authTime = rand.Text(), time.Now()
	g.expires = g.authTime.Add(codeLifetime)
	s.mu.Lock()
	defer s.mu.Unlock()
	makeRoom(s.grants, maxGrants, func(g *grant) time.Time { return g.expires })
	s.grants[g.id] = g
}

// makeRoom removes what has expired, and if that is not enough the next that would.
func makeRoom[V any](m map[string]V, size int, expires func(V) time.Time) {
	if len(m) < size {
		return
	}
	now := time.Now()
	maps.DeleteFunc(m, func(_ string, v V) bool { return !now.Before(expires(v)) })
	if len(m) < size {
		return
	}
	delete(m, slices.MinFunc(slices.Collect(maps.Keys(m)), func(a, b string) int { return expires(m[a]).Compare(expires(m[b])) }))
}

// live returns a grant that has not ended. s.mu is held.
func (s *storage) live(id string) (*grant, bool) {
	g, ok := s.grants[id]
	return g, ok && time.Now().Before(g.expires)
}

// end ends a grant with all its tokens. s.mu is held.
func (s *storage) end(g *grant) {
	delete(s.grants, g.id)
	maps.DeleteFunc(s.access, func(_ string, t *accessToken) bool { return t.grant == g })
}

// SaveAuthCode keeps the code of a grant.
func (s *storage) SaveAuthCode(_ context.Context, id, code string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.live(id)
	if !ok {
		return errNoGrant
	}
	g.code = code
	return nil
}

// consume returns the grant of a code, once. Whoever tries a code uses it up, even
// with a wrong code_verifier.
func (s *storage) consume(code string) (*grant, error) {
	id, err := s.open(code)
	if err != nil {
		return nil, errNoGrant
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.live(id)
	if !ok || !SameSecret(g.code, code) {
		return nil, errNoGrant
	}
	if g.codeUsed {
		s.end(g)
		return nil, errNoGrant
	}
	g.codeUsed = true
	return g, nil
}

// refreshed returns the grant of a refresh token, which stays good until rotate.
func (s *storage) refreshed(token string) (*grant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.findRefresh(token)
}

func (s *storage) findRefresh(token string) (*grant, error) {
	id, secret, _ := strings.Cut(token, ".")
	g, ok := s.live(id)
	if !ok || g.refresh == "" {
		return nil, errNoGrant
	}
	if !SameSecret(g.refresh, secret) {
		s.end(g) // an old one, or a guess by who knows the id
		return nil, errNoGrant
	}
	return g, nil
}

// rotate replaces the refresh token of a grant; old is "" for the first.
func (s *storage) rotate(g *grant, old string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old != "" {
		if found, err := s.findRefresh(old); err != nil || found != g {
			return "", errNoGrant
		}
	} else if _, ok := s.live(g.id); !ok {
		return "", errNoGrant
	}
	g.refresh, g.expires = rand.Text(), time.Now().Add(refreshLifetime)
	return g.id + "." + g.refresh, nil
}

// issue makes an access token of a grant, and returns its id.
func (s *storage) issue(g *grant, scopes []string) (string, time.Time, error) {
	id, now := rand.Text(), time.Now()
	t := &accessToken{grant: g, scopes: scopes, issued: now, expires: now.Add(accessLifetime)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.live(g.id); !ok {
		return "", time.Time{}, errNoGrant
	}
	if g.expires.Before(t.expires) {
		g.expires = t.expires // so that a second use of the code is noticed
	}
	makeRoom(s.access, maxAccessTokens, func(t *accessToken) time.Time { return t.expires })
	s.access[id] = t
	return id, t.expires, nil
}

// lookup returns the access token with an id.
func (s *storage) lookup(id string) (*accessToken, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.access[id]
	return t, ok && time.Now().Before(t.expires)
}

func SameSecret(a, b string) bool {
	return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}
