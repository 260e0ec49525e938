package guard

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
)

// A sealedStore has entries that its node cannot open.
type sealedStore struct {
	store.Store
	sealed func(name string) bool
}

func (s *sealedStore) err(name string) error { return fmt.Errorf("%w: %q", store.ErrSealed, name) }

func (s *sealedStore) Get(ctx context.Context, name string) ([]byte, error) {
	value, err := s.Store.Get(ctx, name)
	if err == nil && s.sealed(name) {
		return nil, s.err(name)
	}
	return value, err
}

func (s *sealedStore) List(ctx context.Context, prefix string, limit int) ([]store.Entry, error) {
	entries, err := s.Store.List(ctx, prefix, limit)
	for i := range entries {
		if e := &entries[i]; s.sealed(e.Name) {
			e.Value, e.Sealed = nil, true
		}
	}
	return entries, err
}

func (s *sealedStore) Admit(ctx context.Context, client string, charges ...store.Charge) (store.Admission, error) {
	answer, err := s.Store.Admit(ctx, client, charges...)
	if answer.Ban != nil && s.sealed(store.BanName(client)) {
		return store.Admission{}, s.err(store.BanName(client))
	}
	return answer, err
}

// entrySealed returns the number of log lines about entries that a node cannot open.
func (n node) entrySealed(t *testing.T) int {
	t.Helper()
	for line := range strings.Lines(n.log.String()) {
		if strings.Contains(line, "event=entry_sealed") {
			require.Contains(t, line, "level=WARN")
			require.Contains(t, line, "setting=MAILFRONT_SECRET")
		}
	}
	require.NotContains(t, n.log.String(), "store_error")
	return strings.Count(n.log.String(), "event=entry_sealed")
}

func TestSealedBansDoNotAffectOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const sealed, mirrored, opened = "198.51.100.7", "198.51.100.8", "198.51.100.9"
		memory := store.NewMemory(100)
		ban := func(addresses ...string) { // without a message, which the node could not open either
			for _, address := range addresses {
				who := netip.MustParsePrefix(address + "/32")
				value, err := json.Marshal(Ban{Address: who, Until: time.Now().Add(DefaultLimits.Ban)})
				require.NoError(t, err)
				_, err = memory.PutIfAbsent(t.Context(), store.BanName(who.String()), value, DefaultLimits.Ban)
				require.NoError(t, err)
			}
		}
		ban(mirrored)
		var removed []string // addresses of the bans of the removed secret
		s := &sealedStore{memory, func(name string) bool {
			return slices.ContainsFunc(removed, func(address string) bool { return name == store.BanName(address+"/32") })
		}}
		n := startNodes(t, 1, s, DefaultLimits)[0]
		require.Len(t, n.Bans(), 1)
		require.Zero(t, n.entrySealed(t))

		removed = []string{sealed, mirrored}
		ban(sealed, opened)
		n.away.Store(true)
		time.Sleep(pollInterval + time.Second)
		synctest.Wait()
		require.False(t, n.away.Load(), "the store is available")
		var banned []string
		for _, b := range n.Bans() {
			banned = append(banned, b.Address.Addr().String())
		}
		require.ElementsMatch(t, []string{opened, mirrored}, banned)
		require.Equal(t, 1, n.entrySealed(t))

		for range 5 {
			requireRefused(t, ErrBanned, n.Allow(knownClient(sealed), Requesting), "the store has the ban")
		}
		require.Equal(t, 1, n.entrySealed(t), "one line a minute")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Equal(t, 3, n.entrySealed(t))
	})
}

func TestSealedKnownAddresses(t *testing.T) {
	for _, tc := range []struct {
		name     string
		sealed   func(name string) bool
		replaced bool // by the next sign-in
	}{
		{name: "the secret was removed", sealed: func(name string) bool { return strings.HasPrefix(name, "known-") }, replaced: true},
		{name: "this node lacks the secret in use", sealed: func(name string) bool { return strings.HasPrefix(name, "known-") || name == epochName }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				memory := store.NewMemory(100)
				isSealed := true
				s := &sealedStore{memory, func(name string) bool { return isSealed && tc.sealed(name) }}
				n := startNodes(t, 1, s, DefaultLimits)[0]
				account, home := accountKey(owner), netip.MustParsePrefix("198.51.100.7/32")
				name := knownName(account)
				_, err := memory.PutIfAbsent(t.Context(), name, []byte("198.51.100.7/32"), knownFor)
				require.NoError(t, err)
				lines := n.entrySealed(t) // of the epoch
				for range 5 {
					require.False(t, n.hasSignedInShared(account, home), "the address counts as unknown")
				}
				require.Equal(t, lines+1, n.entrySealed(t), "one line a minute")

				require.NoError(t, n.LogIn(knownClient("198.51.100.8"), owner, isRight))
				synctest.Wait()
				value, err := memory.Get(t.Context(), name)
				require.NoError(t, err)
				want := "198.51.100.7/32"
				if tc.replaced {
					want = "198.51.100.8/32"
				}
				require.Equal(t, want, string(value))
				isSealed = false
				require.True(t, n.hasSignedInShared(account, netip.MustParsePrefix(want)))
			})
		})
	}
}
