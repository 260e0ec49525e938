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

// traefikBinary is the one product that is not required: there is no package of it
// where the others come from.
func traefikBinary(t *testing.T) string {
	t.Helper()
	name := os.Getenv("PORTICO_TRAEFIK")
	if name == "" {
		name = "traefik"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("traefik is not installed: a binary of Traefik 3 (or PORTICO_TRAEFIK=/path/to/traefik)")
	}
	return path
}

// markedYAML is a line of Traefik's configuration whose value is to be replaced, up to
// the comment that names it.
var markedYAML = regexp.MustCompile(`(?m)^( *(?:\w+:|-(?: \w+:)?) +'?(?:https?://)?)([^ ']+)('?) +# ([A-Z0-9_]+)$`)

// startTraefik runs a configuration with the values of its marked lines replaced, in
// both of its files. Traefik gets the doors as sockets that listen already, as systemd
// would give them, by the names of its entry points.
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
	// LISTEN_PID is the process that the sockets are for: the shell becomes Traefik.
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
				"Traefik does not lead on from %s, and says %s%s", door, p.stdout, p.stderr)
		}
	}
	return p
}

// traefikLeadsOn tries a door. Traefik accepts connections before it has read where they
// lead, and answers requests with 404 until then, and with a certificate of its own. The
// client is at the proxy's address, which checks in logs overlook.
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
		return err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) // a server that wants TLS
	}
	onTLS := tls.Client(dial(), clientTLS(t))
	defer onTLS.Close()
	return onTLS.Handshake() == nil
}
