package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/store/storetest"
)

// A faultyPath is a socket that leads to the store, and drops the data that a test selects.
type faultyPath struct {
	url string

	mu    sync.Mutex
	lose  []string // the connection ends instead of the reply to a command that has these texts
	after bool     // and no connection works after that
	mute  bool     // messages of subscriptions are lost
	cut   bool
}

func newFaultyPath(t *testing.T, to *storetest.Server) *faultyPath {
	t.Helper()
	dir, err := os.MkdirTemp("", "path") // short, because the path of a socket has a limit
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "redis.sock")
	p := &faultyPath{url: "unix://" + socket}
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c, to.Socket())
		}
	}()
	return p
}

func (p *faultyPath) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// loses reports whether the reply to a command is lost. p.mu is held.
func (p *faultyPath) loses(command string) bool {
	for _, text := range p.lose {
		if !strings.Contains(strings.ToLower(command), text) {
			return false
		}
	}
	return p.lose != nil
}

func (p *faultyPath) isCut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cut
}

func (p *faultyPath) serve(c net.Conn, to string) {
	defer c.Close()
	server, err := net.Dial("unix", to)
	if err != nil || p.isCut() {
		return
	}
	defer server.Close()
	var mu sync.Mutex
	lost, subscribed := false, false
	go func() {
		defer c.Close()
		for b := make([]byte, 64<<10); ; {
			n, err := c.Read(b)
			if err != nil || p.isCut() {
				server.Close()
				return
			}
			p.mu.Lock()
			mu.Lock()
			subscribed = subscribed || bytes.Contains(bytes.ToLower(b[:n]), []byte("subscribe"))
			if p.loses(string(b[:n])) {
				lost, p.lose, p.cut = true, nil, p.after
			}
			mu.Unlock()
			p.mu.Unlock()
			server.Write(b[:n])
		}
	}()
	for b := make([]byte, 64<<10); ; {
		n, err := server.Read(b)
		if err != nil {
			return
		}
		p.mu.Lock()
		mu.Lock()
		drop, swallow := lost, p.mute && subscribed
		mu.Unlock()
		p.mu.Unlock()
		if drop {
			return
		}
		if !swallow {
			c.Write(b[:n])
		}
	}
}

// The commands that write the set-up.
var (
	firstSetUp   = []string{"\r\nnx\r\n", "\r\nmailfront:setup\r\n"}
	changedSetUp = []string{"\r\nevalsha\r\n", "\r\nmailfront:setup\r\n"}
)

// setupForm fills in the form of the set-up.
func (s *site) setupForm(publicURL, password string) (target string, form url.Values) {
	s.t.Helper()
	_, page := s.admin()
	return s.fill(page, "/admin", "token", "token", s.setupToken(), "public_url", publicURL, "password", password, "password_again", password)
}

func TestLostReplyDuringSetUp(t *testing.T) {
	t.Run("the set-up that took effect succeeds", func(t *testing.T) {
		c := newCluster(t, 0, nil)
		path := newFaultyPath(t, c.store)
		s := c.start(map[string]string{"MAILFRONT_STORE": path.url})
		target, form := s.setupForm(testBase, adminPassword)
		path.set(func() { path.lose = firstSetUp })
		response, page := s.Post(target, form)
		require.Equal(t, http.StatusSeeOther, response.StatusCode, page)
		require.Equal(t, testBase, s.issuer())
	})
	t.Run("a change that took effect succeeds", func(t *testing.T) {
		c := newCluster(t, 0, nil)
		path := newFaultyPath(t, c.store)
		s := c.start(map[string]string{"MAILFRONT_STORE": path.url})
		s.setUp(testBase, adminPassword)
		_, page := s.signInAdmin(adminPassword)
		target, form := s.fill(page, "/admin", "public_url", "public_url", testBase+"/mail")
		response, page := s.Post(target, form) // after which the server has the script
		require.Equal(t, http.StatusSeeOther, response.StatusCode, page)
		_, page = s.admin()
		target, form = s.fill(page, "/admin", "public_url", "public_url", testBase+"/other")
		path.set(func() { path.lose = changedSetUp })
		response, page = s.Post(target, form)
		require.Equal(t, http.StatusSeeOther, response.StatusCode, page)
		require.Equal(t, testBase+"/other", s.issuer())
	})
	t.Run("if it cannot be looked for, the answer is that it is not known", func(t *testing.T) {
		c := newCluster(t, 0, nil)
		path := newFaultyPath(t, c.store)
		s := c.start(map[string]string{"MAILFRONT_STORE": path.url})
		target, form := s.setupForm(testBase, adminPassword)
		path.set(func() { path.lose, path.after = firstSetUp, true })
		response, page := s.Post(target, form)
		require.Equal(t, http.StatusServiceUnavailable, response.StatusCode, page)
		require.NotEmpty(t, response.Header.Get("Retry-After"))
		require.Contains(t, page, "load the page again")
		path.set(func() { path.cut = false })
		eventually(t, 5*time.Second, func() bool { status, _ := s.admin(); return status == http.StatusOK })
		require.Equal(t, testBase, s.issuer(), "the store had done it")
		eventually(t, 5*time.Second, func() bool {
			response, _ := s.Post("/admin/sign-in", url.Values{"password": {adminPassword}})
			return response.StatusCode == http.StatusSeeOther
		})
	})
}

