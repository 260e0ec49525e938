package main

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAPageOfAnotherSiteCannotLockItsVisitorOut(t *testing.T) {
	s := newSite(t, testBase, direct, nil)
	const evil = "https://evil.example"
	for range 30 {
		response, _ := s.do(http.MethodPost, "/jmap/", "{}", "Authorization", "Bearer guess", "Origin", evil)
		require.Equal(t, http.StatusUnauthorized, response.StatusCode)
	}
	response, _ := s.do(http.MethodGet, "/jmap/session", "", "Authorization", "Bearer "+testPassword, "Origin", evil)
	require.Equal(t, http.StatusUnauthorized, response.StatusCode, "it may not go on guessing")
	response, _ = s.do(http.MethodGet, "/jmap/session", "", "Authorization", "Bearer "+testPassword)
	require.Equal(t, http.StatusOK, response.StatusCode, "the visitor is served")
}

func TestAGuessInTheFormOfATokenIsAGuess(t *testing.T) {
	s := newSite(t, testBase, direct, nil)
	for range 10 {
		s.do(http.MethodGet, "/jmap/session", "", "Authorization", "Bearer one.two.three.four.guess")
	}
	response, _ := s.do(http.MethodGet, "/jmap/session", "", "Authorization", "Bearer "+testPassword)
	require.Equal(t, http.StatusTooManyRequests, response.StatusCode)
}

func TestNobodyIsSentToASelfRegisteredAddressUnasked(t *testing.T) {
	s := newSite(t, testBase, direct, nil)
	response, body := s.do(http.MethodPost, "/auth/register", `{"redirect_uris":["https://evil.example/phish"]}`, "Content-Type", "application/json")
	require.Equal(t, http.StatusCreated, response.StatusCode, body)
	_, id, _ := strings.Cut(body, `"client_id":"`)
	id, _, _ = strings.Cut(id, `"`)
	response, body = s.do(http.MethodGet, "/login?"+url.Values{"client_id": {id}, "redirect_uri": {"https://evil.example/phish"}}.Encode(), "")
	require.Equal(t, http.StatusBadRequest, response.StatusCode, body)
	require.Empty(t, response.Header.Get("Location"))
}

func TestRedirectURIsAndNamesThatDeceiveAreRefused(t *testing.T) {
	s := newSite(t, testBase, direct, nil)
	for _, body := range []string{
		`{"redirect_uris":["https://%D0%B0pple.com/cb"]}`,
		`{"redirect_uris":["https://app.example/cb"],"client_name":"a\u202eb"}`,
	} {
		response, answer := s.do(http.MethodPost, "/auth/register", body, "Content-Type", "application/json")
		require.Equal(t, http.StatusBadRequest, response.StatusCode, "%s: %s", body, answer)
	}
}

func TestAMessageThatWouldGoOnWithOurOwnFieldsIsRefused(t *testing.T) {
	f := startWith(t, nil, nil)
	for name, c := range map[string]struct{ message, want string }{
		"begins with a blank": {" (authenticated as ceo@example.test)\r\nSubject: x\r\n\r\n.", "^550 5.6.0 "},
		"begins with a tab":   {"\t; Thu, 01 Jan 1970\r\n\r\n.", "^550 5.6.0 "},
		"has a bare CR":       {"X: y\rAuthentication-Results: example.test; spf=pass\r\n\r\n.", "^550 5.6.0 "},
		"is as it must be":    {"Subject: x\r\n y\r\n\r\n.", "^250 "},
	} {
		s := ehlo(t, f.connect(directIP, "smtp"))
		s.smtp("MAIL FROM:<a@elsewhere.test>")
		s.smtp("RCPT TO:<demo@example.test>")
		s.smtp("DATA")
		require.Regexp(t, c.want, s.smtp("%s", c.message), name)
	}
	require.Len(t, f.mail.messages(), 1)
}

func TestOneClientHasAShareOfTheMemoryAndLeavesTheRest(t *testing.T) {
	limits := defaultLimits
	limits.memory, limits.share = 8*firstRead*copiesOfMessage, 2*firstRead*copiesOfMessage
	g, _ := testGuard(limits)
	one, other := behind("192.0.2.1", "198.51.100.7"), behind("192.0.2.1", "198.51.100.8")
	read := func(cl client) (func(), error) {
		_, release, err := g.receive(cl, strings.NewReader("x"))
		return release, err
	}
	first, err := read(one)
	require.NoError(t, err)
	second, err := read(one)
	require.NoError(t, err)
	third, err := read(one)
	require.ErrorIs(t, err, errNoMemory)
	theirs, err := read(other)
	require.NoError(t, err, "another client is not affected")
	for _, release := range []func(){first, second, third, theirs, first} {
		release()
	}
	require.Zero(t, g.counted().MemoryInUse)
	require.Empty(t, g.share)
}

func TestBehindNAT64EveryIPv4AddressIsAClientOfItsOwn(t *testing.T) {
	g, _ := testGuard(defaultLimits)
	who, why := g.key(client{IP: netip.MustParseAddr("64:ff9b::cb00:7101"), Known: true})
	require.Empty(t, why)
	require.Equal(t, netip.MustParsePrefix("203.0.113.1/32"), who)
}

func TestNoRedirectLosesThePath(t *testing.T) {
	for _, how := range []string{stripped, kept} {
		s := newSite(t, testBase+"/mail", how, nil)
		for _, target := range []string{"/mail/jmap/eventsource", "/mail/jmap/upload/demo"} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				response, _ := s.do(method, strings.TrimPrefix(target, "/mail"), "")
				require.Empty(t, response.Header.Get("Location"), "%s %s", method, target)
			}
		}
	}
}
