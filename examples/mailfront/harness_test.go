package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

const (
	proxyIP      = "127.0.0.1"  // the proxy that mailfront trusts in tests
	directIP     = "127.0.0.77" // a client that is not trusted
	clientIP     = "192.0.2.7"  // a client behind the proxy
	testPassword = "correct horse"
	testAccount  = "demo@example.test"
	testTimeout  = time.Minute // of steps that are fast unless they hang
)

// A running is a mailfront in this process, started as main starts it.
type running struct {
	t       *testing.T
	address map[string]string // of a listener
	table   []string          // its lines, after the first
	out     *logBuffer        // the output after the table
	log     *logBuffer
	hangup  chan<- os.Signal
	ctx     context.Context
	stop    func() error // SIGTERM: run's error when it has returned
}

// runMailfront starts a mailfront that trusts proxyIP, logs everything, and has the settings
// in env.
func runMailfront(t *testing.T, env map[string]string) *running {
	t.Helper()
	all := map[string]string{
		"MAILFRONT_TRUSTED_PROXIES": proxyIP,
		"MAILFRONT_DEMO_PASSWORD":   testPassword,
		"MAILFRONT_LOG":             "debug",
	}
	for key, value := range env {
		all[key] = value
	}
	waiting, cancelWaiting := context.WithTimeout(context.Background(), testTimeout)
	ctx, cancel := context.WithCancel(context.Background())
	hangup := make(chan os.Signal)
	r := &running{t: t, address: make(map[string]string), out: newLogBuffer(), log: newLogBuffer(), hangup: hangup, ctx: waiting}
	out, stdout := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, nil, lookup(all), stdout, r.log, hangup)
		stdout.CloseWithError(err)
		ended <- err
	}()
	lines := bufio.NewScanner(out)
	for range 1 + len(listenerNames) {
		require.True(t, lines.Scan(), "mailfront does not start: %v", lines.Err())
		r.table = append(r.table, lines.Text())
		fields := strings.Fields(lines.Text())
		r.address[fields[0]] = fields[1]
	}
	r.table = r.table[1:]
	go func() { // the scanner may have read more already
		for lines.Scan() {
			fmt.Fprintln(r.out, lines.Text())
		}
	}()
	stopped := false
	r.stop = func() error {
		cancel()
		stopped = true
		select {
		case err := <-ended:
			return err
		case <-time.After(testTimeout):
			return fmt.Errorf("mailfront does not end")
		}
	}
	t.Cleanup(func() {
		defer cancelWaiting()
		if !stopped {
			require.NoError(t, r.stop())
		}
	})
	return r
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(key string) (string, bool) { v, ok := env[key]; return v, ok }
}

// needDirect skips a test if directIP cannot be bound. On macOS 127.0.0.1 is the only loopback
// address. A subtest that connects from directIP calls needDirect, because the harness skips the
// test that started mailfront.
func needDirect(t *testing.T) {
	t.Helper()
	if !bindable(directIP) {
		t.Skipf("no client can have the address %s on this system", directIP)
	}
}

// dial connects from an address of this machine.
func (r *running) dial(from, listener string) net.Conn {
	r.t.Helper()
	if from == directIP {
		needDirect(r.t)
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: testTimeout}
	c, err := d.Dial("tcp", r.address[listener])
	require.NoError(r.t, err)
	c.SetDeadline(time.Now().Add(testTimeout))
	r.t.Cleanup(func() { c.Close() })
	return c
}

// direct connects as a client that is not trusted.
func (r *running) direct(listener string) net.Conn { r.t.Helper(); return r.dial(directIP, listener) }

// proxied connects as the proxy, with a header.
func (r *running) proxied(listener string, h proxyproto.Header) net.Conn {
	r.t.Helper()
	c := r.dial(proxyIP, listener)
	require.NoError(r.t, proxyproto.WriteHeader(c, h))
	return c
}

// awaitLog waits for a line of the log that contains all parts.
func (r *running) awaitLog(parts ...string) {
	r.t.Helper()
	require.True(r.t, r.log.await(r.ctx, 1, parts...), "no line with %q in the log:\n%s", parts, r.log)
}

