package guard

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
)

const slowHash = 50 * time.Millisecond

// A guesser sends passwords, and measures how many are compared.
type guesser struct {
	t        *testing.T
	g        *Guard
	log      *logText
	compared atomic.Int64
	running  atomic.Int64
	most     atomic.Int64 // at once
}

func newGuesser(t *testing.T, change func(*Limits)) *guesser {
	limits := DefaultLimits
	limits.Places = 2
	if change != nil {
		change(&limits)
	}
	g, log := testGuard(limits)
	return &guesser{t: t, g: g, log: log}
}

// check is a slow comparison.
func (g *guesser) check(right bool) Check {
	return func() (bool, error) {
		g.compared.Add(1)
		now := g.running.Add(1)
		for most := g.most.Load(); now > most && !g.most.CompareAndSwap(most, now); most = g.most.Load() {
		}
		time.Sleep(slowHash)
		g.running.Add(-1)
		return right, nil
	}
}

// atOnce sends n passwords at the same time, and returns the count of each error.
func (g *guesser) atOnce(n int, cl func(i int) client.Client, a Attempt, right bool) map[error]int {
	results := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { results[i] = g.g.Compare(cl(i), a, g.check(right)) })
	}
	all.Wait()
	count := make(map[error]int)
	for _, err := range results {
		count[reason(err)]++
	}
	require.Empty(g.t, g.g.turns, "nothing is left")
	return count
}

func sameClient(cl client.Client) func(int) client.Client {
	return func(int) client.Client { return cl }
}

func TestConcurrentGuesses(t *testing.T) {
	known, local, unknown := knownClient("198.51.100.7"), knownClient("127.0.0.1"), client.Client{IP: netip.MustParseAddr("192.0.2.1"), Listener: "http"}
	for _, tc := range []struct {
		name     string
		client   client.Client
		attempt  Attempt
		compared int
		ban      bool
	}{
		{name: "a known client", client: known, compared: 10, ban: true},
		{name: "a known client, the administrator's password", client: known, attempt: Attempt{Secret: AdminSecret}, compared: 10, ban: true},
		{name: "a known client, by a page of another site", client: known, attempt: Attempt{OtherSite: true}, compared: 9},
		{name: "a known client, the administrator's password by another site", client: known, attempt: Attempt{Secret: AdminSecret, OtherSite: true}, compared: 9},
		{name: "this machine", client: local, compared: 9},
		{name: "this machine, IPv6", client: knownClient("::1"), compared: 9},
		{name: "this machine, 4-in-6", client: knownClient("::ffff:127.0.0.1"), compared: 9},
		{name: "this machine, named by a proxy", client: behind("192.0.2.1", "127.0.0.1"), compared: 9},
		{name: "this machine, behind NAT64", client: knownClient("64:ff9b::7f00:1"), compared: 9},
		{name: "this machine, the administrator's password", client: local, attempt: Attempt{Secret: AdminSecret}, compared: 9},
		{name: "this machine, by a page of another site", client: local, attempt: Attempt{OtherSite: true}, compared: 9},
		{name: "unknown", client: unknown, compared: 100},
		{name: "unknown, the administrator's password", client: unknown, attempt: Attempt{Secret: AdminSecret}, compared: 20},
		{name: "unknown, by a page of another site", client: unknown, attempt: Attempt{OtherSite: true}, compared: 20},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGuesser(t, func(l *Limits) {
					for i := range l.Unknown { // no time for more
						l.Unknown[i].Every, l.Rates[i].Every = time.Hour, time.Hour
					}
					l.Waiting = 2000
				})
				const guesses = 1000
				errs := g.atOnce(guesses, sameClient(tc.client), tc.attempt, false)
				require.EqualValues(t, tc.compared, g.compared.Load())
				require.LessOrEqual(t, g.most.Load(), int64(g.g.limits.Places))
				require.Equal(t, tc.compared, strings.Count(g.log.String(), "event=login_failed"), "every failure is logged")
				require.Equal(t, guesses-tc.compared, strings.Count(g.log.String(), "event=login_refused"))
				require.Zero(t, errs[nil])
				counted := g.g.Counts()
				require.EqualValues(t, tc.compared, counted.WrongLogins)
				require.EqualValues(t, guesses-tc.compared, counted.NotCompared)
				if tc.ban {
					require.Equal(t, map[error]int{ErrWrongPassword: tc.compared - 1, ErrBanned: guesses - tc.compared + 1}, errs)
					require.Equal(t, 1, strings.Count(g.log.String(), "event=ban "))
				} else {
					require.Equal(t, map[error]int{ErrWrongPassword: tc.compared, ErrTooFast: guesses - tc.compared}, errs)
					require.NotContains(t, g.log.String(), "event=ban ")
					require.Zero(t, counted.BannedNow)
				}
			})
		})
	}
}

