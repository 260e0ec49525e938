package guard

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
)

// A testStore counts its calls, and can be late or not available.
type testStore struct {
	store.Store
	admits, others atomic.Int64
	delay          atomic.Int64 // of each answer, ns
	away           atomic.Bool
	refuse         atomic.Pointer[error] // of Admit
}

func newTestStore() *testStore { return &testStore{Store: store.NewMemory(1000)} }

func (s *testStore) answer(ctx context.Context) error {
	if s.away.Load() {
		return fmt.Errorf("%w: test", store.ErrUnavailable)
	}
	delay := time.Duration(s.delay.Load())
	if delay == 0 { // with the race detector, Go 1.26 may crash in many timers that have already expired
		return nil
	}
	select {
	case <-time.After(delay):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
	}
}

// Admit takes effect even if ctx ends before the answer, because the command was sent.
func (s *testStore) Admit(ctx context.Context, client string, charges ...store.Charge) (store.Admission, error) {
	s.admits.Add(1)
	type answer struct {
		store.Admission
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		var a answer
		if err := s.refuse.Load(); err != nil {
			answers <- answer{err: *err}
			return
		}
		if a.err = s.answer(context.Background()); a.err == nil {
			a.Admission, a.err = s.Store.Admit(context.Background(), client, charges...)
		}
		answers <- a
	}()
	select {
	case a := <-answers:
		return a.Admission, a.err
	case <-ctx.Done():
		return store.Admission{}, fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
	}
}

func (s *testStore) Get(ctx context.Context, name string) ([]byte, error) {
	s.others.Add(1)
	if err := s.answer(ctx); err != nil {
		return nil, err
	}
	return s.Store.Get(ctx, name)
}

func (s *testStore) PutIfAbsent(ctx context.Context, name string, value []byte, ttl time.Duration) (bool, error) {
	s.others.Add(1)
	if err := s.answer(ctx); err != nil {
		return false, err
	}
	return s.Store.PutIfAbsent(ctx, name, value, ttl)
}

func (s *testStore) Take(ctx context.Context, name string) ([]byte, error) {
	if err := s.answer(ctx); err != nil {
		return nil, err
	}
	return s.Store.Take(ctx, name)
}

func (s *testStore) Delete(ctx context.Context, name string) error {
	if err := s.answer(ctx); err != nil {
		return err
	}
	return s.Store.Delete(ctx, name)
}

func (s *testStore) List(ctx context.Context, prefix string, limit int) ([]store.Entry, error) {
	if err := s.answer(ctx); err != nil {
		return nil, err
	}
	return s.Store.List(ctx, prefix, limit)
}

// A node is a guard that shares a store with others.
type node struct {
	*Guard
	log *logText
}

// startNodes returns guards that share s until the test ends. Call it in a bubble.
func startNodes(t *testing.T, n int, s store.Store, limits Limits) (nodes []node) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for range n {
		g, log := testGuard(limits)
		g.Share(s)
		running.Go(func() { g.Mirror(ctx) })
		nodes = append(nodes, node{g, log})
	}
	t.Cleanup(func() { cancel(); running.Wait() })
	synctest.Wait()
	return nodes
}

func TestBanForGuessesOnSeveralNodes(t *testing.T) {
	for name, cl := range map[string]client.Client{"IPv4": knownClient("198.51.100.7"), "IPv6": knownClient("2001:db8::7")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := startNodes(t, 3, newTestStore(), DefaultLimits)
				compared := 0
				for i := range 12 {
					err := nodes[i%3].LogIn(cl, "", func() (bool, error) { compared++; return false, nil })
					want := ErrWrongPassword
					if i >= 9 {
						want = ErrBanned
					}
					requireRefused(t, want, err, i)
					synctest.Wait() // a client needs a connection for the next one
				}
				require.Equal(t, 10, compared)
				synctest.Wait()
				made := 0
				for _, n := range nodes {
					_, err := n.Admit(cl)
					requireRefused(t, ErrBanned, err)
					require.Equal(t, DefaultLimits.Ban, RetryAfter(err))
					require.Len(t, n.Bans(), 1)
					require.Equal(t, nodes[0].Bans(), n.Bans())
					made += strings.Count(n.log.String(), "event=ban ")
				}
				require.Equal(t, 1, made, "one node reports it")
				time.Sleep(DefaultLimits.Ban)
				for _, n := range nodes {
					require.NoError(t, n.LogIn(cl, "", isRight))
				}
			})
		})
	}
}

func TestBansAfterLateStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, cl := newTestStore(), knownClient("198.51.100.7")
		old := startNodes(t, 1, s, DefaultLimits)[0]
		requireRefused(t, ErrBanned, wrongPasswords(old.Guard, cl, 10))
		later := startNodes(t, 1, s, DefaultLimits)[0]
		s.away.Store(true)
		_, err := later.Admit(cl)
		requireRefused(t, ErrBanned, err)
	})
}

