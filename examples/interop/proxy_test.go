package interop

import (
	"bufio"
	"bytes"
	"fmt"
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

// A proxy is a HAProxy, NGINX, Caddy or Traefik that runs one of the configurations of
// examples/proxies in front of a mailfront. A door is an address that clients connect to. Its
// name is the part before _FRONT, _FRONT6 or _SOCKET in the configuration, in lower case.
type proxy struct {
	*process
	product string
	file    string
	m       *mailfront
	front   map[string]string // IPv4
	front6  map[string]string
	socket  map[string]string
	held    []net.Listener // reserve the chosen ports
}

// A change replaces a text in a configuration. The text must be there.
type change struct{ old, new string }

func readConfiguration(t *testing.T, product, file string, changes []change) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "proxies", product, file))
	require.NoError(t, err)
	text := string(b)
	for _, c := range changes {
		require.Contains(t, text, c.old)
		text = strings.ReplaceAll(text, c.old, c.new)
	}
	return text
}

// value returns the value of a name in a configuration, except for doors.
func (p *proxy) value(t *testing.T, name string) string {
	t.Helper()
	certs := testCertificates(t)
	switch name {
	case "TLS_PEM":
		return certs.proxyPEM
	case "TLS_CERT":
		return certs.proxyCert
	case "TLS_KEY":
		return certs.proxyKey
	case "SERVER_CA":
		return certs.ca
	case "SERVER_NAME":
		return serverName
	}
	if listener, ok := strings.CutSuffix(name, "_SERVER"); ok {
		if address := p.m.address[strings.ToLower(listener)]; address != "" {
			return address
		}
	}
	require.Fail(t, "what is "+name+" in "+p.file+"?")
	return ""
}

// socketPath returns a short path. The path of a unix socket is limited to about 100 bytes, and
// HAProxy first appends to it.
func (p *proxy) socketPath(t *testing.T, dir, door string) string {
	t.Helper()
	p.socket[door] = filepath.Join(dir, door)
	return p.socket[door]
}

func newProxy(product, file string, m *mailfront) *proxy {
	return &proxy{product: product, file: file, m: m,
		front: make(map[string]string), front6: make(map[string]string), socket: make(map[string]string)}
}

func haproxyBinary(t *testing.T) string {
	t.Helper()
	return binary(t, "haproxy", "PORTICO_HAPROXY", "apt-get install haproxy")
}

var presetenv = regexp.MustCompile(`(?m)^ *presetenv +(\w+)`)

// startHAProxy runs a configuration unchanged. It only sets environment variables.
func startHAProxy(t *testing.T, m *mailfront, file string, set map[string]string, changes ...change) *proxy {
	t.Helper()
	path := haproxyBinary(t)
	p := newProxy("haproxy", file, m)
	dir := t.TempDir()
	config := filepath.Join(dir, file)
	text := readConfiguration(t, p.product, file, changes)
	require.NoError(t, writeFiles([]byte(text), config))
	cmd := exec.Command(path, "-db", "-dW", "-f", config) // foreground, warnings are errors
	cmd.Env = os.Environ()
	p.startByEnvironment(t, cmd, presetenv.FindAllStringSubmatch(text, -1), "fd@%d,fd@%d", set)
	return p
}

// startByEnvironment starts a proxy whose configuration has variables. Their names are the first
// group of each match. set replaces their default values. The proxy inherits listening sockets for
// its doors, so that no other process can take the ports and clients can connect at once. bind
// returns the text for two sockets, of IPv4 and IPv6, in the configuration.
func (p *proxy) startByEnvironment(t *testing.T, cmd *exec.Cmd, matches [][]string, bind string, set map[string]string) {
	t.Helper()
	require.NotEmpty(t, matches)
	names := make(map[string]bool)
	for _, match := range matches {
		names[match[1]] = true
	}
	for name := range set {
		require.True(t, names[name], "%s is not in %s", name, p.file)
	}
	var doors doorFiles
	for name := range names {
		value, isSet := set[name]
		if isSet {
		} else if listener, ok := strings.CutSuffix(name, "_FRONT"); ok {
			listener = strings.ToLower(listener)
			fd, address := doors.open(t, proxyIP)
			fd6, address6 := doors.open(t, client6IP)
			p.front[listener], p.front6[listener] = address, address6
			value = fmt.Sprintf(bind, fd, fd6)
		} else if listener, ok := strings.CutSuffix(name, "_SOCKET"); ok {
			value = p.socketPath(t, shortTempDir(t), strings.ToLower(listener))
		} else if name == "SEND_PROXY" || name == "PROXY_PROTOCOL" {
			continue // keeps the value in the file
		} else {
			value = p.value(t, name)
		}
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.ExtraFiles = doors
	p.process = startProcess(t, p.product+" "+p.file, cmd)
	doors.close() // the proxy has its own copies
}

// shortTempDir returns a directory with a shorter name than that of t.TempDir.
func shortTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(shared, "")
	require.NoError(t, err)
	return dir
}

func nginxBinary(t *testing.T) string {
	t.Helper()
	return binary(t, "nginx", "PORTICO_NGINX", "apt-get install nginx libnginx-mod-stream")
}

// marked matches a line of NGINX's configuration whose value is replaced. Its groups are the
// directive, the value, and the rest up to the comment with the name.
var marked = regexp.MustCompile(`^( *\w+ +)([^ ;]+)([^#]*;) *# ([A-Z0-9_]+)$`)

