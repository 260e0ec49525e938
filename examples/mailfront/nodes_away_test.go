//go:build unix

package main

import (
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin/signintest"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/store/storetest"
)

// An appRequest is a request of an application or browser.
type appRequest struct {
	name, method, target, body, contentType, authorization string
}

const formType = "application/x-www-form-urlencoded"

// needStore returns requests that need the store, and others that do not.
func (c *cluster) requests(node int) (needStore, others []appRequest) {
	c.t.Helper()
	s := c.nodes[node]
	verifier := oauth2.GenerateVerifier()
	action, form := s.Open(s.AuthURL(verifier))
	form.Set("username", testAccount)
	form.Set("password", testPassword)
	code := signintest.CodeForm(s.SignIn(s.AuthURL(verifier)).Get("code"), verifier)
	tokens := c.tokens()
	bearer := "Bearer " + tokens["access_token"].(string)
	refresh := url.Values{"grant_type": {"refresh_token"}, "client_id": {signin.BuiltInClient}, "refresh_token": {tokens["refresh_token"].(string)}}
	needStore = []appRequest{
		{name: "sign-in page", method: "GET", target: s.AuthURL(verifier)},
		{name: "password", method: "POST", target: action, body: form.Encode(), contentType: formType},
		{name: "wrong password", method: "POST", target: action, body: form.Encode() + "x", contentType: formType},
		{name: "code", method: "POST", target: "/auth/token", body: code.Encode(), contentType: formType},
		{name: "refresh token", method: "POST", target: "/auth/token", body: refresh.Encode(), contentType: formType},
		{name: "userinfo", method: "GET", target: "/auth/userinfo", authorization: bearer},
		{name: "JMAP session with a token", method: "GET", target: "/jmap/session", authorization: bearer},
		{name: "JMAP with a token", method: "POST", target: "/jmap/", body: "{}", contentType: "application/json", authorization: bearer},
		{name: "DAV with a token", method: "PROPFIND", target: "/dav/cal/", authorization: bearer},
		{name: "administration", method: "GET", target: "/admin"},
		{name: "administrator's password", method: "POST", target: "/admin/sign-in", body: url.Values{"password": {adminPassword}}.Encode(), contentType: formType},
		{name: "set-up", method: "POST", target: "/admin/setup", body: "token=x", contentType: formType},
		{name: "numbers", method: "GET", target: "/admin/debug"},
	}
	others = []appRequest{
		{name: "discovery document", method: "GET", target: "/.well-known/openid-configuration"},
		{name: "protected resource", method: "GET", target: "/.well-known/oauth-protected-resource"},
		{name: "keys", method: "GET", target: "/auth/jwks.json"},
		{name: "JMAP session with the password", method: "GET", target: "/jmap/session", authorization: basicAuth(testPassword)},
	}
	return needStore, others
}

func (s *site) request(r appRequest) (*http.Response, string) {
	s.t.Helper()
	return s.do(r.method, r.target, r.body, "Content-Type", r.contentType, "Authorization", r.authorization)
}

func TestServiceWhileStoreIsAway(t *testing.T) {
	for _, outage := range []struct {
		name       string
		begin, end func(*storetest.Server)
	}{
		{name: "stopped",
			begin: func(s *storetest.Server) { s.Kill() },
			end:   func(s *storetest.Server) { s.Restart() }},
		{name: "paused",
			begin: func(s *storetest.Server) { s.Signal(syscall.SIGSTOP) },
			end:   func(s *storetest.Server) { s.Signal(syscall.SIGCONT) }},
	} {
		t.Run(outage.name, func(t *testing.T) {
			c := newCluster(t, 2, nil, "--appendonly", "yes", "--appendfsync", "always")
			c.setUp(0)
			eventually(t, 2*time.Second, func() bool { return c.nodes[1].issuer() == testBase })
			c.nodes[1].signInAdmin(adminPassword)
			needStore, others := c.requests(1)
			token := c.tokens()["access_token"].(string)
			s := c.nodes[1]
			outage.begin(c.store)
			t.Cleanup(func() { c.store.Signal(syscall.SIGCONT) })
			for range 2 {
				var all sync.WaitGroup
				for _, r := range needStore {
					all.Go(func() {
						begun := time.Now()
						response, body := s.request(r)
						assert.Equal(t, http.StatusServiceUnavailable, response.StatusCode, "%s: %s", r.name, body)
						assert.NotEmpty(t, response.Header.Get("Retry-After"), r.name)
						assert.Empty(t, response.Header.Get("WWW-Authenticate"), r.name)
						assert.Less(t, time.Since(begun), 2*time.Second, r.name)
					})
				}
				all.Wait()
				for _, r := range others {
					response, body := s.request(r)
					require.Equal(t, http.StatusOK, response.StatusCode, "%s: %s", r.name, body)
				}
				for listener, signIn := range tokenClients {
					_, answer := signIn(mailGreeted(s, listener), "OAUTHBEARER", saslBearer("", token))
					require.Regexp(t, tokenPutOff[listener], answer)
				}
				require.Regexp(t, loggedIn["imap"], logins["imap"](mailGreeted(s, "imaps")))
				s.deliverBySMTP("while the store is away")
			}
			s.awaitLogs(1, "event=store_away", "MAILFRONT_STORE")
			require.Zero(t, s.logged("event=wrong_login"), s.log)
			require.Zero(t, s.logged("request failed"), s.log)

			outage.end(c.store)
			s.awaitLogs(1, "event=store_back", "MAILFRONT_STORE")
			for listener, signIn := range tokenClients {
				_, answer := signIn(mailGreeted(s, listener), "OAUTHBEARER", saslBearer("", token))
				require.Regexp(t, tokenAccepted[listener], answer)
			}
			for _, r := range needStore {
				response, body := s.request(r)
				require.NotEqual(t, http.StatusServiceUnavailable, response.StatusCode, "%s: %s", r.name, body)
			}
			status, page := s.admin()
			require.Equal(t, http.StatusOK, status)
			require.Contains(t, page, "Sign out", "the session was kept")
			c.tokens()
		})
	}
}

