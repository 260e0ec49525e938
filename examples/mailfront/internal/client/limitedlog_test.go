package client

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLimitedLogInterval(t *testing.T) {
	type warning struct {
		after           time.Duration // since the last one
		cause, listener string
	}
	for _, tc := range []struct {
		name     string
		warnings []warning
		want     []string
	}{
		{name: "the first is written", warnings: []warning{{cause: "a", listener: "smtp"}},
			want: []string{"proto=smtp event=a"}},
		{name: "the second within a minute is suppressed", warnings: []warning{{cause: "a", listener: "smtp"}, {after: time.Minute - 1, cause: "a", listener: "smtp"}},
			want: []string{"proto=smtp event=a"}},
		{name: "the next line has the number", warnings: []warning{{cause: "a", listener: "smtp"}, {cause: "a", listener: "smtp"}, {cause: "a", listener: "smtp"}, {after: time.Minute, cause: "a", listener: "smtp"}},
			want: []string{"proto=smtp event=a", "proto=smtp event=a suppressed=2"}},
		{name: "the number begins anew", warnings: []warning{{cause: "a", listener: "smtp"}, {cause: "a", listener: "smtp"}, {after: time.Minute, cause: "a", listener: "smtp"}, {after: time.Minute, cause: "a", listener: "smtp"}},
			want: []string{"proto=smtp event=a", "proto=smtp event=a suppressed=1", "proto=smtp event=a"}},
		{name: "a steady flow is one line a minute", warnings: func() (w []warning) {
			for range 125 {
				w = append(w, warning{after: time.Second, cause: "a", listener: "smtp"})
			}
			return w
		}(), want: []string{"proto=smtp event=a", "proto=smtp event=a suppressed=59", "proto=smtp event=a suppressed=59"}},
		{name: "another cause has its own", warnings: []warning{{cause: "a", listener: "smtp"}, {cause: "b", listener: "smtp"}},
			want: []string{"proto=smtp event=a", "proto=smtp event=b"}},
		{name: "another listener has its own", warnings: []warning{{cause: "a", listener: "smtp"}, {cause: "a", listener: "imap"}},
			want: []string{"proto=smtp event=a", "proto=imap event=a"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				l := NewLimitedLog(slog.New(slog.NewTextHandler(&out, nil)))
				for _, w := range tc.warnings {
					time.Sleep(w.after)
					l.Warn("text", w.cause, w.listener)
				}
				var got []string
				for line := range strings.Lines(out.String()) {
					require.Contains(t, line, "level=WARN")
					_, rest, ok := strings.Cut(strings.TrimSpace(line), "msg=text ")
					require.True(t, ok, line)
					got = append(got, rest)
				}
				require.Equal(t, tc.want, got)
			})
		})
	}
}

func TestLimitedLogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := NewLimitedLog(slog.New(slog.NewTextHandler(&out, nil)))
		const minutes, each = 3, 10 * limitedLogKeys
		for minute := range minutes {
			for i := range each {
				l.Warn("text", fmt.Sprint(minute, "-", i), "smtp")
			}
			require.LessOrEqual(t, len(l.seen), limitedLogKeys+1) // and otherKey
			time.Sleep(time.Minute)
		}
		l.Warn("text", "last", "smtp")
		lines := strings.Count(out.String(), "\n")
		require.LessOrEqual(t, lines, minutes*(limitedLogKeys+1)+1)
		total := lines
		for _, e := range l.seen {
			total += int(e.suppressed)
		}
		for line := range strings.Lines(out.String()) {
			if _, n, ok := strings.Cut(strings.TrimSpace(line), "suppressed="); ok {
				var number int
				_, err := fmt.Sscan(n, &number)
				require.NoError(t, err)
				total += number
			}
		}
		require.Equal(t, minutes*each+1, total, "each warning is a line or is counted")
	})
}