func TestPollFindsChanges(t *testing.T) {
	c := newCluster(t, 1, nil)
	path := newFaultyPath(t, c.store)
	path.mute = true
	deaf := c.start(map[string]string{"MAILFRONT_STORE": path.url})
	c.setUp(0)
	eventually(t, 2*time.Second, func() bool { return deaf.issuer() == testBase })
	_, page := c.nodes[0].signInAdmin(adminPassword)
	target, form := c.nodes[0].fill(page, "/admin", "public_url", "public_url", testBase+"/mail")
	response, _ := c.nodes[0].Post(target, form)
	require.Equal(t, http.StatusSeeOther, response.StatusCode)
	begun := time.Now()
	eventually(t, 2*time.Second, func() bool { return deaf.issuer() == testBase+"/mail" })
	require.Less(t, time.Since(begun), 2*time.Second)
}

func TestOlderSetUpInStore(t *testing.T) {
	c := newCluster(t, 2, nil)
	c.setUp(0)
	direct, err := store.NewRedis(c.store.URL(), storetest.Secret)
	require.NoError(t, err)
	defer direct.Close()
	old, err := direct.Get(t.Context(), setupName)
	require.NoError(t, err)
	_, page := c.nodes[0].signInAdmin(adminPassword)
	target, form := c.nodes[0].fill(page, "/admin", "public_url", "public_url", testBase+"/mail")
	c.nodes[0].Post(target, form)
	for _, node := range c.nodes {
		eventually(t, 2*time.Second, func() bool { return node.issuer() == testBase+"/mail" })
	}
	current, err := direct.Get(t.Context(), setupName)
	require.NoError(t, err)
	ok, err := direct.CompareAndSwap(t.Context(), setupName, current, old, 0)
	require.NoError(t, err)
	require.True(t, ok)
	eventually(t, 2*time.Second, func() bool {
		now, err := direct.Get(t.Context(), setupName)
		return err == nil && bytes.Equal(now, current)
	})
	require.Equal(t, 1, c.nodes[0].logged("event=setup_restored", "revision 1")+c.nodes[1].logged("event=setup_restored", "revision 1"))
	for _, node := range c.nodes {
		require.Equal(t, testBase+"/mail", node.issuer())
	}
}

func TestDamagedSetUpInStore(t *testing.T) {
	c := newCluster(t, 0, nil)
	direct, err := store.NewRedis(c.store.URL(), storetest.Secret)
	require.NoError(t, err)
	defer direct.Close()
	_, err = direct.PutIfAbsent(t.Context(), setupName, []byte("{"), 0)
	require.NoError(t, err)
	s := c.start(nil)
	s.awaitLogs(1, "event=store_error", "MAILFRONT_STORE", "damaged")
	response, _ := s.do(http.MethodGet, "/admin", "")
	require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	require.NotContains(t, s.out.String(), "setup ")
}