// mailGreeted is a connection with TLS, after the greeting.
func mailGreeted(s *site, listener string) *script {
	s.t.Helper()
	c := newScript(s.t, onTLS(s.t, s.direct(listener)))
	greet(c, listener)
	return c
}

func TestRequestsWhileStoreIsPaused(t *testing.T) {
	c := newCluster(t, 1, configured)
	s := c.nodes[0]
	request := s.AuthURL(oauth2.GenerateVerifier())
	const clients = 100
	transport := s.client.Transport.(*http.Transport)
	transport.MaxIdleConnsPerHost = clients
	var all, connected sync.WaitGroup
	connected.Add(clients)
	paused := make(chan bool)
	for range clients {
		all.Go(func() {
			response, err := s.client.Get(testBase + "/whoami") // opens a connection
			connected.Done()
			<-paused
			if !assert.NoError(t, err) {
				return
			}
			io.Copy(io.Discard, response.Body)
			response.Body.Close()
			begun := time.Now()
			response, err = s.client.Get(request)
			if !assert.NoError(t, err) {
				return
			}
			response.Body.Close()
			assert.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
			assert.Less(t, time.Since(begun), 2*time.Second)
		})
	}
	connected.Wait()
	c.store.Signal(syscall.SIGSTOP)
	t.Cleanup(func() { c.store.Signal(syscall.SIGCONT) })
	close(paused)
	all.Wait()
	c.store.Signal(syscall.SIGCONT)
	s.awaitLogs(1, "event=store_back")
	s.Open(request)
}

func TestANodeThatStartsWithoutItsStore(t *testing.T) {
	c := newCluster(t, 1, map[string]string{"MAILFRONT_LISTEN_HEALTH": "127.0.0.1:0", "MAILFRONT_DRAIN": "0s"})
	file := stateIn(t)
	withCopy := c.start(map[string]string{"MAILFRONT_STATE": file})
	c.setUp(0)
	eventually(t, 2*time.Second, func() bool { return withCopy.issuer() == testBase })
	require.NoError(t, withCopy.stop())
	c.store.Kill()

	status := func(s *site, path string) (int, http.Header) {
		s.t.Helper()
		response, _ := s.do(http.MethodGet, path, "")
		return response.StatusCode, response.Header
	}
	empty := c.start(nil)
	for _, path := range []string{"/.well-known/openid-configuration", "/api/discover", "/admin", "/x/admin", "/login", "/jmap/session", "/auth/jwks.json", "/"} {
		code, header := status(empty, path)
		require.Equal(t, http.StatusServiceUnavailable, code, path)
		require.NotEmpty(t, header.Get("Retry-After"), path)
	}
	require.True(t, empty.out.await(empty.ctx, 1, "mode waiting base none yet"), empty.out)
	require.NotContains(t, empty.out.String(), "setup ")
	code, _ := healthOf(t, empty, "/healthz/ready")
	require.Equal(t, http.StatusServiceUnavailable, code)
	code, _ = healthOf(t, empty, "/healthz/live")
	require.Equal(t, http.StatusOK, code)
	empty.awaitLogs(1, "event=store_away", "MAILFRONT_STORE")
	empty.deliverBySMTP("mail needs no set-up")

	withCopy = c.start(map[string]string{"MAILFRONT_STATE": file})
	require.Equal(t, testBase, withCopy.issuer(), "from the copy in the file")
	code, _ = status(withCopy, "/admin")
	require.Equal(t, http.StatusServiceUnavailable, code)

	set := c.start(map[string]string{"MAILFRONT_PUBLIC_URL": testBase + "/set"})
	require.Equal(t, testBase+"/set", set.issuer(), "from the setting")

	// The store returns without its data. The nodes that have seen the set-up restore it.
	c.store.Restart()
	eventually(t, 5*time.Second, func() bool {
		code, _ := status(empty, "/.well-known/openid-configuration")
		return code == http.StatusOK && empty.issuer() == testBase
	}, "%v", empty.log)
	require.Equal(t, testBase+"/set", set.issuer(), "the setting wins until the public URL is changed")
	code, _ = healthOf(t, empty, "/healthz/ready")
	require.Equal(t, http.StatusOK, code)
	signedIn, page := empty.signInAdmin(adminPassword)
	require.Equal(t, http.StatusOK, signedIn, page)
	for _, node := range []*site{empty, withCopy, set, c.nodes[0]} {
		eventually(t, 5*time.Second, func() bool { _, page := node.admin(); return strings.Contains(page, "Sign out") })
	}
}

