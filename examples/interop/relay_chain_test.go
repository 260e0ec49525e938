package interop

import (
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// The chain is a client, HAProxy, the relay, and mailfront. Mailfront trusts only the relay, which
// has the proxy's address, and uses only the relay's header.

// A passedOn is the header that the relay sends, and its version.
type passedOn struct {
	send    string
	version int
}

var relaySends = []passedOn{{"v2", 2}, {"v1", 1}}

func TestRelayReportsClient(t *testing.T) {
	haproxyBinary(t)
	m := startMailfront(t)
	for _, out := range relaySends {
		behind, r := behindRelay(t, m, nil, "SEND="+out.send)
		for _, in := range []sending{sendV1, sendV2, sendV2TLS} {
			p := startHAProxy(t, behind, "passthrough.cfg", map[string]string{"SEND_PROXY": in.sendProxy})
			from := r.stderr.now()
			tryWays(t, p, fmt.Sprintf("%s, relay %s", in.sendProxy, out.send), out.version, passed, ipv4, ipv6)
			for _, v := range []visitor{ipv4, ipv6} {
				r.stderr.awaitLine(t, from, `msg="session ended"`, "client_ip="+v.ip+" ", "client_known=true",
					"proxy="+proxyIP+" ", fmt.Sprintf("version=%d ", in.version), `reason="both sides closed"`)
			}
		}
	}
}

func TestRelayReportsTLSOfHAProxy(t *testing.T) {
	haproxyBinary(t)
	m := startMailfront(t)
	t.Run("version 2 reports it", func(t *testing.T) {
		behind, r := behindRelay(t, m, nil)
		p := startHAProxy(t, behind, "tls-terminated.cfg", nil)
		tryWays(t, p, sendV2TLS.sendProxy+", relay v2", 2, terminated(true, atOnce), ipv4, ipv6)
		tryWays(t, p, sendV2TLS.sendProxy+", relay v2", 2, plainDoors, ipv4, ipv6)
		lines, _ := r.stderr.since(0)
		require.NotZero(t, countLines(lines, "client_ip="+clientIP+" ", " tls=true ", "tls_known=true"))
		require.NotZero(t, countLines(lines, "client_ip="+clientIP+" ", " tls=false ", "tls_known=true"))
	})
	t.Run("version 1 cannot", func(t *testing.T) {
		behind, _ := behindRelay(t, m, nil, "SEND=v1")
		p := startHAProxy(t, behind, "tls-terminated.cfg", nil)
		tryWays(t, p, sendV2TLS.sendProxy+", relay v1", 1, terminated(false, afterStartTLS), ipv4)
	})
}

func TestRelayReportsConfiguredTLS(t *testing.T) {
	haproxyBinary(t)
	m := startMailfront(t)
	for _, in := range []sending{sendV1, sendV2} {
		behind, _ := behindRelay(t, m, nil, "TLS_TERMINATED=true")
		p := startHAProxy(t, behind, "tls-terminated.cfg", map[string]string{"SEND_PROXY": in.sendProxy})
		tryWays(t, p, in.sendProxy+", relay v2 TERMINATED", 2, terminated(true, atOnce), ipv4)
		if in.version == 2 {
			continue
		}
		behind, _ = behindRelay(t, m, nil)
		p = startHAProxy(t, behind, "tls-terminated.cfg", map[string]string{"SEND_PROXY": in.sendProxy})
		tryWays(t, p, in.sendProxy+", relay v2", 2, terminated(false, afterStartTLS), ipv4)
	}
}

// endedByRelay has the listeners of a relay that ends TLS, and their backends.
var endedByRelay = map[string]string{"submissions": "submission", "imaps": "imap", "pop3s": "pop3", "https": "http"}

func TestRelayReportsOwnTLS(t *testing.T) {
	haproxyBinary(t)
	m := startMailfront(t)
	certs := testCertificates(t)
	behind, r := behindRelay(t, m, endedByRelay, "TLS_CERT="+certs.proxyCert, "TLS_KEY="+certs.proxyKey)
	for _, in := range []sending{sendV1, sendV2, sendV2TLS} {
		p := startHAProxy(t, behind, "passthrough.cfg", map[string]string{"SEND_PROXY": in.sendProxy})
		tryWays(t, p, in.sendProxy+", relay ends TLS", 2, terminated(true, atOnce), ipv4, ipv6)
	}
	lines, _ := r.stderr.since(0)
	require.NotZero(t, countLines(lines, "client_ip="+clientIP+" ", " tls=true ", "tls_known=true"))
}

// HAProxy ends the client's TLS and uses its own TLS to the relay. The relay must ignore the TLS
// of HAProxy and use the TLS in HAProxy's header.
func TestRelayIgnoresTLSOfProxyItself(t *testing.T) {
	haproxyBinary(t)
	m := startMailfront(t)
	certs := testCertificates(t)
	behind, _ := behindRelay(t, m, endedByRelay, "TLS_CERT="+certs.serverCert, "TLS_KEY="+certs.serverKey, "TLS_REENCRYPTED=true")
	for _, c := range []struct {
		sending
		seenTLS bool
		offer   offer
	}{{sendV2TLS, true, atOnce}, {sendV2, false, afterStartTLS}} {
		p := startHAProxy(t, behind, "reencrypted.cfg", map[string]string{"SEND_PROXY": c.sendProxy})
		tryWays(t, p, c.sendProxy+", relay REENCRYPTED", 2, terminated(c.seenTLS, c.offer), ipv4)
	}
}

func TestRelayDirectClients(t *testing.T) {
	m := startMailfront(t)
	behind, r := behindRelay(t, m, nil)
	tryDirect := talk{
		m: behind, listener: "smtp", offer: afterStartTLS,
		dial: func(t *testing.T) net.Conn { return behind.dial(t, clientIP, "smtp") },
		want: whoami{ClientIP: clientIP, Known: true, Version: 2},
	}
	tryDirect.run(t)
	for name, header := range forgedHeaders(t) {
		t.Run(name, func(t *testing.T) {
			from := r.stderr.now()
			c := behind.dial(t, clientIP, "smtp")
			requireGreeting(t, c, greetings["smtp"])
			_, err := c.Write(append(header, commands["smtp"]...))
			require.NoError(t, err)
			requireNoAnswer(t, c)
			r.stderr.awaitLine(t, from, `msg="connection refused"`, "peer="+clientIP+" ", "untrusted peer")
		})
	}
	behind.fence(t, "smtp")
	requireNotFooled(t, m)
}
