package interop

import (
	endian "encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A keepalive has the keepalive options of a TCP socket.
type keepalive struct{ idle, interval time.Duration }

// An IMAP client in IDLE is silent for up to 29 minutes (RFC 2177). A NAT drops the connection
// earlier, unless the proxy or the client uses TCP keepalive.
func TestTCPKeepaliveTowardsClients(t *testing.T) {
	ours := keepalive{2 * time.Minute, 30 * time.Second}
	for _, product := range []struct {
		httpProxy
		files string
		want  keepalive
	}{
		{httpProxies[0], "*.cfg", ours},
		{httpProxies[1], "*.conf", ours},
		{httpProxies[2], "*.caddyfile", keepalive{15 * time.Second, 15 * time.Second}}, // the default of Caddy
		{httpProxies[3], "*.yaml", keepalive{3 * time.Minute, 15 * time.Second}},       // built into Traefik, and Go
	} {
		t.Run(product.product, func(t *testing.T) {
			files, err := filepath.Glob(filepath.Join("..", "proxies", product.product, product.files))
			require.NoError(t, err)
			require.NotEmpty(t, files)
			m := startMailfront(t)
			for _, file := range files {
				file = filepath.Base(file)
				if strings.HasPrefix(file, "unix-socket") || strings.HasSuffix(file, ".dynamic.yaml") {
					continue
				}
				t.Run(file, func(t *testing.T) {
					m, set := m, map[string]string(nil)
					if strings.HasPrefix(file, "load-balanced") {
						n := startNodes(t)
						m, set = n.all[0], n.set(t, product.product, balancerFiles(product.product)...)
					}
					p := product.startTCP(t, m, file, set)
					require.NotEmpty(t, p.front)
					for door := range p.front {
						clients := []net.Conn{p.client(door)(t)}
						if p.front6[door] != "" {
							clients = append(clients, p.client6(door)(t))
						}
						for _, c := range clients {
							require.Equal(t, product.want, p.keepaliveTowards(t, c), "door %s", door)
						}
					}
				})
			}
		})
	}
}

// keepaliveTowards returns the keepalive options of the proxy's end of a client's connection.
func (p *proxy) keepaliveTowards(t *testing.T, c net.Conn) keepalive {
	t.Helper()
	var socket int
	require.Eventually(t, func() bool { // until the proxy has accepted it
		if inode := inodeOf(t, c.RemoteAddr().String(), c.LocalAddr().String()); inode != "" {
			socket = p.openSocket(t, inode)
		}
		return socket > 0
	}, timeout, 5*time.Millisecond, "%s has no socket for the connection from %v", p.name, c.LocalAddr())
	defer unix.Close(socket)
	option := func(level, name int) int {
		value, err := unix.GetsockoptInt(socket, level, name)
		require.NoError(t, err)
		return value
	}
	// The proxy sets the options after it has accepted the connection.
	require.Eventually(t, func() bool { return option(unix.SOL_SOCKET, unix.SO_KEEPALIVE) != 0 }, 5*time.Second, 5*time.Millisecond,
		"%s uses no TCP keepalive towards the client (SO_KEEPALIVE is 0)", p.name)
	return keepalive{
		idle:     time.Duration(option(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)) * time.Second,
		interval: time.Duration(option(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL)) * time.Second,
	}
}

// inodeOf returns the inode of the socket with these addresses, or "".
func inodeOf(t *testing.T, local, remote string) string {
	t.Helper()
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, err := os.ReadFile(table)
		require.NoError(t, err)
		for line := range strings.Lines(string(b)) {
			// sl, local, remote, state, queues, timer, retransmits, user, timeout, inode
			if f := strings.Fields(line); len(f) > 9 && f[1] == kernelAddress(t, local) && f[2] == kernelAddress(t, remote) && f[9] != "0" {
				return f[9]
			}
		}
	}
	return ""
}

// kernelAddress returns an address in the format of /proc/net: 32-bit words in the byte order of
// this machine, and a port, in hexadecimal.
func kernelAddress(t *testing.T, address string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	number, err := strconv.Atoi(port)
	require.NoError(t, err)
	ip := net.ParseIP(host)
	if four := ip.To4(); four != nil {
		ip = four
	}
	var out strings.Builder
	for word := range slices.Chunk(ip, 4) {
		fmt.Fprintf(&out, "%08X", endian.NativeEndian.Uint32(word))
	}
	return fmt.Sprintf("%s:%04X", out.String(), number)
}

// openSocket returns a descriptor of a socket of the proxy or one of its workers, or 0.
func (p *proxy) openSocket(t *testing.T, inode string) int {
	t.Helper()
	processes := []string{strconv.Itoa(p.cmd.Process.Pid)}
	lists, err := filepath.Glob(filepath.Join("/proc", processes[0], "task", "*", "children"))
	require.NoError(t, err)
	for _, list := range lists {
		if children, err := os.ReadFile(list); err == nil {
			processes = append(processes, strings.Fields(string(children))...)
		}
	}
	var links []string
	for _, process := range processes {
		found, err := filepath.Glob(filepath.Join("/proc", process, "fd", "*"))
		require.NoError(t, err)
		links = append(links, found...)
	}
	for _, link := range links {
		if name, err := os.Readlink(link); err != nil || name != "socket:["+inode+"]" {
			continue
		}
		parts := strings.Split(link, "/")
		pid, err := strconv.Atoi(parts[2])
		require.NoError(t, err)
		fd, err := strconv.Atoi(parts[4])
		require.NoError(t, err)
		process, err := unix.PidfdOpen(pid, 0)
		require.NoError(t, err)
		defer unix.Close(process)
		socket, err := unix.PidfdGetfd(process, fd, 0)
		if err != nil {
			unavailable(t, "this machine does not let a program see the sockets of another: %v", err)
		}
		return socket
	}
	return 0
}
