package guard

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
)

func TestListBans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := testGuard(DefaultLimits)
		began := time.Now().UTC()
		before := g.BanChanges()
		for _, ip := range []string{"198.51.100.7", "2001:db8::7"} {
			wrongPasswords(g, knownClient(ip), 10)
			time.Sleep(time.Minute)
		}
		reason := "wrong passwords, the last one on imap"
		second, first := began.Add(time.Minute), began
		require.Equal(t, []Ban{
			{Address: netip.MustParsePrefix("2001:db8::/64"), Reason: reason, Since: second, Until: second.Add(DefaultLimits.Ban)},
			{Address: netip.MustParsePrefix("198.51.100.7/32"), Reason: reason, Since: first, Until: first.Add(DefaultLimits.Ban)},
		}, g.Bans())
		require.NotEqual(t, before, g.BanChanges())
		time.Sleep(DefaultLimits.Ban - 2*time.Minute)
		require.Len(t, g.Bans(), 1, "the first has ended")
	})
}

func TestRestoredBans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, _ := testGuard(DefaultLimits)
		cl, earlier := knownClient("198.51.100.7"), knownClient("198.51.100.8")
		wrongPasswords(old, earlier, 10)
		time.Sleep(10 * time.Minute)
		wrongPasswords(old, cl, 10)
		bans := old.Bans()
		require.Len(t, bans, 2)
		time.Sleep(5 * time.Minute)
		g, _ := testGuard(DefaultLimits)
		g.Restore(append(bans, Ban{Address: netip.MustParsePrefix("127.0.0.1/32"), Until: time.Now().Add(time.Hour)},
			Ban{Address: netip.MustParsePrefix("192.0.2.1/32"), Until: time.Now().Add(time.Hour)}))
		requireRefused(t, ErrBanned, g.Allow(cl, Sending))
		require.Equal(t, 10*time.Minute, RetryAfter(g.Allow(cl, Sending)))
		for _, ip := range []string{"198.51.100.8", "127.0.0.1", "192.0.2.1"} {
			require.NoError(t, g.Allow(knownClient(ip), Sending), ip)
		}
	})
}

func TestLiftOnAllNodes(t *testing.T) {
	for _, n := range []int{0, 3} { // without a store, and with one
		t.Run(fmt.Sprintf("nodes=%d", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := startNodes(t, n, newTestStore(), DefaultLimits)
				if n == 0 {
					g, log := testGuard(DefaultLimits)
					nodes = []node{{g, log}}
				}
				cl := knownClient("198.51.100.7")
				last := nodes[len(nodes)-1]
				requireRefused(t, ErrBanned, wrongPasswords(nodes[0].Guard, cl, 10))
				synctest.Wait()
				requireRefused(t, ErrBanned, last.Allow(cl, Sending))
				who := netip.MustParsePrefix("198.51.100.7/32")
				requireLifted(t, true, last, who)
				synctest.Wait()
				for _, node := range nodes {
					requireLifted(t, false, node, who)
				}
				requireLifted(t, false, last, netip.MustParsePrefix("198.51.100.8/32"))
				synctest.Wait()
				for _, node := range nodes {
					require.Empty(t, node.Bans())
					_, err := node.Admit(cl)
					require.NoError(t, err)
				}
				requireRefused(t, ErrWrongPassword, wrongPasswords(nodes[0].Guard, cl, 9))
				requireRefused(t, ErrBanned, wrongPasswords(nodes[0].Guard, cl, 1))
				time.Sleep(DefaultLimits.Ban)
				requireLifted(t, false, nodes[0], who)
			})
		})
	}
}

func requireLifted(t *testing.T, want bool, n node, who netip.Prefix) {
	t.Helper()
	banned, err := n.Lift(t.Context(), who)
	require.NoError(t, err)
	require.Equal(t, want, banned)
}

// A ban may be known to the store only, or to this node only.
func TestLiftOfABanThatIsKnownInOnePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStore()
		nodes := startNodes(t, 2, s, DefaultLimits)
		who := netip.MustParsePrefix("198.51.100.7/32")
		wrongPasswords(nodes[0].Guard, knownClient("198.51.100.7"), 10)
		synctest.Wait()
		nodes[1].lift(who) // as if the message had been lost
		requireLifted(t, true, nodes[1], who)
		synctest.Wait() // for the message to the other node

		s.away.Store(true)
		wrongPasswords(nodes[0].Guard, knownClient("198.51.100.7"), 10)
		_, err := nodes[0].Lift(t.Context(), who)
		require.ErrorIs(t, err, store.ErrUnavailable)
		require.Len(t, nodes[0].Bans(), 1)
		s.away.Store(false)
		requireLifted(t, true, nodes[0], who)
		require.Empty(t, nodes[0].Bans())
	})
}