// awaitLogs waits for n such lines, and fails if there are more.
func (r *running) awaitLogs(n int, parts ...string) {
	r.t.Helper()
	require.True(r.t, r.log.await(r.ctx, n, parts...), "not %d lines with %q in the log:\n%s", n, parts, r.log)
	require.Equal(r.t, n, r.logged(parts...), "lines with %q in the log:\n%s", parts, r.log)
}

// logged returns the number of lines of the log that contain all parts.
func (r *running) logged(parts ...string) int {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	return r.log.count(parts)
}

// header is that of a proxy in front of clientIP.
func header(t *proxyproto.TLS) proxyproto.Header {
	return proxyproto.Header{
		Source:      &net.TCPAddr{IP: net.ParseIP(clientIP), Port: 4567},
		Destination: &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 25},
		TLS:         t,
	}
}

// onTLS does a handshake as the client.
func onTLS(t *testing.T, c net.Conn) net.Conn {
	t.Helper()
	tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, tc.Handshake())
	return tc
}

// A script is a client of a line protocol.
type script struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func newScript(t *testing.T, c net.Conn) *script {
	return &script{t, c, bufio.NewReader(c)}
}

func (s *script) send(format string, args ...any) {
	s.t.Helper()
	_, err := fmt.Fprintf(s.Conn, format, args...)
	require.NoError(s.t, err)
}

func (s *script) line() string {
	s.t.Helper()
	line, err := s.r.ReadString('\n')
	require.NoError(s.t, err, "after %q", line)
	require.True(s.t, strings.HasSuffix(line, "\r\n"), "%q does not end in CRLF", line)
	return strings.TrimSuffix(line, "\r\n")
}

// until returns the lines up to one that begins with prefix.
func (s *script) until(prefix string) string {
	s.t.Helper()
	var lines []string
	for {
		line := s.line()
		lines = append(lines, line)
		if strings.HasPrefix(line, prefix) {
			return strings.Join(lines, "\n")
		}
	}
}

// untilDot returns the lines up to the one that ends a multi-line response.
func (s *script) untilDot() string {
	s.t.Helper()
	var lines []string
	for {
		line := s.line()
		lines = append(lines, line)
		if line == "." || len(lines) == 1 && strings.HasPrefix(line, "-ERR") {
			return strings.Join(lines, "\n")
		}
	}
}

// smtp sends a line of SMTP and returns the whole reply.
func (s *script) smtp(format string, args ...any) string {
	s.t.Helper()
	s.send(format+"\r\n", args...)
	return s.smtpReply()
}

func (s *script) smtpReply() string {
	s.t.Helper()
	var lines []string
	for {
		line := s.line()
		lines = append(lines, line)
		if len(line) < 4 || line[3] == ' ' {
			return strings.Join(lines, "\n")
		}
	}
}

// startTLS continues with TLS.
func (s *script) startTLS() *script {
	s.t.Helper()
	require.Zero(s.t, s.r.Buffered(), "the server said more than it should before TLS")
	return newScript(s.t, onTLS(s.t, s.Conn))
}

// end reads to the end of the connection. A reset is an end, too, because the server may close
// without reading everything.
func (s *script) end() string {
	s.t.Helper()
	rest, err := io.ReadAll(s.r)
	if e, ok := err.(net.Error); ok {
		require.False(s.t, e.Timeout(), "the server does not close the connection; it said %q", rest)
	}
	return string(bytes.TrimSpace(rest))
}

// clientAddr returns the address of a client behind the proxy. Each test has another address.
func clientAddr(t *testing.T, name string) *net.TCPAddr {
	t.Helper()
	hash := fnv.New32a()
	hash.Write([]byte(name))
	return &net.TCPAddr{IP: net.IPv4(198, 18, byte(hash.Sum32()>>8), byte(hash.Sum32())), Port: 4567}
}

// greet reads the greeting of a mail listener, and answers it in SMTP.
func greet(s *script, listener string) {
	s.t.Helper()
	if strings.HasPrefix(listener, "s") {
		s.until("220 ")
		s.smtp("EHLO client.example")
		return
	}
	s.line()
}
