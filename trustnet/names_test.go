package trustnet_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/trustnet"
)

var (
	errNXDomain = &net.DNSError{Err: "no such host", Name: "proxy", IsNotFound: true}
	errServFail = &net.DNSError{Err: "server misbehaving", Name: "proxy", IsTemporary: true}
)

// A dns answers Lookup from a table that a test changes while Watch is running.
type dns struct {
	mu      sync.Mutex
	answers map[string]func(context.Context) ([]netip.Addr, error)
	asked   map[string]int
	sets    []string // what OnChange was called with
	errs    []error  // what OnError was called with
}

func (d *dns) set(host string, answer func(context.Context) ([]netip.Addr, error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.answers == nil {
		d.answers, d.asked = map[string]func(context.Context) ([]netip.Addr, error){}, map[string]int{}
	}
	d.answers[host] = answer
}

func (d *dns) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	d.mu.Lock()
	answer := d.answers[host]
	d.asked[host]++
	d.mu.Unlock()
	return answer(ctx)
}

func (d *dns) onChange(s *trustnet.Set) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sets = append(d.sets, s.String())
}

func (d *dns) onError(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.errs = append(d.errs, err)
}

// reported returns the errors since the last call, one text each.
func (d *dns) reported() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var texts []string
	for _, err := range d.errs {
		texts = append(texts, err.Error())
	}
	d.errs = nil
	return texts
}

func (d *dns) lookups(host string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[host]
}

func (d *dns) names(items ...string) *trustnet.Names {
	return &trustnet.Names{Items: items, Lookup: d.lookup, OnChange: d.onChange, OnError: d.onError}
}

func addrs(list string) (all []netip.Addr) {
	for _, a := range strings.Fields(list) {
		all = append(all, netip.MustParseAddr(a))
	}
	return all
}

// says returns an answer with the addresses of list and err.
func says(list string, err error) func(context.Context) ([]netip.Addr, error) {
	return func(context.Context) ([]netip.Addr, error) { return addrs(list), err }
}

// watch runs test in a bubble with a Watch that ends before the bubble. A goroutine that
// remains fails the test.
func watch(t *testing.T, n func(*dns) *trustnet.Names, before, after func(*testing.T, *dns, *trustnet.Live)) {
	synctest.Test(t, func(t *testing.T) {
		var d dns
		var live trustnet.Live
		before(t, &d, &live)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		require.NoError(t, n(&d).Watch(ctx, &live))
		after(t, &d, &live)
	})
}

