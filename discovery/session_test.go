package discovery

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const mailCapability = "urn:ietf:params:jmap:mail"

func jmapSet(t testing.TB, base string, change func(*JMAP)) *Set {
	t.Helper()
	j := JMAP{EventSourcePath: eventSourceTemplate, WebSocketPath: "/jmap/ws", Capabilities: map[string]any{mailCapability: nil}}
	if change != nil {
		change(&j)
	}
	set, err := Build(Config{Base: mustBase(t, base), JMAP: &j})
	require.NoError(t, err)
	return set
}

func demoAccount() Account {
	return Account{
		Username:        "demo@example.com",
		Accounts:        map[string]JMAPAccount{"A1": {Name: "demo@example.com", IsPersonal: true, Capabilities: map[string]any{mailCapability: nil}}},
		PrimaryAccounts: map[string]string{mailCapability: "A1"},
	}
}

func TestSessionMembers(t *testing.T) {
	set := jmapSet(t, "https://example.com/mail", func(j *JMAP) { j.Extra = map[string]any{"vendor": "<&>"} })
	body, state, err := set.Session(demoAccount())
	require.NoError(t, err)
	var got map[string]any
	require.NoError(t, json.Unmarshal(body, &got))
	require.Equal(t, state, got["state"])
	require.NotEmpty(t, state)
	require.Contains(t, string(body), `"vendor":"<&>"`)
	require.Contains(t, string(body), `?accept={type}"`)
	require.Contains(t, string(body), `&closeafter={closeafter}&ping={ping}"`) // braces and & intact
	var names []string
	for name := range got {
		names = append(names, name)
	}
	require.ElementsMatch(t, []string{"capabilities", "accounts", "primaryAccounts", "username", "apiUrl", "downloadUrl", "uploadUrl", "eventSourceUrl", "state", "vendor"}, names)
	require.Equal(t, "demo@example.com", got["username"])
	require.Equal(t, map[string]any{mailCapability: "A1"}, got["primaryAccounts"])
	require.Equal(t, map[string]any{"A1": map[string]any{
		"name": "demo@example.com", "isPersonal": true, "isReadOnly": false,
		"accountCapabilities": map[string]any{mailCapability: map[string]any{}},
	}}, got["accounts"])
}

func TestEmptySessionHasObjects(t *testing.T) {
	body, _, err := jmapSet(t, "https://example.com", nil).Session(Account{})
	require.NoError(t, err)
	require.Contains(t, string(body), `"accounts":{},"primaryAccounts":{},"username":""`)
	body, _, err = jmapSet(t, "https://example.com", nil).Session(Account{Accounts: map[string]JMAPAccount{"a": {}}})
	require.NoError(t, err)
	require.Contains(t, string(body), `"accountCapabilities":{}`)
}

func TestSessionStateChangesWithContentOnly(t *testing.T) {
	state := func(base string, change func(*JMAP), edit func(*Account)) string {
		a := demoAccount()
		if edit != nil {
			edit(&a)
		}
		_, state, err := jmapSet(t, base, change).Session(a)
		require.NoError(t, err)
		return state
	}
	const base = "https://example.com"
	first := state(base, nil, nil)
	seen := map[string]string{first: "first"}
	for name, other := range map[string]string{
		"base":             state("https://example.com/mail", nil, nil),
		"relative":         state("", nil, nil),
		"api path":         state(base, func(j *JMAP) { j.APIPath = "/api" }, nil),
		"web socket":       state(base, func(j *JMAP) { j.WebSocketPath = None }, nil),
		"limit":            state(base, func(j *JMAP) { j.Core.MaxObjectsInGet = 1 }, nil),
		"capability":       state(base, func(j *JMAP) { j.Capabilities["urn:x:y"] = nil }, nil),
		"capability value": state(base, func(j *JMAP) { j.Capabilities[mailCapability] = map[string]int{"a": 1} }, nil),
		"extra":            state(base, func(j *JMAP) { j.Extra = map[string]any{"a": 1} }, nil),
		"extra value":      state(base, func(j *JMAP) { j.Extra = map[string]any{"a": 2} }, nil),
		"username":         state(base, nil, func(a *Account) { a.Username = "x" }),
		"account":          state(base, nil, func(a *Account) { a.Accounts["B"] = JMAPAccount{} }),
		"account name":     state(base, nil, func(a *Account) { v := a.Accounts["A1"]; v.Name = "x"; a.Accounts["A1"] = v }),
		"read-only":        state(base, nil, func(a *Account) { v := a.Accounts["A1"]; v.IsReadOnly = true; a.Accounts["A1"] = v }),
		"primary":          state(base, nil, func(a *Account) { a.PrimaryAccounts = nil }),
	} {
		require.NotContains(t, seen, other, name)
		seen[other] = name
	}
	for range 20 { // maps have no order
		require.Equal(t, first, state(base, nil, nil))
	}
	require.Equal(t, first, state(base, func(j *JMAP) { j.SessionPath = "/s" }, nil), "the session has no URL of itself")
}

