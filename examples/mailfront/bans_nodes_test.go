//go:build unix

package main

import (
	"fmt"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
)

// The wait is long, for slow machines. Package guard tests the default.
func init() { guard.DefaultLimits.StoreWait = 500 * time.Millisecond }

func TestBanForGuessesOverThreeNodes(t *testing.T) {
	needDirect(t)
	c := newCluster(t, 3, nil)
	c.setUp(0)
	status, _ := c.nodes[1].signInAdmin(adminPassword)
	require.Equal(t, http.StatusOK, status)
	for i := range 12 {
		node := c.nodes[i%3]
		if i >= 10 { // the node gets the ban from the store when the client connects
			require.Empty(t, newScript(t, node.dial(directIP, "imaps")).end(), i)
			continue
		}
		s := newScript(t, onTLS(t, node.dial(directIP, "imaps")))
		s.line()
		s.send("a LOGIN %s wrong\r\n", testAccount)
		want := `^a NO \[AUTHENTICATIONFAILED\]`
		if i == 9 {
			want = `^a NO \[UNAVAILABLE\] Too many logins: try again in 1[45]m`
		}
		require.Regexp(t, want, s.line(), i)
		s.Close()
	}
	for i, node := range c.nodes {
		eventually(t, 2*time.Second, node.isBanned, fmt.Sprintf("node %d", i))
		for _, listener := range []string{"smtp", "imap", "pop3", "submission"} {
			require.Empty(t, newScript(t, node.dial(directIP, listener)).end(), listener)
		}
	}
	_, page := c.nodes[2].do(http.MethodGet, "/admin", "")
	require.Contains(t, page, "<h2>Bans: 1</h2>")
	require.Contains(t, page, "Every node refuses them.")
	target, form := c.nodes[2].fill(page, "/admin", "address")
	response, page := c.nodes[2].Post(target, form)
	require.Equal(t, http.StatusOK, response.StatusCode, page)
	for i, node := range c.nodes {
		eventually(t, 2*time.Second, func() bool { return !node.isBanned() }, fmt.Sprintf("node %d", i))
	}
	response, page = c.nodes[2].Post(target, form)
	requireNoBan(t, response, page)
}

func TestConcurrentGuessesAtAllNodes(t *testing.T) {
	needDirect(t)
	c := newCluster(t, 3, configured)
	var all sync.WaitGroup
	for _, node := range c.nodes {
		node.comeFromElsewhere()
		for range 20 {
			all.Go(func() {
				r, err := http.NewRequest(http.MethodGet, testBase+"/jmap/session", nil)
				if err != nil {
					t.Error(err)
					return
				}
				r.SetBasicAuth(testAccount, "wrong")
				if response, err := node.client.Do(r); err == nil { // else it is closed at accept
					response.Body.Close()
				}
			})
		}
	}
	all.Wait()
	compared, bans := 0, 0
	for _, node := range c.nodes {
		compared += node.logged("event=login_failed")
		bans += node.logged("event=ban ")
	}
	require.GreaterOrEqual(t, compared, 10)
	require.LessOrEqual(t, compared, 10+len(c.nodes))
	require.GreaterOrEqual(t, bans, 1)
	for i, node := range c.nodes {
		eventually(t, 2*time.Second, node.isBanned, fmt.Sprintf("node %d", i))
	}
}

func TestLimitsAndBansWhileTheStoreIsAway(t *testing.T) {
	needDirect(t)
	for name, fault := range map[string]struct{ begin, end func(*cluster) }{
		"killed": {begin: func(c *cluster) { c.store.Kill() }, end: func(c *cluster) { c.store.Restart() }},
		"paused": {
			begin: func(c *cluster) { require.NoError(c.t, c.store.Signal(syscall.SIGSTOP)) },
			end:   func(c *cluster) { require.NoError(c.t, c.store.Signal(syscall.SIGCONT)) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 2, configured, "--appendonly", "yes", "--appendfsync", "always")
			guess := func(node *site, times int, want string) {
				for i := range times {
					s := newScript(t, onTLS(t, node.dial(directIP, "imaps")))
					s.line()
					s.send("a LOGIN %s wrong\r\n", testAccount)
					require.Regexp(t, want, s.line(), i)
					s.Close()
				}
			}
			guess(c.nodes[0], 4, "^a NO .AUTHENTICATIONFAILED. ")
			fault.begin(c)
			guess(c.nodes[0], 5, "^a NO .AUTHENTICATIONFAILED. ")
			guess(c.nodes[0], 1, "^a NO .UNAVAILABLE. Too many logins")
			require.Empty(t, newScript(t, c.nodes[0].dial(directIP, "imap")).end(), "the node's own ban")
			for _, node := range c.nodes { // mail continues
				newScript(t, node.dial(proxyIP, "smtp")).until("220 ")
			}
			c.nodes[0].awaitLogs(1, "event=limits_alone")
			fault.end(c)
			for i, node := range c.nodes {
				eventually(t, 10*time.Second, func() bool { return node.logged("event=limits_alone") == node.logged("event=limits_shared") }, i)
				eventually(t, 10*time.Second, node.isBanned, "node %d learns the ban", i)
			}
			require.Equal(t, 1, c.nodes[0].logged("event=limits_alone"))
		})
	}
}
