package interop

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// HAProxy's checks send LOCAL or no byte. LOCAL is passed on to mailfront, which answers with its
// greeting. A check without a byte ends at the relay. Neither program logs the checks, and both
// serve clients meanwhile.
func TestRelayForwardsHealthChecks(t *testing.T) {
	t.Parallel() // mostly waits
	haproxyBinary(t)
	m := startMailfront(t, "LOG=debug")
	behind, r := behindRelay(t, m, nil)
	p := startHAProxy(t, behind, "health-checks.cfg", nil)
	awaitChecks(t, p)
	m.stderr.awaitLine(t, 0, "proto=smtp ", "event=session", "client_ip="+proxyIP+" ", "client_known=false", "version=2")
	m.stderr.awaitLine(t, 0, "proto=imap ", "event=session", "client_ip="+proxyIP+" ", "client_known=false", "version=2")
	behind.fence(t, "pop3")
	lines, _ := m.stderr.since(0)
	for _, e := range events(lines, "pop3") {
		require.Equal(t, clientIP, e.ClientIP, "a check without a byte reached mailfront")
	}
	lines, _ = r.stderr.since(0)
	require.Zero(t, countLines(lines, "client_ip="+proxyIP+" "), "the relay must not log checks:\n%s", r.stderr)
	require.Zero(t, countLines(lines, "level=WARN")+countLines(lines, "level=ERROR"), "%s", r.stderr)
	tryWays(t, p, sendV2.sendProxy+" check-send-proxy, relay v2", 2, checkedWays, ipv4)
	requireNoneDown(t, p)
}

// A check that waits for a greeting fails if the server behind the relay is down.
func TestRelayHealthChecksFail(t *testing.T) {
	t.Parallel() // mostly waits
	haproxyBinary(t)
	m := startMailfront(t)
	behind, r := behindRelay(t, m, nil, "LOG=debug")
	p := startHAProxy(t, behind, "health-checks.cfg", nil)
	awaitChecks(t, p)
	m.stop(t)
	from := r.stderr.now()
	p.stdout.awaitLine(t, 0, "Health check for server smtp/mail failed")
	p.stdout.awaitLine(t, 0, "Health check for server imap/mail failed")
	r.stderr.awaitLine(t, from, "level=WARN", "backend does not answer", "client_ip="+proxyIP+" ", "client_known=false", "connection refused")
}

// The relay closes the connection at once if the backend is down.
func TestRelayRefusesWithoutBackend(t *testing.T) {
	m := startMailfront(t)
	behind, r := behindRelay(t, m, nil)
	m.stop(t)
	requireNoAnswer(t, behind.dial(t, clientIP, "smtp"))
	r.stderr.awaitLine(t, 0, "level=WARN", "backend does not answer", "client_ip="+clientIP+" ", "backend="+m.address["smtp"]+" ")
}

// Clients of a unix socket have no address (LOCAL or UNKNOWN). The relay must not report its own
// address for them.
func TestRelayUnixSocketClient(t *testing.T) {
	haproxyBinary(t)
	m := startMailfront(t, "LOG=debug", "RELAY_LOOPBACK=true")
	for _, out := range relaySends {
		behind, _ := behindRelay(t, m, nil, "SEND="+out.send)
		for _, in := range []sending{sendV1, sendV2, sendV2TLS} {
			set := map[string]string{"SEND_PROXY": in.sendProxy}
			p := startHAProxy(t, behind, "unix-socket.cfg", set)
			tryWays(t, p, in.sendProxy+", relay "+out.send, out.version, localWays, unixSocket)
			t.Run(in.sendProxy+"/"+out.send+"/relaying", func(t *testing.T) {
				requireNoRelayByAddress(t, p, startHAProxy(t, behind, "passthrough.cfg", set, withoutChecks))
			})
		}
	}
}
