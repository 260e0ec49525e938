package interop

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// direct is a client without a proxy.
func direct(m *mailfront, listener string) func(*testing.T) net.Conn {
	return func(t *testing.T) net.Conn { t.Helper(); return m.dial(t, clientIP, listener) }
}

func TestDirectClient(t *testing.T) {
	m := startMailfront(t)
	tryDirectly(t, m, "", passed)
	tryDirectly(t, m, "", []way{{door: "http", listener: "http"}})
}

// A setting for the TLS of the proxy does not apply to a direct client.
func TestTLSSettingExcludesDirectClients(t *testing.T) {
	m := startMailfront(t, terminatedListeners, reencryptedListeners)
	tryDirectly(t, m, "TERMINATED, REENCRYPTED", passed)
}

func tryDirectly(t *testing.T, m *mailfront, setting string, ways []way) {
	t.Helper()
	tryWays(t, &proxy{product: "(none)", m: m}, setting, 0, ways,
		visitor{"IPv4", clientIP, func(p *proxy, door string) func(*testing.T) net.Conn { return direct(p.m, door) }})
}

// The server sends first, and a direct client must not wait for the timeout of the PROXY
// header, which is 5 s.
func TestDirectClientIsGreetedAtOnce(t *testing.T) {
	m := startMailfront(t)
	for listener, greeting := range greetings {
		t.Run(listener, func(t *testing.T) {
			c := m.dial(t, clientIP, listener)
			require.NoError(t, c.SetDeadline(time.Now().Add(2*time.Second)))
			b := make([]byte, len(greeting))
			_, err := io.ReadFull(c, b)
			require.NoError(t, err)
			require.Equal(t, greeting, string(b))
		})
	}
}

var greetings = map[string]string{"smtp": "220 ", "submission": "220 ", "imap": "* OK ", "pop3": "+OK "}