func TestConcurrentGuessesOnAllNodes(t *testing.T) {
	for _, tc := range []struct {
		name    string
		attempt Attempt
		most    int // by one node
	}{
		{name: "of one client", most: 10},
		{name: "by pages of other sites", attempt: Attempt{OtherSite: true}, most: 9},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				limits := DefaultLimits
				limits.Waiting, limits.Places = 1000, 8
				for i := range limits.Rates {
					limits.Rates[i].Every = time.Hour
				}
				const n = 3
				s := newTestStore()
				s.delay.Store(int64(5 * time.Millisecond))
				nodes := startNodes(t, n, s, limits)
				var compared atomic.Int64
				var all sync.WaitGroup
				for _, node := range nodes {
					for range 100 {
						all.Go(func() {
							node.Compare(knownClient("198.51.100.7"), tc.attempt, func() (bool, error) {
								compared.Add(1)
								time.Sleep(slowHash)
								return false, nil
							})
						})
					}
				}
				all.Wait()
				require.GreaterOrEqual(t, compared.Load(), int64(tc.most))
				require.LessOrEqual(t, compared.Load(), int64(tc.most+n))
			})
		})
	}
}

func TestSharedDebtIsPaidBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, minutes = 3, 60
		nodes := startNodes(t, n, newTestStore(), DefaultLimits)
		compared := 0
		for range minutes * 60 { // each second on each node
			for _, node := range nodes {
				node.Compare(knownClient("198.51.100.7"), Attempt{OtherSite: true}, func() (bool, error) { compared++; return false, nil })
			}
			time.Sleep(time.Second)
		}
		limit := DefaultLimits.Rates[GuessingElsewhere]
		most := limit.Burst + minutes*int(time.Minute/limit.Every) + n
		require.LessOrEqual(t, compared, most)
		require.Greater(t, compared, most-2*n)
	})
}

func TestSharedAdmissionLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := DefaultLimits
		limits.Rates[Connecting], limits.Rates[Requesting] = Rate{6, time.Hour}, Rate{6, time.Hour}
		nodes := startNodes(t, 3, newTestStore(), limits)
		cl := knownClient("198.51.100.7")
		admitted, allowed := 0, 0
		for i := range 30 {
			if release, err := nodes[i%3].Admit(cl); err == nil {
				admitted++
				release()
			} else {
				requireRefused(t, ErrTooFast, err)
				require.InDelta(t, time.Hour, RetryAfter(err), float64(time.Second))
			}
			time.Sleep(payDelay)
			synctest.Wait()
			if nodes[i%3].Allow(cl, Requesting) == nil {
				allowed++
			}
		}
		require.Equal(t, []int{6, 6}, []int{admitted, allowed})
		require.Zero(t, nodes[0].Counts().Connections)
		require.EqualValues(t, 8, nodes[0].Counts().TooFast)
	})
}

func TestSharedActionLimits(t *testing.T) {
	for name, act := range map[string]func(node, client.Client) error{
		"sign-ins": func(n node, cl client.Client) error { return n.LogIn(cl, owner, isRight) },
		"messages": func(n node, cl client.Client) error { return n.Allow(cl, Sending) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				limits := DefaultLimits
				limits.Rates[LoggingIn], limits.Rates[Sending] = Rate{20, time.Hour}, Rate{20, time.Hour}
				nodes := startNodes(t, 3, newTestStore(), limits)
				allowed, cl := 0, knownClient("198.51.100.7")
				for i := range 300 {
					n := nodes[i%3]
					release, err := n.Admit(cl)
					require.NoError(t, err)
					if act(n, cl) == nil {
						allowed++
					}
					release()
					time.Sleep(payDelay)
					synctest.Wait()
				}
				require.GreaterOrEqual(t, allowed, 20)
				require.LessOrEqual(t, allowed, 20+3, "each node owes one when the limit is reached")
			})
		})
	}
}

func TestStoreCallsPerEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStore()
		n := startNodes(t, 1, s, DefaultLimits)[0]
		cl := knownClient("198.51.100.7")
		asked := func() (int64, int64) {
			time.Sleep(payDelay)
			synctest.Wait()
			return s.admits.Swap(0), s.others.Swap(0)
		}
		asked()
		session := func(check Check) {
			release, err := n.Admit(cl)
			require.NoError(t, err)
			n.LogIn(cl, "demo@example.test", check)
			require.NoError(t, n.Allow(cl, Sending))
			release()
		}
		session(isRight)
		admits, others := asked()
		require.EqualValues(t, 1, admits)
		require.EqualValues(t, 2, others, "the first time, the address is remembered")
		session(isRight)
		admits, others = asked()
		require.Equal(t, []int64{1, 0}, []int64{admits, others}, "from then on")
		session(isWrong)
		admits, others = asked()
		require.Equal(t, []int64{1, 0}, []int64{admits, others}, "a wrong password, together with its connection")
		for _, unidentified := range []client.Client{{}, knownClient("127.0.0.1"), knownClient("192.0.2.1")} {
			release, err := n.Admit(unidentified)
			require.NoError(t, err)
			release()
			n.LogIn(unidentified, "", isWrong)
			admits, _ = asked()
			require.Zero(t, admits, unidentified)
		}
	})
}

func TestLateAnswerCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, cl := newTestStore(), knownClient("198.51.100.7")
		nodes := startNodes(t, 2, s, DefaultLimits)
		for i := range 9 {
			late := time.Duration(0)
			if i%2 == 0 { // never two in a row
				late = 80 * time.Millisecond
			}
			s.delay.Store(int64(late))
			began := time.Now()
			requireRefused(t, ErrWrongPassword, nodes[0].LogIn(cl, "", isWrong))
			require.Equal(t, min(late, DefaultLimits.StoreWait), time.Since(began))
			time.Sleep(50 * time.Millisecond) // until the store has answered
		}
		time.Sleep(time.Second)
		a, err := s.Store.Admit(t.Context(), "x", store.Charge{Bucket: "guess/198.51.100.7/32", Limit: store.Limit{Burst: 9, Every: time.Minute}, Cost: 1})
		require.NoError(t, err)
		require.InDelta(t, time.Minute, a.Wait[0], float64(5*time.Second), "nine charges")
		require.NotContains(t, nodes[0].log.String(), "event=limits_alone")
	})
}

func TestPasswordAfterLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, cl := newTestStore(), knownClient("198.51.100.7")
		n := startNodes(t, 1, s, DefaultLimits)[0]
		s.delay.Store(int64(80 * time.Millisecond))
		began := time.Now()
		requireRefused(t, ErrWrongPassword, n.LogIn(cl, owner, isWrong))
		require.Equal(t, DefaultLimits.StoreWait, time.Since(began))
		require.NoError(t, n.LogIn(cl, owner, func() (bool, error) {
			require.Equal(t, 80*time.Millisecond, time.Since(began), "the first one is charged")
			return true, nil
		}))
		require.Empty(t, n.turns)
		time.Sleep(time.Second)
	})
}

func TestLateAnswerBans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, cl := newTestStore(), knownClient("198.51.100.7")
		nodes := startNodes(t, 2, s, DefaultLimits)
		requireRefused(t, ErrWrongPassword, wrongPasswords(nodes[0].Guard, cl, 9))
		s.delay.Store(int64(80 * time.Millisecond))
		requireRefused(t, ErrWrongPassword, wrongPasswords(nodes[1].Guard, cl, 1), "its first")
		time.Sleep(time.Second)
		s.delay.Store(0)
		for _, n := range nodes {
			requireRefused(t, ErrBanned, n.Allow(cl, Sending))
		}
	})
}

func TestLimitsWhileStoreIsAway(t *testing.T) {
	for name, away := range map[string]func(*testStore, bool){
		"stopped": func(s *testStore, away bool) { s.away.Store(away) },
		"paused": func(s *testStore, away bool) {
			s.delay.Store(0)
			if away {
				s.delay.Store(int64(time.Hour))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTestStore()
				nodes := startNodes(t, 2, s, DefaultLimits)
				before, during, other := knownClient("198.51.100.7"), knownClient("198.51.100.8"), knownClient("198.51.100.9")
				requireRefused(t, ErrBanned, wrongPasswords(nodes[0].Guard, before, 10))
				requireRefused(t, ErrWrongPassword, wrongPasswords(nodes[1].Guard, during, 4))
				synctest.Wait()

				away(s, true)
				for i := range 100 {
					began := time.Now()
					release, err := nodes[1].Admit(other)
					require.NoError(t, err)
					release()
					require.LessOrEqual(t, time.Since(began), DefaultLimits.StoreWait)
					if i >= mostLate {
						require.Zero(t, time.Since(began), "it does not ask a store that is away")
					}
				}
				_, err := nodes[1].Admit(before)
				requireRefused(t, ErrBanned, err, "the ban of the other node")
				requireRefused(t, ErrWrongPassword, wrongPasswords(nodes[1].Guard, during, 5))
				requireRefused(t, ErrBanned, wrongPasswords(nodes[1].Guard, during, 1), "what was charged before counts")
				_, err = nodes[1].Lift(t.Context(), netip.PrefixFrom(during.IP, 32))
				require.Error(t, err)
				time.Sleep(time.Minute)
				require.Equal(t, 1, strings.Count(nodes[1].log.String(), "event=limits_alone"))
				require.NoError(t, nodes[0].Allow(during, Sending), "it cannot know")

				away(s, false)
				time.Sleep(2*retryInterval + time.Hour/60)
				require.Equal(t, 1, strings.Count(nodes[1].log.String(), "event=limits_shared"))
				for _, n := range nodes {
					requireRefused(t, ErrBanned, n.Allow(during, Sending), "it was stored when the store was back")
				}
				time.Sleep(2 * time.Hour) // calls of the test store end
			})
		})
	}
}