// pass lets d elapse in the bubble and waits until all goroutines block.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestNamesFollowTheAnswers(t *testing.T) {
	type round struct {
		addrs    string
		err      error
		want     string   // the set afterwards
		reported []string // a part of each error, in order
	}
	const first = "192.0.2.1 2001:db8::1"
	tests := []struct {
		name   string
		items  []string
		within string
		rounds []round // 30 s apart
	}{
		{name: "addresses of both families", items: []string{"dns:proxy"}, rounds: []round{
			{addrs: first, want: "192.0.2.1,2001:db8::1"},
		}},
		{name: "with other items", items: []string{"10.0.0.0/8, unix", "dns:proxy"}, rounds: []round{
			{addrs: first, want: "10.0.0.0/8,192.0.2.1,2001:db8::1,unix"},
		}},
		{name: "exclusions apply to names", items: []string{"dns:proxy", "!192.0.2.0/24"}, rounds: []round{
			{addrs: first, want: "2001:db8::1"},
		}},
		{name: "mapped addresses and zones", items: []string{"dns:proxy"}, rounds: []round{
			{addrs: "::ffff:192.0.2.1 fe80::1%eth0", want: "192.0.2.1,fe80::1"},
		}},
		{name: "the same address often", items: []string{"dns:proxy"}, rounds: []round{
			{addrs: "192.0.2.1 ::ffff:192.0.2.1 192.0.2.1", want: "192.0.2.1"},
		}},
		{name: "an address that is gone is removed at once", items: []string{"dns:proxy"}, rounds: []round{
			{addrs: first, want: "192.0.2.1,2001:db8::1"},
			{addrs: "192.0.2.9", want: "192.0.2.9"},
		}},
		{name: "no such name removes at once", items: []string{"dns:proxy", "10.0.0.0/8"}, rounds: []round{
			{addrs: first, want: "10.0.0.0/8,192.0.2.1,2001:db8::1"},
			{err: errNXDomain, want: "10.0.0.0/8", reported: []string{
				"trustnet: dns:proxy: no such name: lookup proxy: no such host; no longer trusted: 192.0.2.1, 2001:db8::1"}},
			{err: errNXDomain, want: "10.0.0.0/8", reported: []string{"trustnet: dns:proxy: no such name: lookup proxy: no such host"}},
			{addrs: "192.0.2.9", want: "10.0.0.0/8,192.0.2.9"},
		}},
		{name: "no such name, wrapped", items: []string{"dns:proxy"}, rounds: []round{
			{addrs: first, want: "192.0.2.1,2001:db8::1"},
			{err: fmt.Errorf("mine: %w", errNXDomain), want: "", reported: []string{"no such name: mine: "}},
		}},
		{name: "no such name, yet addresses", items: []string{"dns:proxy"}, rounds: []round{
			{addrs: "192.0.2.1", err: errNXDomain, want: "", reported: []string{"no such name"}},
		}},
		{name: "an answer without addresses removes at once", items: []string{"dns:proxy"}, rounds: []round{
			{addrs: first, want: "192.0.2.1,2001:db8::1"},
			{want: "", reported: []string{"trustnet: dns:proxy: the name has no address; no longer trusted: 192.0.2.1, 2001:db8::1"}},
		}},
		{name: "a temporary failure keeps the addresses", items: []string{"dns:proxy"}, rounds: []round{
			{addrs: first, want: "192.0.2.1,2001:db8::1"},
			{err: errServFail, want: "192.0.2.1,2001:db8::1", reported: []string{
				"trustnet: dns:proxy: look-up failed: lookup proxy: server misbehaving; still trusted: 192.0.2.1, 2001:db8::1"}},
			{err: errors.New("network is down"), want: "192.0.2.1,2001:db8::1", reported: []string{"network is down"}},
			{addrs: "192.0.2.9", want: "192.0.2.9"},
		}},
		{name: "a failure at the start", items: []string{"dns:proxy", "::1"}, rounds: []round{
			{err: errServFail, want: "::1", reported: []string{"trustnet: dns:proxy: look-up failed: lookup proxy: server misbehaving"}},
			{addrs: "192.0.2.1", want: "192.0.2.1,::1"},
		}},
		{name: "one family fails", items: []string{"dns:proxy"}, rounds: []round{
			{addrs: first, want: "192.0.2.1,2001:db8::1"},
			{addrs: "192.0.2.2", err: errServFail, want: "192.0.2.2,2001:db8::1", reported: []string{"still trusted: 192.0.2.2, 2001:db8::1"}},
			{addrs: "2001:db8::2", err: errServFail, want: "192.0.2.2,2001:db8::2", reported: []string{"look-up failed"}},
			{addrs: "::ffff:192.0.2.3", err: errServFail, want: "192.0.2.3,2001:db8::2", reported: []string{"look-up failed"}},
		}},
		{name: "refused addresses", items: []string{"dns:proxy"}, rounds: []round{
			{addrs: "192.0.2.1", want: "192.0.2.1"},
			{addrs: "0.0.0.0 127.0.0.1 192.0.2.2", want: "192.0.2.2", reported: []string{
				"trustnet: dns:proxy: refused 2 of 3 addresses: 0.0.0.0 (unspecified), 127.0.0.1 (loopback: list the address itself if the peer is on this host)"}},
			{addrs: ":: ::1%eth0 224.0.0.1 ff02::1 127.255.255.254 ::ffff:127.0.0.1 ::ffff:0.0.0.0 fe80::%eth0", want: "fe80::", reported: []string{
				"refused 7 of 8 addresses: :: (unspecified), ::1 (loopback: list the address itself if the peer is on this host), 224.0.0.1 (multicast), ff02::1 (multicast), 127.255.255.254 (loopback: list the address itself if the peer is on this host) and 2 more"}},
			{addrs: "0.0.0.0", want: "", reported: []string{"refused 1 of 1 addresses"}},
		}},
		{name: "refused addresses and a failure", items: []string{"dns:proxy"}, rounds: []round{
			{addrs: first, want: "192.0.2.1,2001:db8::1"},
			{addrs: "127.0.0.1", err: errServFail, want: "2001:db8::1", reported: []string{"refused 1 of 1", "look-up failed"}},
		}},
		{name: "loopback that is also an item", items: []string{"dns:proxy", "127.0.0.1"}, rounds: []round{
			{addrs: "127.0.0.1 127.0.0.2 ::1", want: "127.0.0.1", reported: []string{"refused 2 of 3 addresses: 127.0.0.2 (loopback: "}},
		}},
		{name: "loopback that is excluded", items: []string{"dns:proxy", "loopback", "!127.0.0.1", "!::1"}, rounds: []round{
			{addrs: "127.0.0.1 ::1", want: trustnet.MustParse("127.0.0.0/8", "!127.0.0.1").String()},
		}},
		{name: "within", items: []string{"dns:proxy", "192.0.2.1"}, within: "10.0.0.0/8, fd00::/8", rounds: []round{
			{addrs: "10.0.0.1 fd00::1 192.0.2.7", want: "10.0.0.1,192.0.2.1,fd00::1", reported: []string{
				"refused 1 of 3 addresses: 192.0.2.7 (outside the networks that are allowed for names)"}},
			{addrs: "198.51.100.1", want: "192.0.2.1", reported: []string{"refused 1 of 1"}},
		}},
		{name: "within does not allow loopback", items: []string{"dns:proxy"}, within: "0.0.0.0/0", rounds: []round{
			{addrs: "127.0.0.1", want: "", reported: []string{"(loopback: "}},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			i := 0
			names := func(d *dns) *trustnet.Names {
				n := d.names(tt.items...)
				if tt.within != "" {
					n.Within = trustnet.MustParse(tt.within)
				}
				return n
			}
			answer := func(d *dns) { d.set("proxy", says(tt.rounds[i].addrs, tt.rounds[i].err)) }
			watch(t, names, func(t *testing.T, d *dns, live *trustnet.Live) { answer(d) }, func(t *testing.T, d *dns, live *trustnet.Live) {
				for ; i < len(tt.rounds); i++ {
					if i > 0 {
						answer(d)
						pass(30 * time.Second)
					}
					r := tt.rounds[i]
					require.Equal(t, r.want, live.Trusted().String(), "round %d", i+1)
					reported := d.reported()
					require.Len(t, reported, len(r.reported), "round %d: %q", i+1, reported)
					for j, part := range r.reported {
						require.Contains(t, reported[j], part, "round %d", i+1)
					}
					require.Equal(t, i+1, d.lookups("proxy"))
				}
			})
		})
	}
}

