package signin

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
)

// published returns the ids of the keys that a node publishes.
func (k *keys) published(t *testing.T) (ids []string) {
	t.Helper()
	set, err := (&storage{keys: k}).KeySet(t.Context())
	require.NoError(t, err)
	for _, key := range set {
		ids = append(ids, key.ID())
	}
	return ids
}

func (k *keys) signs(t *testing.T) string {
	t.Helper()
	key, err := (&storage{keys: k}).SigningKey(t.Context())
	require.NoError(t, err)
	return key.ID()
}

func TestKeyPublicationPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := store.NewMemory(10)
		nodes := []*keys{{store: st}, {store: st}, {store: st}}
		signed := make(map[string]time.Time) // by key, the last time
		used := make(map[string]bool)
		for step := range 3 * 24 * 70 { // of 20 minutes
			// The nodes refresh at different times, and the third one only every 11 hours.
			for i, node := range nodes {
				if i < 2 || step%33 == 0 {
					_, err := node.refresh(t.Context())
					require.NoError(t, err)
				}
				time.Sleep(time.Minute)
			}
			for _, signer := range nodes {
				id := signer.signs(t)
				used[id], signed[id] = true, time.Now()
				for i, node := range nodes {
					require.Contains(t, node.published(t), id, "node %d after %d steps", i, step)
				}
			}
			for id, last := range signed {
				if time.Since(last) <= accessLifetime {
					require.Contains(t, nodes[0].published(t), id, "its tokens have not expired")
				}
			}
			require.LessOrEqual(t, len(nodes[0].published(t)), 2)
			time.Sleep(17 * time.Minute)
		}
		require.Len(t, used, 3, "70 days")
		require.Len(t, nodes[0].published(t), 1)
	})
}

func TestOfSeveralNodesOneRotatesTheKey(t *testing.T) {
	st := store.NewMemory(10)
	old, err := newKeyring(time.Now().Add(-keyPeriod))
	require.NoError(t, err)
	_, err = st.PutIfAbsent(t.Context(), keyringName, old.raw, 0)
	require.NoError(t, err)
	nodes := []*keys{{store: st}, {store: st}, {store: st}}
	var all sync.WaitGroup
	for _, node := range nodes {
		all.Go(func() {
			if _, err := node.refresh(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, node := range nodes {
		ring, err := node.refresh(t.Context())
		require.NoError(t, err)
		require.Equal(t, 2, ring.Revision)
		require.Equal(t, old.Keys[0].id, node.signs(t))
		require.Equal(t, nodes[0].published(t), node.published(t))
		require.Len(t, node.published(t), 2)
	}
}

func TestVanishedKeysAreRestored(t *testing.T) {
	var reports []string
	st := store.NewMemory(10)
	node := &keys{store: st, restored: func(reason string) { reports = append(reports, reason) }}
	other := &keys{store: st}
	for _, k := range []*keys{node, other} {
		_, err := k.refresh(t.Context())
		require.NoError(t, err)
	}
	id := node.signs(t)
	require.Empty(t, reports)
	require.NoError(t, st.Delete(t.Context(), keyringName))
	for _, k := range []*keys{node, other, {store: st}} {
		_, err := k.refresh(t.Context())
		require.NoError(t, err)
		require.Equal(t, id, k.signs(t))
	}
	require.Len(t, reports, 1)
	require.Contains(t, reports[0], "lost")
}

func TestPausedNodeKeepsNewerKeys(t *testing.T) {
	st := store.NewMemory(10)
	node, paused := &keys{store: st}, &keys{store: st}
	old, err := newKeyring(time.Now().Add(-keyPeriod))
	require.NoError(t, err)
	_, err = st.PutIfAbsent(t.Context(), keyringName, old.raw, 0)
	require.NoError(t, err)
	paused.ring = old
	_, err = node.refresh(t.Context()) // adds a key
	require.NoError(t, err)
	ids := node.published(t)
	require.Len(t, ids, 2)

	t.Run("it takes the new ones", func(t *testing.T) {
		copied := *old
		awake := &keys{store: st, ring: &copied}
		_, err := awake.refresh(t.Context())
		require.NoError(t, err)
		require.Equal(t, ids, awake.published(t))
	})
	t.Run("it restores the old ones, and the other node corrects it", func(t *testing.T) {
		require.NoError(t, st.Delete(t.Context(), keyringName))
		_, err := paused.put(t.Context(), old, "")
		require.NoError(t, err)
		_, err = node.refresh(t.Context())
		require.NoError(t, err)
		require.Equal(t, ids, node.published(t))
		_, err = paused.refresh(t.Context())
		require.NoError(t, err)
		require.Equal(t, ids, paused.published(t))
	})
}

func TestNodeWithoutKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &awayStore{Store: store.NewMemory(10)}
		node := &keys{store: st}
		_, err := node.refresh(t.Context())
		require.NoError(t, err)
		st.away = true
		time.Sleep(keyOverlap/2 - time.Minute)
		require.Len(t, node.published(t), 1)
		time.Sleep(time.Minute)
		_, err = (&storage{keys: node}).KeySet(t.Context())
		require.ErrorIs(t, err, store.ErrUnavailable)
	})
}

// A lostReplies loses the reply of a write that took effect.
type lostReplies struct{ store.Store }

func (s lostReplies) PutIfAbsent(ctx context.Context, name string, value []byte, ttl time.Duration) (bool, error) {
	s.Store.PutIfAbsent(ctx, name, value, ttl)
	return false, store.ErrUnavailable
}

func (s lostReplies) CompareAndSwap(ctx context.Context, name string, old, new []byte, ttl time.Duration) (bool, error) {
	s.Store.CompareAndSwap(ctx, name, old, new, ttl)
	return false, store.ErrUnavailable
}

func TestALostReplyMakesNoSecondKey(t *testing.T) {
	memory := store.NewMemory(10)
	node := &keys{store: lostReplies{memory}}
	_, err := node.refresh(t.Context())
	require.ErrorIs(t, err, store.ErrUnavailable)
	first, err := node.refresh(t.Context())
	require.NoError(t, err, "the key ring is there")
	require.Len(t, first.Keys, 1)

	old := *first
	old.Keys = slices.Clone(first.Keys)
	old.Keys[0].From = time.Now().Add(-keyPeriod)
	encoded, err := old.encoded()
	require.NoError(t, err)
	require.NoError(t, memory.Delete(t.Context(), keyringName))
	_, err = memory.PutIfAbsent(t.Context(), keyringName, encoded.raw, 0)
	require.NoError(t, err)
	_, err = node.refresh(t.Context())
	require.ErrorIs(t, err, store.ErrUnavailable, "rotated, without a reply")
	ring, err := node.refresh(t.Context())
	require.NoError(t, err)
	require.Len(t, ring.Keys, 2)
	require.Equal(t, old.Keys[0].id, node.signs(t))
}

func TestDamagedKeys(t *testing.T) {
	for _, raw := range []string{"", "{}", `{"seal":"AAAA","keys":[{}]}`, `{"seal":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","keys":[{"private":"AAAA"}]}`} {
		st := store.NewMemory(10)
		_, err := st.PutIfAbsent(t.Context(), keyringName, []byte(raw), 0)
		require.NoError(t, err)
		_, err = (&keys{store: st}).refresh(t.Context())
		require.ErrorContains(t, err, "restore the store, or delete it", raw)
	}
}
