package interop

import (
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	account  = "demo@example.test"
	password = "correct horse"
)

var listenerNames = []string{
	"http", "https", "smtp", "smtps", "submission", "submissions", "imap", "imaps", "pop3", "pop3s",
}

// A mailfront is a running mailfront.
type mailfront struct {
	*process
	address map[string]string // of a listener
	killed  bool              // by the test
}

// startMailfront starts a mailfront that trusts the proxy's address, on ports of the kernel's
// choice, with settings such as "TLS_TERMINATED=imap".
func startMailfront(t *testing.T, settings ...string) *mailfront {
	t.Helper()
	needAddresses(t)
	path, err := mailfrontBinary()
	require.NoError(t, err)
	certs := testCertificates(t)
	cmd := exec.Command(path)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "MAILFRONT_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "GORACE=atexit_sleep_ms=50") // the default is a second
	for _, s := range append([]string{
		"TRUSTED_PROXIES=" + proxyIP,
		"HTTP_CLIENT=proxy",
		"TLS_CERT=" + certs.serverCert,
		"TLS_KEY=" + certs.serverKey,
		"DOMAINS=example.test",
		"DEMO_PASSWORD=" + password,
	}, settings...) {
		cmd.Env = append(cmd.Env, "MAILFRONT_"+s)
	}
	m := &mailfront{process: startProcess(t, "mailfront", cmd), address: make(map[string]string)}
	// This runs before the process is stopped.
	t.Cleanup(func() {
		m.stop(t)
		if m.err != nil && !m.killed {
			t.Errorf("mailfront ended with %v", m.err)
		}
		if text := m.stderr.String(); strings.Contains(text, "DATA RACE") || strings.Contains(text, "panic") {
			t.Errorf("unexpected lines of mailfront:\n%s", text)
		}
	})
	err = m.stdout.await(0, func(lines []string) bool {
		for _, line := range lines {
			if fields := strings.Fields(line); len(fields) >= 2 && strings.Contains(fields[1], ":") {
				m.address[fields[0]] = fields[1]
			}
		}
		for _, name := range listenerNames {
			if m.address[name] == "" {
				return false
			}
		}
		return true
	})
	require.NoError(t, err, "mailfront prints no table of listeners")
	return m
}

// dial connects to a listener without a proxy, from an address.
func (m *mailfront) dial(t *testing.T, from, listener string) net.Conn {
	t.Helper()
	return dialFrom(t, from, m.address[listener])
}

// An event is one of mailfront's log lines.
type event struct {
	Name     string // accept or session
	ClientIP string
	TLS      bool
}

var eventKeys = regexp.MustCompile(`(?:^| )(proto|event|client_ip|tls)=(\S+)`)

// events returns the events of a listener in lines.
func events(lines []string, listener string) (found []event) {
	for _, line := range lines {
		v := make(map[string]string)
		for _, m := range eventKeys.FindAllStringSubmatch(line, -1) {
			v[m[1]] = m[2]
		}
		if v["proto"] == listener && (v["event"] == "accept" || v["event"] == "session") {
			found = append(found, event{v["event"], v["client_ip"], v["tls"] == "true"})
		}
	}
	return found
}

// requireEvents waits until the log, from a position on, has exactly these events of a listener.
// It ignores events with the proxy's own address, which are health checks, unless that address
// is expected. No other address may appear.
func (m *mailfront) requireEvents(t *testing.T, from int, listener string, want ...event) {
	t.Helper()
	own := len(want) > 0 && want[0].ClientIP == proxyIP
	var have []event
	err := m.stderr.await(from, func(lines []string) bool {
		have = nil
		for _, e := range events(lines, listener) {
			if own || e.ClientIP != proxyIP {
				have = append(have, e)
			}
		}
		return len(have) >= len(want)
	})
	require.Equal(t, want, have, "events of %s (%v)", listener, err)
}

// fence ensures that the log has all lines about earlier connections. It connects directly and
// waits for the line about this connection.
func (m *mailfront) fence(t *testing.T, listener string) {
	t.Helper()
	from := m.stderr.now()
	c := m.dial(t, clientIP, listener)
	if strings.HasSuffix(listener, "s") {
		c = onTLS(t, c, endedByServer)
	}
	defer c.Close()
	if strings.HasPrefix(listener, "http") {
		getWhoami(t, httpClient(t, c), false)
	}
	m.stderr.awaitLine(t, from, "proto="+listener+" ", "client_ip="+clientIP+" ")
}
