//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
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

// startNode starts a mailfront on free ports. Without a store the node keeps its state in
// memory.
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

// terminate ends the node with SIGTERM, as an update does.
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

// ready reports the answer of the health listener.
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
func (n *node) logIn(ctx context.Context, client, user, password string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/jmap/session", nil)
	if err != nil {
		return 0, err
	}
	r.SetBasicAuth(user, password)
	return n.status(r, client)
}

// request sends one request that needs no password, and returns the status.
func (n *node) request(ctx context.Context, client string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/whoami", nil)
	if err != nil {
		return 0, err
	}
	return n.status(r, client)
}

func (n *node) status(r *http.Request, client string) (int, error) {
	answer, err := n.do(r, client)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, err
}

// randomClient returns a random client address, which is unlikely to have been used before.
func randomClient() string {
	return net.IPv4(100, 64+byte(rand.IntN(64)), byte(rand.IntN(256)), byte(1+rand.IntN(254))).String()
}

// A script has the commands of an SMTP session and the beginnings of the replies.
type script struct {
	listener string
	clients  int  // number of client addresses
	tls      bool // the client used TLS to the proxy
	steps    []step
}

type step struct{ send, want string }

var (
	// greeted ends after the greeting.
	greeted = script{listener: "smtp", clients: 500, steps: []step{{"EHLO client.example.com", "250"}, {"QUIT", "221"}}}

	// asked begins a message on port 25. The recipient answers with the client's address.
	asked = script{listener: "smtp", clients: 500, steps: []step{
		{"EHLO client.example.com", "250"}, {"MAIL FROM:<a@example.org>", "250"}, {"RCPT TO:<whoami@example.test>", "550"}, {"QUIT", "221"},
	}}

	// submitted signs the user in and submits a message. An account keeps the last 32 client
	// addresses, and each new address is written to the store.
	submitted = script{listener: "submission", clients: 30, tls: true, steps: []step{
		{"EHLO client.example.com", "250"},
		{"AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+account+"\x00"+password)), "235"},
		{"MAIL FROM:<" + account + ">", "250"}, {"RCPT TO:<b@example.org>", "250"}, {"DATA", "354"},
		{"From: " + account + "\r\nTo: b@example.org\r\nSubject: a message\r\n\r\n" + strings.Repeat("A line of text.\r\n", 60) + ".", "250"},
		{"QUIT", "221"},
	}}
)

// run is one session from the address of a client, behind a PROXY header.
func (n *node) run(ctx context.Context, s script, client string) error {
	header := proxyproto.Header{Source: &net.TCPAddr{IP: net.ParseIP(client), Port: 40000}, Destination: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 25}}
	if s.tls {
		header.TLS = &proxyproto.TLS{Client: true, Version: "TLSv1.3"}
	}
	var d proxyproto.Dialer
	c, err := d.DialContext(ctx, "tcp", n.address[s.listener], header)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	r := bufio.NewReader(c)
	if err := readReply(r, "220"); err != nil {
		return err
	}
	for _, step := range s.steps {
		if _, err := io.WriteString(c, step.send+"\r\n"); err != nil {
			return err
		}
		if err := readReply(r, step.want); err != nil {
			return fmt.Errorf("%.10s: %w", step.send, err)
		}
	}
	return nil
}

// readReply reads one SMTP reply, which may have several lines.
func readReply(r *bufio.Reader, want string) error {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, want) {
			return fmt.Errorf("the server sent %q, want %s…", line, want)
		}
		if len(line) > 3 && line[3] == ' ' {
			return nil
		}
	}
}

// An output keeps the beginning of what a process writes.
type output struct {
	mu    sync.Mutex
	b     bytes.Buffer
	alone int // times that the store did not answer in time
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.alone += bytes.Count(p, []byte("event=limits_alone"))
	if o.b.Len() > 1<<20 {
		return len(p), nil
	}
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
