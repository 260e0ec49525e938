package mailauth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
)

const (
	userName  = "demo@example.test"
	userPass  = "correct horse"
	userToken = "good"
)

// newConn returns the login of a client on TLS, and its log.
func newConn() (*Conn, *bytes.Buffer) {
	var b bytes.Buffer
	log := slog.New(slog.NewTextHandler(&b, nil))
	return &Conn{
		Checker: &Checker{
			Password: func(name, password string) bool { return name == userName && password == userPass },
			Token: func(_ context.Context, token string) (string, error) {
				switch token {
				case userToken:
					return userName, nil
				case "narrow":
					return "", ErrScope
				case "away":
					return "", fmt.Errorf("the issuer: %w", discovery.ErrUnavailable)
				case "unknown-error":
					return "", errors.New("out of memory")
				}
				return "", ErrToken
			},
			Scope: "mail", Configuration: func() string { return "https://id.example/.well-known/openid-configuration" },
			Guard: guard.New(guard.DefaultLimits, nil, log), Log: log, Limited: client.NewLimitedLog(log),
		},
		Client: client.Client{IP: netip.MustParseAddr("198.51.100.7"), Known: true, TLS: true, TLSKnown: true, Listener: "imaps"},
	}, &b
}

// exchange sends messages, of which the first is the initial response. It returns the last
// challenge and the argument of end.
func exchange(t *testing.T, c *Conn, mechanism string, messages ...[]byte) (challenge, account string, done bool, err error) {
	t.Helper()
	calls := 0
	s, err := c.Begin(mechanism, func(a string, err error) error {
		calls++
		account = a
		return err
	})
	require.NoError(t, err)
	for _, m := range messages {
		var b []byte
		require.False(t, done)
		require.NoError(t, err)
		b, done, err = s.Next(m)
		challenge = string(b)
	}
	want := 0
	if done || err != nil {
		want = 1
		_, _, again := s.Next([]byte{1})
		require.ErrorIs(t, again, sasl.ErrUnexpectedClientResponse)
	}
	require.Equal(t, want, calls, "calls of end")
	return challenge, account, done, err
}

func oauthBearer(user, token string) []byte {
	return []byte("n," + user + ",\x01auth=Bearer " + token + "\x01\x01")
}

func xoauth(user, token string) []byte {
	return []byte("user=" + user + "\x01auth=Bearer " + token + "\x01\x01")
}

func TestMechanismsAcceptWhatIsRight(t *testing.T) {
	for _, test := range []struct {
		name, mechanism string
		messages        [][]byte
	}{
		{name: "PLAIN", mechanism: "PLAIN", messages: [][]byte{[]byte("\x00" + userName + "\x00" + userPass)}},
		{name: "PLAIN in lower case, without an initial response", mechanism: "plain", messages: [][]byte{nil, []byte("\x00" + userName + "\x00" + userPass)}},
		{name: "PLAIN with the same identity", mechanism: "PLAIN", messages: [][]byte{[]byte(userName + "\x00" + userName + "\x00" + userPass)}},
		{name: "LOGIN", mechanism: "LOGIN", messages: [][]byte{nil, []byte(userName), []byte(userPass)}},
		{name: "LOGIN with an initial response", mechanism: "LOGIN", messages: [][]byte{[]byte(userName), []byte(userPass)}},
		{name: "OAUTHBEARER", mechanism: "OAUTHBEARER", messages: [][]byte{oauthBearer("a="+userName, userToken)}},
		{name: "OAUTHBEARER without a user or an initial response", mechanism: "OAUTHBEARER", messages: [][]byte{nil, oauthBearer("", userToken)}},
		{name: "XOAUTH2", mechanism: "XOAUTH2", messages: [][]byte{xoauth(userName, userToken)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, _ := newConn()
			_, account, done, err := exchange(t, c, test.mechanism, test.messages...)
			require.NoError(t, err)
			require.True(t, done)
			require.Equal(t, userName, account)
			require.Zero(t, c.Guard.Counts().WrongLogins)
		})
	}
}

