package interop

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The tests of this file check the comments on the PROXY header in Caddy's configurations.
// The server only reads the bytes before the request.

const caddyTrusts = caddyServers + "\t\ttrusted_proxies static 127.0.0.0/8\n"

// Caddy sends the address of its client. The client's port and the destination are zero.
func TestCaddyPROXYHeader(t *testing.T) {
	const (
		v2 = `^\r\n\r\n\x00\r\nQUIT\n`
		lr = `192.0.2.7` // reported by a proxy in front of Caddy
	)
	lie := http.Header{"X-Forwarded-For": {forgedIP + ", " + lr}}
	for name, c := range map[string]struct {
		version string
		visitor visitor
		changes []change
		sent    http.Header
		want    string
	}{
		"v1, IPv4": {version: "v1", visitor: ipv4, changes: nil, sent: nil, want: `^PROXY TCP4 127\.0\.0\.77 0\.0\.0\.0 0 0\r\n$`},
		"v1, IPv6": {version: "v1", visitor: ipv6, changes: nil, sent: nil, want: `^PROXY TCP6 ::1 :: 0 0\r\n$`},
		"v2, IPv4": {version: "v2", visitor: ipv4, changes: nil, sent: nil, want: v2 + `\x21\x11\x00\x0c\x7f\x00\x00\x4d\x00{4}\x00{4}$`},
		"v2, IPv6": {version: "v2", visitor: ipv6, changes: nil, sent: nil, want: v2 + `\x21\x21\x00\x24\x00{15}\x01\x00{16}\x00{4}$`},

		"a forged header of an untrusted client": {version: "v1", visitor: ipv4, changes: nil, sent: lie, want: `^PROXY TCP4 127\.0\.0\.77 `},
		"a forged header of a trusted client":    {version: "v1", visitor: ipv4, changes: []change{{caddyServers, caddyTrusts}}, sent: lie, want: `^PROXY TCP4 203\.0\.113\.9 `},
		"the same with trusted_proxies_strict": {version: "v1", visitor: ipv4, changes: []change{{caddyServers, caddyTrusts + "\t\ttrusted_proxies_strict\n"}}, sent: lie,
			want: `^PROXY TCP4 192\.0\.2\.7 `},
	} {
		t.Run(name, func(t *testing.T) {
			needAddresses(t)
			l, err := net.Listen("tcp", net.JoinHostPort(proxyIP, "0"))
			require.NoError(t, err)
			defer l.Close()
			header := make(chan []byte, 1)
			go func() {
				defer close(header)
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				var all []byte
				for b := make([]byte, 1); !bytes.HasSuffix(all, []byte("GET /")); all = append(all, b...) {
					if _, err := io.ReadFull(c, b); err != nil {
						return
					}
				}
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
				header <- bytes.TrimSuffix(all, []byte("GET /"))
			}()
			p := startCaddy(t, nil, "tls-terminated.caddyfile",
				map[string]string{"HTTP_SERVER": l.Addr().String(), "PROXY_PROTOCOL": c.version}, c.changes...)
			browse(t, withTLS(c.visitor.dial(p, "https"), endedByProxy)(t)).get(t, c.sent)
			latin1 := make([]rune, 0, 64) // one rune a byte, as in the expressions
			for _, b := range <-header {
				latin1 = append(latin1, rune(b))
			}
			require.Regexp(t, "(?s)"+c.want, string(latin1))
		})
	}
}

func TestCaddyRefusesUnixSocketClients(t *testing.T) {
	m := startMailfront(t)
	path := filepath.Join(shortTempDir(t), "https")
	p := startCaddy(t, m, "tls-terminated.caddyfile", nil,
		change{"\tbind {$HTTPS_FRONT:", "\tbind unix/" + path + " {$HTTPS_FRONT:"})
	p.socket["https"] = path
	requireStatus(t, http.StatusBadGateway, withTLS(p.local("https"), endedByProxy)(t))
}

func TestCaddyChecksServerName(t *testing.T) {
	for file, m := range map[string]*mailfront{
		"reencrypted.caddyfile": startMailfront(t, onlyHTTPSReencrypted), "http-reencrypted.caddyfile": startForwarded(t),
	} {
		t.Run(file, func(t *testing.T) {
			p := startCaddy(t, m, file, map[string]string{"SERVER_NAME": "other.example.com"})
			requireStatus(t, http.StatusBadGateway, withTLS(p.client("https"), endedByProxy)(t))
		})
	}
}

func requireStatus(t *testing.T, want int, c net.Conn) {
	t.Helper()
	response, err := httpClient(t, c).Get("http://" + serverName + "/whoami")
	require.NoError(t, err)
	response.Body.Close()
	require.Equal(t, want, response.StatusCode)
}
