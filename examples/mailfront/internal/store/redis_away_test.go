//go:build unix

package store

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestServerThatIsAway(t *testing.T) {
	s := startServer(t, "--appendonly", "yes", "--appendfsync", "always")
	r := s.open(testSecret)
	mustPut(t, r, "key", []byte("value"), 0)
	messages, missed := make(chan string, 10), make(chan bool, 10)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- r.Subscribe(ctx, "topic", func(m []byte) {
			if m == nil {
				missed <- true
			} else {
				messages <- string(m)
			}
		})
	}()
	<-missed

	unavailable := func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		for method, err := range map[string]error{
			"Get":            errOf(r.Get(ctx, "key")),
			"PutIfAbsent":    errOf(r.PutIfAbsent(ctx, "key", nil, 0)),
			"Take":           errOf(r.Take(ctx, "key")),
			"CompareAndSwap": errOf(r.CompareAndSwap(ctx, "key", nil, nil, 0)),
			"Delete":         r.Delete(ctx, "key"),
			"List":           errOf(r.List(ctx, "key", 1)),
			"Admit":          errOf(r.Admit(ctx, "a", Charge{Bucket: "a", Limit: Limit{Burst: 1, Every: time.Hour}, Cost: 1})),
			"Publish":        r.Publish(ctx, "topic", nil),
			"Check":          errOf(r.Check(ctx)),
		} {
			assert.ErrorIs(t, err, ErrUnavailable, method)
			assert.NotErrorIs(t, err, ErrAbsent, method)
		}
	}
	t.Run("paused", func(t *testing.T) {
		s.Signal(syscall.SIGSTOP)
		unavailable(t)
		s.Signal(syscall.SIGCONT)
	})
	t.Run("stopped", func(t *testing.T) {
		s.Kill()
		unavailable(t)
	})
	t.Run("back: what was stored is there, and subscribers read again", func(t *testing.T) {
		s.Restart()
		assertValue(t, r, "key", "value")
		<-missed
		require.NoError(t, r.Publish(t.Context(), "topic", []byte("after")))
		assert.Equal(t, "after", <-messages)
	})
	cancel()
	assert.ErrorIs(t, <-ended, context.Canceled)
}
