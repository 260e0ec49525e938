// What to copy: watchedStore, which reports a store that is away once, whichever call finds out.
// What to change: nothing.

package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
)

// storePatience bounds a call to the store, so that a client gets its answer within 2 seconds
// while the store is away.
const storePatience = time.Second

// A watchedStore bounds each call, and logs when the store goes away and when it is back.
type watchedStore struct {
	store.Store
	log *slog.Logger

	mu   sync.Mutex
	away bool
}

// isAway reports whether the last that is known of the store is that it does not answer.
func (s *watchedStore) isAway() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.away
}

// notice logs the first of several calls that fail. A call that its own caller has ended is
// not about the store.
func (s *watchedStore) notice(ctx context.Context, err error) {
	if ctx.Err() != nil || !errors.Is(err, store.ErrUnavailable) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return
	}
	s.away = true
	s.log.Error("the store is not available: sign-in and administration wait for it, documents and mail go on",
		"event", "store_away", "setting", "MAILFRONT_STORE", "reason", err.Error())
}

// back logs that a store that was away answers.
func (s *watchedStore) back() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		s.away = false
		s.log.Info("the store is available again", "event", "store_back", "setting", "MAILFRONT_STORE")
	}
}

// probe writes a value that expires at once: a server whose disk is full, or that became a
// replica, can still be read.
func (s *watchedStore) probe(ctx context.Context) error {
	_, err := s.PutIfAbsent(ctx, "probe", nil, time.Millisecond)
	return err
}

// watch makes a call.
func watch[T any](ctx context.Context, s *watchedStore, call func(context.Context) (T, error)) (T, error) {
	bounded, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	value, err := call(bounded)
	s.notice(ctx, err)
	return value, err
}

func (s *watchedStore) Get(ctx context.Context, name string) ([]byte, error) {
	return watch(ctx, s, func(ctx context.Context) ([]byte, error) { return s.Store.Get(ctx, name) })
}

func (s *watchedStore) PutIfAbsent(ctx context.Context, name string, value []byte, ttl time.Duration) (bool, error) {
	return watch(ctx, s, func(ctx context.Context) (bool, error) { return s.Store.PutIfAbsent(ctx, name, value, ttl) })
}

func (s *watchedStore) Take(ctx context.Context, name string) ([]byte, error) {
	return watch(ctx, s, func(ctx context.Context) ([]byte, error) { return s.Store.Take(ctx, name) })
}

func (s *watchedStore) CompareAndSwap(ctx context.Context, name string, old, new []byte, ttl time.Duration) (bool, error) {
	return watch(ctx, s, func(ctx context.Context) (bool, error) { return s.Store.CompareAndSwap(ctx, name, old, new, ttl) })
}

func (s *watchedStore) Delete(ctx context.Context, name string) error {
	_, err := watch(ctx, s, func(ctx context.Context) (any, error) { return nil, s.Store.Delete(ctx, name) })
	return err
}

func (s *watchedStore) List(ctx context.Context, prefix string, limit int) ([]store.Entry, error) {
	return watch(ctx, s, func(ctx context.Context) ([]store.Entry, error) { return s.Store.List(ctx, prefix, limit) })
}

func (s *watchedStore) Admit(ctx context.Context, client string, charges ...store.Charge) (store.Admission, error) {
	return watch(ctx, s, func(ctx context.Context) (store.Admission, error) { return s.Store.Admit(ctx, client, charges...) })
}

func (s *watchedStore) Publish(ctx context.Context, topic string, message []byte) error {
	_, err := watch(ctx, s, func(ctx context.Context) (any, error) { return nil, s.Store.Publish(ctx, topic, message) })
	return err
}
