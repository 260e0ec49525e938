package discovery

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/seed-94e48765/portico/publicurl"
	"github.com/stretchr/testify/require"
)

func TestASetThatIsEmptyChallengesAllTheSame(t *testing.T) {
	for _, s := range []*Set{nil, new(Set)} {
		require.Equal(t, `Bearer realm="/"`, s.Challenge(nil, ""))
		w := httptest.NewRecorder()
		s.Unauthorized(w, nil, "")
		require.Equal(t, http.StatusUnauthorized, w.Code)
	}
}

func TestPasswordsAreNotAskedForInTheClear(t *testing.T) {
	for raw, published := range map[string]bool{
		"https://mail.example.com": true,
		"http://localhost:8080":    true, // no network is on the way
		"http://mail.example.com":  false,
	} {
		base, err := publicurl.Parse(raw, publicurl.AllowInsecureHTTP())
		require.NoError(t, err)
		set, err := Build(Config{Base: base, JMAP: &JMAP{}, DAV: &DAV{}, Mail: &Mail{
			Domains:  []string{"example.com"},
			Services: []Service{{Protocol: IMAP, Host: "imap.example.com"}},
		}})
		require.NoError(t, err, raw)
		body := string(set.Bytes(AutoconfigDocument("example.com")))
		require.Contains(t, body, "imap.example.com")
		if published {
			require.Contains(t, body, raw+"/jmap/session")
		} else {
			require.NotContains(t, body, "http://")
		}
	}
}

func TestTheTargetOfAServiceIsNoAlias(t *testing.T) {
	base, err := publicurl.Parse("https://mail.example.com")
	require.NoError(t, err)
	set, err := Build(Config{Base: base, Mail: &Mail{
		Domains:  []string{"example.com"},
		Services: []Service{{Protocol: IMAP, Host: "autodiscover.example.com"}},
	}})
	require.NoError(t, err)
	aliases := 0
	for _, r := range set.DNS() {
		if r.Type == CNAME {
			aliases++
			require.NotEqual(t, "autodiscover.example.com.", r.Name)
		}
	}
	require.NotZero(t, aliases)
}

func TestAutodiscoverJSONAnswersTheSameEachTime(t *testing.T) {
	base, err := publicurl.Parse("https://mail.example.com")
	require.NoError(t, err)
	set, err := Build(Config{Base: base, Mail: &Mail{Domains: []string{"example.com"}, Services: []Service{{Protocol: IMAP}}}})
	require.NoError(t, err)
	h := NewServer(set, ServerConfig{}).Handler()
	for range 50 {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/autodiscover/autodiscover.json?Protocol=AutodiscoverV1&Email=a@example.com&email=b@other.test", nil))
		require.Equal(t, http.StatusOK, w.Code)
	}
}
