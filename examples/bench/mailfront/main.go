//go:build linux

// Mailfront compares examples/mailfront with the servers that it is made of: go-smtp,
// go-imap and net/http in a process with nothing in front of them (./bare).
//
//	go run ./examples/bench/mailfront                        about a minute
//	go run ./examples/bench/mailfront -rounds 1 smtp idle    these measurements only
//
// 16 clients have sessions one after the other, with both programs in turns. The clients of
// mailfront send a PROXY header or X-Forwarded-For, as a proxy does, which costs them one more
// write. The command prints the medians over the rounds, and the median of the ratios to bare
// in the same round. "processor" is the processor time of the server, which depends less on
// other load.
//
//	smtp  greeting, EHLO, MAIL, RCPT, QUIT
//	imap  greeting, CAPABILITY, LOGOUT
//	http  one document on a new connection
//	idle  IMAP clients that have read the greeting: resident memory for each
package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/seed-94e48765/portico/examples/bench/internal/measure"
	"github.com/seed-94e48765/portico/proxyproto"
)

func main() {
	b := &bench{}
	flag.IntVar(&b.Rounds, "rounds", 9, "measurements of each server")
	flag.DurationVar(&b.Length, "for", time.Second, "length of a measurement")
	flag.IntVar(&b.idle, "idle", 3000, "number of idle clients")
	flag.Parse()
	b.Only = flag.Args()
	err := b.Check("smtp", "imap", "http", "idle")
	if err == nil {
		err = b.run(os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mailfront benchmark:", err)
		os.Exit(1)
	}
}

type bench struct {
	measure.Arguments
	idle int
}

// A session is the dialogue of a client with a server.
type session struct {
	name  string
	steps []step
}

type step struct{ send, want string }

var sessions = []session{
	{"smtp", []step{
		{"", "220 "}, {"EHLO client.example.com\r\n", "250 "}, {"MAIL FROM:<a@example.org>\r\n", "250 "},
		{"RCPT TO:<demo@example.test>\r\n", "250 "}, {"QUIT\r\n", "221 "},
	}},
	{"imap", []step{{"", "* OK"}, {"a CAPABILITY\r\n", "a OK"}, {"b LOGOUT\r\n", "b OK"}}},
	{"http", []step{{"GET " + path + " HTTP/1.1\r\nHost: mail.example.com\r\nConnection: close\r\n%s\r\n", "HTTP/1.1 200"}}},
}

const path = "/.well-known/oauth-authorization-server"

// run runs one session. forward is the header that the proxy adds to a request.
func (s *session) run(address string, first []byte, forward string) error {
	c, err := connect(address, first)
	if err != nil {
		return err
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for _, step := range s.steps {
		text := step.send
		if s.name == "http" {
			text = fmt.Sprintf(text, forward)
		}
		if _, err := io.WriteString(c, text); err != nil {
			return err
		}
		if err := await(r, step.want); err != nil {
			return err
		}
	}
	_, err = io.Copy(io.Discard, r)
	return err
}

func connect(address string, first []byte) (net.Conn, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		c.Close()
		return nil, err
	}
	if len(first) > 0 {
		if _, err := c.Write(first); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// await reads lines until one begins with want. It returns an error for any other SMTP reply
// or HTTP status.
func await(r *bufio.Reader, want string) error {
	for {
		line, err := r.ReadString('\n')
		switch {
		case err != nil:
			return fmt.Errorf("waiting for %q: %w", want, err)
		case strings.HasPrefix(line, want):
			return nil
		case line[0] >= '4' && line[0] <= '5' || strings.HasPrefix(line, "HTTP/"):
			return fmt.Errorf("got %q, want %q", line, want)
		}
	}
}

// A server is a running program under test.
type server struct {
	cmd     *exec.Cmd
	address map[string]string
	proxied bool // its clients come through a proxy
	next    atomic.Uint32
}

// A sender is what a proxy sends for one client.
type sender struct {
	first   []byte // before the client's first byte
	forward string // the header of an HTTP request
}

// senders are the clients of a server behind a proxy, made once so that they cost the load
// nothing.
var senders [1000]sender

func init() {
	for i := range senders {
		address := netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)})
		var header bytes.Buffer
		if err := proxyproto.WriteHeader(&header, proxyproto.Header{
			Source:      net.TCPAddrFromAddrPort(netip.AddrPortFrom(address, 50000)),
			Destination: &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 25},
		}); err != nil {
			panic(err) // not reached: the addresses are valid
		}
		senders[i] = sender{header.Bytes(), "X-Forwarded-For: " + address.String() + "\r\n"}
	}
}

// client returns what the proxy sends for the next client.
func (s *server) client(protocol string) (first []byte, forward string) {
	if !s.proxied {
		return nil, ""
	}
	next := &senders[s.next.Add(1)%uint32(len(senders))]
	if protocol == "http" {
		return nil, next.forward
	}
	return next.first, ""
}

func start(dir, pkg string, env []string, args ...string) (*server, error) {
	program := filepath.Join(dir, filepath.Base(pkg))
	if _, err := os.Stat(program); err != nil {
		build := exec.Command("go", "build", "-o", program, "github.com/seed-94e48765/portico/"+pkg)
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build %s: %w: %s", pkg, err, out)
		}
	}
	s := &server{cmd: exec.Command(program, args...), address: make(map[string]string), proxied: env != nil}
	s.cmd.Env = append(os.Environ(), env...)
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for len(s.address) < len(sessions) && lines.Scan() {
		words := strings.Fields(lines.Text())
		for _, known := range sessions {
			if len(words) > 1 && words[0] == known.name {
				s.address[known.name] = words[1]
			}
		}
	}
	if len(s.address) < len(sessions) {
		s.stop()
		return nil, fmt.Errorf("%s printed the listeners %v only", pkg, s.address)
	}
	go io.Copy(io.Discard, out)
	return s, nil
}

