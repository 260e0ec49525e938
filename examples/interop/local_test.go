package interop

import (
	"errors"
	"net"
	"net/smtp"
	"net/textproto"
	"testing"

	"github.com/stretchr/testify/require"
)

// A client on a unix socket has no address. HAProxy sends LOCAL or, with version 1, UNKNOWN, as
// NGINX does. The server must serve the client. The connection has the proxy's address, which
// must not give the client any rights.

var localWays = []way{plainPassed("smtp"), plainPassed("imap"), plainPassed("pop3"), tlsPassed("https")}

func TestHAProxyUnixSocketClient(t *testing.T) {
	haproxyBinary(t)
	for _, h := range []sending{sendV1, sendV2, sendV2TLS} {
		m := startMailfront(t, "LOG=debug", "RELAY_LOOPBACK=true")
		set := map[string]string{"SEND_PROXY": h.sendProxy}
		p := startHAProxy(t, m, "unix-socket.cfg", set)
		tryWays(t, p, h.sendProxy, h.version, localWays, unixSocket)
		t.Run(h.sendProxy+"/relaying", func(t *testing.T) {
			requireNoRelayByAddress(t, p, startHAProxy(t, m, "passthrough.cfg", set, withoutChecks))
		})
	}
}

func TestNGINXUnixSocketClient(t *testing.T) {
	nginxBinary(t)
	m := startMailfront(t, "LOG=debug", "RELAY_LOOPBACK=true")
	p := startNGINX(t, m, "unix-socket.conf", nil)
	tryWays(t, p, sentByNGINX, 1, localWays, unixSocket)
	t.Run("relaying", func(t *testing.T) {
		requireNoRelayByAddress(t, p, startNGINX(t, m, "passthrough.conf", nil))
	})
}

// withoutChecks disables the health checks of passthrough.cfg, which have the same address as
// clients of a unix socket.
var withoutChecks = change{`default-server check "${SEND_PROXY}"`, `default-server "${SEND_PROXY}"`}

// requireNoRelayByAddress compares a client of a unix socket with a TCP client at the proxy's
// address. Mailfront sees both at this address. With MAILFRONT_RELAY_LOOPBACK only the TCP
// client may relay.
func requireNoRelayByAddress(t *testing.T, local, tcp *proxy) {
	t.Helper()
	c := dialFrom(t, proxyIP, tcp.front["smtp"])
	require.Equal(t, 250, mailElsewhere(t, c), "a client at this address")
	require.Equal(t, 550, mailElsewhere(t, local.local("smtp")(t)), "a client of a unix socket")
}

// mailElsewhere returns the answer to a recipient at another domain.
func mailElsewhere(t *testing.T, conn net.Conn) int {
	t.Helper()
	c, err := smtp.NewClient(conn, serverName)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Hello("client.example.com"))
	require.NoError(t, c.Mail("a@elsewhere.test"))
	err = c.Rcpt("b@elsewhere.test")
	if err == nil {
		return 250
	}
	var refusal *textproto.Error
	require.True(t, errors.As(err, &refusal), "%v", err)
	return refusal.Code
}