func TestConcurrentRightPasswords(t *testing.T) {
	for name, cl := range map[string]client.Client{
		"an office behind one address": knownClient("198.51.100.7"),
		"this machine":                 knownClient("127.0.0.1"),
		"unknown":                      {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGuesser(t, nil)
				const n = 250
				errs := g.atOnce(n, sameClient(cl), Attempt{}, true)
				require.Equal(t, map[error]int{nil: n}, errs)
				require.EqualValues(t, 2, g.most.Load())
			})
		})
	}
}

func TestPasswordWaitTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuesser(t, func(l *Limits) { l.Waiting, l.Patience, l.Places = 20, 4*slowHash, 1 })
		cl := knownClient("198.51.100.7")
		errs := g.atOnce(100, sameClient(cl), Attempt{}, true)
		require.LessOrEqual(t, errs[nil], 5)
		require.NotZero(t, errs[nil])
		require.Equal(t, 100-errs[nil], errs[ErrBusy])
		requireRefused(t, ErrWrongPassword, wrongPasswords(g.g, cl, 9), "none of them was wrong")
		requireRefused(t, ErrBanned, wrongPasswords(g.g, cl, 1))
	})
}

func TestManyClientsShareTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuesser(t, func(l *Limits) { l.Patience = time.Hour })
		many := func(i int) client.Client {
			return knownClient(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}).String())
		}
		errs := g.atOnce(1000, many, Attempt{}, false)
		require.Equal(t, map[error]int{ErrWrongPassword: 1000}, errs)
		require.EqualValues(t, 2, g.most.Load())
	})
}

func TestUnknownClientsDelayNoOthers(t *testing.T) {
	for name, cl := range map[string]client.Client{"unknown": {}, "this machine": knownClient("127.0.0.1")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGuesser(t, func(l *Limits) { l.Places = 1 })
				var all sync.WaitGroup
				for range 100 {
					all.Go(func() { g.g.Compare(cl, Attempt{Secret: AdminSecret}, g.check(false)) })
				}
				synctest.Wait() // one is compared, the others wait
				began := time.Now()
				require.NoError(t, g.g.Compare(knownClient("198.51.100.7"), Attempt{Secret: AdminSecret}, g.check(true)))
				require.Equal(t, slowHash, time.Since(began))
				require.NoError(t, g.g.LogIn(knownClient("198.51.100.8"), "", isRight), "another secret has its own places")
				all.Wait()
			})
		})
	}
}

func TestSlowTokenDelaysNoOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := testGuard(DefaultLimits)
		token := Attempt{Secret: TokenSecret}
		answer := make(chan struct{})
		for i := range 2 * g.limits.Places {
			go g.Compare(attacker(i), token, func() (bool, error) { <-answer; return false, nil })
		}
		synctest.Wait()
		begun := time.Now()
		require.NoError(t, g.Compare(knownClient("198.51.100.7"), token, isRight))
		require.Zero(t, time.Since(begun))
		close(answer)
		synctest.Wait()
	})
}

