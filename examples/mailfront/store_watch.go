// Copy watchedStore, which reports once that a store is not available, no matter which call fails
// first. No changes are needed.

package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
)

// storePatience bounds a call to the store, so that a client gets its answer within 2 seconds while
// the store is not available.
const storePatience = time.Second

// A watchedStore bounds each call, and logs when the store becomes unavailable and when it is back.
// In between, calls fail at once, so that requests do not pile up.
type watchedStore struct {
	store.Store
	log  *slog.Logger
	wake chan struct{} // wakes follow; has a buffer of one

	mu     sync.Mutex
	failed error     // error of a call that follow has not handled yet
	away   error     // why the store is not available; nil while it answers
	back   time.Time // when the store last became available
}

func newWatchedStore(s store.Store, log *slog.Logger) *watchedStore {
	return &watchedStore{Store: s, log: log, wake: make(chan struct{}, 1)}
}

// isAway returns why the store is not available, or nil.
func (s *watchedStore) isAway() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.away
}

// set records whether the store answers, and logs a change.
func (s *watchedStore) set(away error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.away
	s.away = away
	if away == nil {
		s.back, s.failed = time.Now(), nil // an earlier failure no longer counts
	}
	switch {
	case was == nil && away != nil:
		s.log.Error("the store is not available: sign-in and administration answer 503 until it is, documents and mail are still served",
			"event", "store_away", "setting", "MAILFRONT_STORE", "reason", away.Error(),
			"advice", "start the store: mailfront need not be restarted; if the address is wrong, correct MAILFRONT_STORE")
	case was != nil && away == nil:
		s.log.Info("the store is available again", "event", "store_back", "setting", "MAILFRONT_STORE")
	}
}

// probe checks whether the store answers. It writes a value that expires at once, because a server
// with a full disk and a replica can still be read.
func (s *watchedStore) probe(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	_, err := s.Store.PutIfAbsent(bounded, "probe", nil, time.Millisecond)
	return err
}

// look reads a value after a call has failed, even if the store has been recorded as unavailable by
// then.
func (s *watchedStore) look(ctx context.Context, name string) ([]byte, error) {
	bounded, cancel := context.WithTimeout(ctx, storePatience/2)
	defer cancel()
	return s.Store.Get(bounded, name)
}

// watch makes a call. After a failure, follow checks whether the store is available again.
func watch[T any](ctx context.Context, s *watchedStore, call func(context.Context) (T, error)) (value T, err error) {
	if err := s.isAway(); err != nil {
		return value, err
	}
	bounded, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	begun := time.Now()
	value, err = call(bounded)
	if ctx.Err() == nil && errors.Is(err, store.ErrUnavailable) { // not canceled by the caller
		s.fail(begun, err)
	}
	return value, err
}

// fail records the failure of a call, unless the call failed before the store was back.
func (s *watchedStore) fail(begun time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !begun.Before(s.back) {
		s.failed = err
		s.wakeUp()
	}
}

// settle records the store as unavailable if a call has failed.
func (s *watchedStore) settle() {
	s.mu.Lock()
	failed := s.failed
	s.failed = nil
	s.mu.Unlock()
	if failed != nil {
		s.set(failed)
	}
}

// wakeUp makes follow check the store at once.
func (s *watchedStore) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
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
