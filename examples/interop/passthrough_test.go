package interop

import (
	"maps"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A sending is a directive by which HAProxy reports its clients, and the version of the header.
type sending struct {
	sendProxy string
	version   int
}

var (
	sendV1    = sending{"send-proxy", 1}
	sendV2    = sending{"send-proxy-v2", 2}
	sendV2TLS = sending{"send-proxy-v2-ssl", 2}
)

const sentByNGINX = "proxy_protocol on"

func TestHAProxyPassthrough(t *testing.T) {
	haproxyBinary(t)
	for _, h := range []sending{sendV1, sendV2, sendV2TLS} {
		m := startMailfront(t)
		p := startHAProxy(t, m, "passthrough.cfg", map[string]string{"SEND_PROXY": h.sendProxy})
		tryWays(t, p, h.sendProxy, h.version, passed, ipv4, ipv6)
	}
}

func TestNGINXPassthrough(t *testing.T) {
	nginxBinary(t)
	m := startMailfront(t)
	p := startNGINX(t, m, "passthrough.conf", nil)
	tryWays(t, p, sentByNGINX, 1, passed, ipv4, ipv6)
}

// Port 465 is for submission (RFC 8314) and leads to the submissions listener. The same
// configuration works for an smtps listener.
func TestSubmissionsDoorLeadsToSMTPS(t *testing.T) {
	smtps := []way{{door: "submissions", listener: "smtps", tls: true, endedBy: endedByServer, seenTLS: true, offer: atOnce}}
	m := startMailfront(t)
	set := map[string]string{"SUBMISSIONS_SERVER": m.address["smtps"]}
	tryWays(t, startHAProxy(t, m, "passthrough.cfg", set), sendV2.sendProxy, 2, smtps, ipv4, ipv6)
	tryWays(t, startNGINX(t, m, "passthrough.conf", set), sentByNGINX, 1, smtps, ipv4, ipv6)
}

// For an IPv4 client of an IPv6 socket the header has the IPv6 address ::ffff:127.0.0.77. The
// client must be reported by its IPv4 address.
var ipv4OnIPv6Ways = []way{plainPassed("smtp"), tlsPassed("imaps"), tlsPassed("https")}

func TestHAProxyIPv4ClientOfIPv6Socket(t *testing.T) {
	haproxyBinary(t)
	for _, h := range []sending{sendV1, sendV2} {
		m := startMailfront(t)
		p := startHAProxyOnIPv6Sockets(t, m, h.sendProxy)
		tryWays(t, p, h.sendProxy, h.version, ipv4OnIPv6Ways, ipv4OnIPv6)
	}
}

func TestNGINXIPv4ClientOfIPv6Socket(t *testing.T) {
	nginxBinary(t)
	m := startMailfront(t)
	p := startNGINXOnIPv6Sockets(t, m)
	tryWays(t, p, sentByNGINX, 1, ipv4OnIPv6Ways, ipv4OnIPv6)
}

// startHAProxyOnIPv6Sockets lets HAProxy bind some doors itself, on ports that were free just
// now. If a port is no longer free, it tries others.
func startHAProxyOnIPv6Sockets(t *testing.T, m *mailfront, sendProxy string) *proxy {
	t.Helper()
	for try := 1; ; try++ {
		set, front := ipv6Sockets(t, "")
		set["SEND_PROXY"] = sendProxy
		p := startHAProxy(t, m, "passthrough.cfg", set)
		maps.Copy(p.front, front)
		// Such a bind has no backlog yet that would let clients wait, but another
		// door has: when it is served, all are bound.
		err := p.serves("imap")
		if err == nil {
			return p
		}
		p.stop(t)
		inUse := strings.Contains(p.stderr.String(), "Address already in use")
		require.True(t, inUse && try < 3, "haproxy does not start: %v", err)
	}
}

func startNGINXOnIPv6Sockets(t *testing.T, m *mailfront) *proxy {
	t.Helper()
	set, front := ipv6Sockets(t, " ipv6only=off")
	p := startNGINX(t, m, "passthrough.conf", set)
	maps.Copy(p.front, front)
	return p
}

// ipv6Sockets returns free addresses, as written in a configuration for IPv6 sockets, and as IPv4
// clients connect to them.
func ipv6Sockets(t *testing.T, suffix string) (set, front map[string]string) {
	t.Helper()
	set, front = make(map[string]string), make(map[string]string)
	var p proxy
	defer p.release()
	for _, w := range ipv4OnIPv6Ways {
		_, port, err := net.SplitHostPort(p.hold(t, proxyIP, w.door, front))
		require.NoError(t, err)
		set[strings.ToUpper(w.door)+"_FRONT"] = "[::ffff:" + proxyIP + "]:" + port + suffix
	}
	return set, front
}