func TestPanicReleasesTurn(t *testing.T) {
	g := newGuesser(t, nil)
	cl := knownClient("198.51.100.7")
	for range 20 {
		require.Panics(t, func() { g.g.Compare(cl, Attempt{}, func() (bool, error) { panic("no database") }) })
	}
	require.Empty(t, g.g.turns)
	require.NoError(t, g.g.Compare(cl, Attempt{}, isRight))
	requireRefused(t, ErrWrongPassword, wrongPasswords(g.g, cl, 9), "nothing was charged")
}

func TestThisMachineIsNeverBanned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := DefaultLimits
		limits.PerClient = 3
		g, log := testGuard(limits)
		cl := knownClient("127.0.0.1")
		cl.TrustedSetting = "MAILFRONT_TRUSTED_PROXIES_IMAP"
		requireRefused(t, ErrWrongPassword, wrongPasswords(g, cl, 9))
		requireRefused(t, ErrTooFast, wrongPasswords(g, cl, 1), "a limit, and no ban")
		requireRefused(t, ErrWrongPassword, g.Compare(cl, Attempt{Secret: AdminSecret}, isWrong), "the administrator's page has a limit of its own")
		require.NoError(t, g.Allow(cl, Requesting))
		for range limits.PerClient {
			_, err := g.Admit(cl)
			require.NoError(t, err)
		}
		_, err := g.Admit(cl)
		requireRefused(t, ErrTooManyOpen, err)
		require.Contains(t, log.String(), "event=no_ban")
		require.Contains(t, log.String(), "add it to MAILFRONT_TRUSTED_PROXIES_IMAP")
		require.NotContains(t, log.String(), "event=ban ")
		require.Zero(t, g.Counts().Bans)
		time.Sleep(limits.Rates[Guessing].Every)
		requireRefused(t, ErrWrongPassword, wrongPasswords(g, cl, 1))
		requireRefused(t, ErrTooFast, wrongPasswords(g, cl, 1))

		for a := range Actions {
			for range limits.Rates[a].Burst {
				g.Allow(cl, a)
			}
			requireRefused(t, ErrTooFast, g.Allow(cl, a))
		}
		requireRefused(t, ErrBanned, wrongPasswords(g, knownClient("127.0.0.2"), 10), "other addresses of loopback are clients")
	})
}

func TestNoMorePasswordsWaitThanTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuesser(t, func(l *Limits) { l.Waiting, l.Patience = 5, time.Hour })
		errs := g.atOnce(100, sameClient(knownClient("198.51.100.7")), Attempt{}, true)
		served := g.g.limits.Comparing + g.g.limits.Waiting
		require.Equal(t, map[error]int{nil: served, ErrBusy: 100 - served}, errs)
	})
}

// The first of the queue gives up at the moment when its turn comes.
func TestExpiredTurnGoesToNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := DefaultLimits
		limits.Comparing = 1
		g, _ := testGuard(limits)
		b, _ := g.bucketOf(knownClient("198.51.100.7"), Attempt{})
		require.NoError(t, g.begin(t.Context(), b))
		wait := func(ctx context.Context) chan error {
			got := make(chan error, 1)
			go func() { got <- g.begin(ctx, b) }()
			synctest.Wait()
			return got
		}
		ctx, giveUp := context.WithCancel(t.Context())
		first, next := wait(ctx), wait(t.Context())

		g.mu.Lock() // as end does, and before the first can look
		g.turns[b].running--
		g.settle(b, g.turns[b])
		giveUp()
		g.mu.Unlock()
		requireRefused(t, ErrBusy, <-first)
		require.NoError(t, <-next)
		g.end(b)
		require.Empty(t, g.turns)
	})
}

func TestCrossSiteGuessesAreSeparate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := testGuard(DefaultLimits)
		cl := knownClient("198.51.100.7")
		for range 2 * DefaultLimits.Rates[LoggingIn].Burst {
			require.Error(t, g.Try(cl, Attempt{OtherSite: true}, isWrong))
		}
		require.NoError(t, g.LogIn(cl, "", isRight))
	})
}
