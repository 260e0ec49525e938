package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

func TestListsOfTrustedProxies(t *testing.T) {
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "proxies")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	for _, tc := range []struct {
		name       string
		env        map[string]string // without MAILFRONT_TRUSTED_PROXIES
		smtp, imap []string          // items
		all        string            // addresses that no look-up has to find
		err        string
	}{
		{name: "none"},
		{name: "one for all listeners", env: map[string]string{"": "10.0.0.0/8, dns:proxy"}, all: "10.0.0.0/8",
			smtp: []string{"10.0.0.0/8", "dns:proxy"}, imap: []string{"10.0.0.0/8", "dns:proxy"}},
		{name: "one listener has its own", env: map[string]string{"": "10.0.0.0/8", "_SMTP": "192.0.2.1"}, all: "10.0.0.0/8,192.0.2.1",
			smtp: []string{"192.0.2.1"}, imap: []string{"10.0.0.0/8"}},
		{name: "one listener trusts no peer", env: map[string]string{"": "10.0.0.0/8", "_SMTP": "-"}, all: "10.0.0.0/8", imap: []string{"10.0.0.0/8"}},
		{name: "one listener only", env: map[string]string{"_SMTP": "dns:proxy."}, smtp: []string{"dns:proxy."}},
		{name: "a file", env: map[string]string{"_FILE": write("\ufeff10.0.0.0/8 # ours\r\n\n#\ndns:proxy\n!10.0.0.7"), "_IMAP": "unix"}, all: "10.0.0.0/29 without .7",
			smtp: []string{"10.0.0.0/8", "dns:proxy", "!10.0.0.7"}, imap: []string{"unix"}},

		{name: "no peer, for all", env: map[string]string{"": "-"}},
		{name: "a listener that is off", env: map[string]string{"_POP3": "10.0.0.1"},
			err: `mailfront: MAILFRONT_TRUSTED_PROXIES_POP3 is "10.0.0.1": the pop3 listener is off: unset it, or set MAILFRONT_LISTEN_POP3`},
		{name: "a bad name", env: map[string]string{"_SMTP": "10.0.0.1,dns:a b"}, err: `mailfront: MAILFRONT_TRUSTED_PROXIES_SMTP is "10.0.0.1,dns:a b": trustnet: item 2: "dns:a b": `},
		{name: "a bad network", env: map[string]string{"_SMTP": "10.1.2.3/8"}, err: `mailfront: MAILFRONT_TRUSTED_PROXIES_SMTP is "10.1.2.3/8": trustnet: item 1: "10.1.2.3/8": `},
		{name: "everyone", env: map[string]string{"_SMTP": "dns:proxy,0.0.0.0/0"}, err: `mailfront: MAILFRONT_TRUSTED_PROXIES_SMTP is "dns:proxy,0.0.0.0/0": it covers all of IPv4`},
		{name: "only exclusions", env: map[string]string{"_SMTP": "!10.0.0.1"}, err: `mailfront: MAILFRONT_TRUSTED_PROXIES_SMTP is "!10.0.0.1": the list trusts no peer: add the networks of the proxies, or unset the setting`},
		{name: "an excluded name", env: map[string]string{"": "!dns:proxy"}, err: `mailfront: MAILFRONT_TRUSTED_PROXIES is "!dns:proxy": trustnet: item 1: "!dns:proxy": `},
		{name: "an address outside of nothing", env: map[string]string{"": "10.0.0.1", "_WITHIN": "10.0.0.0/8"},
			err: `mailfront: MAILFRONT_TRUSTED_PROXIES_WITHIN is "10.0.0.0/8": no list of trusted proxies has a dns: item, and this setting is for their addresses only: unset it`},
		{name: "within what", env: map[string]string{"": "dns:proxy", "_WITHIN": "dns:x"}, err: `mailfront: MAILFRONT_TRUSTED_PROXIES_WITHIN is "dns:x": "dns:x": use networks, such as 10.0.0.0/8: names cannot limit names`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			env := map[string]string{"MAILFRONT_LISTEN_POP3": off}
			for key, value := range tc.env {
				env["MAILFRONT_TRUSTED_PROXIES"+key] = value
			}
			cfg, err := parseConfig(nil, lookup(env), io.Discard)
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.smtp, cfg.trusted.of["smtp"].items)
			require.Equal(t, tc.imap, cfg.trusted.of["imap"].items)
			if all := cfg.trusted.all.Trusted(); tc.name == "a file" {
				require.True(t, all.Unix() && all.Contains(netip.MustParseAddr("10.0.0.6")) && !all.Contains(netip.MustParseAddr("10.0.0.7")), all.String())
			} else {
				require.Equal(t, tc.all, all.String())
			}
		})
	}
}

// A fakeDNS answers for names of proxies.
type fakeDNS struct {
	mu    sync.Mutex
	addrs map[string]string // "" is a failure
}

