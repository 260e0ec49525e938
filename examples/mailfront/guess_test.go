package main

import (
	"context"
	"net/http"
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
	g        *guard
	log      *logBuffer
	compared atomic.Int64
	running  atomic.Int64
	most     atomic.Int64 // at once
}

func newGuesser(t *testing.T, change func(*guardLimits)) *guesser {
	limits := defaultLimits
	limits.places = 2
	if change != nil {
		change(&limits)
	}
	g, log := testGuard(limits)
	return &guesser{t: t, g: g, log: log}
}

// check is a comparison that takes its time.
func (g *guesser) check(right bool) func() bool {
	return func() bool {
		g.compared.Add(1)
		now := g.running.Add(1)
		for most := g.most.Load(); now > most && !g.most.CompareAndSwap(most, now); most = g.most.Load() {
		}
		time.Sleep(slowHash)
		g.running.Add(-1)
		return right
	}
}

// atOnce sends n passwords at the same time, and returns how often each error came back.
func (g *guesser) atOnce(n int, cl func(i int) client.Client, a attempt, right bool) map[error]int {
	results := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { results[i] = g.g.compare(cl(i), a, g.check(right)) })
	}
	all.Wait()
	count := make(map[error]int)
	for _, err := range results {
		count[err]++
	}
	require.Empty(g.t, g.g.turns, "nothing is left")
	return count
}

func sameClient(cl client.Client) func(int) client.Client {
	return func(int) client.Client { return cl }
}

func TestGuessesAtTheSameTimeCountAgainstTheLimit(t *testing.T) {
	known, local, unknown := knownClient("198.51.100.7"), knownClient("127.0.0.1"), client.Client{IP: netip.MustParseAddr("192.0.2.1"), Listener: "http"}
	for _, tc := range []struct {
		name     string
		client   client.Client
		attempt  attempt
		compared int
		ban      bool
	}{
		{name: "a known client", client: known, compared: 10, ban: true},
		{name: "a known client, the administrator's password", client: known, attempt: attempt{secret: adminSecret}, compared: 10, ban: true},
		{name: "a known client, by a page of another site", client: known, attempt: attempt{otherSite: true}, compared: 9},
		{name: "a known client, the administrator's password by another site", client: known, attempt: attempt{secret: adminSecret, otherSite: true}, compared: 9},
		{name: "this machine", client: local, compared: 9},
		{name: "this machine, IPv6", client: knownClient("::1"), compared: 9},
		{name: "this machine, 4-in-6", client: knownClient("::ffff:127.0.0.1"), compared: 9},
		{name: "this machine, named by a proxy", client: behind("192.0.2.1", "127.0.0.1"), compared: 9},
		{name: "this machine, behind NAT64", client: knownClient("64:ff9b::7f00:1"), compared: 9},
		{name: "this machine, the administrator's password", client: local, attempt: attempt{secret: adminSecret}, compared: 9},
		{name: "this machine, by a page of another site", client: local, attempt: attempt{otherSite: true}, compared: 9},
		{name: "unknown", client: unknown, compared: 100},
		{name: "unknown, the administrator's password", client: unknown, attempt: attempt{secret: adminSecret}, compared: 20},
		{name: "unknown, by a page of another site", client: unknown, attempt: attempt{otherSite: true}, compared: 20},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGuesser(t, func(l *guardLimits) {
					for i := range l.unknown { // no time for more
						l.unknown[i].every, l.rates[i].every = time.Hour, time.Hour
					}
					l.waiting = 2000
				})
				const guesses = 1000
				errs := g.atOnce(guesses, sameClient(tc.client), tc.attempt, false)
				require.EqualValues(t, tc.compared, g.compared.Load())
				require.LessOrEqual(t, g.most.Load(), int64(g.g.limits.places))
				require.Equal(t, tc.compared, strings.Count(g.log.String(), "event=login_failed"), "every failure is logged")
				require.Equal(t, guesses-tc.compared, strings.Count(g.log.String(), "event=login_refused"))
				require.Zero(t, errs[nil])
				counted := g.g.counted()
				require.EqualValues(t, tc.compared, counted.WrongLogins)
				require.EqualValues(t, guesses-tc.compared, counted.NotCompared)
				if tc.ban {
					require.Equal(t, map[error]int{errWrongPassword: tc.compared - 1, errBanned: guesses - tc.compared + 1}, errs)
					require.Equal(t, 1, strings.Count(g.log.String(), "event=ban "))
				} else {
					require.Equal(t, map[error]int{errWrongPassword: tc.compared, errTooFast: guesses - tc.compared}, errs)
					require.NotContains(t, g.log.String(), "event=ban ")
					require.Zero(t, counted.BannedNow)
				}
			})
		})
	}
}

func TestRightPasswordsAtTheSameTimeAllGetTheirTurn(t *testing.T) {
	for name, cl := range map[string]client.Client{
		"an office behind one address": knownClient("198.51.100.7"),
		"this machine":                 knownClient("127.0.0.1"),
		"unknown":                      {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGuesser(t, nil)
				const n = 250
				errs := g.atOnce(n, sameClient(cl), attempt{}, true)
				require.Equal(t, map[error]int{nil: n}, errs)
				require.EqualValues(t, 2, g.most.Load())
			})
		})
	}
}

func TestAPasswordThatWaitsForTooLongIsRefusedAndNotCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuesser(t, func(l *guardLimits) { l.waiting, l.patience, l.places = 20, 4*slowHash, 1 })
		cl := knownClient("198.51.100.7")
		errs := g.atOnce(100, sameClient(cl), attempt{}, true)
		require.LessOrEqual(t, errs[nil], 5)
		require.NotZero(t, errs[nil])
		require.Equal(t, 100-errs[nil], errs[errBusy])
		require.Equal(t, errWrongPassword, wrongPasswords(g.g, cl, 9), "none of them was wrong")
		require.Equal(t, errBanned, wrongPasswords(g.g, cl, 1))
	})
}

