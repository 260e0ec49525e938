package interop

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The other tests rely on these headers. The server only reads.
func TestPROXYHeaders(t *testing.T) {
	const (
		v2       = `^\r\n\r\n\x00\r\nQUIT\n`
		plainTLS = `\x20\x00\x05\x00\x00\x00\x00\x00` // the SSL entry: no TLS
	)
	haproxy := func(file, sendProxy string) func(*testing.T, *mailfront) *proxy {
		return func(t *testing.T, m *mailfront) *proxy {
			return startHAProxy(t, m, file, map[string]string{"SEND_PROXY": sendProxy})
		}
	}
	haproxyMapped := func(t *testing.T, m *mailfront) *proxy { return startHAProxyOnIPv6Sockets(t, m, "send-proxy") }
	nginx := func(file string) func(*testing.T, *mailfront) *proxy {
		return func(t *testing.T, m *mailfront) *proxy { return startNGINX(t, m, file, nil) }
	}
	for name, c := range map[string]struct {
		start   func(*testing.T, *mailfront) *proxy
		visitor visitor
		want    string
	}{
		"haproxy, v1, IPv4":         {start: haproxy("passthrough.cfg", "send-proxy"), visitor: ipv4, want: `^PROXY TCP4 127\.0\.0\.77 127\.0\.0\.1 \d+ \d+\r\n$`},
		"haproxy, v1, IPv6":         {start: haproxy("passthrough.cfg", "send-proxy"), visitor: ipv6, want: `^PROXY TCP6 ::1 ::1 \d+ \d+\r\n$`},
		"haproxy, v1, IPv4 on IPv6": {start: haproxyMapped, visitor: ipv4OnIPv6, want: `^PROXY TCP6 ::ffff:127\.0\.0\.77 ::ffff:127\.0\.0\.1 \d+ \d+\r\n$`},
		"haproxy, v1, unix socket":  {start: haproxy("unix-socket.cfg", "send-proxy"), visitor: unixSocket, want: `^PROXY UNKNOWN\r\n$`},
		"haproxy, v2, IPv4":         {start: haproxy("passthrough.cfg", "send-proxy-v2"), visitor: ipv4, want: v2 + `\x21\x11\x00\x0c\x7f\x00\x00\x4d\x7f\x00\x00\x01.{4}$`},
		"haproxy, v2, unix socket":  {start: haproxy("unix-socket.cfg", "send-proxy-v2"), visitor: unixSocket, want: v2 + `\x20\x00\x00\x00$`},
		"haproxy, v2-ssl, IPv4":     {start: haproxy("passthrough.cfg", "send-proxy-v2-ssl"), visitor: ipv4, want: v2 + `\x21\x11\x00\x14\x7f\x00\x00\x4d\x7f\x00\x00\x01.{4}` + plainTLS + `$`},
		"nginx, IPv4":               {start: nginx("passthrough.conf"), visitor: ipv4, want: `^PROXY TCP4 127\.0\.0\.77 127\.0\.0\.1 \d+ \d+\r\n$`},
		"nginx, IPv6":               {start: nginx("passthrough.conf"), visitor: ipv6, want: `^PROXY TCP6 ::1 ::1 \d+ \d+\r\n$`},
		"nginx, IPv4 on IPv6":       {start: startNGINXOnIPv6Sockets, visitor: ipv4OnIPv6, want: `^PROXY TCP6 ::ffff:127\.0\.0\.77 ::ffff:127\.0\.0\.1 \d+ \d+\r\n$`},
		"nginx, unix socket":        {start: nginx("unix-socket.conf"), visitor: unixSocket, want: `^PROXY UNKNOWN\r\n$`},
	} {
		t.Run(name, func(t *testing.T) {
			needAddresses(t)
			server, headers := startReader(t)
			conn := c.visitor.dial(c.start(t, server), "smtp")(t)
			_, err := conn.Write([]byte(afterHeader))
			require.NoError(t, err)
			require.NoError(t, conn.(interface{ CloseWrite() error }).CloseWrite())
			// One rune per byte, so that the expression can match every byte.
			latin1 := make([]rune, 0, 64)
			for _, b := range []byte(<-headers) {
				latin1 = append(latin1, rune(b))
			}
			require.Regexp(t, "(?s)"+c.want, string(latin1))
		})
	}
}

const afterHeader = "EHLO client.example.com\r\n"

// startReader starts a server in place of all listeners of mailfront. It sends the bytes that
// came before the client's data. A health check has no data.
func startReader(t *testing.T) (*mailfront, <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(proxyIP, "0"))
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	headers := make(chan string, 1)
	go func() {
		defer close(headers)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all, _ := io.ReadAll(c)
			c.Close()
			if header, found := strings.CutSuffix(string(all), afterHeader); found {
				headers <- header
				return
			}
		}
	}()
	m := &mailfront{address: make(map[string]string)}
	for _, name := range listenerNames {
		m.address[name] = l.Addr().String()
	}
	return m, headers
}
