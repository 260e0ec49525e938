//go:build unix

package store

import (
	"context"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAdmissionsAreBatched(t *testing.T) {
	s := startServer(t)
	r, other := s.open(testSecret), s.open(testSecret)
	reads := func() int {
		stats, err := other.client.Info(t.Context(), "stats").Result()
		require.NoError(t, err)
		n, err := strconv.Atoi(infoField(stats, "total_reads_processed"))
		require.NoError(t, err)
		return n
	}
	limit := Limit{Burst: 9, Every: time.Hour}
	mustAdmit(t, r, "other", limit)
	require.NoError(t, other.client.ScriptFlush(t.Context()).Err(), "the server does not know the script")
	before := reads()
	s.Signal(syscall.SIGSTOP)
	const calls = 50
	var asked, admitted atomic.Int32
	go func() {
		waitFor(t, func() bool { return asked.Load() == calls })
		s.Signal(syscall.SIGCONT)
	}()
	each(t, calls, func(int) error {
		asked.Add(1)
		a, err := r.Admit(t.Context(), "a", Charge{Bucket: "a", Limit: limit, Cost: 1})
		if a.OK() && err == nil {
			admitted.Add(1)
		}
		return err
	})
	assert.EqualValues(t, limit.Burst, admitted.Load())
	assert.Less(t, reads()-before, calls/2)
}

func TestAbandonedAdmission(t *testing.T) {
	s := startServer(t)
	r := s.open(testSecret)
	limit := Limit{Burst: 5, Every: time.Hour}
	mustAdmit(t, r, "a", limit)
	s.Signal(syscall.SIGSTOP)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := r.Admit(ctx, "a", Charge{Bucket: "a", Limit: limit, Cost: 1})
	require.ErrorIs(t, err, ErrUnavailable)
	s.Signal(syscall.SIGCONT)
	for range limit.Burst - 2 {
		require.True(t, mustAdmit(t, r, "a", limit).OK())
	}
	require.False(t, mustAdmit(t, r, "a", limit).OK(), "two were charged before")
}

func TestAClosedStoreAdmitsNoClient(t *testing.T) {
	s := startServer(t)
	r := s.open(testSecret)
	require.NoError(t, r.Close())
	_, err := r.Admit(t.Context(), "a")
	require.ErrorIs(t, err, ErrUnavailable)
}
