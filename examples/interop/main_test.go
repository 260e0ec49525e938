package interop

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	clientIP  = "127.0.0.77"
	client6IP = "::1"
	proxyIP   = "127.0.0.1"      // what the proxies connect from, and mailfront trusts
	timeout   = 30 * time.Second // only reached if something hangs
)

// shared is a directory for the files that all tests use.
var shared string

func TestMain(m *testing.M) {
	var err error
	if shared, err = os.MkdirTemp("", "interop"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if testing.Verbose() {
		report.print(os.Stdout)
	}
	os.RemoveAll(shared)
	os.Exit(code)
}

// unavailable ends a test whose requirements are missing on this machine. The test is skipped,
// or fails if interop is required.
func unavailable(t *testing.T, format string, args ...any) {
	t.Helper()
	if required() {
		t.Fatalf("PORTICO_INTEROP=required, but "+format, args...)
	}
	t.Skipf(format, args...)
}

func required() bool { return os.Getenv("PORTICO_INTEROP") == "required" }

// binary finds a program. Debian's proxies are in /usr/sbin, which is not in the PATH of every
// user. others are additional paths.
func binary(t *testing.T, name, env, install string, others ...string) string {
	t.Helper()
	candidates := append([]string{name, "/usr/sbin/" + name, "/usr/local/sbin/" + name}, others...)
	if path := os.Getenv(env); path != "" {
		candidates = []string{path}
	}
	for _, c := range candidates {
		if path, err := exec.LookPath(c); err == nil {
			return path
		}
	}
	unavailable(t, "%s is not installed: %s (or %s=/path/to/%s)", name, install, env, name)
	return ""
}

// needAddresses requires the loopback addresses of clients and proxies. Linux has all of
// 127.0.0.0/8, and other systems only 127.0.0.1.
func needAddresses(t *testing.T) {
	t.Helper()
	for _, ip := range []string{clientIP, client6IP, proxyIP} {
		l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
		if err != nil {
			unavailable(t, "this machine does not let a program use %s: %v", ip, err)
		}
		l.Close()
	}
}

// exampleBinary builds an example once, with the race detector if the tests use it.
func exampleBinary(name string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		path := filepath.Join(shared, name)
		args := []string{"build", "-o", path}
		if raceDetector() {
			args = append(args, "-race")
		}
		out, err := exec.Command("go", append(args, "../"+name)...).CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("go build ../%s: %w\n%s", name, err, out)
		}
		return path, nil
	})
}

var (
	mailfrontBinary = exampleBinary("mailfront")
	relayBinary     = exampleBinary("relay")
	doctorBinary    = exampleBinary("doctor")
)

func raceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}

// A test whose proxy is missing is skipped, or fails if interop is required.
func TestMissingProxy(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	for _, c := range []struct {
		env, test, hint string
	}{
		{env: "PORTICO_HAPROXY", test: "TestHAProxyConfigurationsAreValid", hint: "apt-get install haproxy"},
		{env: "PORTICO_NGINX", test: "TestNGINXPassthrough", hint: "apt-get install nginx libnginx-mod-stream"},
		{env: "PORTICO_CHROMIUM", test: "TestPageReportsWrongPublicURL", hint: "apt-get install chromium"},
		{env: "PORTICO_CADDY", test: "TestCaddyConfigurationsAreValid", hint: "go install github.com/caddyserver/caddy/v2/cmd/caddy@" + caddyVersion},
	} {
		for _, required := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/required=%t", c.env, required), func(t *testing.T) {
				cmd := exec.Command(self, "-test.v", "-test.run", "^"+c.test+"$")
				cmd.Env = append(os.Environ(), c.env+"=/nonexistent", "PORTICO_INTEROP=")
				if required {
					cmd.Env = append(cmd.Env, "PORTICO_INTEROP=required")
				}
				out, err := cmd.CombinedOutput()
				require.Contains(t, string(out), c.hint)
				if required {
					require.Error(t, err, "%s", out)
					require.Contains(t, string(out), "--- FAIL: "+c.test)
				} else {
					require.NoError(t, err, "%s", out)
					require.Contains(t, string(out), "--- SKIP: "+c.test)
				}
			})
		}
	}
}
