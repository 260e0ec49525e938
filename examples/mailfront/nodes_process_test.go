//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin/signintest"
)

// TestMain makes this binary a mailfront if a test starts a separate process.
func TestMain(m *testing.M) {
	if os.Getenv("PORTICO_TEST_PROCESS") == "mailfront" {
		main()
		return
	}
	os.Exit(m.Run())
}

// A process is a node that can be stopped and killed.
type process struct {
	*site
	cmd *exec.Cmd
}

// startProcess starts a node of the cluster as a process of its own.
func (c *cluster) startProcess(env map[string]string) *process {
	t := c.t
	t.Helper()
	all := map[string]string{"MAILFRONT_TRUSTED_PROXIES": " ", "MAILFRONT_DEMO_PASSWORD": testPassword, "MAILFRONT_LOG": "debug"}
	maps.Copy(all, c.env)
	maps.Copy(all, env)
	r := &running{t: t, address: make(map[string]string), out: newLogBuffer(), log: newLogBuffer(), ctx: t.Context()}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PORTICO_TEST_PROCESS=mailfront")
	for name, value := range all {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = r.log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	lines := bufio.NewScanner(stdout)
	for range 1 + len(listenerNames) {
		require.True(t, lines.Scan(), "the process does not start: %v", r.log)
		fields := strings.Fields(lines.Text())
		r.address[fields[0]] = fields[1]
	}
	go func() {
		for lines.Scan() {
			fmt.Fprintln(r.out, lines.Text())
		}
	}()
	s := siteOf(t, r, testBase, direct)
	s.client.Jar = c.jar
	return &process{s, cmd}
}

func (p *process) kill() { p.cmd.Process.Kill(); p.cmd.Wait() }

func TestKilledNodeLosesNoSignIn(t *testing.T) {
	c := newCluster(t, 0, configured)
	nodes := []*process{c.startProcess(nil), c.startProcess(nil), c.startProcess(nil)}
	lost := 0
	for i := range 9 {
		node := func(step int) *process { return nodes[(i+step)%3] }
		kill := func(step int) {
			if i%3 == step {
				node(step).kill()
				nodes[(i+step)%3] = c.startProcess(nil)
			}
		}
		verifier := oauth2.GenerateVerifier()
		action, form := node(0).Open(node(0).AuthURL(verifier))
		kill(0)
		form.Set("username", testAccount)
		form.Set("password", testPassword)
		response, page := node(1).Post(action, form)
		require.Equal(t, http.StatusSeeOther, response.StatusCode, page)
		code := node(1).SentBack(response).Get("code")
		kill(1)
		status, tokens := node(2).Token(signintest.CodeForm(code, verifier))
		require.Equal(t, http.StatusOK, status, tokens)
		kill(2)
		status, tokens = node(3).Token(url.Values{"grant_type": {"refresh_token"}, "client_id": {signin.BuiltInClient}, "refresh_token": {tokens["refresh_token"].(string)}})
		if status != http.StatusOK {
			lost++
		}
		response, _ = node(4).do(http.MethodGet, "/auth/userinfo", "", "Authorization", "Bearer "+tokens["access_token"].(string))
		if response.StatusCode != http.StatusOK {
			lost++
		}
	}
	require.Zero(t, lost)
}

func TestPausedNodeKeepsNewerState(t *testing.T) {
	c := newCluster(t, 2, nil)
	c.setUp(0)
	paused := c.startProcess(nil)
	require.Equal(t, testBase, paused.issuer())
	_, page := c.nodes[0].signInAdmin(adminPassword)
	change := func(next string) {
		t.Helper()
		target, form := c.nodes[0].fill(page, "/admin", "public_url", "public_url", next)
		response, answer := c.nodes[0].Post(target, form)
		require.Equal(t, http.StatusSeeOther, response.StatusCode, answer)
		_, page = c.nodes[0].do(http.MethodGet, testBase+"/admin", "")
	}
	all := append(c.nodes, paused.site)
	for i, empty := range []bool{false, true, true} {
		next := fmt.Sprintf("%s/%d", testBase, i)
		require.NoError(t, paused.cmd.Process.Signal(syscall.SIGSTOP))
		change(next)
		if empty {
			c.store.Flush() // the paused node may be the first to restore the state
		}
		require.NoError(t, paused.cmd.Process.Signal(syscall.SIGCONT))
		if empty {
			// The session is lost with everything else.
			eventually(t, 5*time.Second, func() bool { status, _ := c.nodes[0].do(http.MethodGet, "/admin", ""); return status.StatusCode == 200 })
			_, page = c.nodes[0].signInAdmin(adminPassword)
		}
		// The state must also survive the next polls, so time has to pass.
		polls := time.NewTicker(pollInterval / 2)
		for range 3 {
			for _, node := range all {
				eventually(t, 3*time.Second, func() bool { return node.issuer() == next }, "%s: %s", next, node.log)
			}
			<-polls.C
		}
		polls.Stop()
	}
}

// A sign-in that was answered with a token survives a crash of the store.
func TestStoreCrashLosesNothing(t *testing.T) {
	c := newCluster(t, 2, configured, "--appendonly", "yes", "--appendfsync", "always")
	stop := make(chan struct{})
	answered := make(chan []map[string]any)
	var signIns atomic.Int64
	for _, node := range c.nodes {
		go func() {
			var list []map[string]any
			defer func() { answered <- list }()
			for {
				select {
				case <-stop:
					return
				default:
				}
				verifier := oauth2.GenerateVerifier()
				if tokens := trySignIn(node, verifier); tokens != nil {
					list = append(list, tokens)
					signIns.Add(1)
				}
			}
		}()
	}
	load := func() {
		t.Helper()
		enough := signIns.Load() + 4
		eventually(t, 10*time.Second, func() bool { return signIns.Load() >= enough }, "no sign-ins")
	}
	for range 3 {
		load()
		c.store.Kill()
		c.store.Restart()
	}
	load()
	close(stop)
	var list []map[string]any
	for range c.nodes {
		list = append(list, <-answered...)
	}
	for _, node := range c.nodes {
		eventually(t, 5*time.Second, func() bool {
			status, _ := node.do(http.MethodGet, node.AuthURL("x"), "")
			return status.StatusCode == 200
		})
	}
	require.EqualValues(t, signIns.Load(), len(list))
	for i, tokens := range list {
		node := c.nodes[i%2]
		status, got := node.Token(url.Values{"grant_type": {"refresh_token"}, "client_id": {signin.BuiltInClient}, "refresh_token": {tokens["refresh_token"].(string)}})
		require.Equal(t, http.StatusOK, status, "sign-in %d of %d: %v", i, len(list), got)
		response, _ := node.do(http.MethodGet, "/auth/userinfo", "", "Authorization", "Bearer "+tokens["access_token"].(string))
		require.Equal(t, http.StatusOK, response.StatusCode)
	}
}

// trySignIn returns the tokens of a sign-in, or nil if a step failed.
func trySignIn(s *site, verifier string) map[string]any {
	page, err := s.client.Get(s.AuthURL(verifier))
	if err != nil {
		return nil
	}
	b, err := io.ReadAll(page.Body)
	page.Body.Close()
	action, form, ok := signintest.Form(string(b))
	if err != nil || !ok {
		return nil
	}
	form.Set("username", testAccount)
	form.Set("password", testPassword)
	response, err := s.client.PostForm(action, form)
	if err != nil {
		return nil
	}
	response.Body.Close()
	to, err := response.Location()
	if err != nil {
		return nil
	}
	response, err = s.client.PostForm(s.Base+"/auth/token", signintest.CodeForm(to.Query().Get("code"), verifier))
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	return tokensOf(response)
}

func tokensOf(response *http.Response) (tokens map[string]any) {
	if response.StatusCode != http.StatusOK || json.NewDecoder(response.Body).Decode(&tokens) != nil {
		return nil
	}
	return tokens
}
