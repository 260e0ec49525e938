package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
)

// A slowStore answers after a while, or never.
type slowStore struct {
	store.Store
	delay time.Duration
	err   error
	calls int
}

func (s *slowStore) Get(ctx context.Context, name string) ([]byte, error) {
	s.calls++
	if s.err != nil {
		return nil, s.err
	}
	select {
	case <-time.After(s.delay):
		return s.Store.Get(ctx, name)
	case <-ctx.Done():
		return nil, errors.Join(store.ErrUnavailable, ctx.Err())
	}
}

func TestWatchedStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		inner := &slowStore{Store: store.NewMemory(1)}
		s := newWatchedStore(inner, slog.New(slog.NewTextHandler(&log, nil)))
		get := func(ctx context.Context) error { _, err := s.Get(ctx, "x"); return err }

		require.ErrorIs(t, get(t.Context()), store.ErrAbsent)
		s.settle()
		require.NoError(t, s.isAway(), "an absent value is an answer")

		gone, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		inner.delay = time.Hour
		require.ErrorIs(t, get(gone), store.ErrUnavailable)
		cancel()
		s.settle()
		require.NoError(t, s.isAway(), "the caller did not wait")

		begun := time.Now()
		require.ErrorIs(t, get(t.Context()), store.ErrUnavailable)
		require.Equal(t, storePatience, time.Since(begun))
		<-s.wake
		s.settle()
		require.ErrorIs(t, s.isAway(), store.ErrUnavailable)
		s.set(store.ErrUnavailable)
		require.Equal(t, 1, strings.Count(log.String(), "event=store_away"), log.String())
		require.Contains(t, log.String(), "setting=MAILFRONT_STORE")
		require.Contains(t, log.String(), "advice=\"start the store")

		calls := inner.calls
		begun = time.Now()
		require.ErrorIs(t, get(t.Context()), store.ErrUnavailable)
		require.Zero(t, time.Since(begun), "while the store is away calls fail at once")
		require.Equal(t, calls, inner.calls)

		late := time.Now()
		time.Sleep(time.Minute)
		s.fail(late, store.ErrUnavailable)
		s.set(nil)
		s.settle()
		require.NoError(t, s.isAway(), "the failure is from before it was back")
		require.Equal(t, 1, strings.Count(log.String(), "event=store_back"), log.String())
		s.fail(late, store.ErrUnavailable)
		s.settle()
		require.NoError(t, s.isAway(), "the failure is from before it was back")
		inner.delay = 0
		require.ErrorIs(t, get(t.Context()), store.ErrAbsent)
		require.Equal(t, 1, strings.Count(log.String(), "event=store_away"))
	})
}
