package guard

import (
	"errors"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
)

func TestRetryAfter(t *testing.T) {
	limits := DefaultLimits
	limits.Ban = 10 * time.Minute
	limits.Rates[Requesting] = Rate{Burst: 2, Every: 40 * time.Second}
	limits.Places = 1
	for _, tc := range []struct {
		name   string
		refuse func(g *Guard, cl client.Client) error
		status int
		want   string
	}{
		{name: "a ban begins", refuse: func(g *Guard, cl client.Client) error { return wrongPasswords(g, cl, 10) }, status: 429, want: "600"},
		{name: "a ban goes on", refuse: func(g *Guard, cl client.Client) error {
			wrongPasswords(g, cl, 10)
			time.Sleep(200 * time.Second)
			return g.Allow(cl, Requesting)
		}, status: 429, want: "400"},
		{name: "a fraction of a second is rounded up", refuse: func(g *Guard, cl client.Client) error {
			wrongPasswords(g, cl, 10)
			time.Sleep(9*time.Minute + 58*time.Second + time.Millisecond)
			return g.LogIn(cl, "", isRight)
		}, status: 429, want: "2"},
		{name: "the last moment of a ban", refuse: func(g *Guard, cl client.Client) error {
			wrongPasswords(g, cl, 10)
			time.Sleep(10*time.Minute - 1)
			return g.banned(cl)
		}, status: 429, want: "1"},
		{name: "too many requests", refuse: func(g *Guard, cl client.Client) error {
			g.Allow(cl, Requesting)
			g.Allow(cl, Requesting)
			time.Sleep(10 * time.Second)
			return g.Allow(cl, Requesting)
		}, status: 429, want: "30"},
		{name: "too many wrong passwords of a client that is not banned", refuse: func(g *Guard, _ client.Client) error {
			return wrongPasswords(g, knownClient("127.0.0.1"), 10)
		}, status: 429, want: "60"},
		{name: "busy", refuse: func(g *Guard, cl client.Client) error {
			g.places[MailSecret].known <- struct{}{}
			return g.LogIn(cl, "", isRight)
		}, status: 503, want: "10"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, _ := testGuard(limits)
				cl := knownClient("198.51.100.7")
				err := tc.refuse(g, cl)
				require.Error(t, err)
				w := httptest.NewRecorder()
				g.Refuse(w, cl, err)
				require.Equal(t, tc.status, w.Code)
				require.Equal(t, []string{tc.want}, w.Header()["Retry-After"])
			})
		})
	}
}

func TestUndecidedCheckIsNotCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, log := testGuard(DefaultLimits)
		away := errors.New("the database is away")
		for _, cl := range []client.Client{knownClient("198.51.100.7"), knownClient("127.0.0.1"), {}} {
			for range 150 {
				require.Equal(t, away, g.Compare(cl, Attempt{}, func() (bool, error) { return false, away }))
			}
			requireRefused(t, ErrWrongPassword, wrongPasswords(g, cl, 9), "nothing was charged")
		}
		require.Empty(t, g.turns)
		require.EqualValues(t, 27, g.Counts().WrongLogins)
		require.NotContains(t, log.String(), "event=ban ")
	})
}