func TestRefusedTokensAreCharged(t *testing.T) {
	const rest = `,"schemes":"bearer","scope":"mail","openid-configuration":"https://id.example/.well-known/openid-configuration"}`
	for _, test := range []struct {
		name             string
		bearer, xoauth   []byte
		status, status2  string
		reason           string
		uncharged, noLog bool
	}{
		{name: "unknown, expired or revoked", bearer: oauthBearer("", "bad"), xoauth: xoauth(userName, "bad"), status: "invalid_token", status2: "401", reason: ErrToken.Error()},
		{name: "without the scope", bearer: oauthBearer("", "narrow"), xoauth: xoauth(userName, "narrow"), status: "insufficient_scope", status2: "403", reason: ErrScope.Error()},
		{name: "of another user", bearer: oauthBearer("a=else@example.test", userToken), xoauth: xoauth("else@example.test", userToken), status: "invalid_token", status2: "401", reason: errUser.Error()},
		{name: "too long", bearer: oauthBearer("", strings.Repeat("x", maxToken+1)), xoauth: xoauth(userName, strings.Repeat("x", maxToken+1)), status: "invalid_token", status2: "401", reason: errLong.Error()},
		{name: "malformed", bearer: oauthBearer("", "a b"), xoauth: xoauth(userName, "a b"), status: "invalid_request", status2: "400", reason: ErrSyntax.Error()},
		{name: "empty", bearer: []byte{}, xoauth: []byte{}, status: "invalid_request", status2: "400", reason: ErrSyntax.Error()},
		{name: "the question which server issues tokens", bearer: []byte("n,,\x01auth=\x01\x01"), xoauth: xoauth(userName, ""), status: "invalid_token", status2: "401", uncharged: true},
	} {
		for mechanism, message := range map[string][]byte{"OAUTHBEARER": test.bearer, "XOAUTH2": test.xoauth} {
			for answer, reply := range map[string][]byte{"the dummy response": {1}, "an empty response": {}, "no response": nil, "text": []byte("x")} {
				t.Run(test.name+"/"+mechanism+"/"+answer, func(t *testing.T) {
					c, log := newConn()
					status := test.status
					if mechanism == "XOAUTH2" {
						status = test.status2
					}
					challenge, _, done, err := exchange(t, c, mechanism, message)
					require.NoError(t, err)
					require.False(t, done)
					require.Equal(t, `{"status":"`+status+`"`+rest, challenge)

					before := c.Guard.Counts().WrongLogins
					_, account, _, err := exchange(t, c, mechanism, message, reply)
					require.ErrorIs(t, err, guard.ErrWrongPassword)
					require.Empty(t, account)
					if test.uncharged {
						require.Zero(t, c.Guard.Counts().WrongLogins)
						return
					}
					require.Equal(t, before+1, c.Guard.Counts().WrongLogins)
					require.Contains(t, log.String(), "event=token_refused")
					require.Contains(t, log.String(), test.reason)
					require.NotContains(t, log.String(), "x\x00")
				})
			}
		}
	}
}

func TestUncheckedTokenIsNotCharged(t *testing.T) {
	for _, token := range []string{"away", "unknown-error"} {
		c, log := newConn()
		for range 50 {
			_, account, _, err := exchange(t, c, "OAUTHBEARER", oauthBearer("", token))
			require.ErrorIs(t, err, discovery.ErrUnavailable)
			require.NotErrorIs(t, err, guard.ErrWrongPassword)
			require.Empty(t, account)
			require.Equal(t, 454, AnswerTo(err).SMTP)
		}
		require.Zero(t, c.Guard.Counts().WrongLogins)
		require.Equal(t, 1, strings.Count(log.String(), "event=token_unchecked"), "one line a minute")
		require.Equal(t, 1, strings.Count(log.String(), discovery.ErrUnavailable.Error()), "the reason has it once")
	}
}

func TestTenWrongTokensAreABan(t *testing.T) {
	c, _ := newConn()
	for i := range 20 {
		challenge, _, _, err := exchange(t, c, "XOAUTH2", xoauth(userName, fmt.Sprint("wrong", i)))
		if i < 9 {
			require.NoError(t, err)
			require.Contains(t, challenge, "401")
			continue
		}
		require.ErrorIs(t, err, guard.ErrBanned, i)
	}
	require.EqualValues(t, 1, c.Guard.Counts().Bans)
	require.ErrorIs(t, c.LogIn(userName, userPass), guard.ErrBanned, "on every listener, and for passwords, too")
}

func TestPasswordMechanismErrors(t *testing.T) {
	for _, test := range []struct {
		name, mechanism string
		messages        [][]byte
		err             error
		charged         uint64
	}{
		{name: "PLAIN, wrong password", mechanism: "PLAIN", messages: [][]byte{[]byte("\x00" + userName + "\x00x")}, err: guard.ErrWrongPassword, charged: 1},
		{name: "PLAIN as another user", mechanism: "PLAIN", messages: [][]byte{[]byte("else\x00" + userName + "\x00" + userPass)}, err: guard.ErrWrongPassword, charged: 1},
		{name: "PLAIN, two parts", mechanism: "PLAIN", messages: [][]byte{[]byte(userName + "\x00" + userPass)}, err: ErrSyntax},
		{name: "PLAIN, empty", mechanism: "PLAIN", messages: [][]byte{{}}, err: ErrSyntax},
		{name: "PLAIN, NULs", mechanism: "PLAIN", messages: [][]byte{make([]byte, 9)}, err: ErrSyntax},
		{name: "LOGIN, wrong password", mechanism: "LOGIN", messages: [][]byte{nil, []byte(userName), []byte("x")}, err: guard.ErrWrongPassword, charged: 1},
		{name: "LOGIN, empty", mechanism: "LOGIN", messages: [][]byte{{}, {}}, err: guard.ErrWrongPassword, charged: 1},
		{name: "LOGIN, a NUL", mechanism: "LOGIN", messages: [][]byte{nil, []byte("a\x00b")}, err: ErrSyntax},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, _ := newConn()
			_, account, _, err := exchange(t, c, test.mechanism, test.messages...)
			require.ErrorIs(t, err, test.err)
			require.NotEqual(t, userPass, account)
			require.Equal(t, test.charged, c.Guard.Counts().WrongLogins)
		})
	}
}

