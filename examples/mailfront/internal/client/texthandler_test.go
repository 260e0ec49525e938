package client

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

func TestTextHandlerWritesWhatSlogDoes(t *testing.T) {
	full := Client{
		Listener: "imap", IP: netip.MustParseAddr("192.0.2.7"), Proxy: netip.MustParseAddr("2001:db8::1"),
		Known: true, TLS: true, TLSKnown: true, Version: 2,
	}
	for _, tc := range []struct {
		name   string
		client Client
		event  string
		more   []slog.Attr
		slow   bool // slog formats it
	}{
		{name: "a client behind a proxy", client: full, event: "session"},
		{name: "the zero client", event: "session", slow: true},
		{name: "a client without addresses", client: Client{Listener: "smtp"}, event: "accept"},
		{name: "an address with a zone", client: Client{Listener: "smtp", IP: netip.MustParseAddr("fe80::1%eth0")}, event: "accept"},
		{name: "an address with a zone that needs quotes", client: Client{Listener: "smtp", IP: netip.MustParseAddr("fe80::1%a event=ban")}, event: "accept", slow: true},
		{name: "a proxy with a zone that needs quotes", client: Client{Listener: "smtp", Proxy: netip.MustParseAddr("fe80::1%a=\n")}, event: "accept", slow: true},
		{name: "an IPv4-mapped address", client: Client{Listener: "smtp", IP: netip.MustParseAddr("::ffff:192.0.2.7")}, event: "accept"},
		{name: "the last hop", client: Client{Listener: "http", Last: netip.MustParseAddr("192.0.2.9")}, event: "session"},
		{name: "strings and numbers", client: full, event: "session", more: []slog.Attr{slog.String("path", "/a%20b?c"), slog.Int("status", -404)}},
		{name: "a space", client: full, event: "session", more: []slog.Attr{slog.String("reason", "a b")}, slow: true},
		{name: "an empty string", client: full, event: "session", more: []slog.Attr{slog.String("from", "")}, slow: true},
		{name: "an equals sign", client: full, event: "session", more: []slog.Attr{slog.String("from", "a=b")}, slow: true},
		{name: "a quotation mark", client: full, event: "session", more: []slog.Attr{slog.String("from", `a"b`)}, slow: true},
		{name: "a backslash", client: full, event: "session", more: []slog.Attr{slog.String("from", `a\b`)}, slow: true},
		{name: "a line break", client: full, event: "session", more: []slog.Attr{slog.String("from", "a\nb")}, slow: true},
		{name: "a delete character", client: full, event: "session", more: []slog.Attr{slog.String("from", "a\x7fb")}, slow: true},
		{name: "not ASCII", client: full, event: "session", more: []slog.Attr{slog.String("path", "ä…")}, slow: true},
		{name: "not UTF-8", client: full, event: "session", more: []slog.Attr{slog.String("path", "\xff")}, slow: true},
		{name: "a key with a space", client: full, event: "session", more: []slog.Attr{slog.Int("a b", 1)}, slow: true},
		{name: "another kind", client: full, event: "session", more: []slog.Attr{slog.Any("error", errors.New("x")), slog.Duration("for", time.Second)}, slow: true},
		{name: "an event with a space", client: full, event: "a b", slow: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // both lines have the same time
				time.Sleep(120456 * time.Microsecond)
				for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelInfo + 1} {
					var got, want bytes.Buffer
					h := NewTextHandler(&got, slog.LevelDebug)
					tc.client.logAt(slog.New(h), level, tc.event, tc.more)
					tc.client.logAt(slog.New(slog.NewTextHandler(&want, &slog.HandlerOptions{Level: slog.LevelDebug})), level, tc.event, tc.more)
					require.Equal(t, want.String(), got.String())
					require.Equal(t, !tc.slow, h.handle(&tc.client, level, tc.event, tc.more))
				}
			})
		})
	}
}

// For any text the line is that of slog, apart from the time, and it is one line.
func FuzzTextHandlerWritesWhatSlogDoes(f *testing.F) {
	f.Add("imap", "accept", "from", "demo@example.test", "eth0", "", int64(7), 0)
	f.Add("a b", "x\ny", "", "\xff=\"", "a event=ban", "\u2028", int64(-1), 3)
	f.Fuzz(func(t *testing.T, listener, event, key, value, zone, proxyZone string, number int64, level int) {
		local := netip.MustParseAddr("fe80::1")
		cl := Client{Listener: listener, IP: local.WithZone(zone), Proxy: local.WithZone(proxyZone), Version: int(number)}
		more := []slog.Attr{slog.String(key, value), slog.Int64(value, number)}
		var got, want bytes.Buffer
		least := slog.Level(min(level, 0))
		cl.logAt(slog.New(NewTextHandler(&got, least)), slog.Level(level), event, more)
		cl.logAt(slog.New(slog.NewTextHandler(&want, &slog.HandlerOptions{Level: least})), slog.Level(level), event, more)
		_, ours, _ := strings.Cut(got.String(), " ")
		_, theirs, _ := strings.Cut(want.String(), " ")
		require.Equal(t, theirs, ours)
		require.Equal(t, 1, strings.Count(got.String(), "\n"))
	})
}

func TestTextHandlerObservesLevel(t *testing.T) {
	var b bytes.Buffer
	l := slog.New(NewTextHandler(&b, slog.LevelInfo))
	cl := Client{Listener: "smtp", Info: &proxyproto.Info{Local: true}}
	cl.Log(l, "accept")
	require.Empty(t, b.String(), "the proxy's own connection is logged at the level debug")
	cl.Warn(l, "refuse")
	require.Contains(t, b.String(), "level=WARN")
}

func TestTextHandlerKeepsAttrsOfLogger(t *testing.T) {
	var b bytes.Buffer
	cl := Client{Listener: "smtp"}
	cl.Log(slog.New(NewTextHandler(&b, slog.LevelInfo)).With("node", "a").WithGroup("g"), "accept")
	require.Contains(t, b.String(), "msg=client node=a g.proto=smtp g.event=accept")
}

// Lines of both paths are written whole.
func TestTextHandlerLinesDoNotMix(t *testing.T) {
	var b bytes.Buffer
	l := slog.New(NewTextHandler(&b, slog.LevelInfo))
	cl := Client{Listener: "smtp"}
	done := make(chan struct{})
	for _, reason := range []string{"plain", "in quotes"} {
		go func() {
			for range 100 {
				cl.Log(l, "refuse", slog.String("reason", reason))
			}
			done <- struct{}{}
		}()
	}
	<-done
	<-done
	whole := regexp.MustCompile(`^time=\S+ level=INFO msg=client proto=smtp event=refuse client_ip="invalid IP" .* version=0 reason=(plain|"in quotes")\n$`)
	n := 0
	for line := range strings.Lines(b.String()) {
		require.Regexp(t, whole, line)
		n++
	}
	require.Equal(t, 200, n)
}

// The goroutine of an idle session keeps the stack that its longest line has needed.
func BenchmarkClientLog(b *testing.B) {
	cl := Client{Listener: "imap", IP: netip.MustParseAddr("192.0.2.7"), Proxy: netip.MustParseAddr("192.0.2.1"), Known: true}
	for name, h := range map[string]slog.Handler{
		"ours": NewTextHandler(discard{}, slog.LevelInfo), "slog": slog.NewTextHandler(discard{}, nil),
	} {
		b.Run(name, func(b *testing.B) {
			l := slog.New(h)
			b.ReportAllocs()
			for b.Loop() {
				cl.Log(l, "session")
			}
		})
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
