package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// conformance has the tests of every Store. Each test gets an empty store.
var conformance = []struct {
	behaviour string
	test      func(t *testing.T, s Store)
}{
	{behaviour: "an absent name is ErrAbsent", test: func(t *testing.T, s Store) {
		_, err := s.Get(t.Context(), "name")
		assert.ErrorIs(t, err, ErrAbsent)
		assert.NotErrorIs(t, err, ErrUnavailable)
		_, err = s.Take(t.Context(), "name")
		assert.ErrorIs(t, err, ErrAbsent)
		assert.NoError(t, s.Delete(t.Context(), "name"))
	}},
	{behaviour: "a value is what was put, an empty one too", test: func(t *testing.T, s Store) {
		for name, value := range map[string][]byte{"empty": {}, "bytes": {0, 0xff, '\r', '\n'}, "long": bytes.Repeat([]byte("x"), maxValue)} {
			mustPut(t, s, name, value, 0)
			got, err := s.Get(t.Context(), name)
			require.NoError(t, err)
			assert.Equal(t, value, got, name)
		}
	}},
	{behaviour: "the store keeps a copy", test: func(t *testing.T, s Store) {
		value := []byte("value")
		mustPut(t, s, "name", value, 0)
		value[0] = 'X'
		got, err := s.Get(t.Context(), "name")
		require.NoError(t, err)
		require.Equal(t, "value", string(got))
		got[0] = 'Y'
		assertValue(t, s, "name", "value")
	}},
	{behaviour: "PutIfAbsent leaves a value that is there", test: func(t *testing.T, s Store) {
		mustPut(t, s, "name", []byte("first"), 0)
		ok, err := s.PutIfAbsent(t.Context(), "name", []byte("second"), 0)
		require.NoError(t, err)
		assert.False(t, ok)
		assertValue(t, s, "name", "first")
	}},
	{behaviour: "a value expires, and its name is free again", test: func(t *testing.T, s Store) {
		mustPut(t, s, "short", []byte("1"), time.Millisecond)
		mustPut(t, s, "long", []byte("1"), time.Hour)
		mustPut(t, s, "ever", []byte("1"), 0)
		waitFor(t, func() bool { _, err := s.Get(t.Context(), "short"); return errors.Is(err, ErrAbsent) })
		assertValue(t, s, "long", "1")
		assertValue(t, s, "ever", "1")
		mustPut(t, s, "short", []byte("2"), time.Hour)
	}},
	{behaviour: "Take gives a value to one of many", test: func(t *testing.T, s Store) {
		mustPut(t, s, "code", []byte("grant"), time.Hour)
		var took atomic.Int32
		each(t, 20, func(int) error {
			value, err := s.Take(t.Context(), "code")
			if errors.Is(err, ErrAbsent) {
				return nil
			}
			if err == nil && string(value) == "grant" {
				took.Add(1)
			}
			return err
		})
		assert.EqualValues(t, 1, took.Load())
	}},
	{behaviour: "PutIfAbsent has one winner of many", test: func(t *testing.T, s Store) {
		var won atomic.Int32
		each(t, 20, func(i int) error {
			ok, err := s.PutIfAbsent(t.Context(), "key", fmt.Append(nil, i), 0)
			if ok {
				won.Add(1)
			}
			return err
		})
		assert.EqualValues(t, 1, won.Load())
	}},
	{behaviour: "CompareAndSwap loses no update", test: func(t *testing.T, s Store) {
		mustPut(t, s, "count", []byte{0}, 0)
		each(t, 20, func(int) error {
			for {
				old, err := s.Get(t.Context(), "count")
				if err != nil {
					return err
				}
				ok, err := s.CompareAndSwap(t.Context(), "count", old, []byte{old[0] + 1}, 0)
				if ok || err != nil {
					return err
				}
			}
		})
		assertValue(t, s, "count", "\x14")
	}},
	{behaviour: "CompareAndSwap needs the old value", test: func(t *testing.T, s Store) {
		for _, old := range []string{"", "other", "absent"} {
			name := "name"
			if old == "absent" {
				name = "absent"
			} else if old == "" {
				mustPut(t, s, name, []byte("value"), 0)
			}
			ok, err := s.CompareAndSwap(t.Context(), name, []byte(old), []byte("new"), 0)
			require.NoError(t, err)
			assert.False(t, ok, old)
		}
		assertValue(t, s, "name", "value")
		_, err := s.Get(t.Context(), "absent")
		assert.ErrorIs(t, err, ErrAbsent)
	}},
	{behaviour: "CompareAndSwap sets the ttl anew", test: func(t *testing.T, s Store) {
		mustPut(t, s, "shorter", []byte("old"), time.Hour)
		mustPut(t, s, "longer", []byte("old"), 200*time.Millisecond)
		for name, ttl := range map[string]time.Duration{"shorter": time.Millisecond, "longer": 0} {
			ok, err := s.CompareAndSwap(t.Context(), name, []byte("old"), []byte("new"), ttl)
			require.NoError(t, err)
			require.True(t, ok)
		}
		mustPut(t, s, "clock", []byte("1"), 200*time.Millisecond)
		for _, gone := range []string{"shorter", "clock"} {
			waitFor(t, func() bool { _, err := s.Get(t.Context(), gone); return errors.Is(err, ErrAbsent) })
		}
		assertValue(t, s, "longer", "new")
	}},
	{behaviour: "List returns what has the prefix, and at most limit", test: func(t *testing.T, s Store) {
		for _, name := range []string{"ban/198.51.100.7", "ban/[*]", "ban/x?", "other/x"} {
			mustPut(t, s, name, []byte("of "+name), 0)
		}
		for prefix, want := range map[string][]Entry{
			"ban/198": {{Name: "ban/198.51.100.7", Value: []byte("of ban/198.51.100.7")}},
			"ban/[*]": {{Name: "ban/[*]", Value: []byte("of ban/[*]")}},
			"ban/x?":  {{Name: "ban/x?", Value: []byte("of ban/x?")}},
			"*":       nil,
		} {
			got, err := s.List(t.Context(), prefix, 10)
			require.NoError(t, err)
			assert.Equal(t, want, got, prefix)
		}
		got, err := s.List(t.Context(), BanPrefix, 2)
		require.NoError(t, err)
		assert.Len(t, got, 2)
	}},
	{behaviour: "Admit charges the bucket of one client", test: func(t *testing.T, s Store) {
		limit := Limit{Burst: 3, Every: time.Hour}
		for i := range 3 {
			assert.Equal(t, Admission{Wait: []time.Duration{0}}, mustAdmit(t, s, "a", limit), i)
		}
		refused := mustAdmit(t, s, "a", limit)
		assert.False(t, refused.OK())
		assert.Greater(t, refused.Wait[0], 59*time.Minute)
		assert.LessOrEqual(t, refused.Wait[0], time.Hour)
		assert.True(t, mustAdmit(t, s, "b", limit).OK(), "another client")
		require.NoError(t, s.Delete(t.Context(), BucketName("a")))
		assert.True(t, mustAdmit(t, s, "a", limit).OK(), "the bucket was refilled")
	}},
	{behaviour: "Admit charges several buckets, each for itself", test: func(t *testing.T, s Store) {
		small, large := Limit{Burst: 1, Every: time.Hour}, Limit{Burst: 5, Every: time.Hour}
		for i := range 5 {
			a, err := s.Admit(t.Context(), "a", Charge{Bucket: "small", Limit: small, Cost: 1}, Charge{Bucket: "large", Limit: large, Cost: 1})
			require.NoError(t, err)
			require.Len(t, a.Wait, 2)
			assert.Equal(t, i == 0, a.Wait[0] == 0, i)
			assert.Zero(t, a.Wait[1], i)
			assert.Equal(t, i == 0, a.OK(), i)
		}
		assert.False(t, mustAdmit(t, s, "large", large).OK())
		a, err := s.Admit(t.Context(), "a")
		require.NoError(t, err)
		assert.True(t, a.OK(), "a client that is not banned, and no charge")
	}},
	{behaviour: "Admit charges what is owed to an empty bucket, which refills later", test: func(t *testing.T, s Store) {
		owed := Charge{Bucket: "a", Limit: Limit{Burst: 2, Every: time.Hour}, Cost: 1, Owed: true}
		for i, want := range []time.Duration{0, 0, time.Hour, 2 * time.Hour, 3 * time.Hour, 3 * time.Hour} { // 2 are owed at most
			a, err := s.Admit(t.Context(), "a", owed)
			require.NoError(t, err)
			assert.InDelta(t, want, a.Wait[0], float64(time.Minute), i)
		}
		assert.Greater(t, mustAdmit(t, s, "a", owed.Limit).Wait[0], 2*time.Hour)
	}},
	{behaviour: "Admit refills the bucket", test: func(t *testing.T, s Store) {
		limit := Limit{Burst: 1, Every: 100 * time.Millisecond}
		assert.True(t, mustAdmit(t, s, "a", limit).OK())
		refused := mustAdmit(t, s, "a", limit)
		assert.False(t, refused.OK())
		assert.LessOrEqual(t, refused.Wait[0], 100*time.Millisecond)
		waitFor(t, func() bool { return mustAdmit(t, s, "a", limit).OK() })
	}},
	{behaviour: "Admit lets no more than the burst pass at once", test: func(t *testing.T, s Store) {
		var admitted atomic.Int32
		each(t, 50, func(int) error {
			a, err := s.Admit(t.Context(), "a", Charge{Bucket: "a", Limit: Limit{Burst: 9, Every: time.Hour}, Cost: 1})
			if a.OK() {
				admitted.Add(1)
			}
			return err
		})
		assert.EqualValues(t, 9, admitted.Load())
	}},
	{behaviour: "Admit reports a ban and charges nothing", test: func(t *testing.T, s Store) {
		limit := Limit{Burst: 1, Every: time.Hour}
		mustPut(t, s, BanName("a"), []byte("reason"), time.Hour)
		for range 3 {
			assert.Equal(t, Admission{Ban: []byte("reason")}, mustAdmit(t, s, "a", limit))
		}
		require.NoError(t, s.Delete(t.Context(), BanName("a")))
		assert.True(t, mustAdmit(t, s, "a", limit).OK())
	}},
	{behaviour: "messages reach the subscribers of their topic", test: func(t *testing.T, s Store) {
		one, other := subscribe(t, s, "one"), subscribe(t, s, "other")
		again := subscribe(t, s, "one")
		for _, text := range []string{"a", "b"} {
			require.NoError(t, s.Publish(t.Context(), "one", []byte(text)))
		}
		require.NoError(t, s.Publish(t.Context(), "other", []byte("c")))
		assert.Equal(t, "a", <-one)
		assert.Equal(t, "b", <-one)
		assert.Equal(t, "a", <-again)
		assert.Equal(t, "c", <-other)
	}},
	{behaviour: "bad arguments are errors of their own", test: func(t *testing.T, s Store) {
		ctx := t.Context()
		for behaviour, err := range map[string]error{
			"empty name":        errOf(s.Get(ctx, "")),
			"space in a name":   errOf(s.Take(ctx, "a b")),
			"zero in a name":    s.Delete(ctx, "a\x00b"),
			"long name":         errOf(s.PutIfAbsent(ctx, strings.Repeat("x", maxName+1), nil, 0)),
			"long value":        errOf(s.PutIfAbsent(ctx, "a", make([]byte, maxValue+1), 0)),
			"negative ttl":      errOf(s.PutIfAbsent(ctx, "a", nil, -1)),
			"ttl below 1ms":     errOf(s.CompareAndSwap(ctx, "a", nil, nil, time.Microsecond)),
			"cost above burst":  errOf(s.Admit(ctx, "a", Charge{Bucket: "a", Limit: Limit{Burst: 1, Every: time.Second}, Cost: 2})),
			"no burst":          errOf(s.Admit(ctx, "a", Charge{Bucket: "a", Limit: Limit{Every: time.Second}, Cost: 1})),
			"no cost":           errOf(s.Admit(ctx, "a", Charge{Bucket: "a", Limit: Limit{Burst: 1, Every: time.Second}})),
			"no bucket":         errOf(s.Admit(ctx, "a", Charge{Limit: Limit{Burst: 1, Every: time.Second}, Cost: 1, Bucket: " "})),
			"no time":           errOf(s.Admit(ctx, "a", Charge{Bucket: "a", Limit: Limit{Burst: 1}, Cost: 1})),
			"centuries":         errOf(s.Admit(ctx, "a", Charge{Bucket: "a", Limit: Limit{Burst: 1 << 30, Every: time.Hour}, Cost: 1})),
			"long topic":        s.Publish(ctx, strings.Repeat("x", maxName+1), nil),
			"subscribe to \"\"": s.Subscribe(ctx, "", func([]byte) {}),
		} {
			require.Error(t, err, behaviour)
			assert.True(t, strings.HasPrefix(err.Error(), "store: "), err.Error())
			assert.NotErrorIs(t, err, ErrUnavailable, behaviour)
			assert.NotErrorIs(t, err, ErrAbsent, behaviour)
		}
	}},
	{behaviour: "a context that ended is ErrUnavailable", test: func(t *testing.T, s Store) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for method, err := range map[string]error{
			"Get":            errOf(s.Get(ctx, "a")),
			"PutIfAbsent":    errOf(s.PutIfAbsent(ctx, "a", nil, 0)),
			"Take":           errOf(s.Take(ctx, "a")),
			"CompareAndSwap": errOf(s.CompareAndSwap(ctx, "a", nil, nil, 0)),
			"Delete":         s.Delete(ctx, "a"),
			"List":           errOf(s.List(ctx, "a", 1)),
			"Admit":          errOf(s.Admit(ctx, "a", Charge{Bucket: "a", Limit: Limit{Burst: 1, Every: time.Hour}, Cost: 1})),
			"Publish":        s.Publish(ctx, "a", nil),
		} {
			assert.ErrorIs(t, err, ErrUnavailable, method)
		}
	}},
}