func TestMechanismsThatAreNotThere(t *testing.T) {
	c, _ := newConn()
	require.Equal(t, []string{"PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2"}, c.Mechanisms())
	for _, name := range []string{"", "CRAM-MD5", "SCRAM-SHA-256", "EXTERNAL", "ANONYMOUS"} {
		_, err := c.Begin(name, nil)
		require.ErrorIs(t, err, ErrMechanism, name)
	}
	c.Token = nil
	require.Equal(t, []string{"PLAIN", "LOGIN"}, c.Mechanisms())
	for _, name := range []string{"OAUTHBEARER", "XOAUTH2"} {
		_, err := c.Begin(name, nil)
		require.ErrorIs(t, err, ErrMechanism, name)
	}
}

func TestLoginRequiresKnownTLS(t *testing.T) {
	for _, test := range []struct {
		name            string
		client          client.Client
		reason, setting string
	}{
		{name: "a direct client", client: client.Client{Known: true, TLSKnown: true, TrustedSetting: "MAILFRONT_TRUSTED_PROXIES_IMAP"}, reason: "not encrypted", setting: "MAILFRONT_TRUSTED_PROXIES_IMAP"},
		{name: "the proxy says that it has no TLS", client: client.Client{Known: true, TLSKnown: true, Version: 2, Proxy: netip.MustParseAddr("192.0.2.1")}, reason: "not encrypted"},
		{name: "the proxy does not say", client: client.Client{Known: true, Version: 1, Proxy: netip.MustParseAddr("192.0.2.1")}, reason: "not known", setting: "MAILFRONT_TLS_TERMINATED"},
		{name: "a client that is not known", client: client.Client{Version: 2, Proxy: netip.MustParseAddr("192.0.2.1")}, reason: "LOCAL or UNKNOWN"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, log := newConn()
				c.Client = test.client
				c.Client.Listener = "imap"
				require.Empty(t, c.Mechanisms())
				for range 3 {
					require.ErrorIs(t, c.LogIn(userName, userPass), ErrPlaintext)
					for _, name := range c.Checker.Mechanisms() {
						_, err := c.Begin(name, nil)
						require.ErrorIs(t, err, ErrPlaintext)
					}
				}
				require.Equal(t, 1, strings.Count(log.String(), "event=plaintext_refused"), log)
				require.Contains(t, log.String(), "proto=imap")
				require.Contains(t, log.String(), test.reason)
				require.Equal(t, test.setting != "", strings.Contains(log.String(), "setting="+test.setting), log)
				time.Sleep(time.Minute)
				require.Error(t, c.LogIn(userName, userPass))
				require.Equal(t, 2, strings.Count(log.String(), "event=plaintext_refused"), "one line a minute")
				require.Contains(t, log.String(), "suppressed=14")
			})
		})
	}
}

func TestAnswersToErrors(t *testing.T) {
	for _, test := range []struct {
		err        error
		smtp       int
		imap, pop3 string
		bad        bool
	}{
		{err: guard.ErrWrongPassword, smtp: 535, imap: "AUTHENTICATIONFAILED", pop3: "AUTH"},
		{err: guard.ErrBanned, smtp: 421, imap: "UNAVAILABLE", pop3: "SYS/TEMP"},
		{err: guard.ErrTooFast, smtp: 421, imap: "UNAVAILABLE", pop3: "SYS/TEMP"},
		{err: guard.ErrBusy, smtp: 421, imap: "UNAVAILABLE", pop3: "SYS/TEMP"},
		{err: fmt.Errorf("x: %w", discovery.ErrUnavailable), smtp: 454, imap: "UNAVAILABLE", pop3: "SYS/TEMP"},
		{err: errors.New("another"), smtp: 454, imap: "UNAVAILABLE", pop3: "SYS/TEMP"},
		{err: ErrPlaintext, smtp: 523, imap: "PRIVACYREQUIRED", pop3: "SYS/PERM"},
		{err: ErrMechanism, smtp: 504},
		{err: ErrSyntax, smtp: 501, bad: true},
	} {
		a := AnswerTo(test.err)
		require.Equal(t, test.smtp, a.SMTP, test.err)
		require.Equal(t, test.smtp/100, a.Enhanced[0], test.err)
		require.Equal(t, []any{test.imap, test.pop3, test.bad}, []any{a.IMAP, a.POP3, a.Bad}, test.err)
		require.NotEmpty(t, a.Text)
	}
}