func healthOf(t *testing.T, s *site, path string) (int, string) {
	t.Helper()
	require.True(t, s.out.await(s.ctx, 1, "health "))
	m := regexp.MustCompile(`(?m)^health +(\S+)`).FindStringSubmatch(s.out.String())
	require.NotNil(t, m, s.out)
	response, err := http.Get("http://" + m[1] + path)
	require.NoError(t, err)
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(b)
}

func TestNodeStartsBeforeNewStore(t *testing.T) {
	c := newCluster(t, 0, nil)
	c.store.Kill()
	s := c.start(nil)
	response, _ := s.do(http.MethodGet, "/admin", "")
	require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	c.store.Restart()
	require.True(t, s.out.await(s.ctx, 1, "setup "), "the token is printed when it is known that there is no state")
	status, page := s.setUp(testBase, adminPassword)
	require.Equal(t, http.StatusOK, status, page)
	require.Equal(t, testBase, s.issuer())

	t.Run("while the store is away a node without state does not offer the set-up", func(t *testing.T) {
		c := newCluster(t, 1, nil)
		s := c.nodes[0]
		s.setupToken()
		c.store.Kill()
		for _, path := range []string{"/admin", "/api/discover"} {
			eventually(t, 5*time.Second, func() bool {
				response, _ := s.do(http.MethodGet, path, "")
				return response.StatusCode == http.StatusServiceUnavailable
			})
		}
		c.store.Restart()
		eventually(t, 5*time.Second, func() bool { status, _ := s.admin(); return status == http.StatusOK })
		status, _ := s.setUp(testBase, adminPassword) // with the same token
		require.Equal(t, http.StatusOK, status)
	})
	t.Run("MODE=normal never offers it", func(t *testing.T) {
		c := newCluster(t, 0, nil)
		s := c.start(map[string]string{"MAILFRONT_MODE": "normal"})
		response, _ := s.do(http.MethodGet, "/admin", "")
		require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
		other := c.start(nil)
		other.setUp(testBase, adminPassword)
		eventually(t, 2*time.Second, func() bool {
			response, _ := s.do(http.MethodGet, "/api/discover", "")
			return response.StatusCode == http.StatusOK && s.issuer() == testBase
		})
	})
}

func TestAnEmptyStoreIsFilledAgain(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.setUp(0)
	for _, node := range c.nodes {
		eventually(t, 2*time.Second, func() bool { return node.issuer() == testBase })
	}
	c.nodes[0].signInAdmin(adminPassword)
	tokens := c.tokens()
	_, keys := c.nodes[0].do(http.MethodGet, "/auth/jwks.json", "")
	client := c.register(0)
	eventually(t, 2*time.Second, func() bool { return strings.Count(c.dump(), "signin/keys") == 1 })
	for _, node := range c.nodes { // so that each has seen the keys
		response, _ := node.do(http.MethodGet, "/auth/jwks.json", "")
		require.Equal(t, http.StatusOK, response.StatusCode)
	}
	c.store.Flush()
	restored := func(event string) (n int) {
		for _, node := range c.nodes {
			n += node.logged("event="+event, "MAILFRONT_STORE", "lost")
		}
		return n
	}
	eventually(t, 2*time.Second, func() bool { return restored("setup_restored") == 1 && restored("keys_restored") == 1 }, "%d %d\n%v\n%v\n%v", restored("setup_restored"), restored("keys_restored"), c.nodes[0].log, c.nodes[1].log, c.nodes[2].log)
	late := c.start(nil)
	c.nodes = append(c.nodes, late)
	for i, node := range c.nodes {
		require.Equal(t, testBase, node.issuer())
		_, again := node.do(http.MethodGet, "/auth/jwks.json", "")
		require.JSONEq(t, keys, again)
		response, _ := node.do(http.MethodGet, "/auth/userinfo", "", "Authorization", "Bearer "+tokens["access_token"].(string))
		require.Equal(t, http.StatusUnauthorized, response.StatusCode, "users sign in again: node %d", i)
		_, page := node.admin()
		require.NotContains(t, page, "Sign out")
	}
	c.tokens()
	status, _ := late.signInAdmin(adminPassword)
	require.Equal(t, http.StatusOK, status)
	_, form := late.Open(late.AuthURL(oauth2.GenerateVerifier(), "client_id", client))
	require.NotEmpty(t, form, "registered clients are known")
	require.Equal(t, 1, restored("setup_restored"))
}