func (d *fakeDNS) set(host, addr string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.addrs[host] = addr
}

func (d *fakeDNS) lookUp(_ context.Context, host string) ([]netip.Addr, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.addrs[host] == "" {
		return nil, errors.New("the server misbehaves")
	}
	return []netip.Addr{netip.MustParseAddr(d.addrs[host])}, nil
}

func TestFailedLookupIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, err := parseConfig(nil, lookup(map[string]string{
			"MAILFRONT_TRUSTED_PROXIES": "dns:all,192.0.2.1", "MAILFRONT_TRUSTED_PROXIES_SMTP": "dns:smtp", "MAILFRONT_TRUSTED_PROXIES_WITHIN": "192.0.2.0/24",
		}), io.Discard)
		require.NoError(t, err)
		dns := &fakeDNS{addrs: map[string]string{"all": "192.0.2.7"}}
		cfg.trusted.lookup = dns.lookUp
		buffer := newLogBuffer()
		f := &frontend{cfg: cfg, log: newLogger(buffer, slog.LevelInfo)}
		f.ctx, f.cancel = context.WithCancel(t.Context())
		defer synctest.Wait()
		defer f.cancel()
		trusted := func(listener string) string { return cfg.trusted.of[listener].live.Trusted().String() }

		require.NoError(t, f.watchTrusted())
		require.Equal(t, "192.0.2.1,192.0.2.7", trusted("imap"))
		require.Empty(t, trusted("smtp"))
		require.Equal(t, "192.0.2.1,192.0.2.7", cfg.trusted.all.Trusted().String())
		for _, line := range [][]string{
			{"level=INFO", "event=trusted setting=MAILFRONT_TRUSTED_PROXIES networks=192.0.2.1,192.0.2.7"},
			{"level=INFO", "event=trusted setting=MAILFRONT_TRUSTED_PROXIES_SMTP networks=none"},
			{"level=WARN", "event=trusted_name setting=MAILFRONT_TRUSTED_PROXIES_SMTP", "dns:smtp: ", "the server misbehaves"},
		} {
			require.Equal(t, 1, buffer.count(line), "%q in\n%s", line, buffer)
		}

		dns.set("smtp", "192.0.2.8")
		time.Sleep(nameInterval + time.Millisecond)
		synctest.Wait()
		require.Equal(t, "192.0.2.8", trusted("smtp"))
		require.Equal(t, "192.0.2.1,192.0.2.7,192.0.2.8", cfg.trusted.all.Trusted().String())
		require.Equal(t, 1, buffer.count([]string{"event=trusted setting=MAILFRONT_TRUSTED_PROXIES_SMTP networks=192.0.2.8"}))

		dns.set("smtp", "198.51.100.1") // not within
		time.Sleep(nameInterval)
		synctest.Wait()
		require.Empty(t, trusted("smtp"))
		require.Equal(t, 1, buffer.count([]string{"level=WARN", "setting=MAILFRONT_TRUSTED_PROXIES_SMTP", "198.51.100.1"}))

		dns.set("all", "") // the DNS is away
		time.Sleep(nameMaxStale - 2*nameInterval)
		synctest.Wait()
		require.Equal(t, "192.0.2.1,192.0.2.7", trusted("imap"))
		time.Sleep(4 * nameInterval)
		synctest.Wait()
		require.Equal(t, "192.0.2.1", trusted("imap"), "for too long")
	})
}

func TestShutdownDuringLookup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &frontend{log: slog.New(slog.DiscardHandler), cfg: &config{trusted: &trustedProxies{
			lookup: func(ctx context.Context, _ string) ([]netip.Addr, error) { <-ctx.Done(); return nil, ctx.Err() },
		}}}
		f.ctx, f.cancel = context.WithCancel(t.Context())
		defer synctest.Wait()
		defer f.cancel()
		ending, end := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, end)
		began := time.Now()
		require.NoError(t, f.watch(ending, &trustedList{items: []string{"dns:proxy"}, live: new(trustnet.Live)}))
		require.Equal(t, time.Second, time.Since(began))
	})
}

