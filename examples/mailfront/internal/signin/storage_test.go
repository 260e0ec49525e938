package signin

import (
	"context"
	"crypto/rsa"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
)

// newTestStorage returns a storage whose codes are "code of " and the id of the grant.
func newTestStorage(st store.Store) *storage {
	return &storage{
		store: st,
		open: func(code string) (string, error) {
			id, ok := strings.CutPrefix(code, "code of ")
			if !ok {
				return "", errors.New("not a code")
			}
			return id, nil
		},
		keys: &keys{store: st},
	}
}

// begin starts a grant, and returns it with its code.
func (s *storage) begin(t *testing.T) (*grant, string) {
	t.Helper()
	g := &grant{Subject: "demo@example.test", Request: &oidc.AuthRequest{ClientID: "app", Scopes: []string{"openid"}, Nonce: "n"}}
	require.NoError(t, s.add(t.Context(), g))
	code := "code of " + g.id
	require.NoError(t, s.SaveAuthCode(t.Context(), g.id, code))
	return g, code
}

func TestGrantsAndTokensEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStorage(store.NewMemory(100))
		ctx := t.Context()
		_, code := s.begin(t)
		time.Sleep(codeLifetime)
		_, err := s.consume(ctx, code)
		require.ErrorIs(t, err, errNoGrant, "the code has waited for too long")

		_, code = s.begin(t)
		g, err := s.consume(ctx, code)
		require.NoError(t, err)
		id, expires, err := s.issue(ctx, g, []string{"openid"})
		require.NoError(t, err)
		require.Equal(t, accessLifetime, time.Until(expires))
		time.Sleep(accessLifetime - time.Millisecond)
		token, err := s.lookup(ctx, id)
		require.NoError(t, err)
		require.Equal(t, []string{"openid"}, token.Scopes)
		require.Equal(t, "demo@example.test", token.grant.Subject)
		require.Equal(t, "app", token.grant.Request.ClientID)
		time.Sleep(time.Millisecond)
		_, err = s.lookup(ctx, id)
		require.ErrorIs(t, err, errNoGrant)

		_, code = s.begin(t)
		g, err = s.consume(ctx, code)
		require.NoError(t, err)
		refresh, err := s.rotate(ctx, g, "")
		require.NoError(t, err)
		time.Sleep(refreshLifetime - time.Millisecond)
		_, err = s.refreshed(ctx, refresh)
		require.NoError(t, err)
		refresh, err = s.rotate(ctx, g, refresh)
		require.NoError(t, err, "a new one has its own lifetime")
		time.Sleep(refreshLifetime)
		_, err = s.refreshed(ctx, refresh)
		require.ErrorIs(t, err, errNoGrant)
	})
}

func TestCodeReuse(t *testing.T) {
	for _, test := range []struct {
		name string
		used int // how often the code is used at the same time before
	}{
		{name: "one after the other", used: 1},
		{name: "at the same time", used: 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newTestStorage(store.NewMemory(100))
			_, code := s.begin(t)
			var all sync.WaitGroup
			got := make(chan *grant, test.used)
			for range test.used {
				all.Go(func() {
					if g, err := s.consume(t.Context(), code); err == nil {
						got <- g
					}
				})
			}
			all.Wait()
			close(got)
			require.LessOrEqual(t, len(got), 1)
			g := <-got
			if test.used == 1 {
				require.NotNil(t, g)
				id, _, err := s.issue(t.Context(), g, nil)
				require.NoError(t, err)
				refresh, err := s.rotate(t.Context(), g, "")
				require.NoError(t, err)
				_, err = s.consume(t.Context(), code)
				require.ErrorIs(t, err, errNoGrant)
				_, err = s.lookup(t.Context(), id)
				require.ErrorIs(t, err, errNoGrant, "the access token is void")
				_, err = s.refreshed(t.Context(), refresh)
				require.ErrorIs(t, err, errNoGrant, "the refresh token is void")
			}
			if g != nil {
				_, _, err := s.issue(t.Context(), g, nil)
				require.ErrorIs(t, err, errNoGrant)
				_, err = s.rotate(t.Context(), g, "")
				require.ErrorIs(t, err, errNoGrant)
			}
		})
	}
}

func TestForgedCode(t *testing.T) {
	s := newTestStorage(store.NewMemory(100))
	g, code := s.begin(t)
	_, err := s.consume(t.Context(), g.id)
	require.ErrorIs(t, err, errNoGrant)
	_, err = s.consume(t.Context(), code)
	require.NoError(t, err)
}