func (s *server) stop() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// processor returns the processor time that the server has used.
func (s *server) processor() (time.Duration, error) {
	own, kernel, err := measure.Processor(s.cmd.Process.Pid)
	return own + kernel, err
}

// churn returns sessions per second, and the server's processor time for one in µs.
func (s *server) churn(kind *session, length time.Duration) (perSecond, processor float64, err error) {
	const clients = 16
	used, err := s.processor()
	if err != nil {
		return 0, 0, err
	}
	var done atomic.Int64
	errs := make([]error, clients)
	began := time.Now()
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for time.Since(began) < length && errs[i] == nil {
				first, forward := s.client(kind.name)
				errs[i] = kind.run(s.address[kind.name], first, forward)
				done.Add(1)
			}
		})
	}
	all.Wait()
	elapsed := time.Since(began)
	after, err := s.processor()
	n := float64(done.Load())
	return n / elapsed.Seconds(), float64((after - used).Microseconds()) / n, errors.Join(append(errs, err)...)
}

// idle returns the resident bytes of each of many clients that have read the greeting.
func (s *server) idle(clients int) (float64, error) {
	before, err := s.settled()
	if err != nil {
		return 0, err
	}
	conns := make([]net.Conn, 0, clients)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range clients {
		first, _ := s.client("imap")
		c, err := connect(s.address["imap"], first)
		if err != nil {
			return 0, fmt.Errorf("after %d clients: %w", len(conns), err)
		}
		conns = append(conns, c)
		if err := await(bufio.NewReaderSize(c, 512), "* OK"); err != nil {
			return 0, err
		}
	}
	after, err := s.settled()
	return float64(after-before) / float64(clients), err
}

// settled runs sessions until the memory no longer falls, and returns it. The sessions let
// the garbage collector finish.
func (s *server) settled() (int64, error) {
	if _, _, err := s.churn(&sessions[1], time.Second); err != nil {
		return 0, err
	}
	least, err := measure.Resident(s.cmd.Process.Pid)
	for same := 0; same < 3 && err == nil; same++ {
		time.Sleep(300 * time.Millisecond)
		var now int64
		if now, err = measure.Resident(s.cmd.Process.Pid); now < least {
			least, same = now, 0
		}
	}
	return least, err
}

func (b *bench) run(w io.Writer) error {
	dir, err := os.MkdirTemp("", "portico-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	front, err := start(dir, "examples/mailfront", []string{
		"MAILFRONT_TRUSTED_PROXIES=127.0.0.1", "MAILFRONT_HOSTNAME=mail.example.com", "MAILFRONT_DOMAINS=example.test",
	})
	if err != nil {
		return err
	}
	defer front.stop()
	document, err := fetch(front)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "document")
	if err := os.WriteFile(file, document, 0o600); err != nil {
		return err
	}
	bare, err := start(dir, "examples/bench/mailfront/bare", nil, file)
	if err != nil {
		return err
	}
	defer bare.stop()

	servers := []*server{bare, front}
	rates, costs := make(map[string][2][]float64), make(map[string][2][]float64)
	for round := -1; round < b.Rounds; round++ { // the first one warms up and is not counted
		for i := range sessions {
			kind := &sessions[i]
			if !b.Selected(kind.name) {
				continue
			}
			for k := range servers { // each round begins with the other one
				side := (k + round + 1) % len(servers)
				rate, cost, err := servers[side].churn(kind, b.Length)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", kind.name, []string{"bare", "mailfront"}[side], err)
				}
				if round >= 0 {
					r, c := rates[kind.name], costs[kind.name]
					r[side], c[side] = append(r[side], rate), append(c[side], cost)
					rates[kind.name], costs[kind.name] = r, c
				}
			}
		}
	}
	fmt.Fprintf(w, "median of %d rounds, %d processors, %s; in parentheses × bare\n", b.Rounds, runtime.NumCPU(), runtime.Version())
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tbare\tmailfront\t\t")
	line := func(name string, values [2][]float64, format string) {
		bare, front := values[0], values[1]
		fmt.Fprintf(t, "%s\t"+format+"\t"+format+"\t(%.2f)\t\n", name, measure.Median(bare), measure.Median(front), measure.Ratio(front, bare))
	}
	for _, kind := range sessions {
		if b.Selected(kind.name) {
			line(kind.name+" sessions/s", rates[kind.name], "%.0f")
			line(kind.name+" processor µs", costs[kind.name], "%.0f")
		}
	}
	if b.Selected("idle") {
		var each [2][]float64
		for side, s := range servers {
			size, err := s.idle(b.idle)
			if err != nil {
				return err
			}
			each[side] = []float64{size / 1024}
		}
		line(fmt.Sprintf("KiB/idle imap, %d", b.idle), each, "%.1f")
	}
	return t.Flush()
}

// fetch returns the document.
func fetch(s *server) ([]byte, error) {
	c, err := connect(s.address["http"], []byte("GET "+path+" HTTP/1.0\r\nHost: mail.example.com\r\n\r\n"))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	answer, err := io.ReadAll(c)
	_, body, found := strings.Cut(string(answer), "\r\n\r\n")
	if err == nil && !found {
		err = fmt.Errorf("mailfront answered %.100q", answer)
	}
	return []byte(body), err
}
