package interop

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A call is one mail session, or one request on a new connection, through a proxy.
type call func(ctx context.Context) error

// mailVisit is an SMTP session from the greeting to QUIT.
func mailVisit(p *proxy) call {
	return func(ctx context.Context) error {
		conn, err := dialContext(ctx, p.front["smtp"])
		if err != nil {
			return err
		}
		defer conn.Close()
		c, err := smtp.NewClient(conn, serverName)
		if err != nil {
			return fmt.Errorf("greeting: %w", err)
		}
		if err := c.Hello("client.example.com"); err != nil {
			return fmt.Errorf("EHLO: %w", err)
		}
		if err := c.Mail("a@example.test"); err != nil {
			return fmt.Errorf("MAIL: %w", err)
		}
		if err := c.Rcpt("whoami@example.test"); textprotoCode(err) != 550 {
			return fmt.Errorf("RCPT: %w", err)
		}
		return c.Quit()
	}
}

func textprotoCode(err error) int {
	if e, ok := err.(*textproto.Error); ok {
		return e.Code
	}
	return 0
}

// webVisit is a request.
func webVisit(t *testing.T, p *proxy) call {
	config := clientTLS(t)
	return func(ctx context.Context) error {
		transport := &http.Transport{DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := dialContext(ctx, p.front["https"])
			if err != nil {
				return nil, err
			}
			return tls.Client(conn, config), nil
		}}
		defer transport.CloseIdleConnections()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+serverName+"/whoami", nil)
		if err != nil {
			return err
		}
		response, err := transport.RoundTrip(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if body, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d: %.100q (%v)", response.StatusCode, body, err)
		}
		return nil
	}
}

func dialContext(ctx context.Context, address string) (net.Conn, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(clientIP)}, Timeout: timeout}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err == nil {
		err = conn.SetDeadline(time.Now().Add(timeout))
	}
	return conn, err
}

// visits returns the sessions of clients of a product.
func (b balancer) visits(t *testing.T, p *proxy) map[string]call {
	all := map[string]call{"web": webVisit(t, p)}
	if b.mail {
		all["mail"] = mailVisit(p)
	}
	return all
}

// keepVisiting visits until stop is called. stop returns the number of visits and the failures.
func keepVisiting(ctx context.Context, all map[string]call) (stop func() (visits int, failed []error)) {
	ctx, cancel := context.WithCancel(ctx)
	var mu sync.Mutex
	var count int
	var errs []error
	var visitors sync.WaitGroup
	for name, v := range all {
		for range 2 {
			visitors.Go(func() {
				pace := time.NewTicker(10 * time.Millisecond) // a steady load, with processor time for the nodes
				defer pace.Stop()
				for ctx.Err() == nil {
					err := v(context.WithoutCancel(ctx))
					mu.Lock()
					count++
					if err != nil {
						errs = append(errs, fmt.Errorf("%s: %w", name, err))
					}
					mu.Unlock()
					select {
					case <-pace.C:
					case <-ctx.Done():
					}
				}
			})
		}
	}
	return func() (int, []error) {
		cancel()
		visitors.Wait()
		return count, errs
	}
}

