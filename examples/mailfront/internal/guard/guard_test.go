package guard

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/forwarded"
	"github.com/seed-94e48765/portico/trustnet"
)

// logText is the text of a log.
type logText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// testGuard trusts 192.0.2.1 and 2001:db8:ffff::1.
func testGuard(limits Limits) (*Guard, *logText) {
	b := new(logText)
	log := slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return New(limits, trustnet.MustParse("192.0.2.1", "2001:db8:ffff::1"), log), b
}

func knownClient(ip string) client.Client {
	return client.Client{IP: netip.MustParseAddr(ip), Known: true, Listener: "imap"}
}

// behind returns a client whose address a proxy has sent.
func behind(proxy, ip string) client.Client {
	cl := knownClient(ip)
	cl.Proxy, cl.Version = netip.MustParseAddr(proxy), 2
	return cl
}

func isRight() (bool, error) { return true, nil }
func isWrong() (bool, error) { return false, nil }

// reason returns the error of this package that err wraps.
func reason(err error) error {
	if below := errors.Unwrap(err); below != nil {
		return below
	}
	return err
}

func requireRefused(t *testing.T, want, err error, message ...any) {
	t.Helper()
	require.Equal(t, want, reason(err), message...)
}

// wrongPasswords fails n times and returns the last error.
func wrongPasswords(g *Guard, cl client.Client, n int) (err error) {
	for range n {
		err = g.LogIn(cl, "", isWrong)
	}
	return err
}

func TestTenthWrongPasswordBans(t *testing.T) {
	for name, cl := range map[string]client.Client{
		"direct":        knownClient("198.51.100.7"),
		"behind proxy":  behind("192.0.2.1", "198.51.100.7"),
		"IPv6, direct":  knownClient("2001:db8::7"),
		"IPv6, proxied": behind("192.0.2.1", "2001:db8::7"),
		"4-in-6":        knownClient("::ffff:198.51.100.7"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, log := testGuard(DefaultLimits)
				requireRefused(t, ErrWrongPassword, wrongPasswords(g, cl, 9))
				release, err := g.Admit(cl)
				require.NoError(t, err)
				release()
				requireRefused(t, ErrBanned, wrongPasswords(g, cl, 1))
				require.Equal(t, 1, strings.Count(log.String(), "event=ban "))

				right := func() error {
					return g.LogIn(cl, "", func() (bool, error) { t.Error("it was asked for the password"); return true, nil })
				}
				requireRefused(t, ErrBanned, right(), "the right password does not help")
				for _, a := range []Action{Connecting, LoggingIn, Sending, Requesting} {
					requireRefused(t, ErrBanned, g.Allow(cl, a))
				}
				_, err = g.Admit(cl)
				requireRefused(t, ErrBanned, err)
				require.Contains(t, log.String(), "event=refuse client_ip="+cl.IP.String())
				require.Equal(t, Counts{Refused: 1, WhileBanned: 1, WrongLogins: 10, NotCompared: 1, Bans: 1, BannedNow: 1, ClientsKnown: 1}, g.Counts())

				time.Sleep(DefaultLimits.Ban - time.Nanosecond)
				requireRefused(t, ErrBanned, g.Allow(cl, Connecting))
				time.Sleep(time.Nanosecond)
				require.NoError(t, g.Allow(cl, Connecting))
				require.Zero(t, g.Counts().BannedNow)
				require.NoError(t, g.LogIn(cl, "", isRight))
				requireRefused(t, ErrBanned, wrongPasswords(g, cl, 10), "and again")
			})
		})
	}
}

func TestRightPasswordAmongTooMany(t *testing.T) {
	g, log := testGuard(DefaultLimits)
	cl := knownClient("198.51.100.7")
	g.places[MailSecret].known = make(chan struct{}, 2)
	requireRefused(t, ErrBanned, g.Compare(cl, Attempt{OtherSite: true}, func() (bool, error) {
		requireRefused(t, ErrBanned, wrongPasswords(g, cl, 10), "while this one is compared")
		return true, nil
	}))
	require.Contains(t, log.String(), "event=login_refused")
}

func TestOldGuessesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := testGuard(DefaultLimits)
		for range 1000 {
			requireRefused(t, ErrWrongPassword, wrongPasswords(g, knownClient("198.51.100.7"), 1))
			time.Sleep(time.Minute)
		}
	})
}

func TestUnknownClientsAreExempt(t *testing.T) {
	unknown := func(ip string) client.Client {
		return client.Client{IP: netip.MustParseAddr(ip), Listener: "imap", Version: 2}
	}
	incomplete := func(r forwarded.Result) client.Client {
		require.False(t, r.ClientKnown())
		return client.Client{IP: r.Last, Known: r.ClientKnown(), Listener: "http", Reason: r.Reason.String()}
	}
	proxy, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.7")
	tests := map[string]struct {
		client client.Client
		why    string
	}{
		"LOCAL or UNKNOWN from a proxy":         {client: unknown("192.0.2.1"), why: "the client is not known"},
		"LOCAL with an address that is not its": {client: unknown("198.51.100.7"), why: "the client is not known"},
		"forwarded: all hops are trusted":       {client: incomplete(forwarded.Result{Last: proxy, Peer: proxy, Reason: forwarded.AllTrusted}), why: "the client is not known"},
		"forwarded: a hop is malformed":         {client: incomplete(forwarded.Result{Last: other, Peer: proxy, Reason: forwarded.Malformed}), why: "the client is not known"},
		"forwarded: no header":                  {client: incomplete(forwarded.Result{Last: proxy, Peer: proxy, Reason: forwarded.NoHeader}), why: "the client is not known"},
		"a trusted proxy, as a client":          {client: knownClient("192.0.2.1"), why: "the address is a trusted proxy's"},
		"a trusted proxy, named by another":     {client: behind("2001:db8:ffff::1", "192.0.2.1"), why: "the address is a trusted proxy's"},
		"a trusted proxy, 4-in-6":               {client: knownClient("::ffff:192.0.2.1"), why: "the address is a trusted proxy's"},
		"a trusted proxy, IPv6 with a zone":     {client: client.Client{IP: netip.MustParseAddr("2001:db8:ffff::1").WithZone("eth0"), Known: true}, why: "the address is a trusted proxy's"},
		"on a unix socket":                      {client: client.Client{Known: true}, why: "the client has no IP address"},
		"nothing":                               {client: client.Client{}, why: "the client is not known"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // no time passes
				g, log := testGuard(DefaultLimits)
				many := DefaultLimits.Unknown[Guessing].Burst
				requireRefused(t, ErrWrongPassword, wrongPasswords(g, test.client, many))
				requireRefused(t, ErrTooFast, wrongPasswords(g, test.client, 1), "they have one limit together")
				time.Sleep(DefaultLimits.Unknown[Guessing].Every)
				require.NoError(t, g.LogIn(test.client, "", isRight))
				for range 10 * many {
					for a := range Actions {
						require.NoError(t, g.Allow(test.client, a))
					}
					_, err := g.Admit(test.client)
					require.NoError(t, err)
				}
				require.Equal(t, many, strings.Count(log.String(), "event=no_ban "))
				require.Contains(t, log.String(), "level=WARN")
				require.Contains(t, log.String(), "reason=\""+test.why)
				require.NotContains(t, log.String(), "event=ban ")
				require.Equal(t, Counts{Connections: 10 * many, WrongLogins: uint64(many), NotBannable: uint64(many), NotCompared: 1}, g.Counts())
			})
		})
	}
}

func TestBanNetwork(t *testing.T) {
	for _, test := range []struct {
		banned, other string
		both          bool
	}{
		{banned: "198.51.100.7", other: "198.51.100.7", both: true},
		{banned: "198.51.100.7", other: "::ffff:198.51.100.7", both: true},
		{banned: "198.51.100.7", other: "198.51.100.6", both: false},
		{banned: "198.51.100.7", other: "198.51.101.7", both: false},
		{banned: "2001:db8:0:1::7", other: "2001:db8:0:1::8", both: true},
		{banned: "2001:db8:0:1::7", other: "2001:db8:0:1:ffff:ffff:ffff:ffff", both: true},
		{banned: "2001:db8:0:1::7", other: "2001:db8:0:2::7", both: false},
		{banned: "2001:db8:ffff::2", other: "2001:db8:ffff::1", both: false}, // a trusted proxy in the network of the client
	} {
		t.Run(test.banned+" "+test.other, func(t *testing.T) {
			g, _ := testGuard(DefaultLimits)
			requireRefused(t, ErrBanned, wrongPasswords(g, knownClient(test.banned), 10))
			want := error(nil)
			if test.both {
				want = ErrBanned
			}
			requireRefused(t, want, g.Allow(knownClient(test.other), Connecting))
		})
	}
}