func TestInvalidAccountGivesNoSession(t *testing.T) {
	withAccount := func(id string, account JMAPAccount) Account {
		return Account{Accounts: map[string]JMAPAccount{id: account}}
	}
	mail := JMAPAccount{Capabilities: map[string]any{mailCapability: nil}}
	tests := []struct {
		name    string
		account Account
		field   string // "" for a valid one
	}{
		{name: "id of 255", account: withAccount(strings.Repeat("a", 255), mail)},
		{name: "every character", account: withAccount("azAZ09-_", mail)},
		{name: "id of 256", account: withAccount(strings.Repeat("a", 256), mail), field: "accounts"},
		{name: "id empty", account: withAccount("", mail), field: "accounts"},
		{name: "id an address", account: withAccount("demo@example.com", mail), field: "accounts"},
		{name: "id with a slash", account: withAccount("a/b", mail), field: "accounts"},
		{name: "id not ASCII", account: withAccount("ä", mail), field: "accounts"},
		{name: "id with =", account: withAccount("aa==", mail), field: "accounts"},
		{name: "name not UTF-8", account: withAccount("a", JMAPAccount{Name: "\xff"}), field: "name"},
		{name: "username not UTF-8", account: Account{Username: "\xff"}, field: "username"},
		{name: "capability of no server", account: withAccount("a", JMAPAccount{Capabilities: map[string]any{"urn:x:y": nil}}), field: "accountCapabilities"},
		{name: "capability in another case", account: withAccount("a", JMAPAccount{Capabilities: map[string]any{strings.ToUpper(mailCapability): nil}}), field: "accountCapabilities"},
		{name: "capability that is not an object", account: withAccount("a", JMAPAccount{Capabilities: map[string]any{mailCapability: 1}}), field: "accountCapabilities"},
		{name: "capability that does not encode", account: withAccount("a", JMAPAccount{Capabilities: map[string]any{mailCapability: func() {}}}), field: "accountCapabilities"},
		{name: "primary of no account", account: Account{PrimaryAccounts: map[string]string{mailCapability: "a"}}, field: "primaryAccounts"},
		{name: "primary without the capability", account: Account{Accounts: map[string]JMAPAccount{"a": {}}, PrimaryAccounts: map[string]string{mailCapability: "a"}}, field: "primaryAccounts"},
		{name: "primary", account: Account{Accounts: map[string]JMAPAccount{"a": mail}, PrimaryAccounts: map[string]string{mailCapability: "a"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set := jmapSet(t, "https://example.com", nil)
			body, state, err := set.Session(tt.account)
			var reported error
			h := NewServer(set, ServerConfig{
				Session: func(*http.Request) (Account, error) { return tt.account, nil },
				OnError: func(_ *http.Request, err error) { reported = err },
			})
			res, answer := ask(t, h, "GET", "/jmap/session")
			if tt.field == "" {
				require.NoError(t, err)
				require.Equal(t, 200, res.StatusCode)
				require.Equal(t, string(body), answer)
				require.NoError(t, reported)
				return
			}
			var e *Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, tt.field, e.Field)
			require.NotEmpty(t, e.Clause)
			require.Nil(t, body)
			require.Empty(t, state)
			require.Equal(t, 500, res.StatusCode)
			require.Equal(t, "500 internal server error\n", answer)
			require.Equal(t, err, reported)
		})
	}
}

