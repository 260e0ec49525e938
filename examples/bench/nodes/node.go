//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
)

const (
	base     = "https://mail.example.com"
	account  = "demo@example.test"
	password = "correct horse battery staple"
	drain    = time.Second
)

// A node is one mailfront process.
type node struct {
	cmd     *exec.Cmd
	address map[string]string // of a listener
	ended   chan struct{}
	log     output
	web     *http.Transport
}

// startNode starts a mailfront on free ports. Without a store it keeps everything in memory.
func (b *bench) startNode(ctx context.Context, store string) (*node, error) {
	n := &node{cmd: exec.Command(b.binary), address: make(map[string]string), ended: make(chan struct{})}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "MAILFRONT_") {
			n.cmd.Env = append(n.cmd.Env, v)
		}
	}
	n.cmd.Env = append(n.cmd.Env,
		"MAILFRONT_TRUSTED_PROXIES=127.0.0.1", "MAILFRONT_FORWARDED_PROTO=true", "MAILFRONT_PUBLIC_URL="+base,
		"MAILFRONT_DEMO_PASSWORD="+password, "MAILFRONT_LISTEN_HEALTH=127.0.0.1:0", "MAILFRONT_DRAIN="+drain.String())
	if store != "" {
		n.cmd.Env = append(n.cmd.Env, "MAILFRONT_STORE="+store, "MAILFRONT_SECRET="+secret)
	}
	stdout, err := n.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	n.cmd.Stderr = &n.log
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "mode ") { // the line after the table
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && strings.Contains(fields[1], ":") {
			n.address[fields[0]] = fields[1]
		}
	}
	go func() {
		io.Copy(io.Discard, stdout)
		n.cmd.Wait()
		close(n.ended)
	}()
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	n.web = &http.Transport{MaxIdleConnsPerHost: 64, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, n.address["http"])
	}}
	for !n.ready(ctx) {
		select {
		case <-n.ended:
			return nil, fmt.Errorf("mailfront ended:\n%s", n.log.String())
		case <-ctx.Done():
			n.kill()
			return nil, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return n, nil
}

func (n *node) kill() {
	n.cmd.Process.Kill()
	<-n.ended
	n.web.CloseIdleConnections()
}

// terminate ends the node as an update does.
func (n *node) terminate() error {
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-n.ended:
		n.web.CloseIdleConnections()
		return nil
	case <-time.After(30 * time.Second):
		n.kill()
		return errors.New("a node did not end within 30 s of SIGTERM")
	}
}

// ready asks the health listener.
func (n *node) ready(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	body, status, err := n.health(ctx, "/healthz/ready")
	return err == nil && status == http.StatusOK && len(body) > 0
}

func (n *node) health(ctx context.Context, path string) ([]byte, int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.address["health"]+path, nil)
	if err != nil {
		return nil, 0, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, 0, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return body, answer.StatusCode, err
}

// metric returns a counter of the node.
func (n *node) metric(ctx context.Context, name string) (float64, error) {
	text, _, err := n.health(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("the node has no metric %q", name)
}

// do sends a request of a client, as a proxy does.
func (n *node) do(r *http.Request, client string) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Host = r.URL.Host
	r.URL = &url.URL{Scheme: "http", Host: r.URL.Host, Path: r.URL.Path, RawQuery: r.URL.RawQuery}
	r.Header.Set("X-Forwarded-For", client)
	r.Header.Set("X-Forwarded-Proto", "https")
	return n.web.RoundTrip(r)
}

// logIn sends one request with a password, and returns the status.
func (n *node) logIn(ctx context.Context, client, password string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/jmap/session", nil)
	if err != nil {
		return 0, err
	}
	r.SetBasicAuth(account, password)
	answer, err := n.do(r, client)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, err
}

// randomClient is an address of a client that has not been used before, most likely.
func randomClient() string {
	return net.IPv4(100, 64+byte(rand.IntN(64)), byte(rand.IntN(256)), byte(1+rand.IntN(254))).String()
}

// session is one SMTP session from an address that no other session has. With mail it
// begins a message.
func (n *node) session(ctx context.Context, mail bool) error {
	client := &net.TCPAddr{IP: net.ParseIP(randomClient()), Port: 40000}
	var d proxyproto.Dialer
	c, err := d.DialContext(ctx, "tcp", n.address["smtp"], proxyproto.Header{Source: client, Destination: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 25}})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	r := bufio.NewReader(c)
	commands := []string{"", "EHLO client.example.com"}
	if mail {
		commands = append(commands, "MAIL FROM:<a@example.org>", "RCPT TO:<whoami@example.test>")
	}
	for _, command := range append(commands, "QUIT") {
		if command != "" {
			if _, err := io.WriteString(c, command+"\r\n"); err != nil {
				return err
			}
		}
		want := "2"
		if strings.HasPrefix(command, "RCPT") {
			want = "550"
		}
		if err := readReply(r, want); err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
	}
	return nil
}

// readReply reads one reply of SMTP, of several lines perhaps.
func readReply(r *bufio.Reader, want string) error {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, want) {
			return fmt.Errorf("the server says %q, want %s…", line, want)
		}
		if len(line) > 3 && line[3] == ' ' {
			return nil
		}
	}
}

// An output keeps what a process writes.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.b.Len() > 1<<20 { // the beginning is of interest
		return len(p), nil
	}
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
