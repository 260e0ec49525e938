package interop

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// With their own values, but for certificates that do not exist here.
func TestHAProxyConfigurationsAreValidAsTheyStand(t *testing.T) {
	path := haproxyBinary(t)
	certs := testCertificates(t)
	files, err := filepath.Glob(filepath.Join("..", "proxies", "haproxy", "*.cfg"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		cmd := exec.Command(path, "-c", "-dW", "-f", file)
		cmd.Env = append(os.Environ(), "TLS_PEM="+certs.proxyPEM, "SERVER_CA="+certs.ca)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s: %s", file, out)
	}
}

var (
	presetenvValue = regexp.MustCompile(`^ *presetenv +(\w+) +(\S+)`)
	envValue       = regexp.MustCompile(`^MAILFRONT_(\w+)=(\S+)$`)
	administration = regexp.MustCompile(`^\s*(stats|stub_status|api|user|group|chroot)\b`)
)

// What people copy is on loopback, leads to the ports of mailfront.env, and has no
// endpoint for administrators.
func TestConfigurationsStandOnLoopbackAndLeadToMailfront(t *testing.T) {
	listen := make(map[string]string)
	eachLine(t, filepath.Join("..", "proxies", "mailfront.env"), func(line string) {
		if m := envValue.FindStringSubmatch(line); m != nil {
			listen[m[1]] = m[2]
		}
	})
	files, err := filepath.Glob(filepath.Join("..", "proxies", "*", "*.c*"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.ToSlash(file), func(t *testing.T) {
			doors, servers := 0, 0
			eachLine(t, file, func(line string) {
				require.NotRegexp(t, administration, line)
				var name, value string
				if m := presetenvValue.FindStringSubmatch(line); m != nil {
					name, value = m[1], m[2]
				} else if m := marked.FindStringSubmatch(line); m != nil {
					name, value = m[4], m[2]
				}
				listener, isServer := strings.CutSuffix(name, "_SERVER")
				switch {
				case isServer:
					require.Equal(t, listen["LISTEN_"+listener], value, line)
					servers++
				case strings.HasSuffix(name, "_FRONT") || strings.HasSuffix(name, "_FRONT6"):
					for address := range strings.SplitSeq(value, ",") {
						host, _, err := net.SplitHostPort(address)
						require.NoError(t, err, line)
						require.True(t, netip.MustParseAddr(host).IsLoopback(), line)
					}
					doors++
				case strings.HasSuffix(name, "_SOCKET"):
					doors++
				}
			})
			require.NotZero(t, doors)
			require.NotZero(t, servers)
		})
	}
}

func eachLine(t *testing.T, file string, f func(line string)) {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	for line := range strings.Lines(string(b)) {
		f(strings.TrimSuffix(line, "\n"))
	}
}
