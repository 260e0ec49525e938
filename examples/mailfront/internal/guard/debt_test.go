package guard

import (
	"encoding/json"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
)

// connect admits n connections of a client, and returns when they are charged.
func (n node) connect(t *testing.T, cl client.Client, connections int) {
	t.Helper()
	for range connections {
		release, err := n.Admit(cl)
		require.NoError(t, err)
		release()
	}
	time.Sleep(payDelay)
	synctest.Wait()
}

// Concurrent admissions of several nodes count, even beyond the limit.
func TestDeferredConnectionsAreAllCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := DefaultLimits
		limits.Rates[Connecting] = Rate{6, time.Hour}
		s, cl := newTestStore(), knownClient("198.51.100.7")
		nodes := startNodes(t, 5, s, limits)
		for _, n := range nodes[:4] {
			n.connect(t, cl, 2)
		}
		s.admits.Store(0)
		_, err := nodes[3].Admit(cl)
		requireRefused(t, ErrTooFast, err)
		require.InDelta(t, 3*time.Hour, RetryAfter(err), float64(time.Second), "eight were admitted, and this is the ninth")
		require.Zero(t, s.admits.Load(), "the answer to the charge said so")

		nodes[4].connect(t, cl, 2)
		time.Sleep(3 * time.Hour)
		_, err = nodes[4].Admit(cl)
		requireRefused(t, ErrTooFast, err)
		require.InDelta(t, 2*time.Hour, RetryAfter(err), float64(time.Second), "all ten count")
	})
}

func TestRefusalOfTheStoreIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := DefaultLimits
		limits.Rates[Requesting] = Rate{2, time.Hour}
		s, cl := newTestStore(), knownClient("198.51.100.7")
		nodes := startNodes(t, 2, s, limits)
		for range 2 {
			require.NoError(t, nodes[0].Allow(cl, Requesting))
		}
		requireRefused(t, ErrTooFast, nodes[1].Allow(cl, Requesting))
		s.admits.Store(0)
		for range 10 {
			requireRefused(t, ErrTooFast, nodes[1].Allow(cl, Requesting))
		}
		require.Zero(t, s.admits.Load(), "a refused client costs no calls")
		time.Sleep(time.Hour)
		require.NoError(t, nodes[1].Allow(cl, Requesting))
	})
}

// A request or a wrong password is charged for the messages before it, which have another limit.
func TestDeferredChargesDoNotAffectTheResult(t *testing.T) {
	for _, tc := range []struct {
		name string
		act  func(node, client.Client) error
		want error
	}{
		{name: "a request", act: func(n node, cl client.Client) error { return n.Allow(cl, Requesting) }},
		{name: "a wrong password", act: func(n node, cl client.Client) error { return n.LogIn(cl, "", isWrong) }, want: ErrWrongPassword},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				limits := DefaultLimits
				limits.Rates[Sending] = Rate{2, time.Hour}
				cl := knownClient("198.51.100.7")
				nodes := startNodes(t, 2, newTestStore(), limits)
				for _, n := range nodes {
					for range 2 {
						require.NoError(t, n.Allow(cl, Sending))
					}
					requireRefused(t, tc.want, tc.act(n, cl))
				}
				requireRefused(t, ErrTooFast, nodes[1].Allow(cl, Sending))
			})
		})
	}
}

func TestDebtOfANodeIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := DefaultLimits
		limits.Rates[Connecting] = Rate{2, time.Second}
		s, cl := newTestStore(), knownClient("198.51.100.7")
		n := startNodes(t, 1, s, limits)[0]
		n.leaveStore("test")
		s.away.Store(true)
		for range 10 {
			n.connect(t, cl, 1)
			time.Sleep(time.Second)
		}
		require.Equal(t, 2, n.owed())
		who, _ := n.Key(cl)
		for range 3 {
			n.takeBack(who)
		}
		require.Zero(t, n.owed(), "what was charged in the meantime cannot be taken back")
	})
}

// The store may have the ban of another address, by mistake, or one that has expired by this clock.
func TestRemoteBanThatDoesNotFit(t *testing.T) {
	g, _ := testGuard(DefaultLimits)
	who, other := netip.MustParsePrefix("198.51.100.7/32"), netip.MustParsePrefix("198.51.100.8/32")
	for _, tc := range []struct {
		name string
		ban  Ban
		want time.Duration
	}{
		{name: "of another address", ban: Ban{Address: other, Until: time.Now().Add(time.Hour)}, want: DefaultLimits.Ban},
		{name: "expired", ban: Ban{Address: who, Until: time.Now().Add(-time.Hour)}, want: time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			value, err := json.Marshal(tc.ban)
			require.NoError(t, err)
			err = g.addRemoteBan(who, value)
			requireRefused(t, ErrBanned, err)
			require.Equal(t, tc.want, RetryAfter(err))
			require.Empty(t, g.Bans())
		})
	}
}
