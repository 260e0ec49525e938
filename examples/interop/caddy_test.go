package interop

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// caddyVersion is the version that the tests build if Caddy is not installed.
const caddyVersion = "v2.11.9"

// caddyBinary finds Caddy, or builds it if interop is required. The build takes some minutes
// and is kept in the user's cache.
func caddyBinary(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = shared
	}
	dir := filepath.Join(cache, "portico-interop", "caddy-"+caddyVersion)
	built := filepath.Join(dir, "caddy")
	if os.Getenv("PORTICO_CADDY") == "" && required() {
		if _, err := exec.LookPath("caddy"); err != nil {
			buildCaddy(t, dir, built)
		}
	}
	return binary(t, "caddy", "PORTICO_CADDY",
		"GOBIN="+dir+" go install github.com/caddyserver/caddy/v2/cmd/caddy@"+caddyVersion, built)
}

var building sync.Mutex

func buildCaddy(t *testing.T, dir, built string) {
	t.Helper()
	building.Lock()
	defer building.Unlock()
	if _, err := os.Stat(built); err == nil {
		return
	}
	cmd := exec.CommandContext(t.Context(), "go", "install", "github.com/caddyserver/caddy/v2/cmd/caddy@"+caddyVersion)
	cmd.Env = append(os.Environ(), "GOBIN="+dir)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// caddyName matches a name and its value in a configuration.
var caddyName = regexp.MustCompile(`\{\$([A-Z0-9_]+):([^}]*)\}`)

// startCaddy runs a configuration unchanged. It only sets environment variables.
func startCaddy(t *testing.T, m *mailfront, file string, set map[string]string, changes ...change) *proxy {
	t.Helper()
	path := caddyBinary(t)
	p := newProxy("caddy", file, m)
	dir := t.TempDir()
	config := filepath.Join(dir, file)
	text := readConfiguration(t, p.product, file, changes)
	require.NoError(t, writeFiles([]byte(text), config))
	cmd := exec.Command(path, "run", "--config", config)
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	p.startByEnvironment(t, cmd, caddyName.FindAllStringSubmatch(text, -1), "fd/%d fd/%d", set)
	return p
}

// doorFiles are listening sockets for a process to inherit.
type doorFiles []*os.File

// open returns the descriptor of the socket in the process.
func (d *doorFiles) open(t *testing.T, ip string) (fd int, address string) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	require.NoError(t, err)
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	require.NoError(t, err)
	*d = append(*d, f)
	return 2 + len(*d), l.Addr().String()
}

func (d doorFiles) close() {
	for _, f := range d {
		f.Close()
	}
}
