package trustnet_test

import (
	"context"
	"math"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/trustnet"
)

// hang returns an answer that does not come before the returned func is called. It ignores
// the context.
func hang(list string) (answer func(context.Context) ([]netip.Addr, error), end func()) {
	over := make(chan struct{})
	return func(context.Context) ([]netip.Addr, error) {
		<-over
		return addrs(list), nil
	}, func() { close(over) }
}

// untilDone is an answer that fails when its context ends.
func untilDone(ctx context.Context) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestLookupTimeoutIsTemporary(t *testing.T) {
	watch(t, func(d *dns) *trustnet.Names { return d.names("dns:proxy", "dns:other") }, func(t *testing.T, d *dns, live *trustnet.Live) {
		d.set("proxy", says("192.0.2.1", nil))
		d.set("other", says("192.0.2.3", nil))
	}, func(t *testing.T, d *dns, live *trustnet.Live) {
		d.set("proxy", untilDone)
		d.set("other", says("192.0.2.4", nil))
		pass(30 * time.Second)
		require.Equal(t, "192.0.2.1,192.0.2.4", live.Trusted().String(), "the other name does not wait")
		require.Empty(t, d.reported())
		pass(10 * time.Second)
		require.Equal(t, []string{"trustnet: dns:proxy: look-up failed: context deadline exceeded; still trusted: 192.0.2.1"}, d.reported())
		pass(5*time.Minute - 40*time.Second - 1)
		require.Equal(t, "192.0.2.1,192.0.2.4", live.Trusted().String())
		pass(1)
		require.Equal(t, "192.0.2.4", live.Trusted().String())
	})
}

func TestLookupIsBoundedByShortInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d dns
		var live trustnet.Live
		d.set("proxy", untilDone)
		n := d.names("dns:proxy")
		n.Interval = 2 * time.Second
		start := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		require.NoError(t, n.Watch(ctx, &live))
		require.Equal(t, 2*time.Second, time.Since(start))
	})
}

func TestLookupThatHangsStopsNothingElse(t *testing.T) {
	watch(t, func(d *dns) *trustnet.Names { return d.names("dns:proxy", "dns:other", "::1") }, func(t *testing.T, d *dns, live *trustnet.Live) {
		d.set("proxy", says("192.0.2.1", nil))
		d.set("other", says("192.0.2.3", nil))
	}, func(t *testing.T, d *dns, live *trustnet.Live) {
		answer, end := hang("192.0.2.66") // in the bubble, or its time would stop
		d.set("proxy", answer)
		pass(41 * time.Second)
		require.Equal(t, []string{"trustnet: dns:proxy: look-up failed: no answer after 11s; still trusted: 192.0.2.1"}, d.reported())
		d.set("other", says("192.0.2.5", nil))
		pass(30 * time.Second)
		require.Equal(t, "192.0.2.1,192.0.2.5,::1", live.Trusted().String())

		pass(5*time.Minute - 71*time.Second - 1)
		require.Equal(t, "192.0.2.1,192.0.2.5,::1", live.Trusted().String())
		pass(1)
		require.Equal(t, "192.0.2.5,::1", live.Trusted().String(), "MaxStale does not wait for it")
		require.Equal(t, []string{"trustnet: dns:proxy: look-ups have failed for 5m0s; no longer trusted: 192.0.2.1"}, d.reported())

		pass(time.Hour)
		require.Equal(t, 2, d.lookups("proxy"), "look-ups that hang do not pile up")
		d.set("proxy", says("192.0.2.9", nil))
		end()
		synctest.Wait()
		require.Equal(t, "192.0.2.5,::1", live.Trusted().String(), "an answer of an hour ago does not count")
		pass(30 * time.Second)
		require.Equal(t, "192.0.2.5,192.0.2.9,::1", live.Trusted().String())
	})
}

func TestWatchDoesNotWaitForLookupThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d dns
		var live trustnet.Live
		answer, end := hang("192.0.2.66")
		defer end()
		d.set("proxy", answer)
		d.set("other", says("192.0.2.3", nil))
		start := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		require.NoError(t, d.names("dns:proxy", "dns:other").Watch(ctx, &live))
		require.Equal(t, 11*time.Second, time.Since(start))
		require.Equal(t, "192.0.2.3", live.Trusted().String())
		require.Equal(t, []string{"trustnet: dns:proxy: look-up failed: no answer after 11s"}, d.reported())
	})
}

// Watch returns after the first look-ups, although the next look-up of another name is due.
func TestWatchReturnsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d dns
		var live trustnet.Live
		answer, end := hang("192.0.2.66")
		defer end()
		d.set("proxy", answer)
		d.set("other", func(context.Context) ([]netip.Addr, error) {
			time.Sleep(2 * time.Second)
			return []netip.Addr{netip.MustParseAddr("192.0.2.3")}, nil
		})
		start := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		n := d.names("dns:proxy", "dns:other")
		n.Interval = 3 * time.Second
		require.NoError(t, n.Watch(ctx, &live))
		require.Equal(t, 4*time.Second, time.Since(start))
		require.Equal(t, "192.0.2.3", live.Trusted().String())
	})
}

func TestWatchEndsWithItsContext(t *testing.T) {
	for name, answer := range map[string]func(context.Context) ([]netip.Addr, error){
		"between look-ups": says("192.0.2.1", nil), "in a look-up": untilDone,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var d dns
				var live trustnet.Live
				d.set("proxy", says("192.0.2.1", nil))
				ctx, cancel := context.WithCancel(t.Context())
				require.NoError(t, d.names("dns:proxy").Watch(ctx, &live))
				d.set("proxy", answer)
				pass(32 * time.Second)
				cancel()
				synctest.Wait()
				asked := d.lookups("proxy")
				d.set("proxy", says("192.0.2.9", nil))
				pass(time.Hour)
				require.Equal(t, asked, d.lookups("proxy"))
				require.Equal(t, "192.0.2.1", live.Trusted().String(), "the last set stays")
				require.Empty(t, d.reported(), "the end is not a failure")
			}) // fails if a goroutine is left
		})
	}
}

func TestWatchWithoutNamesLeavesNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var live trustnet.Live
		n := trustnet.Names{Items: []string{"10.0.0.0/30", "!10.0.0.3", "unix"}}
		require.NoError(t, n.Watch(context.Background(), &live))
		require.Equal(t, "10.0.0.0/31,10.0.0.2,unix", live.Trusted().String())
	})
}

func TestContextEndsBeforeAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d dns
		var live trustnet.Live
		d.set("proxy", untilDone)
		d.set("other", says("192.0.2.3", nil))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.NoError(t, d.names("dns:proxy", "dns:other", "::1").Watch(ctx, &live))
		require.Equal(t, "192.0.2.3,::1", live.Trusted().String())
		reported := d.reported()
		require.Len(t, reported, 1)
		require.Contains(t, reported[0], "trustnet: dns:proxy: look-up failed: ")
		require.Contains(t, reported[0], "context deadline exceeded")
	})
}

// An answer must not replace the set of a later Watch after its own Watch has ended.
func TestNewWatchReplacesOldOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d dns
		var live trustnet.Live
		d.set("old", says("192.0.2.1", nil))
		d.set("new", says("192.0.2.3", nil))
		inOnError, goOn := make(chan struct{}), make(chan struct{})
		n := d.names("dns:old")
		n.OnError = func(error) { // after the answer and before its set
			close(inOnError)
			<-goOn
		}
		ctx, cancel := context.WithCancel(t.Context())
		require.NoError(t, n.Watch(ctx, &live))
		d.set("old", says("0.0.0.0 192.0.2.2", nil))
		<-inOnError
		cancel()

		ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		require.NoError(t, d.names("dns:new").Watch(ctx, &live))
		close(goOn)
		synctest.Wait()
		require.Equal(t, "192.0.2.3", live.Trusted().String())
	})
}

