package store

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(3)
		mustPut(t, m, "ever", nil, 0)
		mustPut(t, m, "soon", nil, time.Minute)
		mustPut(t, m, "late", nil, time.Hour)
		mustPut(t, m, "new", nil, 2*time.Hour)
		for name, want := range map[string]bool{"ever": true, "soon": false, "late": true, "new": true} {
			_, err := m.Get(t.Context(), name)
			assert.Equal(t, want, err == nil, name)
		}
		time.Sleep(2 * time.Hour) // of the bubble
		mustPut(t, m, "second", nil, 0)
		mustPut(t, m, "third", nil, 0)
		_, err := m.PutIfAbsent(t.Context(), "fourth", nil, time.Hour)
		assert.ErrorIs(t, err, ErrUnavailable)
		assert.Len(t, m.entries, 3)
		assert.Empty(t, m.expiry)

		for i := range 10 {
			mustAdmit(t, m, fmt.Sprint(i), Limit{Burst: 1, Every: time.Hour})
		}
		assert.Equal(t, 3, m.buckets.Len())
	})
}

func TestMemorySizeMustBePositive(t *testing.T) {
	assert.PanicsWithValue(t, "store: NewMemory(0): want a positive size", func() { NewMemory(0) })
}

func TestSubscriberThatIsFarBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(1)
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		busy := make(chan struct{})
		go m.Subscribe(ctx, "topic", func(message []byte) {
			<-busy
			if message == nil {
				message = []byte("missed")
			}
			got = append(got, string(message))
		})
		synctest.Wait()
		for i := range maxQueue + 1 {
			require.NoError(t, m.Publish(t.Context(), "topic", fmt.Append(nil, i)))
		}
		close(busy)
		synctest.Wait()
		cancel()
		assert.Equal(t, []string{"missed", "missed", fmt.Sprint(maxQueue)}, got)
	})
}