// startNGINX runs a configuration with the values of its marked lines replaced. NGINX binds its
// ports itself. If another process has taken one of the ports that the kernel chose, startNGINX
// chooses all ports again.
func startNGINX(t *testing.T, m *mailfront, file string, set map[string]string, changes ...change) *proxy {
	t.Helper()
	path := nginxBinary(t)
	for try := 1; ; try++ {
		p := tryNGINX(t, m, path, file, set, changes)
		err := p.stderr.await(0, func(lines []string) bool { return countLines(lines, "start worker process ") > 0 })
		if err == nil {
			return p
		}
		inUse := strings.Contains(p.stderr.String(), "Address already in use")
		require.True(t, inUse && try < 3, "nginx does not start: %v", err)
	}
}

func tryNGINX(t *testing.T, m *mailfront, path, file string, set map[string]string, changes []change) *proxy {
	t.Helper()
	p := newProxy("nginx", file, m)
	unused := make(map[string]bool)
	for name := range set {
		unused[name] = true
	}
	var config bytes.Buffer
	text := readConfiguration(t, p.product, file, changes)
	lines := bufio.NewScanner(strings.NewReader(strings.Replace(text, "\nhttp {\n", "\nhttp {\n"+nginxTemporary, 1)))
	for lines.Scan() {
		line := lines.Text()
		if match := marked.FindStringSubmatch(line); match != nil {
			value, isSet := set[match[4]]
			delete(unused, match[4])
			if !isSet {
				value = p.nginxValue(t, path, match[4])
			}
			if value == "" {
				continue
			}
			line = match[1] + value + match[3]
		}
		fmt.Fprintln(&config, line)
	}
	require.NoError(t, lines.Err())
	require.Empty(t, unused, "not in %s", file)

	dir := t.TempDir()
	name := filepath.Join(dir, file)
	require.NoError(t, writeFiles(config.Bytes(), name))
	p.release()
	p.process = startProcess(t, "nginx "+file, exec.Command(path, "-p", dir, "-e", "stderr", "-c", name,
		"-g", "daemon off; error_log stderr notice; pid "+filepath.Join(dir, "nginx.pid")+";"))
	return p
}

// nginxTemporary keeps NGINX's directories for temporary files where its configuration is.
const nginxTemporary = `
    client_body_temp_path client_body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
`

func (p *proxy) nginxValue(t *testing.T, path, name string) string {
	t.Helper()
	door := func(listener, ip string, front map[string]string) string {
		listener = strings.ToLower(listener)
		if front[listener] == "" { // several servers of a file can listen at one door
			p.hold(t, ip, listener, front)
		}
		return front[listener]
	}
	if listener, ok := strings.CutSuffix(name, "_FRONT"); ok {
		return door(listener, proxyIP, p.front)
	}
	if listener, ok := strings.CutSuffix(name, "_FRONT6"); ok {
		return door(listener, client6IP, p.front6)
	}
	if listener, ok := strings.CutSuffix(name, "_SOCKET"); ok {
		return "unix:" + p.socketPath(t, shortTempDir(t), strings.ToLower(listener))
	}
	if name == "STREAM_MODULE" {
		return streamModule(t, path)
	}
	return p.value(t, name)
}

// hold returns a free address, which is reserved until release.
func (p *proxy) hold(t *testing.T, ip, listener string, front map[string]string) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	require.NoError(t, err)
	p.held = append(p.held, l)
	front[listener] = l.Addr().String()
	return front[listener]
}

func (p *proxy) release() {
	for _, l := range p.held {
		l.Close()
	}
	p.held = nil
}

var nginxOption = regexp.MustCompile(`--(modules-path|with-stream)(?:=(\S+))?(?: |\n)`)

// streamModule returns the path of NGINX's stream module, or "" if it is built in.
func streamModule(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.Command(path, "-V").CombinedOutput()
	require.NoError(t, err, "%s", out)
	options := make(map[string]string)
	for _, m := range nginxOption.FindAllStringSubmatch(string(out), -1) {
		options[m[1]] = m[2]
	}
	if kind, ok := options["with-stream"]; ok && kind == "" {
		return ""
	}
	module := filepath.Join(options["modules-path"], "ngx_stream_module.so")
	if _, err := os.Stat(module); err != nil {
		unavailable(t, "nginx has no stream module: apt-get install nginx libnginx-mod-stream: %v", err)
	}
	return module
}

// client connects to a door as the IPv4 client.
func (p *proxy) client(door string) func(*testing.T) net.Conn {
	return func(t *testing.T) net.Conn {
		t.Helper()
		return dialFrom(t, clientIP, p.front[door])
	}
}

// client6 connects to a door as the IPv6 client.
func (p *proxy) client6(door string) func(*testing.T) net.Conn {
	return func(t *testing.T) net.Conn {
		t.Helper()
		return dialFrom(t, client6IP, p.front6[door])
	}
}

// local connects to a door that is a unix socket, as soon as the socket exists.
func (p *proxy) local(door string) func(*testing.T) net.Conn {
	return func(t *testing.T) net.Conn {
		t.Helper()
		var c net.Conn
		require.Eventually(t, func() bool {
			var err error
			c, err = net.Dial("unix", p.socket[door])
			return err == nil
		}, timeout, 5*time.Millisecond, "no listener on %s", p.socket[door])
		return prepare(t, c)
	}
}

// withTLS does a TLS handshake after dialing, and checks where the TLS ends.
func withTLS(dial func(*testing.T) net.Conn, endedBy string) func(*testing.T) net.Conn {
	return func(t *testing.T) net.Conn {
		t.Helper()
		return onTLS(t, dial(t), endedBy)
	}
}

// serves waits until HAProxy has served a client at a door, or has ended. HAProxy binds all doors
// before it serves clients.
func (p *proxy) serves(door string) error {
	if c, err := net.Dial("tcp", p.front[door]); err == nil {
		c.Close()
	}
	return p.stdout.await(0, func(lines []string) bool { return countLines(lines, " "+door+" "+door+"/") > 0 })
}
