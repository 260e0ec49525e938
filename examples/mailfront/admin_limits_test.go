package main

import (
	"html"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
)

// guess sends wrong passwords from directIP until the client is banned.
func (s *site) guess() {
	s.t.Helper()
	from := s.from
	s.comeFromElsewhere()
	for range 10 {
		s.do("PROPFIND", "/dav/cal/", "", "Authorization", basicAuth("wrong"))
	}
	response, _ := s.do(http.MethodGet, "/whoami", "")
	require.Equal(s.t, http.StatusTooManyRequests, response.StatusCode)
	require.Regexp(s.t, "^(900|89[0-9])$", response.Header.Get("Retry-After"), "the rest of the ban")
	s.client.CloseIdleConnections()
	s.from = from
}

func (s *site) isBanned() bool {
	s.t.Helper()
	from := s.from
	s.client.CloseIdleConnections()
	s.from = directIP
	response, err := s.client.Get(s.Base + "/whoami")
	s.client.CloseIdleConnections()
	s.from = from
	if err != nil {
		return true // closed at accept
	}
	response.Body.Close()
	return response.StatusCode == http.StatusTooManyRequests
}

func TestAdministratorLiftsBan(t *testing.T) {
	needDirect(t)
	s := newAdminSite(t, testBase, direct, nil)
	s.setUp(testBase, adminPassword)
	_, page := s.signInAdmin(adminPassword)
	require.Contains(t, page, "<h2>Bans: 0</h2>")
	require.Contains(t, page, "No client is banned.")
	require.Contains(t, page, "Bans are lost when mailfront stops.")
	s.guess()
	_, page = s.admin()
	require.Contains(t, page, "<h2>Bans: 1</h2>")
	require.Contains(t, html.UnescapeString(page), "<code>"+directIP+"/32</code>")
	require.Contains(t, page, "wrong passwords, the last one on https")
	require.Regexp(t, `<td data-label="Limit">wrong passwords</td><td data-label="Left">0 of 9</td>`, page, "near the limit")
	now := time.Now().UTC().Format("2006-01-02 15:")
	require.Contains(t, page, `<td data-label="Since (UTC)">`+now)

	target, form := s.fill(page, "/admin", "address")
	require.Equal(t, directIP+"/32", form.Get("address"))
	for _, test := range []struct {
		name, field, value string
		header             []string
		want               int
	}{
		{name: "no token of the session", field: "csrf", value: "", want: http.StatusForbidden},
		{name: "another site", field: "csrf", value: form.Get("csrf"), header: []string{"Origin", "https://attacker.example", "Sec-Fetch-Site", "cross-site"}, want: http.StatusForbidden},
		{name: "no address", field: "address", value: "everything", want: http.StatusBadRequest},
	} {
		changed := map[string][]string{"csrf": form["csrf"], "address": form["address"]}
		changed[test.field] = []string{test.value}
		response, _ := s.Post(target, changed, test.header...)
		require.Equal(t, test.want, response.StatusCode, test.name)
		require.True(t, s.isBanned(), test.name)
	}
	response, page := s.Post(target, form)
	require.Equal(t, http.StatusOK, response.StatusCode, page)
	require.Contains(t, page, "The ban of "+directIP+"/32 is lifted.")
	require.Contains(t, page, "<h2>Bans: 0</h2>")
	require.False(t, s.isBanned())
	s.awaitLogs(1, "event=ban_lifted", "banned="+directIP+"/32")
	response, page = s.Post(target, form)
	requireNoBan(t, response, page)
	s.awaitLogs(1, "event=ban_lifted")
	s.guess()
	response, page = s.do(http.MethodGet, "/admin/lift", "")
	require.Equal(t, http.StatusSeeOther, response.StatusCode, page)
	require.Equal(t, "../admin", response.Header.Get("Location"), "without a form no ban is lifted")
}

// requireNoBan checks the answer to the form that lifts the ban of a client without a ban.
func requireNoBan(t *testing.T, response *http.Response, page string) {
	t.Helper()
	require.Equal(t, http.StatusNotFound, response.StatusCode)
	require.Contains(t, page, "There is no ban of "+directIP+"/32. It has expired or was lifted before.")
	require.NotContains(t, page, "The ban of ")
	require.Contains(t, page, "<h2>Bans: ", "the page of the administrator")
}

func TestTheBansOnThePageAreTheNewest(t *testing.T) {
	f := startWith(t, nil, nil)
	now := time.Now()
	var bans []guard.Ban
	for i := range maxBansShown + 50 {
		bans = append(bans, guard.Ban{
			Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), 32), Reason: "wrong passwords",
			Since: now.Add(time.Duration(i) * time.Second), Until: now.Add(time.Hour),
		})
	}
	f.guard.Restore(bans)
	view := f.admin.limits()
	require.Len(t, view.Bans, maxBansShown)
	require.Equal(t, len(bans), view.Total)
	require.Equal(t, bans[len(bans)-1].Address, view.Bans[0].Address)
	var page strings.Builder
	require.NoError(t, adminTemplates.ExecuteTemplate(&page, "limits", &adminPageData{Limits: view}))
	require.Contains(t, page.String(), "The table has the newest 200.")
	require.Len(t, regexp.MustCompile("<form ").FindAllString(page.String(), -1), maxBansShown)
}

func TestBansSurviveARestart(t *testing.T) {
	state := stateIn(t)
	path := state + bansFile
	env := map[string]string{"MAILFRONT_STATE": state}
	f := startWith(t, env, nil)
	cl := client.Client{IP: netip.MustParseAddr("198.51.100.7"), Known: true, Listener: "imap"}
	require.ErrorIs(t, f.wrongPasswords(cl, 10), guard.ErrBanned)
	eventually(t, 5*time.Second, func() bool { _, err := os.Stat(path); return err == nil })
	other := cl
	other.IP = netip.MustParseAddr("2001:db8::7")
	require.ErrorIs(t, f.wrongPasswords(other, 10), guard.ErrBanned)
	require.NoError(t, f.frontend.shutdown(testTimeout), "it writes what has changed since")
	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
	require.NoError(t, err)
	require.Empty(t, files, "no temporary file is left")

	f = startWith(t, env, nil)
	for _, banned := range []client.Client{cl, other} {
		require.ErrorIs(t, f.guard.Allow(banned, guard.Sending), guard.ErrBanned)
	}
	lifted, err := f.guard.Lift(t.Context(), netip.MustParsePrefix("198.51.100.7/32"))
	require.NoError(t, err)
	require.True(t, lifted)
	require.NoError(t, f.frontend.shutdown(testTimeout))
	f = startWith(t, env, nil)
	require.NoError(t, f.guard.Allow(cl, guard.Sending), "it was lifted")
	require.ErrorIs(t, f.guard.Allow(other, guard.Sending), guard.ErrBanned)
}

func TestDamagedBanFile(t *testing.T) {
	state := stateIn(t)
	for name, text := range map[string]string{"empty": "", "cut": "[\n  {", "not a client": `[{"address":"0.0.0.0/0","reason":"x","since":"2026-01-01T00:00:00Z","until":"2036-01-01T00:00:00Z"}]`} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(state+bansFile, []byte(text), 0o600))
			cfg, err := parseConfig(nil, lookup(map[string]string{"MAILFRONT_STATE": state}), new(strings.Builder))
			require.NoError(t, err)
			_, err = start(cfg, newLogger(newLogBuffer(), cfg.logLevel))
			require.ErrorContains(t, err, state+bansFile)
			require.ErrorContains(t, err, "restore it, or remove it")
			require.ErrorContains(t, err, "MAILFRONT_STATE")
		})
	}
}
