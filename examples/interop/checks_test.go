package interop

import (
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// checked has the doors of health-checks.cfg and the servers behind them.
var checked = map[string]string{
	"smtp": "smtp/mail", "imap": "imap/mail", "pop3": "pop3/mail", "submissions": "submissions/mail", "http": "http/web", "https": "https/web",
}

var checkedWays = []way{
	plainPassed("smtp"), plainPassed("imap"), plainPassed("pop3"), tlsPassed("submissions"), tlsPassed("https"),
	{door: "http", listener: "http"},
}

// awaitChecks waits until every server has passed its first check.
func awaitChecks(t *testing.T, p *proxy) {
	t.Helper()
	for _, server := range checked {
		p.stdout.awaitLine(t, 0, "Health check for server "+server+" succeeded")
	}
}

// HAProxy logs that checks pass. The log of mailfront has only the traffic after them.
func TestHealthChecksAreNotLogged(t *testing.T) {
	t.Parallel() // mostly waits
	haproxyBinary(t)
	m := startMailfront(t)
	p := startHAProxy(t, m, "health-checks.cfg", nil)
	awaitChecks(t, p)
	for door := range checked {
		m.fence(t, door)
	}
	lines, _ := m.stderr.since(0)
	require.Zero(t, countLines(lines, proxyIP+" "), "mailfront must not log checks:\n%s", m.stderr)
	require.Zero(t, countLines(lines, "level=WARN")+countLines(lines, "level=ERROR"), "%s", m.stderr)

	tryWays(t, p, sendV2.sendProxy+" check-send-proxy", 2, checkedWays, ipv4, ipv6)
	requireNoneDown(t, p)
}

func requireNoneDown(t *testing.T, p *proxy) {
	t.Helper()
	lines, _ := p.stdout.since(0)
	require.Zero(t, countLines(lines, " is DOWN")+countLines(lines, "failed, reason"), "%s", p.stdout)
}

// The check without a byte is not a connection in the log.
func TestHealthChecksAreLOCALConnections(t *testing.T) {
	t.Parallel() // mostly waits
	haproxyBinary(t)
	m := startMailfront(t, "LOG=debug")
	p := startHAProxy(t, m, "health-checks.cfg", nil)
	awaitChecks(t, p)
	for door := range checked {
		m.fence(t, door)
	}
	for door, want := range map[string][]event{
		"smtp":        {{"accept", proxyIP, false}, {"session", proxyIP, false}},
		"imap":        {{"accept", proxyIP, false}, {"session", proxyIP, false}},
		"pop3":        nil,
		"submissions": {{"accept", proxyIP, true}}, // no EHLO, so no session
		"http":        {{"session", proxyIP, false}},
		"https":       {{"session", proxyIP, true}},
	} {
		lines, _ := m.stderr.since(0)
		have := slices.DeleteFunc(events(lines, door), func(e event) bool { return e.ClientIP != proxyIP })
		if len(want) == 0 {
			require.Empty(t, have, door)
		} else {
			require.GreaterOrEqual(t, len(have), len(want), door)
			require.Equal(t, want, have[:len(want)], door)
		}
	}
	requireNoneDown(t, p)
}

// The check of POP3 is a connection without a byte. The server does not notice a check without
// linger, but notices the next one.
func TestHealthCheckWithLinger(t *testing.T) {
	t.Parallel() // mostly waits
	haproxyBinary(t)
	needAddresses(t)
	for name, c := range map[string]struct {
		changes []change
		want    []string // data of the first connections, in any order
	}{
		"linger":    {want: []string{"", afterHeader}},
		"no linger": {changes: []change{{"tcp-check connect linger", "tcp-check connect"}}, want: []string{afterHeader}},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", net.JoinHostPort(proxyIP, "0"))
			require.NoError(t, err)
			defer l.Close()
			others, _ := startReader(t)
			p := startHAProxy(t, others, "health-checks.cfg", map[string]string{"POP3_SERVER": l.Addr().String()}, c.changes...)
			p.stdout.awaitLine(t, 0, "Health check for server pop3/mail succeeded")
			ours := dialFrom(t, clientIP, l.Addr().String())
			_, err = ours.Write([]byte(afterHeader))
			require.NoError(t, err)
			require.NoError(t, ours.(*net.TCPConn).CloseWrite())

			require.NoError(t, l.(*net.TCPListener).SetDeadline(time.Now().Add(timeout)))
			var have []string
			for range c.want {
				conn, err := l.Accept()
				require.NoError(t, err)
				all, err := io.ReadAll(prepare(t, conn))
				require.NoError(t, err)
				have = append(have, string(all))
			}
			require.ElementsMatch(t, c.want, have)
		})
	}
}