// The node is stopped as the comments in the configuration describe, while clients come and go.
// No session fails, the other nodes take over, and the node gets clients again after its
// restart.
func TestStoppedNodeLosesNoSession(t *testing.T) {
	eachBalancer(t, func(t *testing.T, b balancer) {
		switch b.product { // before the nodes are started
		case "haproxy":
			haproxyBinary(t)
		case "nginx":
			nginxBinary(t)
		case "caddy":
			caddyBinary(t)
		case "traefik":
			traefikBinary(t)
		}
		t.Parallel()
		drain := "4s"
		if b.product == "nginx" {
			drain = "0s" // NGINX does not notice it
		}
		n := startNodes(t, "DRAIN="+drain)
		p := b.run(t, n)
		listener, served := "http", event{"session", clientIP, true}
		if b.mail {
			listener, served = "smtp", event{"accept", clientIP, false}
		}
		stop := keepVisiting(t.Context(), b.visits(t, p))
		n.requireEvents(t, n.now(), listener, served, 3*nodeCount)
		if b.product == "nginx" {
			reloadNGINX(t, p, n.hosts[1], "down max_fails=1")
		}
		stopped := n.all[1]
		require.NoError(t, stopped.cmd.Process.Signal(syscall.SIGTERM))
		late := -1 // position in the log when the proxy has noticed
		select {
		case <-stopped.ended:
		case <-time.After(3500 * time.Millisecond): // of the 4 s
			late = stopped.stderr.now()
		}
		select {
		case <-stopped.ended:
		case <-time.After(timeout):
			require.Fail(t, "the node does not end")
		}
		require.NoError(t, stopped.err)
		if b.product != "nginx" {
			require.NotEqual(t, -1, late, "the node did not drain")
			lines, _ := stopped.stderr.since(late)
			require.Empty(t, events(lines, listener), "the proxy does not notice that the node drains")
		}
		count := n.requireEvents(t, n.now(), listener, served, 6)
		require.Zero(t, count[1])
		require.NotZero(t, count[0])
		require.NotZero(t, count[2])

		n.start(t, 1)
		if b.product == "nginx" {
			reloadNGINX(t, p, n.hosts[1], "max_fails=1")
		}
		from := n.now()
		require.Eventually(t, func() bool {
			lines, _ := n.all[1].stderr.since(from[1])
			return slices.Contains(events(lines, listener), served)
		}, timeout, 10*time.Millisecond, "the node gets no client after its return")
		visits, failed := stop()
		require.Empty(t, failed, "of %d visits", visits)
		for _, m := range n.all { // would drain one after the other
			m.killed = true
			require.NoError(t, m.cmd.Process.Kill())
		}
	})
}

// reloadNGINX changes the parameters of a node's servers. It returns when the old worker no
// longer accepts connections.
func reloadNGINX(t *testing.T, p *proxy, host, parameters string) {
	t.Helper()
	file := p.cmd.Args[slices.Index(p.cmd.Args, "-c")+1]
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	var lines []string
	changed := 0
	for line := range strings.Lines(string(b)) {
		if server, rest, ok := strings.Cut(line, " fail_timeout"); ok && strings.Contains(server, "server "+host+":") {
			address, _, _ := strings.Cut(server, " max_fails")
			line = strings.TrimSuffix(address, " down") + " " + parameters + " fail_timeout" + rest
			changed++
		}
		lines = append(lines, line)
	}
	require.Equal(t, 8, changed, "the comment in the file has eight lines")
	require.NoError(t, os.WriteFile(file, []byte(strings.Join(lines, "")), 0o600))
	from := p.stderr.now()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGHUP))
	p.stderr.awaitLine(t, from, "start worker process ")
	p.stderr.awaitLine(t, from, "gracefully shutting down")
}

// A node is killed. Its sessions are lost. The next clients get another node at once, before any
// check has failed. Traefik does not do this for TCP, as its file documents.
func TestKilledNodeIsReplaced(t *testing.T) {
	eachBalancer(t, func(t *testing.T, b balancer) {
		n := startNodes(t)
		p := b.run(t, n)
		for name, v := range b.visits(t, p) {
			require.NoError(t, v(t.Context()), name)
		}
		n.all[1].killed = true
		require.NoError(t, n.all[1].cmd.Process.Kill())
		<-n.all[1].ended
		for name, v := range b.visits(t, p) {
			if b.product == "traefik" && name == "mail" {
				continue
			}
			for i := range 3 * nodeCount {
				require.NoError(t, v(t.Context()), "%s %d", name, i)
			}
		}
	})
}

// nodes.env gives the nodes distinct addresses and the same ports.
func TestNodeAddressesAreDistinct(t *testing.T) {
	one, two := readEnv(t, "nodes.env", "1"), readEnv(t, "nodes.env", "2")
	require.NotEmpty(t, one["LISTEN_HEALTH"])
	for name, value := range one {
		if strings.HasPrefix(name, "LISTEN_") {
			host1, port1, err := net.SplitHostPort(value)
			require.NoError(t, err)
			host2, port2, err := net.SplitHostPort(two[name])
			require.NoError(t, err)
			require.NotEqual(t, host1, host2, name)
			require.Equal(t, port1, port2, name)
			continue
		}
		require.Equal(t, value, two[name], name)
	}
	b, err := os.ReadFile(filepath.Join("..", "proxies", "nodes.env"))
	require.NoError(t, err)
	require.NotContains(t, string(b), "\nMAILFRONT_SECRET=")
}
