package main

import (
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/stretchr/testify/require"
)

// RFC 9051 section 2.3.1.1. Each start is a few mailboxes that come and go.
func TestUIDVALIDITYIsLargerAtEveryStart(t *testing.T) {
	const day = 24 * time.Hour
	for _, test := range []struct {
		name   string
		file   bool
		starts []time.Duration // of the clock, since a date
		use    func(*testing.T, *imapAccountSession)
	}{
		{name: "after a day", starts: []time.Duration{0, day}},
		{name: "within one second", starts: []time.Duration{0, 0, 0, 0}},
		{name: "within one second, with a file", file: true, starts: []time.Duration{0, 0, 0, 0}},
		{name: "the clock was set back, with a file", file: true, starts: []time.Duration{day, 0, -day, -100 * 365 * day}},
		{name: "mailboxes were made anew", starts: []time.Duration{0, 0, 0}, use: recreate},
		{name: "mailboxes were made anew and the clock set back, with a file", file: true, starts: []time.Duration{day, 0, 0}, use: recreate},
		{name: "mailboxes were renamed", starts: []time.Duration{0, 0, 0}, use: rename},
		{name: "mailboxes were renamed and the clock set back, with a file", file: true, starts: []time.Duration{day, 0, 0}, use: rename},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				date := uidEpoch.AddDate(1, 0, 0)
				began := time.Now()
				path := filepath.Join(t.TempDir(), "state"+uidValidityFile)
				largest := make(map[string]uint32) // that was shown, by name
				for _, clock := range test.starts {
					v := newUIDValidity(date.Add(clock + time.Since(began)))
					v.began = time.Now()
					a, err := newIMAPAccount(testAccount, testPassword, v)
					require.NoError(t, err)
					if test.file {
						require.NoError(t, a.keep(path, slog.New(slog.DiscardHandler)))
					}
					s := a.session()
					show := func() {
						for name := range a.subscribed {
							data, err := s.Status(name, &imap.StatusOptions{UIDValidity: true})
							require.NoError(t, err)
							require.Greater(t, data.UIDValidity, largest[name], "start at %v, %s", clock, name)
						}
					}
					show()
					for range 3 {
						if test.use != nil {
							test.use(t, s)
						}
					}
					for name := range a.subscribed {
						data, err := s.Status(name, &imap.StatusOptions{UIDValidity: true})
						require.NoError(t, err)
						largest[name] = data.UIDValidity
					}
				}
			})
		})
	}
}

// recreate makes Sent and Trash anew, and each must be larger.
func recreate(t *testing.T, s *imapAccountSession) {
	for _, name := range []string{"Sent", "Trash"} {
		larger(t, s, name, func() {
			require.NoError(t, s.Delete(name))
			require.NoError(t, s.Create(name, nil))
		})
	}
}

// rename lets Sent and Trash change places.
func rename(t *testing.T, s *imapAccountSession) {
	for _, step := range [][2]string{{"Sent", "x"}, {"Trash", "Sent"}, {"x", "Trash"}} {
		require.NoError(t, s.Rename(step[0], step[1], nil))
	}
	larger(t, s, "Sent", func() {
		require.NoError(t, s.Delete("Sent"))
		require.NoError(t, s.Rename("Drafts", "Sent", nil))
	})
	require.NoError(t, s.Create("Drafts", nil))
}

func larger(t *testing.T, s *imapAccountSession, name string, change func()) {
	before, err := s.Status(name, &imap.StatusOptions{UIDValidity: true})
	require.NoError(t, err)
	change()
	after, err := s.Status(name, &imap.StatusOptions{UIDValidity: true})
	require.NoError(t, err)
	require.Greater(t, after.UIDValidity, before.UIDValidity)
}

func TestUIDVALIDITYIsSecuredFirst(t *testing.T) {
	for _, test := range []struct {
		name string
		file bool
		want time.Duration // for 4 mailboxes at the first login, and for 20 more
	}{
		{name: "by the clock", want: 24 * uidTick},
		{name: "by a file", file: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				a, err := newIMAPAccount(testAccount, testPassword, newUIDValidity(began))
				require.NoError(t, err)
				if test.file {
					require.NoError(t, a.keep(filepath.Join(t.TempDir(), "uids"), slog.New(slog.DiscardHandler)))
				}
				s := a.session()
				for i := range 20 {
					require.NoError(t, s.Create(fmt.Sprint("Folder ", i), nil))
				}
				require.Equal(t, test.want, time.Since(began))
			})
		})
	}
}

func TestTheFileOfUIDVALIDITY(t *testing.T) {
	for _, test := range []struct {
		name, content, err string
	}{
		{name: "as it is written", content: "17\n"},
		{name: "empty", content: "", err: "is damaged"},
		{name: "no number", content: "x", err: `contains "x"`},
		{name: "negative", content: "-1", err: "is damaged"},
		{name: "so large that nothing is left", content: fmt.Sprint(math.MaxUint32), err: "is damaged"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "uids")
			require.NoError(t, os.WriteFile(path, []byte(test.content), 0o600))
			v := newUIDValidity(uidEpoch)
			err := v.load(path)
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				require.ErrorContains(t, err, path)
				return
			}
			require.NoError(t, err)
			require.EqualValues(t, 18, v.of(1))
		})
	}
}

func TestUnwritableFileIsLogged(t *testing.T) {
	a, err := newIMAPAccount(testAccount, testPassword, newUIDValidity(time.Now()))
	require.NoError(t, err)
	log := newLogBuffer()
	require.NoError(t, a.keep(filepath.Join(t.TempDir(), "none", "uids"), newLogger(log, slog.LevelInfo)))
	a.session()
	require.Contains(t, log.String(), "level=WARN")
	require.Contains(t, log.String(), "MAILFRONT_STATE")
	require.GreaterOrEqual(t, time.Since(a.validity.began), time.Duration(len(firstMailboxes))*uidTick)
}
