package main

import (
	"bytes"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
	"github.com/seed-94e48765/portico/proxyproto"
)

// readMetrics checks the format and returns the value of every sample.
func readMetrics(t *testing.T, text string) map[string]float64 {
	t.Helper()
	header := regexp.MustCompile(`^# HELP (mailfront_[a-z_]+) [A-Z1][^\n]*\.\n# TYPE (mailfront_[a-z_]+) (counter|gauge)\n`)
	line := regexp.MustCompile(`^(mailfront_[a-z_]+)((?:\{[a-z]+="[a-z0-9_]+"(?:,[a-z]+="[a-z0-9_]+")*\})?) ([0-9]+)\n`)
	values := make(map[string]float64)
	for text != "" {
		h := header.FindStringSubmatch(text)
		require.NotNil(t, h, "%q", text)
		require.Equal(t, h[1], h[2])
		require.Equal(t, h[3] == "counter", strings.HasSuffix(h[1], "_total"), h[1])
		text = text[len(h[0]):]
		for samples := 0; ; samples++ {
			s := line.FindStringSubmatch(text)
			if s == nil {
				require.Positive(t, samples, h[1])
				break
			}
			require.Equal(t, h[1], s[1])
			require.NotContains(t, values, s[1]+s[2], "a duplicate")
			value, err := strconv.ParseFloat(s[3], 64)
			require.NoError(t, err)
			values[s[1]+s[2]] = value
			text = text[len(s[0]):]
		}
	}
	return values
}

// numbered sets the fields of a struct to 1, 2, 3 and so on, and returns the values by the names
// of the fields.
func numbered(v reflect.Value) map[string]float64 {
	values := make(map[string]float64)
	for i := range v.NumField() {
		f := v.Field(i)
		if f.CanUint() {
			f.SetUint(uint64(i + 1))
		} else {
			f.SetInt(int64(i + 1))
		}
		values[v.Type().Field(i).Name] = float64(i + 1)
	}
	return values
}

func TestEveryCounterIsAMetric(t *testing.T) {
	var stats proxyproto.Stats
	var counts guard.Counts
	for _, tc := range []struct {
		name    string
		fields  map[string]float64
		without []string // fields that have no metric
		metrics func() []metric
	}{
		{name: "listeners", fields: numbered(reflect.ValueOf(&stats).Elem()),
			without: []string{"Ignored"}, // mailfront does not use the policy Ignore
			metrics: func() []metric {
				return connectionMetrics([]string{"smtp"}, map[string][]proxyproto.Stats{"smtp": {stats}})
			}},
		{name: "limits", fields: numbered(reflect.ValueOf(&counts).Elem()),
			without: []string{"Refused"}, // the sum of others
			metrics: func() []metric { return limitMetrics(counts) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var text bytes.Buffer
			writeMetrics(&text, tc.metrics())
			var want, got []float64
			for name, value := range tc.fields {
				want = append(want, value)
				for _, without := range tc.without {
					if name == without {
						want = want[:len(want)-1]
					}
				}
			}
			for _, value := range readMetrics(t, text.String()) {
				got = append(got, value)
			}
			require.ElementsMatch(t, want, got)
		})
	}
}

func TestMetricsCountWhatHappened(t *testing.T) {
	f := startHealth(t, nil)
	dial := func(listener string) net.Conn {
		c, err := net.Dial("tcp", f.address(listener))
		require.NoError(t, err)
		c.SetDeadline(time.Now().Add(testTimeout))
		t.Cleanup(func() { c.Close() })
		return c
	}
	session := dial("smtp")
	require.NoError(t, proxyproto.WriteHeader(session, header(nil)))
	s := newScript(t, session)
	require.Regexp(t, "^220 ", s.line())
	refused := dial("imap")
	_, err := refused.Write([]byte("a LOGIN x y\r\n"))
	require.NoError(t, err)
	require.Empty(t, newScript(t, refused).end())

	status, text := check(t, f, "GET", "/metrics")
	require.Equal(t, http.StatusOK, status)
	values := readMetrics(t, text)
	for name, want := range map[string]float64{
		`mailfront_ready`: 1,
		`mailfront_connections_total{listener="smtp",outcome="proxied"}`:  1,
		`mailfront_connections_total{listener="smtp",outcome="direct"}`:   0,
		`mailfront_connections_total{listener="https",outcome="proxied"}`: 0,
		`mailfront_rejected_total{listener="imap",reason="no_header"}`:    1,
		`mailfront_sessions_open{listener="smtp"}`:                        1,
		`mailfront_sessions_open{listener="imap"}`:                        0,
		`mailfront_open_connections`:                                      1,
		`mailfront_bans_total`:                                            0,
	} {
		require.Contains(t, values, name)
		require.Equal(t, want, values[name], name)
	}
	require.NoError(t, session.Close())
	require.Eventually(t, func() bool {
		_, text := check(t, f, "GET", "/metrics")
		return readMetrics(t, text)[`mailfront_sessions_open{listener="smtp"}`] == 0
	}, testTimeout, time.Millisecond)

	f.phase.Store(starting)
	_, text = check(t, f, "GET", "/metrics")
	values = readMetrics(t, text)
	require.Zero(t, values["mailfront_ready"])
	require.Contains(t, values, "mailfront_open_connections")
}

func TestStoreMetrics(t *testing.T) {
	f := startHealth(t, nil)
	_, text := check(t, f, "GET", "/metrics")
	require.NotContains(t, text, "store_available", "there is no shared store")
	f.watched = newWatchedStore(store.NewMemory(1), slog.New(slog.DiscardHandler))
	for _, tc := range []struct {
		away error
		want float64
	}{{want: 1}, {away: store.ErrUnavailable, want: 0}, {want: 1}} {
		f.watched.set(tc.away)
		recorder := httptest.NewRecorder()
		f.metrics(recorder, nil)
		require.Equal(t, tc.want, readMetrics(t, recorder.Body.String())["mailfront_store_available"])
	}
	f.watched = nil
}
