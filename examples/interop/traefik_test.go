package interop

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// traefikBinary finds Traefik, which is never required, because Debian has no package of it.
func traefikBinary(t *testing.T) string {
	t.Helper()
	name := os.Getenv("PORTICO_TRAEFIK")
	if name == "" {
		name = "traefik"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("traefik is not installed: add Traefik 3 to PATH (or set PORTICO_TRAEFIK=/path/to/traefik)")
	}
	return path
}

// markedYAML matches a line of Traefik's configuration whose value is replaced, up to the comment
// with the name.
var markedYAML = regexp.MustCompile(`(?m)^( *(?:\w+:|-(?: \w+:)?) +'?(?:https?://)?)([^ ']+)('?) +# ([A-Z0-9_]+)$`)

// startTraefik runs a configuration with the values of the marked lines in both files replaced.
// Traefik inherits listening sockets for its doors by the names of its entry points, as from
// systemd.
func startTraefik(t *testing.T, m *mailfront, file string, set map[string]string, changes ...change) *proxy {
	t.Helper()
	path := traefikBinary(t)
	p := newProxy("traefik", file, m)
	dir := t.TempDir()
	var doors doorFiles
	var entryPoints []string
	used := make(map[string]bool)
	replace := func(text string) string {
		return markedYAML.ReplaceAllStringFunc(text, func(line string) string {
			match := markedYAML.FindStringSubmatch(line)
			name := match[4]
			used[name] = true
			value, isSet := set[name]
			switch listener, isDoor := strings.CutSuffix(strings.TrimSuffix(name, "6"), "_FRONT"); {
			case isSet:
			case isDoor:
				door, front, ip := strings.ToLower(listener), p.front, proxyIP
				entryPoints = append(entryPoints, door)
				if strings.HasSuffix(name, "6") {
					entryPoints[len(entryPoints)-1] += "6"
					front, ip = p.front6, client6IP
				}
				_, value = doors.open(t, ip)
				front[door] = value
			case name == "PROXY_PROTOCOL":
				value = match[2]
			case name == "DYNAMIC":
				value = filepath.Join(dir, match[2])
			default:
				value = p.value(t, name)
			}
			return match[1] + value + match[3]
		})
	}
	static := readConfiguration(t, p.product, file, nil)
	dynamic := markedYAML.FindStringSubmatch(static[strings.Index(static, "filename:"):])[2]
	for name, text := range map[string]string{file: static, dynamic: readConfiguration(t, p.product, dynamic, changes)} {
		require.NoError(t, writeFiles([]byte(replace(text)), filepath.Join(dir, name)))
	}
	for name := range set {
		require.True(t, used[name], "%s is not in %s", name, file)
	}
	// LISTEN_PID is the process that inherits the sockets. The shell becomes Traefik by exec.
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`,
		path, "--configFile="+filepath.Join(dir, file)) // with which it reads no flag
	cmd.Env = append(os.Environ(), fmt.Sprintf("LISTEN_FDS=%d", len(doors)), "LISTEN_FDNAMES="+strings.Join(entryPoints, ":"))
	cmd.ExtraFiles = doors
	p.process = startProcess(t, "traefik "+file, cmd)
	doors.close()
	for door := range p.front {
		for _, address := range []string{p.front[door], p.front6[door]} {
			if address == "" {
				continue // load-balanced.yaml has no IPv6 for mail
			}
			require.Eventually(t, func() bool { return !p.running() || traefikLeadsOn(t, address) }, timeout, 20*time.Millisecond,
				"Traefik does not connect %s to the server: %s%s", door, p.stdout, p.stderr)
		}
	}
	return p
}

// traefikLeadsOn reports whether a door is connected to the server. Traefik accepts connections
// before it has read its second file, and until then answers requests with 404 and its own
// certificate. The client has the proxy's address, which checks of logs ignore.
func traefikLeadsOn(t *testing.T, address string) bool {
	t.Helper()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", address)
		require.NoError(t, err)
		require.NoError(t, c.SetDeadline(time.Now().Add(time.Second)))
		return c
	}
	c := dial()
	defer c.Close()
	fmt.Fprintf(c, "GET /whoami HTTP/1.0\r\nHost: %s\r\n\r\n", serverName)
	answer := make([]byte, len("HTTP/1.0 404"))
	_, err := io.ReadFull(c, answer)
	if err != nil || !strings.HasSuffix(string(answer), " 404") {
		return err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) // a server that requires TLS
	}
	onTLS := tls.Client(dial(), clientTLS(t))
	defer onTLS.Close()
	return onTLS.Handshake() == nil
}