func TestOnChangeIsCalledForSetsThatDiffer(t *testing.T) {
	watch(t, func(d *dns) *trustnet.Names { return d.names("dns:proxy") }, func(t *testing.T, d *dns, live *trustnet.Live) {
		live.Store(trustnet.MustParse("192.0.2.1"))
		d.set("proxy", says("192.0.2.1", nil))
	}, func(t *testing.T, d *dns, live *trustnet.Live) {
		pass(time.Minute)
		require.Empty(t, d.sets, "the set of before, a reload for example")
		d.set("proxy", says("192.0.2.3", nil))
		pass(time.Minute)
		d.set("proxy", says("", errNXDomain))
		pass(time.Minute)
		require.Equal(t, []string{"192.0.2.3", ""}, d.sets)
	})
}

func TestNamesNeedNoCallbacks(t *testing.T) {
	watch(t, func(d *dns) *trustnet.Names { return &trustnet.Names{Items: []string{"dns:proxy"}, Lookup: d.lookup} },
		func(t *testing.T, d *dns, live *trustnet.Live) {
			d.set("proxy", says("192.0.2.1 0.0.0.0", errServFail))
		},
		func(t *testing.T, d *dns, live *trustnet.Live) {
			d.set("proxy", says("192.0.2.3", nil))
			pass(30 * time.Second)
			require.Equal(t, "192.0.2.3", live.Trusted().String())
		})
}

func TestWatchUsesNamesOfItsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d dns
		var live trustnet.Live
		d.set("proxy", says("192.0.2.1", nil))
		n := d.names("dns:proxy", "::1")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		require.NoError(t, n.Watch(ctx, &live))
		n.Items[1], n.Items[0], n.Lookup, n.Interval, n.Within = "0.0.0.0/0", "dns:evil", nil, 1, new(trustnet.Set)
		d.set("proxy", says("192.0.2.3", nil))
		pass(30 * time.Second)
		require.Equal(t, "192.0.2.3,::1", live.Trusted().String())
	})
}

