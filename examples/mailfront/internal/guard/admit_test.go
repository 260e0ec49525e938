package guard

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
)

func TestConnectionLimits(t *testing.T) {
	limits := DefaultLimits
	limits.PerClient, limits.Total = 2, 5
	g, log := testGuard(limits)
	one, two, local := knownClient("198.51.100.7"), knownClient("2001:db8::1"), client.Client{}
	open := func(cl client.Client) func() { release, err := g.Admit(cl); require.NoError(t, err); return release }
	refused := func(want error, cl client.Client) { _, err := g.Admit(cl); requireRefused(t, want, err) }

	leave := open(one)
	open(one)
	refused(ErrTooManyOpen, one)
	open(two)
	open(knownClient("2001:db8::2"))
	refused(ErrTooManyOpen, knownClient("2001:db8::3")) // of the same /64
	open(local)                                         // in the total only
	refused(ErrAllOpen, local)
	refused(ErrAllOpen, knownClient("198.51.100.8"))
	leave()
	leave() // as net/http and others do it
	require.Equal(t, 4, g.Counts().Connections)
	open(one)
	refused(ErrAllOpen, two)
	require.Equal(t, 5, strings.Count(log.String(), "event=refuse"))
	got := g.Counts()
	require.Equal(t, []uint64{5, 2, 3}, []uint64{got.Refused, got.TooManyOpen, got.Full})
}

func TestBanIsPreferredAsReason(t *testing.T) {
	limits := DefaultLimits
	limits.Total = 1
	g, _ := testGuard(limits)
	banned := knownClient("198.51.100.7")
	requireRefused(t, ErrBanned, wrongPasswords(g, banned, 10))
	leave, err := g.Admit(client.Client{})
	require.NoError(t, err)
	_, err = g.Admit(banned)
	requireRefused(t, ErrBanned, err)
	leave()
	require.Empty(t, g.open)
	require.Zero(t, g.Counts().Connections)
}

func TestRefuseBanned(t *testing.T) {
	g, log := testGuard(DefaultLimits)
	banned, other := behind("192.0.2.1", "198.51.100.7"), behind("192.0.2.1", "198.51.100.8")
	requireRefused(t, ErrBanned, wrongPasswords(g, banned, 10))
	w := httptest.NewRecorder()
	require.False(t, g.RefuseBanned(w, other), "on the same connection from the proxy")
	require.True(t, g.RefuseBanned(w, banned))
	require.Equal(t, http.StatusTooManyRequests, w.Code)
	require.Equal(t, "900", w.Header().Get("Retry-After"))
	require.Contains(t, log.String(), "event=request_refused client_ip=198.51.100.7")
}

func TestLimitRequests(t *testing.T) {
	limits := DefaultLimits
	limits.Rates[Requesting] = Rate{2, time.Hour}
	g, _ := testGuard(limits)
	h := g.LimitRequests(http.NotFoundHandler())
	ask := func(cl client.Client) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, client.WithRequest(httptest.NewRequest("GET", "/whoami", nil), cl))
		return w.Code
	}
	fast, other := behind("192.0.2.1", "198.51.100.7"), behind("192.0.2.1", "198.51.100.8")
	require.Equal(t, []int{404, 404, 429, 404}, []int{ask(fast), ask(fast), ask(fast), ask(other)})
}
