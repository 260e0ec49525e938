package guard

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// requests makes n concurrent requests of different clients in each step for a time. answer
// returns the time that the store takes for a request that begins at a time.
func requests(t *testing.T, g node, s *testStore, n int, step, length time.Duration, answer func(time.Duration) time.Duration) {
	t.Helper()
	var all sync.WaitGroup
	began := time.Now()
	for i := 0; time.Since(began) < length; i++ {
		s.delay.Store(int64(answer(time.Since(began))))
		for k := range n {
			all.Go(func() {
				began := time.Now()
				if err := g.Allow(attacker(i*n+k), Requesting); err != nil {
					t.Error(err)
				}
				if wait := time.Since(began); wait > DefaultLimits.StoreWait {
					t.Error(wait)
				}
			})
		}
		synctest.Wait() // the store has read its delay
		time.Sleep(step)
	}
	all.Wait()
}

// All calls during a stall are late, and the node waits for the store nevertheless if the stall is
// short.
func TestOneStallOfTheStore(t *testing.T) {
	for _, tc := range []struct {
		name     string
		stall    time.Duration
		parallel int
		step     time.Duration
		alone    int // lines of the log
	}{
		{name: "one burst", stall: 60 * time.Millisecond, parallel: 3, step: time.Hour},
		{name: "one large burst", stall: 900 * time.Millisecond, parallel: 1000, step: time.Hour},
		{name: "steady", stall: 60 * time.Millisecond, parallel: 10, step: time.Millisecond},
		{name: "steady, below three waits", stall: 145 * time.Millisecond, parallel: 10, step: time.Millisecond},
		{name: "steady, beyond three waits", stall: 160 * time.Millisecond, parallel: 10, step: time.Millisecond, alone: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTestStore()
				n := startNodes(t, 1, s, DefaultLimits)[0]
				requests(t, n, s, tc.parallel, tc.step, 300*time.Millisecond, func(at time.Duration) time.Duration { return max(0, tc.stall-at) })
				require.Equal(t, tc.alone, strings.Count(n.log.String(), "event=limits_alone"), n.log)
				time.Sleep(2 * retryInterval)
				s.delay.Store(0)
				calls := s.admits.Load()
				require.NoError(t, n.Allow(knownClient("198.51.100.7"), Requesting))
				require.Equal(t, calls+1, s.admits.Load(), "the store decides")
			})
		})
	}
}

func TestStoreThatIsAlwaysLate(t *testing.T) {
	for _, tc := range []struct {
		name     string
		parallel int
		step     time.Duration
		waiting  int // number of requests that wait at most
	}{
		{name: "one request at a time", parallel: 1, step: DefaultLimits.StoreWait, waiting: mostLate},
		{name: "a burst at a time", parallel: 100, step: DefaultLimits.StoreWait, waiting: mostLate * 100},
		{name: "overlapping requests", parallel: 10, step: 10 * time.Millisecond, waiting: mostLate * 5 * 10},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTestStore()
				n := startNodes(t, 1, s, DefaultLimits)[0]
				late := DefaultLimits.StoreWait + 10*time.Millisecond
				calls := s.admits.Load()
				began := time.Now()
				requests(t, n, s, tc.parallel, tc.step, mostLate*DefaultLimits.StoreWait, func(time.Duration) time.Duration { return late })
				require.LessOrEqual(t, time.Since(began), (mostLate+1)*DefaultLimits.StoreWait)
				require.LessOrEqual(t, s.admits.Load()-calls, int64(tc.waiting))
				require.Contains(t, n.log.String(), "event=limits_alone")
				require.Contains(t, n.log.String(), "it does not answer within 50ms")
				for range 100 {
					at := time.Now()
					require.NoError(t, n.Allow(knownClient("198.51.100.7"), Requesting))
					require.Zero(t, time.Since(at), "no request waits")
					time.Sleep(100 * time.Millisecond)
				}
				require.Equal(t, 1, strings.Count(n.log.String(), "event=limits_alone"))
				require.NotContains(t, n.log.String(), "event=limits_shared")

				s.delay.Store(0)
				time.Sleep(2 * retryInterval)
				require.Equal(t, 1, strings.Count(n.log.String(), "event=limits_shared"))
				for range 2 { // the count starts anew, after the log line and after an answer in time
					s.delay.Store(int64(late))
					for range mostLate - 1 {
						require.NoError(t, n.Allow(knownClient("198.51.100.7"), Requesting))
					}
					require.Equal(t, 1, strings.Count(n.log.String(), "event=limits_alone"))
					s.delay.Store(0)
					calls = s.admits.Load()
					require.NoError(t, n.Allow(knownClient("198.51.100.7"), Requesting))
					require.Equal(t, calls+1, s.admits.Load(), "the store decides again")
				}
				time.Sleep(time.Minute) // calls of the test store end
			})
		})
	}
}

// A call that began before the last answer does not count: the store has answered since.
func TestLateCallAmongAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lateAnswers
		began := time.Now()
		time.Sleep(time.Millisecond)
		l.reset()
		require.False(t, l.add(began))
		for i := range mostLate {
			began := time.Now()
			time.Sleep(time.Millisecond)
			require.Equal(t, i == mostLate-1, l.add(began))
			require.False(t, l.add(began), "the same stall")
		}
	})
}