func TestMaxStaleOfAddresses(t *testing.T) {
	for _, tt := range []struct {
		name               string
		interval, maxStale time.Duration
		until              time.Duration // after the last answer
	}{
		{name: "the defaults", until: 5 * time.Minute},
		{name: "ten times the interval", interval: time.Minute, until: 10 * time.Minute},
		{name: "between two look-ups", maxStale: 45 * time.Second, until: 45 * time.Second},
		{name: "less than the interval: the first failure", maxStale: time.Second, until: 30 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			names := func(d *dns) *trustnet.Names {
				n := d.names("dns:proxy", "::1")
				n.Interval, n.MaxStale = tt.interval, tt.maxStale
				return n
			}
			watch(t, names, func(t *testing.T, d *dns, live *trustnet.Live) {
				d.set("proxy", says("192.0.2.1", nil))
			}, func(t *testing.T, d *dns, live *trustnet.Live) {
				d.set("proxy", says("", errServFail))
				pass(tt.until - 1)
				require.Equal(t, "192.0.2.1,::1", live.Trusted().String())
				pass(1)
				require.Equal(t, "::1", live.Trusted().String())
				require.Contains(t, strings.Join(d.reported(), "\n"), "; no longer trusted: 192.0.2.1")
				require.Equal(t, []string{"192.0.2.1,::1", "::1"}, d.sets)

				d.set("proxy", says("192.0.2.1", nil))
				pass(max(tt.interval, 30*time.Second))
				require.Equal(t, "192.0.2.1,::1", live.Trusted().String(), "the first answer after the failure counts")
				pass(24 * time.Hour)
				require.Equal(t, "192.0.2.1,::1", live.Trusted().String(), "MaxStale is for failures only")
			})
		})
	}
}