func TestWatchRefuses(t *testing.T) {
	tests := []struct {
		name  string
		items []string
		index int
		item  string
		err   error
		text  string
	}{
		{name: "an excluded name", items: []string{"dns:proxy", "!dns:proxy"}, index: 1, item: "!dns:proxy", err: trustnet.ErrSyntax,
			text: "a name cannot be excluded, because a failed look-up would remove the exclusion: exclude its addresses"},
		{name: "host bits", items: []string{"10.1.2.3/8"}, item: "10.1.2.3/8", err: trustnet.ErrHostBits, text: "write 10.0.0.0/8"},
		{name: "an empty item", items: []string{"dns:proxy,"}, index: 1, item: "", err: trustnet.ErrEmpty, text: "remove it"},
		{name: "a name without dns:", items: []string{"Proxy"}, item: "Proxy", err: trustnet.ErrSyntax, text: "if it is a DNS name, write dns:proxy"},
		{name: "no name", items: []string{"dns:"}, item: "dns:", err: trustnet.ErrSyntax, text: "as in dns:proxy.example.com"},
		{name: "the root", items: []string{"dns:."}, item: "dns:.", err: trustnet.ErrSyntax, text: "not a DNS name"},
		{name: "a blank", items: []string{"dns: proxy"}, item: "dns: proxy", err: trustnet.ErrSyntax, text: "not a DNS name"},
		{name: "an upper-case prefix", items: []string{"DNS:proxy"}, item: "DNS:proxy", err: trustnet.ErrSyntax, text: "write dns:proxy"},
		{name: "an address", items: []string{"dns:192.0.2.1"}, item: "dns:192.0.2.1", err: trustnet.ErrSyntax, text: "write 192.0.2.1"},
		{name: "an IPv6 address", items: []string{"dns:2001:db8::1"}, item: "dns:2001:db8::1", err: trustnet.ErrSyntax, text: "write 2001:db8::1"},
		{name: "a port", items: []string{"dns:proxy:25"}, item: "dns:proxy:25", err: trustnet.ErrSyntax, text: "write dns:proxy"},
		{name: "a number that resolvers read as an address", items: []string{"dns:2130706433"}, item: "dns:2130706433", err: trustnet.ErrSyntax, text: "not a DNS name"},
		{name: "a short address", items: []string{"dns:127.1"}, item: "dns:127.1", err: trustnet.ErrSyntax, text: "not a DNS name"},
		{name: "a hexadecimal address", items: []string{"dns:0X7f000001"}, item: "dns:0X7f000001", err: trustnet.ErrSyntax, text: "not a DNS name"},
		{name: "a network", items: []string{"dns:proxy/24"}, item: "dns:proxy/24", err: trustnet.ErrSyntax, text: "not a DNS name"},
		{name: "a wildcard", items: []string{"dns:*.example.com"}, item: "dns:*.example.com", err: trustnet.ErrSyntax, text: "not a DNS name"},
		{name: "an empty label", items: []string{"dns:a..b"}, item: "dns:a..b", err: trustnet.ErrSyntax, text: "not a DNS name"},
		{name: "a hyphen at the start of a label", items: []string{"dns:a.-b"}, item: "dns:a.-b", err: trustnet.ErrSyntax, text: "not a DNS name"},
		{name: "a name beyond ASCII", items: []string{"dns:bücher.example"}, item: "dns:bücher.example", err: trustnet.ErrSyntax, text: "not a DNS name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var d dns
			var live trustnet.Live
			old := trustnet.MustParse("192.0.2.7")
			live.Store(old)
			err := d.names(tt.items...).Watch(t.Context(), &live)
			requireParseError(t, err, tt.index, tt.item, tt.err)
			require.Contains(t, err.Error(), tt.text)
			if strings.Contains(strings.ToLower(tt.item), "dns:") {
				require.NotContains(t, err.Error(), trustnet.ErrSyntax.Error(), "the text is about the name")
			}
			require.Same(t, old, live.Trusted())
			require.Empty(t, d.asked)
		})
	}
	for name, n := range map[string]trustnet.Names{
		"Names.Interval is -1ns": {Interval: -1}, "Names.MaxStale is -1ns": {MaxStale: -1},
	} {
		require.ErrorContains(t, n.Watch(t.Context(), new(trustnet.Live)), name)
	}
	require.ErrorContains(t, new(trustnet.Names).Watch(t.Context(), nil), "nil *Live")
}

func TestLongestIntervalDoesNotOverflow(t *testing.T) {
	watch(t, func(d *dns) *trustnet.Names {
		n := d.names("dns:proxy")
		n.Interval = math.MaxInt64
		return n
	}, func(t *testing.T, d *dns, live *trustnet.Live) {
		d.set("proxy", says("192.0.2.1", nil))
	}, func(t *testing.T, d *dns, live *trustnet.Live) {
		pass(time.Hour)
		require.Equal(t, 1, d.lookups("proxy"))
		require.Equal(t, "192.0.2.1", live.Trusted().String())
	})
}

func TestNamesAccept(t *testing.T) {
	for _, host := range []string{"proxy", "3proxy", "my_proxy", "proxy.example.com", "proxy.example.com.", "xn--bcher-kva.example", "0xproxy", "10.example"} {
		watch(t, func(d *dns) *trustnet.Names { return d.names("dns:" + host) }, func(t *testing.T, d *dns, live *trustnet.Live) {
			d.set(host, says("192.0.2.1", nil))
		}, func(t *testing.T, d *dns, live *trustnet.Live) {
			require.Equal(t, "192.0.2.1", live.Trusted().String(), host)
		})
	}
}