func TestNewProxyIsExempt(t *testing.T) {
	var trusted trustnet.Live
	g := New(DefaultLimits, &trusted, slog.New(slog.DiscardHandler))
	cl := knownClient("198.51.100.7")
	requireRefused(t, ErrBanned, wrongPasswords(g, cl, 10))
	trusted.Store(trustnet.MustParse("198.51.100.0/24"))
	require.NoError(t, g.Allow(cl, Connecting))
}

func TestActionLimits(t *testing.T) {
	for a, limit := range DefaultLimits.Rates {
		synctest.Test(t, func(t *testing.T) {
			g, _ := testGuard(DefaultLimits)
			cl, neighbour := knownClient("198.51.100.7"), knownClient("198.51.100.8")
			for range limit.Burst {
				require.NoError(t, g.Allow(cl, Action(a)))
			}
			requireRefused(t, ErrTooFast, g.Allow(cl, Action(a)))
			require.NoError(t, g.Allow(cl, (Action(a)+1)%Actions), "another action")
			require.NoError(t, g.Allow(neighbour, Action(a)), "another client")
			time.Sleep(limit.Every)
			require.NoError(t, g.Allow(cl, Action(a)))
			requireRefused(t, ErrTooFast, g.Allow(cl, Action(a)))
			time.Sleep(24 * time.Hour)
			for range limit.Burst {
				require.NoError(t, g.Allow(cl, Action(a)))
			}
			requireRefused(t, ErrTooFast, g.Allow(cl, Action(a)), "a day saves up no more than a burst")
		})
	}
}

func TestAddressMemoryIsBounded(t *testing.T) {
	limits := DefaultLimits
	limits.Clients = 100
	g, _ := testGuard(limits)
	faithful := knownClient("198.51.100.7")
	requireRefused(t, ErrBanned, wrongPasswords(g, faithful, 10))
	address := netip.MustParseAddr("2001:db8::").As16()
	for i := range 1000 {
		address[6], address[7] = byte(i>>8), byte(i)
		cl := client.Client{IP: netip.AddrFrom16(address), Known: true}
		release, err := g.Admit(cl)
		require.NoError(t, err)
		release()
		requireRefused(t, ErrBanned, g.Allow(faithful, Connecting), "who does not stop stays banned")
	}
	require.Equal(t, 100, g.Counts().ClientsKnown)
	require.Empty(t, g.open)
	for i := range 200 {
		address[6], address[7] = byte(i>>8), byte(i)
		requireRefused(t, ErrBanned, wrongPasswords(g, client.Client{IP: netip.AddrFrom16(address), Known: true}, 10))
	}
	require.Equal(t, 100, g.Counts().BannedNow)
}

func BenchmarkAdmit(b *testing.B) {
	g := New(DefaultLimits, trustnet.MustParse("192.0.2.1"), slog.New(slog.DiscardHandler))
	limits := &g.limits
	limits.Rates[Connecting].Burst = 1 << 30
	for _, clients := range []int{1, 1 << 16} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				n := uint32(i % clients)
				release, err := g.Admit(client.Client{IP: netip.AddrFrom4([4]byte{198, byte(n >> 16), byte(n >> 8), byte(n)}), Known: true})
				if err != nil {
					b.Fatal(err)
				}
				release()
			}
		})
	}
}

func TestNAT64(t *testing.T) {
	g, _ := testGuard(DefaultLimits)
	who, why := g.Key(client.Client{IP: netip.MustParseAddr("64:ff9b::cb00:7101"), Known: true})
	require.Empty(t, why)
	require.Equal(t, netip.MustParsePrefix("203.0.113.1/32"), who)
}