func TestManyClientsTogetherAreComparedInTheSamePlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuesser(t, func(l *guardLimits) { l.patience = time.Hour })
		many := func(i int) client.Client {
			return knownClient(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}).String())
		}
		errs := g.atOnce(1000, many, attempt{secret: adminSecret}, false)
		require.Equal(t, map[error]int{errWrongPassword: 1000}, errs)
		require.EqualValues(t, 2, g.most.Load())
	})
}

func TestGuessesOfClientsThatAreNotKnownHoldUpNoOthers(t *testing.T) {
	for name, cl := range map[string]client.Client{"unknown": {}, "this machine": knownClient("127.0.0.1")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGuesser(t, func(l *guardLimits) { l.places = 1 })
				var all sync.WaitGroup
				for range 100 {
					all.Go(func() { g.g.compare(cl, attempt{secret: adminSecret}, g.check(false)) })
				}
				synctest.Wait() // one is compared, the others wait
				began := time.Now()
				require.NoError(t, g.g.compare(knownClient("198.51.100.7"), attempt{secret: adminSecret}, g.check(true)))
				require.Equal(t, slowHash, time.Since(began))
				require.NoError(t, g.g.logIn(knownClient("198.51.100.8"), func() bool { return true }), "another secret has its own places")
				all.Wait()
			})
		})
	}
}

func TestAComparisonThatPanicsGivesItsPlaceBack(t *testing.T) {
	g := newGuesser(t, nil)
	cl := knownClient("198.51.100.7")
	for range 20 {
		require.Panics(t, func() { g.g.compare(cl, attempt{}, func() bool { panic("no database") }) })
	}
	require.Empty(t, g.g.turns)
	require.NoError(t, g.g.compare(cl, attempt{}, func() bool { return true }))
	require.Equal(t, errWrongPassword, wrongPasswords(g.g, cl, 9), "nothing was charged")
}

func TestThisMachineIsNeverBannedAndEveryLimitApplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := defaultLimits
		limits.perClient = 3
		g, log := testGuard(limits)
		cl := knownClient("127.0.0.1")
		require.Equal(t, errWrongPassword, wrongPasswords(g, cl, 9))
		require.Equal(t, errTooFast, wrongPasswords(g, cl, 1), "a limit, and no ban")
		require.Equal(t, errWrongPassword, g.compare(cl, attempt{secret: adminSecret}, func() bool { return false }), "the administrator's page has a limit of its own")
		require.NoError(t, g.allow(cl, requesting))
		for range limits.perClient {
			_, err := g.admit(cl)
			require.NoError(t, err)
		}
		_, err := g.admit(cl)
		require.Equal(t, errTooManyOpen, err)
		require.Contains(t, log.String(), "event=no_ban")
		require.Contains(t, log.String(), client.TrustedProxies)
		require.NotContains(t, log.String(), "event=ban ")
		require.Zero(t, g.counted().Bans)
		time.Sleep(limits.rates[guessing].every)
		require.Equal(t, errWrongPassword, wrongPasswords(g, cl, 1))
		require.Equal(t, errTooFast, wrongPasswords(g, cl, 1))

		for a := range actions {
			for range limits.rates[a].burst {
				g.allow(cl, a)
			}
			require.Equal(t, errTooFast, g.allow(cl, a))
		}
		require.Equal(t, errBanned, wrongPasswords(g, knownClient("127.0.0.2"), 10), "other addresses of loopback are clients")
	})
}

func TestNoMorePasswordsWaitThanTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuesser(t, func(l *guardLimits) { l.waiting, l.patience = 5, time.Hour })
		errs := g.atOnce(100, sameClient(knownClient("198.51.100.7")), attempt{}, true)
		served := g.g.limits.comparing + g.g.limits.waiting
		require.Equal(t, map[error]int{nil: served, errBusy: 100 - served}, errs)
	})
}

// The first that waits gives up at the moment when its turn comes.
func TestATurnThatComesTooLateGoesToTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := defaultLimits
		limits.comparing = 1
		g, _ := testGuard(limits)
		b, _ := g.bucketOf(knownClient("198.51.100.7"), attempt{})
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
		require.Equal(t, errBusy, <-first)
		require.NoError(t, <-next)
		g.end(b, false)
		require.Empty(t, g.turns)
	})
}

func TestAPageOfAnotherSiteDoesNotSpendTheVisitorsLogins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := testGuard(defaultLimits)
		cl := knownClient("198.51.100.7")
		for range 2 * defaultLimits.rates[loggingIn].burst {
			require.Error(t, g.try(cl, attempt{otherSite: true}, func() bool { return false }))
		}
		require.NoError(t, g.logIn(cl, func() bool { return true }))
	})
}

func TestAPasswordThatWasNotComparedIsNotCalledWrong(t *testing.T) {
	s := newSite(t, testBase, direct, nil) // from 127.0.0.1, which is not banned
	for i := range 15 {
		response, _ := s.do("PROPFIND", "/dav/cal/", "", "Authorization", basicAuth("wrong"))
		if i < 9 {
			require.Equal(t, http.StatusUnauthorized, response.StatusCode)
			continue
		}
		require.Equal(t, http.StatusTooManyRequests, response.StatusCode)
		require.NotEmpty(t, response.Header.Get("Retry-After"))
		require.Empty(t, response.Header.Values("WWW-Authenticate"))
	}
	require.Equal(t, http.StatusServiceUnavailable, refusalStatus(errBusy))
}