func TestARefreshTokenIsReplacedOnce(t *testing.T) {
	s := newTestStorage(store.NewMemory(1000))
	_, code := s.begin(t)
	g, err := s.consume(t.Context(), code)
	require.NoError(t, err)
	first, err := s.rotate(t.Context(), g, "")
	require.NoError(t, err)
	_, _, err = s.issue(t.Context(), g, nil)
	require.NoError(t, err)
	second, err := s.rotate(t.Context(), g, first)
	require.NoError(t, err)
	_, err = s.refreshed(t.Context(), second)
	require.NoError(t, err)

	var all sync.WaitGroup
	replaced := make(chan string, 20)
	for range cap(replaced) {
		all.Go(func() {
			if token, err := s.rotate(t.Context(), g, second); err == nil {
				replaced <- token
			} else if !errors.Is(err, errNoGrant) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.Len(t, replaced, 1, "of requests with the same token")
	_, err = s.refreshed(t.Context(), <-replaced)
	require.ErrorIs(t, err, errNoGrant, "the others have ended the sign-in: one of them may be a thief's")
}

func TestForeignRefreshToken(t *testing.T) {
	s := newTestStorage(store.NewMemory(100))
	var grants []*grant
	var tokens []string
	for range 2 {
		_, code := s.begin(t)
		g, err := s.consume(t.Context(), code)
		require.NoError(t, err)
		token, err := s.rotate(t.Context(), g, "")
		require.NoError(t, err)
		grants, tokens = append(grants, g), append(tokens, token)
	}
	_, err := s.rotate(t.Context(), grants[0], tokens[1])
	require.ErrorIs(t, err, errNoGrant)
	for i, g := range grants {
		_, err := s.rotate(t.Context(), g, tokens[i])
		require.NoError(t, err)
	}
}

// Two nodes with one store.
func TestNodesShareSignInsAndKeys(t *testing.T) {
	st := store.NewMemory(100)
	one, two := newTestStorage(st), newTestStorage(st)
	_, code := one.begin(t)
	g, err := two.consume(t.Context(), code)
	require.NoError(t, err)
	require.Equal(t, "n", g.Request.Nonce)
	refresh, err := two.rotate(t.Context(), g, "")
	require.NoError(t, err)
	id, _, err := one.issue(t.Context(), g, nil)
	require.NoError(t, err)
	_, err = two.lookup(t.Context(), id)
	require.NoError(t, err)
	_, err = one.refreshed(t.Context(), refresh)
	require.NoError(t, err)

	var all sync.WaitGroup // also if both need a key for the first time at once
	signers := make([]op.SigningKey, 2)
	for i, s := range []*storage{one, two} {
		all.Go(func() {
			var err error
			if signers[i], err = s.SigningKey(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.Equal(t, signers[0].ID(), signers[1].ID())
	require.True(t, signers[0].Key().(*rsa.PrivateKey).Equal(signers[1].Key()))
	published, err := two.KeySet(t.Context())
	require.NoError(t, err)
	require.IsType(t, &rsa.PublicKey{}, published[0].Key(), "without the private half")

	sealed, err := seal{&keys{store: st}, "request"}.Encrypt("text")
	require.NoError(t, err)
	require.True(t, looksLikeToken(sealed))
	text, err := seal{&keys{store: st}, "request"}.Decrypt(sealed)
	require.NoError(t, err)
	require.Equal(t, "text", text)
	_, err = seal{&keys{store: st}, "client"}.Decrypt(sealed)
	require.Error(t, err, "of another purpose")
	_, err = seal{&keys{store: store.NewMemory(1)}, "request"}.Decrypt(sealed)
	require.Error(t, err, "of another server")
}

func TestTheStoreHasNoCodeAndNoToken(t *testing.T) {
	st := store.NewMemory(100)
	s := newTestStorage(st)
	_, code := s.begin(t)
	entries, err := st.List(t.Context(), "signin/", 100)
	require.NoError(t, err)
	require.Len(t, entries, 2)
	g, err := s.consume(t.Context(), code)
	require.NoError(t, err)
	refresh, err := s.rotate(t.Context(), g, "")
	require.NoError(t, err)
	id, _, err := s.issue(t.Context(), g, nil)
	require.NoError(t, err)
	after, err := st.List(t.Context(), "signin/", 100)
	require.NoError(t, err)
	require.Len(t, after, 2, "the grant and the access token")
	_, secret, _ := strings.Cut(refresh, ".")
	for _, e := range append(entries, after...) {
		for _, s := range []string{code, secret, id} {
			require.NotContains(t, e.Name+string(e.Value), s)
		}
	}
}

// An awayStore cannot be reached while away is set.
type awayStore struct {
	store.Store
	away bool
}

func (s *awayStore) err() error {
	if s.away {
		return store.ErrUnavailable
	}
	return nil
}

func (s *awayStore) Get(ctx context.Context, name string) ([]byte, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Store.Get(ctx, name)
}

func (s *awayStore) Take(ctx context.Context, name string) ([]byte, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Store.Take(ctx, name)
}

func (s *awayStore) PutIfAbsent(ctx context.Context, name string, value []byte, ttl time.Duration) (bool, error) {
	if err := s.err(); err != nil {
		return false, err
	}
	return s.Store.PutIfAbsent(ctx, name, value, ttl)
}

func (s *awayStore) CompareAndSwap(ctx context.Context, name string, old, new []byte, ttl time.Duration) (bool, error) {
	if err := s.err(); err != nil {
		return false, err
	}
	return s.Store.CompareAndSwap(ctx, name, old, new, ttl)
}

func TestAStoreThatIsAwayEndsNothing(t *testing.T) {
	st := &awayStore{Store: store.NewMemory(100)}
	s := newTestStorage(st)
	_, code := s.begin(t)
	_, later := s.begin(t)
	g, err := s.consume(t.Context(), code)
	require.NoError(t, err)
	refresh, err := s.rotate(t.Context(), g, "")
	require.NoError(t, err)
	id, _, err := s.issue(t.Context(), g, nil)
	require.NoError(t, err)

	st.away = true
	for name, call := range map[string]func() error{
		"consume":    func() error { _, err := s.consume(t.Context(), later); return err },
		"refreshed":  func() error { _, err := s.refreshed(t.Context(), refresh); return err },
		"rotate":     func() error { _, err := s.rotate(t.Context(), g, refresh); return err },
		"issue":      func() error { _, _, err := s.issue(t.Context(), g, nil); return err },
		"lookup":     func() error { _, err := s.lookup(t.Context(), id); return err },
		"add":        func() error { return s.add(t.Context(), new(grant)) },
		"signingKey": func() error { _, err := s.SigningKey(t.Context()); return err },
		"seal":       func() error { _, err := seal{&keys{store: st}, "request"}.Encrypt("x"); return err },
	} {
		err := call()
		require.ErrorIs(t, err, store.ErrUnavailable, name)
		require.NotErrorIs(t, err, errNoGrant, name)
	}

	st.away = false
	_, err = s.consume(t.Context(), later)
	require.NoError(t, err)
	_, err = s.lookup(t.Context(), id)
	require.NoError(t, err)
	_, err = s.rotate(t.Context(), g, refresh)
	require.NoError(t, err)
	_, err = s.SigningKey(t.Context())
	require.NoError(t, err)
}

// A sealedStore has values that its node cannot open.
type sealedStore struct {
	store.Store
	sealed func(name string) bool
}

func (s *sealedStore) Get(ctx context.Context, name string) ([]byte, error) {
	if s.sealed(name) {
		return nil, store.ErrSealed
	}
	return s.Store.Get(ctx, name)
}

func (s *sealedStore) Take(ctx context.Context, name string) ([]byte, error) {
	if s.sealed(name) {
		return nil, store.ErrSealed
	}
	return s.Store.Take(ctx, name)
}

func TestSignInOfARemovedSecret(t *testing.T) {
	for _, tc := range []struct {
		name   string
		sealed func(name string) bool
		want   error
		ended  int
	}{
		{name: "the secret was removed", sealed: func(name string) bool { return name != keyringName }, want: errNoGrant, ended: 1},
		{name: "this node lacks the secret in use", sealed: func(string) bool { return true }, want: store.ErrSealed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			st := &sealedStore{store.NewMemory(100), func(string) bool { return false }}
			first := newTestStorage(st)
			_, err := first.keys.current(t.Context())
			require.NoError(t, err)
			g, code := first.begin(t)
			id, _, err := first.issue(t.Context(), g, []string{"openid"})
			require.NoError(t, err)
			token, err := first.rotate(t.Context(), g, "")
			require.NoError(t, err)
			st.sealed = tc.sealed
			for name, use := range map[string]func(*storage) error{
				"access token":  func(s *storage) error { _, err := s.lookup(t.Context(), id); return err },
				"refresh token": func(s *storage) error { _, err := s.refreshed(t.Context(), token); return err },
				"code":          func(s *storage) error { _, err := s.consume(t.Context(), code); return err },
			} {
				s, ended := newTestStorage(st), 0
				s.ended = func(err error) {
					ended++
					require.ErrorIs(t, err, store.ErrSealed)
				}
				require.ErrorIs(t, use(s), tc.want, name)
				require.Equal(t, tc.ended, ended, name)
			}
			st.sealed = func(string) bool { return false }
			_, err = first.refreshed(t.Context(), token)
			require.NoError(t, err, "nothing was deleted")
		})
	}
}