// If messages are lost, the nodes get the bans from the store later.
func TestMissedBanMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStore()
		n := startNodes(t, 1, s, DefaultLimits)[0]
		lifted, made := knownClient("198.51.100.7"), knownClient("198.51.100.8")
		wrongPasswords(n.Guard, lifted, 10)
		time.Sleep(time.Second)
		require.NoError(t, s.Delete(t.Context(), store.BanName("198.51.100.7/32")))
		other, _ := testGuard(DefaultLimits)
		other.Share(silentStore{s.Store})
		n.away.Store(true)
		wrongPasswords(other, made, 10)
		here, _ := other.bans.Peek(netip.MustParsePrefix("198.51.100.8/32"))
		require.True(t, here.stored, "it is not stored again after it was lifted")
		n.lift(netip.MustParsePrefix("198.51.100.8/32"))
		n.away.Store(false)
		time.Sleep(pollInterval)
		synctest.Wait()
		require.NoError(t, n.Allow(lifted, Sending))
		requireRefused(t, ErrBanned, n.Allow(made, Sending))
	})
}

// The store answers before the message arrives.
func TestBanOfAnotherNode(t *testing.T) {
	for name, ask := range map[string]func(node, client.Client) error{
		"connects": func(n node, cl client.Client) error {
			release, err := n.Admit(cl)
			require.NoError(t, err, "it does not wait for the store")
			release()
			time.Sleep(payDelay)
			synctest.Wait()
			_, err = n.Admit(cl)
			return err
		},
		"connects after a wrong password": func(n node, cl client.Client) error {
			n.limiter(bucket{who: netip.MustParsePrefix("198.51.100.7/32"), action: Guessing}).Allow()
			_, err := n.Admit(cl)
			return err
		},
		"requests": func(n node, cl client.Client) error { return n.Allow(cl, Requesting) },
		"guesses":  func(n node, cl client.Client) error { return n.LogIn(cl, owner, isWrong) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, cl := newTestStore(), knownClient("198.51.100.7")
				n := startNodes(t, 1, s, DefaultLimits)[0]
				other, _ := testGuard(DefaultLimits)
				other.Share(silentStore{s})
				wrongPasswords(other, cl, 10)
				time.Sleep(time.Minute)
				synctest.Wait()
				n.lift(netip.MustParsePrefix("198.51.100.7/32")) // the poll has found it
				err := ask(n, cl)
				requireRefused(t, ErrBanned, err)
				require.InDelta(t, DefaultLimits.Ban-time.Minute, RetryAfter(err), float64(time.Second))
				require.Equal(t, other.Bans(), n.Bans())
				require.Zero(t, n.Counts().Connections)
			})
		})
	}
}

// A value that cannot be opened is not absent.
func TestBanSealedWithAnotherSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStore()
		s.refuse.Store(&store.ErrSealed)
		n := startNodes(t, 1, s, DefaultLimits)[0]
		err := n.Allow(knownClient("198.51.100.7"), Requesting)
		requireRefused(t, ErrBanned, err)
		require.Contains(t, n.log.String(), "MAILFRONT_SECRET")
		require.NotContains(t, n.log.String(), "event=limits_alone")
	})
}

// A silentStore sends no messages.
type silentStore struct{ store.Store }

func (silentStore) Publish(context.Context, string, []byte) error { return nil }

func TestBansOutliveAStoreThatWasEmptied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, cl := newTestStore(), knownClient("198.51.100.7")
		nodes := startNodes(t, 2, s, DefaultLimits)
		wrongPasswords(nodes[0].Guard, cl, 10)
		time.Sleep(time.Second)
		for _, name := range []string{store.BanName("198.51.100.7/32"), epochName} {
			require.NoError(t, s.Delete(t.Context(), name))
		}
		time.Sleep(2 * pollInterval)
		for _, n := range nodes {
			requireRefused(t, ErrBanned, n.Allow(cl, Sending))
		}
		_, err := s.Get(t.Context(), store.BanName("198.51.100.7/32"))
		require.NoError(t, err, "it is in the store again")
	})
}

func TestStoredBanOfExemptAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStore()
		for _, name := range []string{"127.0.0.1/32", "192.0.2.1/32", "-"} {
			value, err := FormatBans(nil)
			require.NoError(t, err)
			_, err = s.PutIfAbsent(t.Context(), store.BanName(name), value, time.Hour)
			require.NoError(t, err)
		}
		n := startNodes(t, 1, s, DefaultLimits)[0]
		for _, ip := range []string{"127.0.0.1", "192.0.2.1"} {
			_, err := n.Admit(knownClient(ip))
			require.NoError(t, err, ip)
			require.NoError(t, n.LogIn(knownClient(ip), "", isRight))
			requireRefused(t, ErrWrongPassword, n.LogIn(knownClient(ip), owner, isWrong), ip)
		}
	})
}