func TestMemory(t *testing.T) {
	for _, c := range conformance {
		t.Run(c.behaviour, func(t *testing.T) { c.test(t, NewMemory(100)) })
	}
}

func errOf[T any](_ T, err error) error { return err }

func mustPut(t *testing.T, s Store, name string, value []byte, ttl time.Duration) {
	t.Helper()
	ok, err := s.PutIfAbsent(t.Context(), name, value, ttl)
	require.NoError(t, err)
	require.True(t, ok, name)
}

// mustAdmit charges the bucket with the name of the client.
func mustAdmit(t *testing.T, s Store, client string, l Limit) Admission {
	t.Helper()
	a, err := s.Admit(t.Context(), client, Charge{Bucket: client, Limit: l, Cost: 1})
	require.NoError(t, err)
	return a
}

func assertValue(t *testing.T, s Store, name, want string) {
	t.Helper()
	got, err := s.Get(t.Context(), name)
	require.NoError(t, err)
	assert.Equal(t, want, string(got))
}

// each runs f n times at once.
func each(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = f(i) })
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
}

// waitFor waits for a condition that depends on a real server.
func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	for tick := time.NewTicker(5 * time.Millisecond); !condition(); <-tick.C {
		require.NoError(t, t.Context().Err())
	}
}

// subscribe returns the messages of a topic from now on.
func subscribe(t *testing.T, s Store, topic string) <-chan string {
	t.Helper()
	messages, ready := make(chan string, 100), make(chan struct{})
	var once sync.Once
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		err := s.Subscribe(ctx, topic, func(m []byte) {
			if m == nil {
				once.Do(func() { close(ready) })
				return
			}
			messages <- string(m)
		})
		assert.ErrorIs(t, err, context.Canceled)
	})
	t.Cleanup(func() { cancel(); done.Wait() })
	<-ready
	return messages
}
