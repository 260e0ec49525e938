package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
)

// foreignCookies returns the header Cookie with n cookies of a site of a sibling domain.
func foreignCookies(n, length int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("%s=%0*d", sessionCookie, length, i))
	}
	return strings.Join(all, "; ")
}

// A site of a sibling domain sets cookies that the browser sends before that of the session.
func TestCookiesOfASiblingDomain(t *testing.T) {
	s := newAdminSite(t, testBase, direct, nil)
	s.setUp(testBase, adminPassword)
	s.signInAdmin(adminPassword)
	cookies := s.client.Jar.Cookies(mustURL(t, s.Base+"/admin"))
	require.Len(t, cookies, 1)
	length := len(cookies[0].Value)
	const problem = "more than 4 cookies with the name mailfront-admin"
	for _, tc := range []struct {
		name     string
		foreign  string
		signedIn bool
		reported bool
	}{
		{name: "as many as are looked up, with that of the session", foreign: foreignCookies(maxSessionCookies-1, length), signedIn: true},
		{name: "the session is pushed out", foreign: foreignCookies(maxSessionCookies, length), reported: true},
		{name: "many", foreign: foreignCookies(100, length), reported: true},
		{name: "many that are no session", foreign: foreignCookies(100, length-1), signedIn: true},
		{name: "many with another name", foreign: strings.ReplaceAll(foreignCookies(100, length), sessionCookie, sessionCookie+"x"), signedIn: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := s.logged("event=too_many_cookies")
			response, page := s.do(http.MethodGet, "/admin", "", "Cookie", tc.foreign)
			require.Equal(t, http.StatusOK, response.StatusCode)
			require.Equal(t, tc.signedIn, strings.Contains(page, "Sign out"))
			require.Equal(t, tc.reported, strings.Contains(page, problem), page)
			if !tc.reported {
				require.Equal(t, before, s.logged("event=too_many_cookies"))
				return
			}
			s.awaitLogs(1, "level=WARN", "event=too_many_cookies", "more than 4 cookies") // one line a minute
			response, _ = s.do(http.MethodGet, "/admin/debug", "", "Cookie", tc.foreign)
			require.Equal(t, http.StatusSeeOther, response.StatusCode, "no session")
		})
	}
	_, page := s.admin()
	require.Contains(t, page, "Sign out", "the session has not ended")
}

// A countingStore counts the names that are read or deleted.
type countingStore struct {
	store.Store
	names []string
}

func (s *countingStore) Get(ctx context.Context, name string) ([]byte, error) {
	s.names = append(s.names, name)
	return s.Store.Get(ctx, name)
}

func (s *countingStore) Delete(ctx context.Context, name string) error {
	s.names = append(s.names, name)
	return s.Store.Delete(ctx, name)
}

func TestLookUpsForCookiesAreLimited(t *testing.T) {
	st := &countingStore{Store: store.NewMemory(10)}
	sessions := adminSessions{st}
	cookie, err := sessions.begin(t.Context(), testBase, "hash")
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodGet, "/admin", nil)
	r.Header.Set("Cookie", foreignCookies(1000, len(cookie))+"; "+sessionCookie+"="+cookie)
	session, err := sessions.of(r, "hash")
	require.NoError(t, err)
	require.Nil(t, session)
	require.Len(t, st.names, maxSessionCookies)
	require.NoError(t, sessions.end(r))
	require.Len(t, st.names, 2*maxSessionCookies)
	require.False(t, slices.Contains(st.names, sessionName(cookie)))

	r.Header.Set("Cookie", foreignCookies(maxSessionCookies-1, len(cookie))+"; "+sessionCookie+"="+cookie)
	session, err = sessions.of(r, "hash")
	require.NoError(t, err)
	require.NotNil(t, session)
}
