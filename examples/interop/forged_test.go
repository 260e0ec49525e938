package interop

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

const forgedIP = "203.0.113.9"

// forgedHeaders name a client that does not exist.
func forgedHeaders(t *testing.T) map[string][]byte {
	t.Helper()
	headers := make(map[string][]byte)
	for name, version := range map[string]int{"v1": 1, "v2": 2} {
		var b bytes.Buffer
		require.NoError(t, proxyproto.WriteHeader(&b, proxyproto.Header{
			Version:     version,
			Source:      net.TCPAddrFromAddrPort(netip.MustParseAddrPort(forgedIP + ":4567")),
			Destination: net.TCPAddrFromAddrPort(netip.MustParseAddrPort("203.0.113.1:25")),
			TLS:         &proxyproto.TLS{Client: true, Version: "TLSv1.3"},
		}))
		headers[name] = b.Bytes()
	}
	return headers
}

// requireNotFooled fails if mailfront used the forged address.
func requireNotFooled(t *testing.T, m *mailfront) {
	t.Helper()
	lines, _ := m.stderr.since(0)
	require.Zero(t, countLines(lines, "client_ip="+forgedIP))
}

func TestForgedPROXYHeaderDirect(t *testing.T) {
	m := startMailfront(t)
	for name, header := range forgedHeaders(t) {
		for _, listener := range listenerNames {
			t.Run(name+"/"+listener, func(t *testing.T) {
				from := m.stderr.now()
				c := m.dial(t, clientIP, listener)
				var want []event
				if greeting, ok := greetings[listener]; ok {
					requireGreeting(t, c, greeting)
					want = []event{{"accept", clientIP, false}}
					if listener == "imap" || listener == "pop3" { // have sessions without a command
						want = append(want, event{"session", clientIP, false})
					}
				}
				_, err := c.Write(append(bytes.Clone(header), commands[listener]...))
				require.NoError(t, err)
				requireNoAnswer(t, c)
				m.stderr.awaitLine(t, 0, "proto="+listener+" ", "event=reject", "peer="+clientIP) // one line a minute
				m.requireEvents(t, from, listener, want...)
			})
		}
	}
	for _, listener := range listenerNames {
		m.fence(t, listener)
	}
	requireNotFooled(t, m)
}

// commands are answered by the server, if it reads them.
var commands = map[string]string{
	"smtp": "HELO client.example.com\r\n", "submission": "HELO client.example.com\r\n", "imap": "a NOOP\r\n", "pop3": "CAPA\r\n",
	"http": "GET /whoami HTTP/1.0\r\n\r\n",
}

// requireGreeting reads one line.
func requireGreeting(t *testing.T, c net.Conn, greeting string) {
	t.Helper()
	require.Regexp(t, "^"+regexpQuote(greeting), readLine(t, c))
}

func regexpQuote(s string) string { return strings.NewReplacer("*", `\*`, "+", `\+`).Replace(s) }

// readLine reads no byte more than a line.
func readLine(t *testing.T, c net.Conn) string {
	t.Helper()
	var line []byte
	for b := make([]byte, 1); !bytes.HasSuffix(line, []byte("\n")); line = append(line, b...) {
		_, err := io.ReadFull(c, b)
		require.NoError(t, err, "after %q", line)
	}
	return string(line)
}

// requireNoAnswer reads to the end of the connection. A reset is accepted, since the server
// may close without reading everything. A timeout is not.
func requireNoAnswer(t *testing.T, c net.Conn) {
	t.Helper()
	answer, err := io.ReadAll(c)
	if e, ok := err.(net.Error); ok {
		require.False(t, e.Timeout(), "the server does not close the connection")
	}
	require.Empty(t, string(answer))
}

// Bytes after the proxy's header are the client's, even if they look like a header. The
// server of the protocol rejects them.
func TestForgedPROXYHeaderIsPayload(t *testing.T) {
	for name, start := range map[string]func(*testing.T, *mailfront) *proxy{
		"haproxy/v1": func(t *testing.T, m *mailfront) *proxy {
			return startHAProxy(t, m, "passthrough.cfg", map[string]string{"SEND_PROXY": sendV1.sendProxy})
		},
		"haproxy/v2": func(t *testing.T, m *mailfront) *proxy {
			return startHAProxy(t, m, "passthrough.cfg", map[string]string{"SEND_PROXY": sendV2.sendProxy})
		},
		"nginx": func(t *testing.T, m *mailfront) *proxy {
			return startNGINX(t, m, "passthrough.conf", nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := startMailfront(t)
			p := start(t, m)
			for version, header := range forgedHeaders(t) {
				for _, listener := range []string{"smtp", "imap", "pop3", "submissions", "imaps", "pop3s", "https"} {
					t.Run(version+"/"+listener, func(t *testing.T) {
						sendForged(t, p, listener, version, header)
					})
				}
			}
			for _, listener := range listenerNames {
				m.fence(t, listener)
			}
			requireNotFooled(t, m)
		})
	}
}

func sendForged(t *testing.T, p *proxy, listener, version string, header []byte) {
	t.Helper()
	from := p.m.stderr.now()
	c := p.client(listener)(t)
	greeting, speaksFirst := greetings[listener]
	if !speaksFirst { // TLS rejects a header
		_, err := c.Write(header)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, c) // may be an alert
		if e, ok := err.(net.Error); ok {
			require.False(t, e.Timeout(), "the server does not close the connection")
		}
		return
	}
	requireGreeting(t, c, greeting)
	_, err := c.Write(header)
	require.NoError(t, err)
	want := []event{{"accept", clientIP, false}, {"session", clientIP, false}}
	switch {
	case version == "v2": // may contain line ends, and a session may end
		if listener == "smtp" {
			want = want[:1]
		}
	case listener == "imap": // go-imap ends the session
		require.Regexp(t, `^PROXY BAD `, readLine(t, c))
	default:
		require.Regexp(t, `^(5\d\d|-ERR) `, readLine(t, c))
		_, err = c.Write([]byte(commands[listener]))
		require.NoError(t, err)
		require.Regexp(t, `^(250|\+OK) `, readLine(t, c))
	}
	p.m.requireEvents(t, from, listener, want...)
}
