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

// noNameserver is HAProxy's warning on a machine that cannot reach the servers of resolv.conf.
var noNameserver = regexp.MustCompile(`(?m)^\[WARNING\].*can't connect socket for nameserver.*\n?`)

// HAProxy accepts the files with their own values, except for missing certificates.
func TestHAProxyConfigurationsAreValid(t *testing.T) {
	path := haproxyBinary(t)
	certs := testCertificates(t)
	files, err := filepath.Glob(filepath.Join("..", "proxies", "haproxy", "*.cfg"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		cmd := exec.Command(path, "-c", "-f", file)
		cmd.Env = append(os.Environ(), "TLS_PEM="+certs.proxyPEM, "SERVER_CA="+certs.ca)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s: %s", file, out)
		require.NotContains(t, noNameserver.ReplaceAllString(string(out), ""), "[WARNING]", file)
	}
}

func TestCaddyConfigurationsAreValid(t *testing.T) {
	path := caddyBinary(t)
	certs := testCertificates(t)
	files, err := filepath.Glob(filepath.Join("..", "proxies", "caddy", "*.caddyfile"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	dir := t.TempDir()
	for _, file := range files {
		cmd := exec.Command(path, "validate", "--config", file)
		cmd.Env = append(os.Environ(), "TLS_CERT="+certs.proxyCert, "TLS_KEY="+certs.proxyKey, "SERVER_CA="+certs.ca,
			"HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s: %s", file, out)
		require.NotContains(t, string(out), "not formatted")
		require.NotContains(t, string(out), "Unnecessary")
	}
}

var (
	presetenvValue = regexp.MustCompile(`^ *presetenv +(\w+) +(\S+)`)
	envValue       = regexp.MustCompile(`^MAILFRONT_(\w+)=(\S+)$`)
	administration = regexp.MustCompile(`^\s*(stats|stub_status|api|ping|metrics|admin [^o]|user|group|chroot)\b`)
	switchedOff    = map[string]string{".caddyfile": "\n\tadmin off\n"} // on by default
)

// Browsers refuse these ports above 1023 in a URL (https://fetch.spec.whatwg.org/#port-blocking,
// ERR_UNSAFE_PORT in Chromium).
var refusedPorts = []string{
	"1719", "1720", "1723", "2049", "3659", "4045", "4190", "5060", "5061", "6000", "6566",
	"6665", "6666", "6667", "6668", "6669", "6679", "6697", "10080",
}

// The configurations listen on loopback, connect to the ports of mailfront.env, and have no
// endpoint for administrators.
func TestConfigurationsUseMailfrontPorts(t *testing.T) {
	mailfrontEnv := readEnv(t, "mailfront.env", "")
	files, err := filepath.Glob(filepath.Join("..", "proxies", "*", "*.[cy]*"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.ToSlash(file), func(t *testing.T) {
			b, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Contains(t, string(b), switchedOff[filepath.Ext(file)])
			doors, servers := 0, 0
			eachLine(t, file, func(line string) {
				require.NotRegexp(t, administration, line)
				for name, value := range namedValues(line) {
					listener, isServer := strings.CutSuffix(name, "_SERVER")
					switch node := nodeOf(name); {
					case isServer:
						require.Equal(t, mailfrontEnv["LISTEN_"+listener], value, line)
						requireBrowserPort(t, listener, value)
						servers++
					case node != "":
						listener, _, _ := strings.Cut(name, "_SERVER")
						require.Equal(t, nodeAddress(t, node, listener, value), value, line)
						servers++
					case strings.HasSuffix(name, "_PORT"):
						_, port, err := net.SplitHostPort(nodeAddress(t, "1", strings.TrimSuffix(name, "_PORT"), ""))
						require.NoError(t, err)
						require.Equal(t, port, value, line)
					case strings.HasSuffix(name, "_FRONT") || strings.HasSuffix(name, "_FRONT6"):
						for address := range strings.SplitSeq(value, ",") {
							host, _, err := net.SplitHostPort(address)
							require.NoError(t, err, line)
							require.True(t, netip.MustParseAddr(host).IsLoopback(), line)
							requireBrowserPort(t, name, address)
						}
						doors++
					case strings.HasSuffix(name, "_SOCKET"):
						doors++
					}
				}
			})
			// Traefik has two files.
			if filepath.Ext(file) != ".yaml" || !strings.Contains(file, ".dynamic.") {
				require.NotZero(t, doors)
			}
			if filepath.Ext(file) != ".yaml" || strings.Contains(file, ".dynamic.") {
				require.NotZero(t, servers)
			}
		})
	}
}

// namedValues returns the names in a line of a configuration, and their values.
func namedValues(line string) map[string]string {
	values := make(map[string]string)
	if m := presetenvValue.FindStringSubmatch(line); m != nil {
		values[m[1]] = m[2]
	} else if m := marked.FindStringSubmatch(line); m != nil {
		values[m[4]] = m[2]
	} else if m := markedYAML.FindStringSubmatch(line); m != nil {
		values[m[4]] = m[2]
	}
	for _, m := range caddyName.FindAllStringSubmatch(line, -1) {
		values[m[1]] = m[2]
		if strings.HasSuffix(m[1], "_FRONT") { // addresses without a port
			values[m[1]] = strings.ReplaceAll(m[2]+":0", " ", ":0,")
		}
	}
	return values
}

// nodeOf returns the number of the node in a name such as SMTP_SERVER2 or NODE2, or "".
func nodeOf(name string) string {
	if m := nodeName.FindStringSubmatch(name); m != nil {
		return m[1]
	}
	return ""
}

var nodeName = regexp.MustCompile(`^(?:[A-Z0-9]+_SERVER|NODE)([123])$`)

// nodeAddress returns the address of a node's listener in nodes.env, without the port if the
// value has none.
func nodeAddress(t *testing.T, node, listener, value string) string {
	t.Helper()
	env := readEnv(t, "nodes.env", node)
	if value != "" && !strings.Contains(value, ":") {
		host, _, err := net.SplitHostPort(env["LISTEN_HTTP"])
		require.NoError(t, err)
		return host
	}
	return env["LISTEN_"+listener]
}

// readEnv reads a file of shell variables, with NODE set.
func readEnv(t *testing.T, file, node string) map[string]string {
	t.Helper()
	values := make(map[string]string)
	eachLine(t, filepath.Join("..", "proxies", file), func(line string) {
		if m := envValue.FindStringSubmatch(line); m != nil {
			values[m[1]] = strings.ReplaceAll(m[2], "$NODE", node)
		}
	})
	return values
}

// requireBrowserPort checks the port if the name is that of a web address.
func requireBrowserPort(t *testing.T, name, address string) {
	t.Helper()
	if strings.HasPrefix(name, "HTTP") {
		_, port, err := net.SplitHostPort(address)
		require.NoError(t, err)
		require.NotContains(t, refusedPorts, port, "%s: browsers refuse this port", name)
	}
}

var webAddress = regexp.MustCompile(`(?:https?://|LISTEN_HTTPS?=|-connect )[\w.\[\]:]+:(\d+)`)

func TestBrowsersAcceptREADMEPorts(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "mailfront", "README.md"))
	require.NoError(t, err)
	found := webAddress.FindAllStringSubmatch(string(b), -1)
	require.NotEmpty(t, found)
	for _, m := range found {
		require.NotContains(t, refusedPorts, m[1], "%s: browsers refuse this port", m[0])
	}
}

var (
	entryPointsUsed = regexp.MustCompile(`(?m)^ +entryPoints: \[(.*)\]$`)
	namesUsed       = regexp.MustCompile(`(?m)^ +(middlewares|service|serversTransport|options): \[?([\w, ]+)\]?$`)
	dynamicUsed     = regexp.MustCompile(`(?m)^ +filename: (\S+) `)
)

// Traefik only logs references that are not defined.
func TestTraefikReferencesAreDefined(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "proxies", "traefik", "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		if strings.HasSuffix(file, ".dynamic.yaml") {
			continue
		}
		static, err := os.ReadFile(file)
		require.NoError(t, err)
		name := dynamicUsed.FindSubmatch(static)
		require.NotNil(t, name, file)
		dynamic, err := os.ReadFile(filepath.Join(filepath.Dir(file), string(name[1])))
		require.NoError(t, err)
		used := make(map[string]bool)
		for _, m := range entryPointsUsed.FindAllSubmatch(dynamic, -1) {
			for name := range strings.SplitSeq(string(m[1]), ", ") {
				require.Contains(t, string(static), "\n  "+name+":\n", file)
				used[name] = true
			}
		}
		redirecting := strings.Count(string(static), "\n      redirections:\n")
		require.Equal(t, strings.Count(string(static), "\n    address: "), len(used)+redirecting, "%s: entry points", file)
		for _, m := range namesUsed.FindAllSubmatch(dynamic, -1) {
			for name := range strings.SplitSeq(string(m[2]), ", ") {
				require.Contains(t, string(dynamic), "\n    "+name+":\n", "%s: %s", file, m[1])
			}
		}
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