func TestSessionAnswers(t *testing.T) {
	const cache = "no-cache, no-store, must-revalidate"
	tests := []struct {
		name   string
		method string
		err    error
		status int
	}{
		{name: "signed in", method: "GET", status: 200},
		{name: "head", method: "HEAD", status: 200},
		{name: "not signed in", method: "GET", err: ErrUnauthenticated, status: 401},
		{name: "not signed in, head", method: "HEAD", err: ErrUnauthenticated, status: 401},
		{name: "not signed in, wrapped", method: "GET", err: fmt.Errorf("token of secret@example.com expired: %w", ErrUnauthenticated), status: 401},
		{name: "broken", method: "GET", err: errors.New("cannot reach secret@example.com"), status: 500},
		{name: "broken, head", method: "HEAD", err: errors.New("cannot reach secret@example.com"), status: 500},
		{name: "away", method: "GET", err: fmt.Errorf("secret@example.com does not answer: %w", ErrUnavailable), status: 503},
	}
	for _, base := range []string{"https://example.com", "https://example.com/mail", "/mail"} {
		for _, tt := range tests {
			t.Run(base+" "+tt.name, func(t *testing.T) {
				set := jmapSet(t, base, nil)
				var reported error
				h := NewServer(set, ServerConfig{
					Session: func(*http.Request) (Account, error) { return demoAccount(), tt.err },
					OnError: func(_ *http.Request, err error) { reported = err },
				})
				for _, path := range []string{"/jmap/session", set.Base().Prefix() + "/jmap/session"} {
					res, body := ask(t, h, tt.method, path, "If-None-Match: *")
					require.Equal(t, tt.status, res.StatusCode)
					require.Equal(t, cache, res.Header.Get("Cache-Control"))
					require.Equal(t, "*", res.Header.Get("Access-Control-Allow-Origin"))
					require.Contains(t, res.Header.Get("Access-Control-Expose-Headers"), "WWW-Authenticate")
					require.Equal(t, "nosniff", res.Header.Get("X-Content-Type-Options"))
					require.NotContains(t, body, "secret")
					require.Equal(t, tt.method == "GET", body != "")
					require.Equal(t, tt.status == 401, res.Header.Get("WWW-Authenticate") != "")
					require.Equal(t, tt.status == 503, res.Header.Get("Retry-After") == "10")
					if tt.status >= 500 {
						require.Equal(t, tt.err, reported)
					} else {
						require.NoError(t, reported)
					}
					if tt.status == 200 {
						want, _, err := set.Session(demoAccount())
						require.NoError(t, err)
						require.Equal(t, "application/json", res.Header.Get("Content-Type"))
						require.Equal(t, fmt.Sprint(len(want)), res.Header.Get("Content-Length"))
						if tt.method == "GET" {
							require.Equal(t, string(want), body)
						}
					}
				}
			})
		}
	}
}

func TestSessionPreflight(t *testing.T) {
	h := NewServer(jmapSet(t, "https://example.com", nil), ServerConfig{
		Session: func(*http.Request) (Account, error) { panic("asked for an account") },
	})
	res, _ := ask(t, h, "OPTIONS", "/jmap/session", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization")
	require.Equal(t, 204, res.StatusCode)
	require.Contains(t, res.Header.Get("Access-Control-Allow-Headers"), "Authorization")
	res, _ = ask(t, h, "POST", "/jmap/session")
	require.Equal(t, 405, res.StatusCode)
}

func TestSessionWithoutCallbackIsNexts(t *testing.T) {
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "next ", r.Method, " ", r.URL.Path) })
	h := NewServer(jmapSet(t, "https://example.com/mail", nil), ServerConfig{Next: next})
	for _, target := range []string{"/mail/jmap/session", "/jmap/session"} {
		_, body := ask(t, h, "POST", target)
		require.Equal(t, "next POST /jmap/session", body)
	}
	res, _ := ask(t, h, "GET", "/.well-known/jmap")
	require.Equal(t, 307, res.StatusCode)
	res, _ = ask(t, NewServer(jmapSet(t, "https://example.com", nil), ServerConfig{}), "GET", "/jmap/session")
	require.Equal(t, 404, res.StatusCode)
}

// After a swap while Session runs, the answer must not have the URLs of one Set and the challenge
// of another.
func TestSessionComesFromSetOfItsRequest(t *testing.T) {
	a, b := jmapSet(t, "https://a.example", nil), jmapSet(t, "https://b.example", nil)
	for _, signedIn := range []bool{true, false} {
		var server *Server
		server = NewServer(a, ServerConfig{Session: func(*http.Request) (Account, error) {
			server.Swap(b)
			if !signedIn {
				return Account{}, ErrUnauthenticated
			}
			return demoAccount(), nil
		}})
		res, body := ask(t, server, "GET", "/jmap/session")
		if signedIn {
			want, _, err := a.Session(demoAccount())
			require.NoError(t, err)
			require.Equal(t, string(want), body)
		} else {
			require.Equal(t, a.Challenge(nil, "/jmap/session"), res.Header.Get("WWW-Authenticate"))
		}
		require.Same(t, b, server.Current())
	}
}

// RFC 9728 section 3.3: the resource in the document is what the client asked for.
func TestChallengeOfSessionNamesItsMetadata(t *testing.T) {
	for _, base := range []string{"https://example.com", "https://example.com:8443", "https://example.com/mail"} {
		set := fullSet(t, base)
		h := NewServer(set, ServerConfig{Session: func(*http.Request) (Account, error) { return Account{}, ErrUnauthenticated }})
		res, _ := ask(t, h, "GET", "/jmap/session")
		_, metadata, ok := strings.Cut(res.Header.Get("WWW-Authenticate"), `resource_metadata="`)
		require.True(t, ok)
		path, ok := strings.CutPrefix(strings.TrimSuffix(metadata, `"`), set.Base().Origin())
		require.True(t, ok, "%q", metadata)
		_, body := ask(t, h, "GET", path)
		var document struct{ Resource string }
		require.NoError(t, json.Unmarshal([]byte(body), &document))
		require.Equal(t, base+"/jmap/session", document.Resource)
	}
}