// Each listener has its own list. 127.0.0.1 must send a header on one listener and must not on
// another.
func TestListenersTrustDifferentPeers(t *testing.T) {
	r := runMailfront(t, map[string]string{
		"MAILFRONT_TRUSTED_PROXIES_SMTP": "-", "MAILFRONT_TRUSTED_PROXIES_IMAP": "192.0.2.1", "MAILFRONT_TRUSTED_PROXIES_HTTP": directIP,
	})
	for _, tc := range []struct {
		listener string
		trusts   bool
	}{{listener: "smtp"}, {listener: "imap"}, {listener: "pop3", trusts: true}} {
		c := newScript(t, r.dial(proxyIP, tc.listener))
		if !tc.trusts {
			c.line() // a direct client is greeted at once
			r.awaitLog("proto="+tc.listener+" event=accept client_ip="+proxyIP, "proxy=none")
		}
		require.NoError(t, proxyproto.WriteHeader(c, header(nil)))
		if tc.trusts {
			c.line()
			r.awaitLog("proto=" + tc.listener + " event=accept client_ip=" + clientIP)
		} else {
			require.Empty(t, c.end())
			r.awaitLog("proto="+tc.listener+" event=reject peer="+proxyIP, "setting=MAILFRONT_TRUSTED_PROXIES_"+strings.ToUpper(tc.listener)+"\n")
		}
	}
	_, got := get(t, r.dial(proxyIP, "http"), "/whoami", http.Header{"X-Forwarded-For": {clientIP}})
	require.Equal(t, proxyIP, got["client_ip"])
	r.awaitLog("proto=http event=untrusted_forwarding_header peer="+proxyIP, "setting=MAILFRONT_TRUSTED_PROXIES_HTTP\n")
	_, got = get(t, r.direct("http"), "/whoami", http.Header{"X-Forwarded-For": {clientIP}})
	require.Equal(t, clientIP, got["client_ip"])
}

// A ban or limit never applies to a proxy, whichever listener trusts it.
func TestProxyOfOneListenerIsExempt(t *testing.T) {
	f := startHealth(t, map[string]string{"MAILFRONT_TRUSTED_PROXIES": "192.0.2.1", "MAILFRONT_TRUSTED_PROXIES_SMTP": "192.0.2.2"})
	for address, isProxy := range map[string]bool{"192.0.2.1": true, "192.0.2.2": true, "192.0.2.3": false} {
		_, why := f.guard.Key(client.Client{IP: netip.MustParseAddr(address), Known: true})
		require.Equal(t, isProxy, why != "", "%s: %q", address, why)
	}
}

// SIGHUP replaces the names of a file. After an invalid file the old names remain.
func TestHangupReadsTheNamesOfAFileAgain(t *testing.T) {
	list := filepath.Join(t.TempDir(), "proxies")
	write := func(text string) { require.NoError(t, os.WriteFile(list, []byte(text), 0o600)) }
	write("dns:first\n127.0.0.0/30\n")
	cfg, err := parseConfig(nil, lookup(map[string]string{"MAILFRONT_TRUSTED_PROXIES_FILE": list}), io.Discard)
	require.NoError(t, err)
	cfg.trusted.lookup = (&fakeDNS{addrs: map[string]string{"first": "192.0.2.1", "second": "192.0.2.2"}}).lookUp
	buffer := newLogBuffer()
	f, err := start(cfg, newLogger(buffer, slog.LevelInfo))
	require.NoError(t, err)
	defer f.shutdown(0)
	for _, step := range []struct{ name, file, want string }{
		{name: "start", want: "127.0.0.0/30,192.0.2.1"},
		{name: "a bad name", file: "dns:a b\n", want: "127.0.0.0/30,192.0.2.1"},
		{name: "everyone", file: "dns:second\n::/0\n", want: "127.0.0.0/30,192.0.2.1"},
		{name: "another name", file: "dns:second\n127.0.0.0/30\n", want: "127.0.0.0/30,192.0.2.2"},
		{name: "no name", file: "127.0.0.4/30\n", want: "127.0.0.4/30"},
		{name: "a name again", file: "dns:first\n", want: "192.0.2.1"},
	} {
		if step.file != "" {
			write(step.file)
			f.reload(t.Context())
		}
		require.Equal(t, step.want, cfg.trusted.of["smtp"].live.Trusted().String(), "%s\n%s", step.name, buffer)
		require.Equal(t, step.want, cfg.trusted.all.Trusted().String(), step.name)
	}
	require.Equal(t, 1, buffer.count([]string{"old list stays in force", "MAILFRONT_TRUSTED_PROXIES_FILE", "line 1, "}))
	require.Equal(t, 1, buffer.count([]string{"old list stays in force", "MAILFRONT_TRUSTED_PROXIES_FILE", "all of IPv6"}))
}

// The first answer counts before the first connection.
func TestNameIsTrustedFromStart(t *testing.T) {
	needDirect(t)
	cfg, err := parseConfig(nil, lookup(map[string]string{"MAILFRONT_TRUSTED_PROXIES": "dns:proxy,127.0.0.2/31"}), io.Discard)
	require.NoError(t, err)
	cfg.trusted.lookup = (&fakeDNS{addrs: map[string]string{"proxy": "127.0.0.3"}}).lookUp
	f, err := start(cfg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer f.shutdown(0)
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.3")}}
	c, err := d.Dial("tcp", f.address("pop3"))
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, proxyproto.WriteHeader(c, header(nil)))
	require.Regexp(t, `^\+OK `, newScript(t, c).line())
}