func TestStateFileIsCopyOfStore(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "state.json")
	alone := newAdminSite(t, testBase, direct, map[string]string{"MAILFRONT_STATE": file})
	alone.setUp(testBase, adminPassword)
	require.NoError(t, alone.stop())

	t.Run("the set-up of a single node is put into an empty store", func(t *testing.T) {
		c := newCluster(t, 0, nil)
		s := c.start(map[string]string{"MAILFRONT_STATE": file})
		require.Equal(t, testBase, s.issuer())
		s.awaitLogs(1, "event=setup_restored", "MAILFRONT_STATE")
		other := c.start(nil)
		require.Equal(t, testBase, other.issuer())
		status, page := other.signInAdmin(adminPassword)
		require.Equal(t, http.StatusOK, status)
		target, form := other.fill(page, "/admin", "public_url", "public_url", testBase+"/mail")
		other.Post(target, form)
		eventually(t, 2*time.Second, func() bool {
			kept, err := stateFile{file}.load()
			return err == nil && kept.PublicURL == testBase+"/mail" && kept.Revision == 2
		})
		require.NoFileExists(t, file+".old")
	})
	t.Run("another set-up in the store wins, and the file is kept under another name", func(t *testing.T) {
		c := newCluster(t, 1, nil)
		c.nodes[0].setUp("https://new.example.test", nextPassword)
		s := c.start(map[string]string{"MAILFRONT_STATE": file})
		require.Equal(t, "https://new.example.test", s.issuer())
		status, _ := s.signInAdmin(nextPassword)
		require.Equal(t, http.StatusOK, status)
		old, err := stateFile{file + ".old"}.load()
		require.NoError(t, err)
		require.Equal(t, testBase+"/mail", old.PublicURL)
		require.True(t, isPassword(old.PasswordHash, adminPassword))
	})
}

func TestRecoveryOnAllNodes(t *testing.T) {
	c := newCluster(t, 2, nil)
	c.setUp(0)
	c.nodes[1].signInAdmin(adminPassword)
	recovery := c.start(map[string]string{"MAILFRONT_MODE": "recovery"})
	again := c.start(map[string]string{"MAILFRONT_MODE": "recovery"})
	require.Empty(t, recovery.issuer())
	require.Equal(t, testBase, c.nodes[0].issuer())
	const next = "https://next.example.test"
	status, page := recovery.setUp(next, nextPassword)
	require.Equal(t, http.StatusOK, status, page)
	for _, node := range append(c.nodes, recovery, again) {
		eventually(t, 2*time.Second, func() bool { return node.issuer() == next })
		_, page := node.admin()
		require.NotContains(t, page, "Sign out", "sessions of the old password have ended")
		require.NotContains(t, page, "Set-up token")
	}
	status, _ = c.nodes[0].signInAdmin(adminPassword)
	require.Equal(t, http.StatusForbidden, status)
	status, _ = again.signInAdmin(nextPassword)
	require.Equal(t, http.StatusOK, status)
}

func TestNodeWithAnotherSecret(t *testing.T) {
	c := newCluster(t, 1, nil)
	env := maps.Clone(c.env)
	env["MAILFRONT_SECRET"] = otherSecret
	err := run(t.Context(), nil, lookup(env), io.Discard, io.Discard, make(chan os.Signal))
	require.ErrorContains(t, err, "add the secret of the other nodes to MAILFRONT_SECRET")
	require.NotContains(t, err.Error(), otherSecret)
	env["MAILFRONT_SECRET"] = otherSecret + " " + storetest.Secret
	s := c.start(env)
	require.Equal(t, c.nodes[0].issuer(), s.issuer())
}
