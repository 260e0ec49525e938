package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin/signintest"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/store/storetest"
)

// A cluster is several mailfronts in this process that share a real redis-server.
type cluster struct {
	t     *testing.T
	store *storetest.Server
	env   map[string]string
	jar   *cookiejar.Jar // of the browser
	nodes []*site
}

// newCluster starts n nodes on one store, with env for each.
func newCluster(t *testing.T, n int, env map[string]string, redisArgs ...string) *cluster {
	t.Helper()
	needDirect(t) // here, because many tests make their requests on other goroutines
	c := &cluster{t: t, store: storetest.Start(t, redisArgs...)}
	c.env = map[string]string{"MAILFRONT_STORE": c.store.URL(), "MAILFRONT_SECRET": storetest.Secret}
	maps.Copy(c.env, env)
	var err error
	c.jar, err = cookiejar.New(nil)
	require.NoError(t, err)
	for range n {
		c.nodes = append(c.nodes, c.start(nil))
	}
	return c
}

// start starts a node that is not one of c.nodes yet.
func (c *cluster) start(env map[string]string) *site {
	c.t.Helper()
	all := maps.Clone(c.env)
	maps.Copy(all, env)
	base := testBase
	if all["MAILFRONT_PUBLIC_URL"] == "" {
		all["MAILFRONT_PUBLIC_URL"] = " "
	}
	s := newSite(c.t, base, direct, all)
	s.client.Jar = c.jar
	return s
}

// restart ends a node, and starts another in its place.
func (c *cluster) restart(i int) {
	c.t.Helper()
	require.NoError(c.t, c.nodes[i].stop())
	c.nodes[i] = c.start(nil)
}

// setUp completes the set-up on a node.
func (c *cluster) setUp(node int) {
	c.t.Helper()
	status, page := c.nodes[node].setUp(testBase, adminPassword)
	require.Equal(c.t, http.StatusOK, status, page)
}

// eventually waits for a condition of real processes.
func eventually(t *testing.T, within time.Duration, condition func() bool, what ...any) {
	t.Helper()
	require.Eventually(t, condition, within, 10*time.Millisecond, what...)
}

var configured = map[string]string{"MAILFRONT_PUBLIC_URL": testBase}

func TestSignInAcrossNodes(t *testing.T) {
	c := newCluster(t, 3, configured)
	registered := c.register(0)
	for i := range 100 {
		node := func(step int) *site { return c.nodes[(i+step)%3] }
		// The node that showed the form ends, and so does the one that made the code.
		restart := func(step int) {
			if i%20 == step {
				c.restart((i + step) % 3)
			}
		}
		verifier := oauth2.GenerateVerifier()
		client := signin.BuiltInClient
		if i%2 == 1 {
			client = registered
		}
		action, form := node(0).Open(node(0).AuthURL(verifier, "client_id", client))
		restart(0)
		form.Set("username", testAccount)
		form.Set("password", testPassword)
		response, page := node(1).Post(action, form)
		require.Equal(t, http.StatusSeeOther, response.StatusCode, "sign-in %d: %s", i, page)
		code := signintest.CodeForm(node(1).SentBack(response).Get("code"), verifier)
		code.Set("client_id", client)
		restart(1)
		status, tokens := node(2).Token(code)
		require.Equal(t, http.StatusOK, status, "sign-in %d: %v", i, tokens)
		restart(2)
		response, page = node(3).do(http.MethodGet, "/jmap/session", "", "Authorization", "Bearer "+tokens["access_token"].(string))
		require.Equal(t, http.StatusOK, response.StatusCode, "sign-in %d: %s", i, page)
		status, tokens = node(4).Token(url.Values{"grant_type": {"refresh_token"}, "client_id": {client}, "refresh_token": {tokens["refresh_token"].(string)}})
		require.Equal(t, http.StatusOK, status, "sign-in %d: %v", i, tokens)
		response, _ = node(5).do(http.MethodGet, "/auth/userinfo", "", "Authorization", "Bearer "+tokens["access_token"].(string))
		require.Equal(t, http.StatusOK, response.StatusCode, "sign-in %d", i)
	}
	for _, path := range []string{"/auth/jwks.json", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		_, first := c.nodes[0].do(http.MethodGet, path, "")
		for _, node := range c.nodes {
			response, document := node.do(http.MethodGet, path, "")
			require.Equal(t, http.StatusOK, response.StatusCode, path)
			require.JSONEq(t, first, document, path)
		}
	}
}

