package guard

import (
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
)

const owner = "demo@example.test"

// attacker returns the nth of many clients.
func attacker(n int) client.Client {
	return knownClient(netip.AddrFrom4([4]byte{203, byte(n >> 16), byte(n >> 8), byte(n)}).String())
}

// guessFrom sends one wrong password from each of n addresses, and returns how many were
// compared.
func guessFrom(g *Guard, account string, n int) (compared int) {
	for i := range n {
		g.LogIn(attacker(i), account, func() (bool, error) { compared++; return false, nil })
	}
	return compared
}

func TestAccountGuessesAreSlowed(t *testing.T) {
	for name, account := range map[string]string{"of a user": owner, "that no user has": "unknown@example.test"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				limit := DefaultLimits.Rates[GuessingAccount]
				g, log := testGuard(DefaultLimits)
				require.Equal(t, limit.Burst, guessFrom(g, account, 1000))
				err := g.LogIn(attacker(5000), account, isRight)
				requireRefused(t, ErrTooFast, err, "the right password is not compared either")
				require.Equal(t, limit.Every, RetryAfter(err))
				require.NotContains(t, log.String(), "event=ban ")
				require.Equal(t, limit.Burst, guessFrom(g, "other@example.test", 1000), "another account")
				time.Sleep(10 * limit.Every)
				require.Equal(t, 10, guessFrom(g, account, 1000))
				require.Empty(t, g.turns)
			})
		})
	}
}

func TestOwnerKeepsAccessFromKnownAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := testGuard(DefaultLimits)
		home, phone, elsewhere := knownClient("198.51.100.7"), knownClient("2001:db8::7"), knownClient("198.51.100.8")
		require.NoError(t, g.LogIn(home, owner, isRight))
		require.NoError(t, g.Compare(phone, Attempt{Account: owner, Secret: TokenSecret}, isRight))
		guessFrom(g, owner, 1000)
		require.NoError(t, g.LogIn(home, owner, isRight))
		require.NoError(t, g.LogIn(knownClient("2001:db8::8"), owner, isRight), "another address of the same /64")
		require.NoError(t, g.LogIn(home, "DEMO@example.test", isRight), "the same account for a server that ignores case")
		requireRefused(t, ErrTooFast, g.LogIn(elsewhere, owner, isRight))
		require.NoError(t, g.Compare(elsewhere, Attempt{Account: owner, Secret: TokenSecret}, isRight), "a token cannot be guessed")
		require.NoError(t, g.LogIn(elsewhere, owner, isRight))
		require.NoError(t, g.LogIn(knownClient("198.51.100.9"), "", isRight), "no name")

		requireRefused(t, ErrWrongPassword, wrongPasswordsFor(g, home, owner, 9), "the limit of the address is as ever")
		requireRefused(t, ErrBanned, wrongPasswordsFor(g, home, owner, 1))
	})
}

func TestAdminGuessesFromManyAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := DefaultLimits.Rates[GuessingAccount]
		g, log := testGuard(DefaultLimits)
		guess := func(n int, a Attempt) (compared int) {
			for i := range n {
				g.Compare(attacker(i), a, func() (bool, error) { compared++; return false, nil })
			}
			return compared
		}
		desk, laptop, local, unknown := knownClient("198.51.100.7"), knownClient("198.51.100.8"), knownClient("127.0.0.1"), client.Client{Listener: "http"}
		password := Attempt{Secret: AdminSecret}
		require.NoError(t, g.Try(desk, password, isRight))
		g.Remember(laptop, password)
		require.Equal(t, limit.Burst, guess(1000, password))
		require.Zero(t, guess(1000, Attempt{Secret: AdminSecret, OtherSite: true}), "a client can write any Origin")
		requireRefused(t, ErrTooFast, g.Try(knownClient("198.51.100.9"), password, isRight), "an address that never signed in")
		require.NoError(t, g.Try(desk, password, isRight), "an address that signed in before")
		require.NoError(t, g.Try(laptop, password, isRight), "an address that set the password")
		require.NoError(t, g.Try(local, password, isRight), "this machine has a limit of its own")
		require.NoError(t, g.Try(unknown, password, isRight), "clients that are not known have a limit of their own")
		require.NoError(t, g.LogIn(knownClient("198.51.100.9"), owner, isRight), "the mail")
		require.NotContains(t, log.String(), "event=ban ")
	})
}

func TestOtherNamesDoNotResetAccountLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := DefaultLimits
		limits.Clients = 100
		g, _ := testGuard(limits)
		require.Equal(t, limits.Rates[GuessingAccount].Burst, guessFrom(g, owner, 1000))
		for i := range 10 * limits.Clients {
			g.LogIn(attacker(2000+i), fmt.Sprintf("%d@example.test", i), isWrong)
		}
		require.Equal(t, limits.Clients, g.accounts.Len())
		require.Zero(t, guessFrom(g, owner, 1000))
	})
}

func wrongPasswordsFor(g *Guard, cl client.Client, account string, n int) (err error) {
	for range n {
		err = g.LogIn(cl, account, isWrong)
	}
	return err
}

func TestKnownAddressDoesNotSlowAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := testGuard(DefaultLimits)
		for i := range 20 { // an office with an old password in every program
			cl := attacker(i)
			require.NoError(t, g.LogIn(cl, owner, isRight))
			wrongPasswordsFor(g, cl, owner, 9)
		}
		require.NoError(t, g.LogIn(knownClient("198.51.100.7"), owner, isRight))
	})
}

func TestConcurrentAccountGuesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := DefaultLimits
		limits.Waiting, limits.Places, limits.Patience = 1000, 8, time.Hour
		limits.Rates[GuessingAccount].Every = time.Hour
		g, _ := testGuard(limits)
		var compared atomic.Int64
		var all sync.WaitGroup
		for i := range 500 {
			all.Go(func() {
				g.LogIn(attacker(i), owner, func() (bool, error) {
					compared.Add(1)
					time.Sleep(slowHash)
					return false, nil
				})
			})
		}
		all.Wait()
		require.EqualValues(t, limits.Rates[GuessingAccount].Burst, compared.Load())
		require.Empty(t, g.turns)
	})
}

func TestAccountLimitOnAllNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := DefaultLimits
		limits.Rates[GuessingAccount] = Rate{12, time.Hour}
		s := newTestStore()
		nodes := startNodes(t, 3, s, limits)
		home, elsewhere := knownClient("198.51.100.7"), knownClient("198.51.100.8")
		require.NoError(t, nodes[0].LogIn(home, owner, isRight))
		synctest.Wait()
		compared := 0
		for i := range 300 {
			nodes[i%3].LogIn(attacker(i), owner, func() (bool, error) { compared++; return false, nil })
		}
		require.LessOrEqual(t, compared, 12+3)
		require.GreaterOrEqual(t, compared, 12)
		for i, n := range nodes {
			require.NoError(t, n.LogIn(home, owner, isRight), i)
			requireRefused(t, ErrTooFast, n.LogIn(elsewhere, owner, isRight), i)
		}
		for i := range 2 * knownAddresses {
			require.NoError(t, nodes[0].Compare(attacker(1000+i), Attempt{Account: owner, Secret: TokenSecret}, isRight))
			synctest.Wait()
		}
		value, err := s.Get(t.Context(), knownName(accountKey(owner)))
		require.NoError(t, err)
		require.LessOrEqual(t, len(value), knownAddresses*len("203.255.255.255/32\n"), "it is bounded")
		require.NotContains(t, knownName(accountKey(owner)), "demo")
	})
}

func TestOwnerKnownToOtherNodeDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := DefaultLimits
		limits.Places = 2
		nodes := startNodes(t, 2, newTestStore(), limits)
		home := knownClient("198.51.100.7")
		require.NoError(t, nodes[0].LogIn(home, owner, isRight))
		synctest.Wait()
		proceed := make(chan struct{})
		for i := range limits.Waiting + 2 { // one is compared, and one is refused
			go nodes[1].LogIn(attacker(i), owner, func() (bool, error) { <-proceed; return false, nil })
		}
		synctest.Wait()
		begun := time.Now()
		require.NoError(t, nodes[1].LogIn(home, owner, isRight))
		require.Zero(t, time.Since(begun))
		close(proceed)
		time.Sleep(limits.Patience)
	})
}

func TestAccountMemoryIsBounded(t *testing.T) {
	limits := DefaultLimits
	limits.Clients = 100
	g, _ := testGuard(limits)
	for i := range 1000 {
		g.LogIn(attacker(i), fmt.Sprint(i), isWrong)
		require.NoError(t, g.LogIn(attacker(i), owner, isRight))
		require.NoError(t, g.LogIn(attacker(i), fmt.Sprint("user", i), isRight))
	}
	require.Equal(t, 100, g.accounts.Len())
	require.Equal(t, 100, g.known.Len())
	addresses, _ := g.known.Get(accountKey(owner))
	require.Equal(t, knownAddresses, addresses.Len())
}

// BenchmarkMemory prints the memory of a guard that has seen as many addresses as
// Limits.Clients, and that has seen more of them. Each address connects, signs in to an
// account of its own and sends a wrong password for another.
func BenchmarkMemory(b *testing.B) {
	for _, addresses := range []int{DefaultLimits.Clients, 100_000} {
		b.Run(fmt.Sprintf("addresses=%d", addresses), func(b *testing.B) {
			var bytes uint64
			for b.Loop() {
				before := heap()
				g := New(DefaultLimits, nil, slog.New(slog.DiscardHandler))
				for i := range addresses {
					cl := attacker(i)
					release, err := g.Admit(cl)
					if err != nil {
						b.Fatal(err)
					}
					_ = g.LogIn(cl, fmt.Sprint("user", i), isRight)
					_ = g.LogIn(cl, fmt.Sprint("other", i), isWrong)
					release()
				}
				bytes = heap() - before
				runtime.KeepAlive(g)
			}
			b.ReportMetric(float64(bytes)/(1<<20), "MiB")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