// Two harmless-looking options remove the header from checks. The log line of the first check
// shows the result.
func TestHealthChecksWithoutHeaderFail(t *testing.T) {
	t.Parallel() // mostly waits
	haproxyBinary(t)
	quick := change{"timeout check   5s ", "timeout check 300ms "}
	port := func(m *mailfront) change {
		_, port, _ := net.SplitHostPort(m.address["smtp"])
		return change{`mail "${SMTP_SERVER}"`, `mail "${SMTP_SERVER}" port ` + port}
	}
	unsaid := change{"send-proxy-v2 check-send-proxy\n", "send-proxy-v2\n"}
	for name, c := range map[string]struct {
		changes func(*mailfront) []change
		server  string
		passes  bool
	}{
		"a rule for the connection with send-proxy": {changes: func(*mailfront) []change { return nil }, server: "imap/mail", passes: true},
		"a rule for the connection without it":      {changes: func(*mailfront) []change { return []change{{"tcp-check connect send-proxy", "tcp-check connect"}} }, server: "imap/mail", passes: false},
		"a port and check-send-proxy":               {changes: func(m *mailfront) []change { return []change{port(m)} }, server: "smtp/mail", passes: true},
		"a port and no check-send-proxy":            {changes: func(m *mailfront) []change { return []change{port(m), unsaid} }, server: "smtp/mail", passes: false},
		"neither":                                   {changes: func(*mailfront) []change { return []change{unsaid} }, server: "smtp/mail", passes: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := startMailfront(t)
			changes := c.changes(m)
			if !c.passes {
				changes = append(changes, quick)
			}
			p := startHAProxy(t, m, "health-checks.cfg", nil, changes...)
			outcome := map[bool]string{true: "succeeded", false: "failed"}[c.passes]
			p.stdout.awaitLine(t, 0, "Health check for server "+c.server+" ")
			lines, _ := p.stdout.since(0)
			require.Equal(t, 1, countLines(lines, "Health check for server "+c.server+" "+outcome), "%s", p.stdout)
		})
	}
}

// Version 1 has no LOCAL, and HAProxy does not send UNKNOWN for a check. The header has the
// proxy's own address, like that of a client on the proxy's machine.
func TestHealthChecksWithVersion1(t *testing.T) {
	t.Parallel() // mostly waits
	haproxyBinary(t)
	m := startMailfront(t)
	p := startHAProxy(t, m, "passthrough.cfg", map[string]string{"SEND_PROXY": sendV1.sendProxy})
	p.stdout.awaitLine(t, 0, "Health check for server smtp/mail succeeded")
	m.stderr.awaitLine(t, 0, "proto=smtp ", "event=accept", "client_ip="+proxyIP+" ", "client_known=true")
}

// The proxy sends no header. On ports where the server sends first, both sides wait for each
// other until the timeout of the header.
func TestHAProxyWithoutHeaderIsRefused(t *testing.T) {
	t.Parallel() // mostly waits
	haproxyBinary(t)
	m := startMailfront(t)
	p := startHAProxy(t, m, "passthrough.cfg", map[string]string{"SEND_PROXY": "no-send-proxy"})
	silent := p.client("smtp")(t)
	began := time.Now()

	c := p.client("https")(t)
	_, err := c.Write([]byte("\x16\x03\x01\x02\x00 begins a handshake"))
	require.NoError(t, err)
	requireNoAnswer(t, c)
	m.stderr.awaitLine(t, 0, "proto=https ", "event=reject", "no PROXY header")

	requireNoAnswer(t, silent)
	require.Greater(t, time.Since(began), 3*time.Second, "the time for a header, proxy-protocol.txt section 2")
	m.stderr.awaitLine(t, 0, "proto=smtp ", "event=reject", "did not arrive in time")
	lines, _ := m.stderr.since(0)
	require.Zero(t, countLines(lines, "event=accept")+countLines(lines, "event=session"))
}