// register registers a client on a node.
func (c *cluster) register(node int) (id string) {
	c.t.Helper()
	response, body := c.nodes[node].do(http.MethodPost, "/auth/register", `{"redirect_uris":["`+signintest.Redirect+`"]}`, "Content-Type", "application/json")
	require.Equal(c.t, http.StatusCreated, response.StatusCode, body)
	var registered struct {
		ID string `json:"client_id"`
	}
	require.NoError(c.t, json.Unmarshal([]byte(body), &registered))
	return registered.ID
}

// tokens signs in on node 0.
func (c *cluster) tokens() map[string]any {
	c.t.Helper()
	verifier := oauth2.GenerateVerifier()
	s := c.nodes[0]
	status, tokens := s.Token(signintest.CodeForm(s.SignIn(s.AuthURL(verifier)).Get("code"), verifier))
	require.Equal(c.t, http.StatusOK, status, tokens)
	return tokens
}

func TestAStolenTokenIsNoticedOnAnyNode(t *testing.T) {
	c := newCluster(t, 3, configured)
	userinfo := func(node int, tokens map[string]any) int {
		response, _ := c.nodes[node].do(http.MethodGet, "/auth/userinfo", "", "Authorization", "Bearer "+tokens["access_token"].(string))
		return response.StatusCode
	}
	refresh := func(node int, tokens map[string]any) (int, map[string]any) {
		return c.nodes[node].Token(url.Values{"grant_type": {"refresh_token"}, "client_id": {signin.BuiltInClient}, "refresh_token": {tokens["refresh_token"].(string)}})
	}
	t.Run("an old refresh token ends the sign-in", func(t *testing.T) {
		first := c.tokens()
		status, second := refresh(1, first)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, http.StatusOK, userinfo(2, second))
		status, got := refresh(2, first)
		require.Equal(t, http.StatusBadRequest, status)
		require.Equal(t, "invalid_grant", got["error"])
		for node := range c.nodes {
			require.Equal(t, http.StatusUnauthorized, userinfo(node, second))
		}
		status, _ = refresh(0, second)
		require.Equal(t, http.StatusBadRequest, status)
	})
	t.Run("a code works once, on one of many nodes at the same time", func(t *testing.T) {
		verifier := oauth2.GenerateVerifier()
		form := signintest.CodeForm(c.nodes[0].SignIn(c.nodes[0].AuthURL(verifier)).Get("code"), verifier)
		statuses := make(chan int, 9)
		for i := range cap(statuses) {
			go func() {
				request, err := http.NewRequest(http.MethodPost, testBase+"/auth/token", strings.NewReader(form.Encode()))
				if err != nil {
					statuses <- 0
					return
				}
				request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				response, err := c.nodes[i%3].client.Do(request)
				if err != nil {
					statuses <- 0
					return
				}
				response.Body.Close()
				statuses <- response.StatusCode
			}()
		}
		count := make(map[int]int)
		for range cap(statuses) {
			count[<-statuses]++
		}
		require.LessOrEqual(t, count[http.StatusOK], 1, count)
		require.Equal(t, cap(statuses), count[http.StatusOK]+count[http.StatusBadRequest], count)
	})
}

func TestAdministratorSessionOnAllNodes(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.setUp(0)
	status, page := c.nodes[1].signInAdmin(adminPassword)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, page, "Sign out")
	for range 2 {
		for _, node := range c.nodes {
			status, page = node.admin()
			require.Equal(t, http.StatusOK, status)
			require.Contains(t, page, "Sign out")
			require.Contains(t, page, "for all nodes")
		}
	}
	c.restart(1)
	_, page = c.nodes[1].admin()
	require.Contains(t, page, "Sign out", "a restart ends no session")

	target, form := c.nodes[2].fill(page, "/admin", "admin/sign-out")
	cookies := c.jar.Cookies(mustURL(t, testBase+"/admin"))
	require.Len(t, cookies, 1)
	response, _ := c.nodes[2].Post(target, form)
	require.Equal(t, http.StatusSeeOther, response.StatusCode)
	for i, node := range c.nodes {
		response, _ := node.do(http.MethodGet, "/admin/debug", "", "Cookie", sessionCookie+"="+cookies[0].Value)
		require.Equal(t, http.StatusSeeOther, response.StatusCode, "node %d: the session has ended", i)
	}
}