// Each address expires on its own if only one family fails.
func TestMaxStaleOfOneFamily(t *testing.T) {
	watch(t, func(d *dns) *trustnet.Names { return d.names("dns:proxy") }, func(t *testing.T, d *dns, live *trustnet.Live) {
		d.set("proxy", says("192.0.2.1 2001:db8::1", nil))
	}, func(t *testing.T, d *dns, live *trustnet.Live) {
		d.set("proxy", says("192.0.2.1", errServFail))
		pass(5*time.Minute - 1)
		require.Equal(t, "192.0.2.1,2001:db8::1", live.Trusted().String())
		pass(1)
		require.Equal(t, "192.0.2.1", live.Trusted().String())
		pass(time.Hour)
		require.Equal(t, "192.0.2.1", live.Trusted().String())
	})
}

func TestNamesOfTenThousandAddresses(t *testing.T) {
	var all []netip.Addr
	for i := range 10_000 {
		all = append(all, netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}))
	}
	answer := func(a []netip.Addr) func(context.Context) ([]netip.Addr, error) {
		return func(context.Context) ([]netip.Addr, error) { return a, nil }
	}
	watch(t, func(d *dns) *trustnet.Names {
		n := d.names("dns:proxy", "dns:other", "!10.0.5.0/24")
		n.Within = trustnet.MustParse("10.0.0.0/9")
		return n
	}, func(t *testing.T, d *dns, live *trustnet.Live) {
		d.set("proxy", answer(all))
		d.set("other", says("10.100.0.1", nil))
	}, func(t *testing.T, d *dns, live *trustnet.Live) {
		require.Len(t, live.Trusted().Prefixes(), 10_000)
		for i, a := range all {
			require.Equal(t, i != 5, live.Trusted().Contains(a), "%v", a)
		}
		pass(5 * time.Minute)
		require.Len(t, d.sets, 1, "nothing has changed")

		d.set("proxy", answer(all[1:]))
		pass(30 * time.Second)
		require.False(t, live.Trusted().Contains(all[0]))
		require.Len(t, d.sets, 2)
		require.Empty(t, d.reported())

		outside := make([]netip.Addr, len(all))
		for i := range outside {
			outside[i] = netip.AddrFrom4([4]byte{11, byte(i >> 8), byte(i), 1})
		}
		d.set("proxy", answer(outside))
		pass(30 * time.Second)
		require.Equal(t, "10.100.0.1", live.Trusted().String())
		require.Less(t, len(d.reported()[0]), 500, "the report of any answer is a line of a log")
	})
}

func TestLookupsPerInterval(t *testing.T) {
	watch(t, func(d *dns) *trustnet.Names {
		n := d.names("dns:a,dns:B", "dns:b", "dns:A", "192.0.2.1")
		n.Interval = 7 * time.Second
		return n
	}, func(t *testing.T, d *dns, live *trustnet.Live) {
		d.set("a", says("192.0.2.3", nil))
		d.set("b", says("192.0.2.5", nil))
	}, func(t *testing.T, d *dns, live *trustnet.Live) {
		require.Equal(t, "192.0.2.1,192.0.2.3,192.0.2.5", live.Trusted().String())
		require.Equal(t, 1, d.lookups("a"))
		pass(7*time.Second - 1)
		require.Equal(t, 1, d.lookups("a"))
		pass(1)
		require.Equal(t, 2, d.lookups("a"))
		pass(98 * time.Second)
		require.Equal(t, 16, d.lookups("a"))
		require.Equal(t, 16, d.lookups("b"))
		require.Equal(t, []string{"192.0.2.1,192.0.2.3,192.0.2.5"}, d.sets)
	})
}
