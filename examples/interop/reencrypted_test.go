package interop

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// reencrypted returns the TLS doors of reencrypted, where the proxy ends the client's TLS and uses
// its own TLS to the server.
func reencrypted(seenTLS bool, o offer) []way {
	return []way{
		ended("submissions", "submissions", seenTLS, o),
		ended("imaps", "imaps", seenTLS, o),
		ended("pop3s", "pop3s", seenTLS, o),
		ended("https", "https", seenTLS, o),
	}
}

const reencryptedListeners = "TLS_REENCRYPTED=smtps,submissions,imaps,pop3s,https"

func TestHAProxyReencryptsReportingTLS(t *testing.T) {
	haproxyBinary(t)
	m := startMailfront(t, reencryptedListeners)
	p := startHAProxy(t, m, "reencrypted.cfg", nil)
	tryWays(t, p, sendV2TLS.sendProxy+", REENCRYPTED", 2, reencrypted(true, atOnce), ipv4, ipv6)
	tryWays(t, p, sendV2TLS.sendProxy+", REENCRYPTED", 2, []way{{door: "http", listener: "https"}}, ipv4, ipv6)
}

// The header of such a check is LOCAL and reports TLS, and the check uses TLS. Both are HAProxy's
// own and must not count as a client's TLS.
func TestHAProxyChecksReencryptedListener(t *testing.T) {
	t.Parallel() // mostly waits
	haproxyBinary(t)
	m := startMailfront(t, reencryptedListeners, "LOG=debug")
	p := startHAProxy(t, m, "reencrypted.cfg", nil)
	for _, name := range []string{"submissions/mail", "imaps/mail", "pop3s/mail", "https/web"} {
		p.stdout.awaitLine(t, 0, "Health check for server "+name+" succeeded", "Layer6 check passed")
	}
	for _, listener := range []string{"submissions", "imaps", "pop3s"} {
		m.stderr.awaitLine(t, 0, "proto="+listener+" ", "event=accept", "client_ip="+proxyIP+" ", "tls=false ")
	}
	lines, _ := m.stderr.since(0)
	require.Zero(t, countLines(lines, "client_ip="+proxyIP+" ", "tls=true "))
}

// Without REENCRYPTED a plain client counts as encrypted.
func TestHAProxyReencryptsPlainClient(t *testing.T) {
	haproxyBinary(t)
	m := startMailfront(t)
	p := startHAProxy(t, m, "reencrypted.cfg", nil)
	tryWays(t, p, sendV2TLS.sendProxy, 2, []way{{door: "http", listener: "https", seenTLS: true}}, ipv4)
}

// The header does not report the client's TLS, and no password is offered.
func TestHAProxyReencryptsUnreported(t *testing.T) {
	haproxyBinary(t)
	for _, h := range []sending{sendV1, sendV2} {
		m := startMailfront(t, reencryptedListeners)
		p := startHAProxy(t, m, "reencrypted.cfg", map[string]string{"SEND_PROXY": h.sendProxy})
		tryWays(t, p, h.sendProxy+", REENCRYPTED", h.version, reencrypted(false, never), ipv4)
	}
}

func TestNGINXReencryptsUnreported(t *testing.T) {
	nginxBinary(t)
	m := startMailfront(t, reencryptedListeners)
	p := startNGINX(t, m, "reencrypted.conf", nil)
	tryWays(t, p, sentByNGINX+", REENCRYPTED", 1, reencrypted(false, never), ipv4, ipv6)
}

func TestReencryptingProxyChecksName(t *testing.T) {
	for product, start := range map[string]func(*testing.T, *mailfront, map[string]string) *proxy{
		"haproxy": func(t *testing.T, m *mailfront, set map[string]string) *proxy {
			return startHAProxy(t, m, "reencrypted.cfg", set)
		},
		"nginx": func(t *testing.T, m *mailfront, set map[string]string) *proxy {
			return startNGINX(t, m, "reencrypted.conf", set)
		},
	} {
		t.Run(product, func(t *testing.T) {
			p := start(t, startMailfront(t), map[string]string{"SERVER_NAME": "other.example.com"})
			c := withTLS(p.client("submissions"), endedByProxy)(t)
			b := make([]byte, 1)
			n, err := c.Read(b)
			require.Error(t, err, "got %q", b[:n])
		})
	}
}