func TestASetUpOnOneNodeIsTheSetUpOfAll(t *testing.T) {
	c := newCluster(t, 3, nil)
	_, page := c.nodes[1].admin()
	target, form := c.nodes[1].fill(page, "/admin", "token",
		"token", c.nodes[1].setupToken(), "public_url", "https://attacker.example", "password", nextPassword, "password_again", nextPassword)
	c.setUp(0)

	t.Run("an attempt on another node is refused at once", func(t *testing.T) {
		response, page := c.nodes[1].Post(target, form)
		require.Contains(t, []int{http.StatusForbidden, http.StatusConflict}, response.StatusCode)
		require.Contains(t, page, "The set-up is complete")
	})
	t.Run("every node serves the URL within two seconds", func(t *testing.T) {
		for _, node := range c.nodes {
			eventually(t, 2*time.Second, func() bool { return node.issuer() == testBase })
			status, page := node.admin()
			require.Equal(t, http.StatusOK, status)
			require.NotContains(t, page, "Set-up token")
			response, page := node.Post(target, form)
			require.Equal(t, http.StatusForbidden, response.StatusCode)
			require.Contains(t, page, "The set-up is complete")
		}
	})
	t.Run("a node that joins is set up", func(t *testing.T) {
		node := c.start(nil)
		require.Equal(t, testBase, node.issuer())
		require.True(t, node.out.await(node.ctx, 1, "mode normal base "+testBase))
		require.NotContains(t, node.out.String(), "setup ")
		status, _ := node.signInAdmin(adminPassword)
		require.Equal(t, http.StatusOK, status)
	})
	for _, node := range c.nodes {
		require.NotContains(t, node.log.String(), adminPassword)
		require.NotContains(t, node.log.String(), storetest.Secret)
	}
}

func TestOfTwoSetUpsAtTheSameTimeOneWins(t *testing.T) {
	c := newCluster(t, 3, nil)
	type attempt struct {
		status int
		page   string
	}
	attempts := make(chan attempt, len(c.nodes))
	start := make(chan bool)
	for i, node := range c.nodes {
		_, page := node.admin()
		target, form := node.fill(page, "/admin", "token",
			"token", node.setupToken(), "public_url", fmt.Sprintf("https://node%d.example.test", i), "password", adminPassword, "password_again", adminPassword)
		request, err := http.NewRequest(http.MethodPost, target, strings.NewReader(form.Encode()))
		require.NoError(t, err)
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		go func() {
			<-start
			response, err := node.client.Do(request)
			if err != nil {
				attempts <- attempt{page: err.Error()}
				return
			}
			defer response.Body.Close()
			attempts <- attempt{status: response.StatusCode}
		}()
	}
	close(start)
	count := make(map[int]int)
	for range c.nodes {
		count[(<-attempts).status]++
	}
	require.Equal(t, 1, count[http.StatusSeeOther], count)
	require.Equal(t, 2, count[http.StatusConflict]+count[http.StatusForbidden], count)
	eventually(t, 2*time.Second, func() bool {
		return c.nodes[0].issuer() != "" && c.nodes[0].issuer() == c.nodes[1].issuer() && c.nodes[1].issuer() == c.nodes[2].issuer()
	})
}

func TestPublicURLOnAllNodes(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.setUp(0)
	_, page := c.nodes[0].signInAdmin(adminPassword)
	for i, next := range []string{testBase + "/mail", testBase + "/other", testBase} {
		target, form := c.nodes[i].fill(page, "/admin", "public_url", "public_url", next)
		response, answer := c.nodes[i].Post(target, form)
		require.Equal(t, http.StatusSeeOther, response.StatusCode, answer)
		require.Equal(t, next, c.nodes[i].issuer())
		for _, node := range c.nodes {
			eventually(t, 2*time.Second, func() bool { return node.issuer() == next })
		}
		// The next change is made on another node, which shows the new URL.
		_, page = c.nodes[(i+1)%3].do(http.MethodGet, "/admin", "")
		require.Contains(t, page, `data-published="`+next+`"`)
	}
	c.restart(2)
	require.Equal(t, testBase, c.nodes[2].issuer())
}

// dump returns the names and values in the store.
func (c *cluster) dump() string {
	c.t.Helper()
	var all strings.Builder
	for name, value := range c.store.Dump() {
		fmt.Fprintf(&all, "%s\n%s\n", name, value)
	}
	return all.String()
}
