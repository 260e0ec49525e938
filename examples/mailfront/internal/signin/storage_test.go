package signin

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestGrantsAndTokensEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &storage{
			open:   func(code string) (string, error) { return strings.TrimPrefix(code, "code of "), nil },
			grants: make(map[string]*grant), access: make(map[string]*accessToken),
		}
		begin := func() (*grant, string) {
			g := new(grant)
			s.add(g)
			require.NoError(t, s.SaveAuthCode(t.Context(), g.id, "code of "+g.id))
			return g, g.code
		}
		_, code := begin()
		time.Sleep(codeLifetime)
		_, err := s.consume(code)
		require.ErrorIs(t, err, errNoGrant, "the code has waited for too long")

		g, code := begin()
		_, err = s.consume(code)
		require.NoError(t, err)
		id, expires, err := s.issue(g, nil)
		require.NoError(t, err)
		require.Equal(t, accessLifetime, time.Until(expires))
		time.Sleep(accessLifetime - time.Nanosecond)
		_, ok := s.lookup(id)
		require.True(t, ok)
		time.Sleep(time.Nanosecond)
		_, ok = s.lookup(id)
		require.False(t, ok)

		for range maxGrants + 10 {
			begin()
		}
		require.Len(t, s.grants, maxGrants)
		g, code = begin()
		require.NoError(t, s.SaveAuthCode(t.Context(), g.id, code))
		for range maxAccessTokens + 10 {
			_, _, err := s.issue(g, nil)
			require.NoError(t, err)
			time.Sleep(time.Millisecond)
		}
		require.Len(t, s.access, maxAccessTokens)
		s.end(g)
		require.Empty(t, s.access)
	})
}