// While the public URL changes, every answer has the URLs of one base.
func TestNoAnswerMixesTwoBases(t *testing.T) {
	c := newCluster(t, 2, nil)
	c.setUp(0)
	eventually(t, 2*time.Second, func() bool { return c.nodes[1].issuer() == testBase })
	_, page := c.nodes[0].signInAdmin(adminPassword)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, path := range []string{"/.well-known/openid-configuration", "/jmap/session", "/login?x"} {
				request, err := http.NewRequest(http.MethodGet, testBase+path, nil)
				if err != nil {
					t.Error(err)
					return
				}
				request.Header.Set("Authorization", basicAuth(testPassword))
				response, err := c.nodes[1].client.Do(request)
				if err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(response.Body)
				response.Body.Close()
				if err != nil {
					t.Error(err)
				}
				one, other := strings.Count(string(b), testBase+"/one"), strings.Count(string(b), testBase+"/other")
				if one > 0 && other > 0 {
					t.Errorf("%s: %s", path, b)
				}
			}
		}
	}()
	for i := range 6 {
		next := testBase + []string{"/one", "/other"}[i%2]
		target, form := c.nodes[0].fill(page, "/admin", "public_url", "public_url", next)
		response, answer := c.nodes[0].Post(target, form)
		require.Equal(t, http.StatusSeeOther, response.StatusCode, answer)
		eventually(t, 2*time.Second, func() bool { return c.nodes[1].issuer() == next })
		_, page = c.nodes[0].admin()
	}
	close(stop)
	<-done
}

// The store has no key, token, code, password or cookie in clear text.
func TestNothingReadableIsInTheStore(t *testing.T) {
	c := newCluster(t, 2, nil)
	token := c.nodes[1].setupToken()
	c.setUp(0)
	eventually(t, 2*time.Second, func() bool { return c.nodes[1].issuer() == testBase })
	c.nodes[1].signInAdmin(adminPassword)
	cookies := c.jar.Cookies(mustURL(t, testBase+"/admin"))
	require.Len(t, cookies, 1)
	secrets := []string{token, adminPassword, testPassword, storetest.Secret, cookies[0].Value, "PRIVATE KEY", "password", "csrf", testAccount, testBase}

	verifier := oauth2.GenerateVerifier()
	registered := c.register(0)
	waiting := c.nodes[0].SignIn(c.nodes[0].AuthURL(verifier, "client_id", registered)).Get("code") // not exchanged yet
	tokens := c.tokens()
	secrets = append(secrets, waiting, verifier, oauth2.S256ChallengeFromVerifier(verifier), registered)
	for _, name := range []string{"access_token", "refresh_token", "id_token"} {
		text := tokens[name].(string)
		secrets = append(secrets, text)
		secrets = append(secrets, strings.Split(text, ".")...)
	}
	status, tokens := c.nodes[1].Token(url.Values{"grant_type": {"refresh_token"}, "client_id": {signin.BuiltInClient}, "refresh_token": {tokens["refresh_token"].(string)}})
	require.Equal(t, http.StatusOK, status)
	secrets = append(secrets, tokens["refresh_token"].(string), tokens["access_token"].(string))
	if bindable(directIP) { // a ban
		c.nodes[1].comeFromElsewhere()
		for range 12 {
			c.nodes[1].do(http.MethodGet, "/jmap/session", "", "Authorization", basicAuth("a wrong password"))
		}
		secrets = append(secrets, "a wrong password", basicAuth("a wrong password"))
	}
	dump := c.dump()
	for _, name := range []string{"mailfront:setup\n", "mailfront:signin/keys\n", "mailfront:signin/grant/", "mailfront:signin/code/", "mailfront:signin/access/", "mailfront:admin/session/", "mailfront:check\n"} {
		require.Contains(t, dump, name)
	}
	if bindable(directIP) {
		require.Contains(t, dump, "mailfront:ban/"+directIP)
	}
	for name := range c.store.Dump() {
		ttl, ok := c.store.TTL(name)
		forEver := slices.Contains([]string{"mailfront:setup", "mailfront:signin/keys", "mailfront:check", "mailfront:bans-epoch"}, name)
		require.True(t, ok || !forEver, name)
		require.Equal(t, forEver, ok && ttl == 0, "%s is kept for %v", name, ttl)
	}
	for _, secret := range secrets {
		if len(secret) > 4 {
			require.NotContains(t, dump, secret)
		}
	}
}
