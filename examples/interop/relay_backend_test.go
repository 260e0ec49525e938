package interop

import (
	"net"
	"os"
	"os/user"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

// Helpers for Debian's Postfix and Dovecot. Both must be started by root and drop privileges
// themselves.

func needRoot(t *testing.T, what string) {
	t.Helper()
	if os.Geteuid() != 0 {
		unavailable(t, "%s has to be started by root", what)
	}
}

// needUser returns the ids of a user that a package creates.
func needUser(t *testing.T, name string) (uid, gid int) {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		unavailable(t, "%v", err)
	}
	uid, err = strconv.Atoi(u.Uid)
	require.NoError(t, err)
	gid, err = strconv.Atoi(u.Gid)
	require.NoError(t, err)
	return uid, gid
}

// serverDir returns a directory that other users can enter, unlike that of t.TempDir.
func serverDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "interop")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	return dir
}

// freePorts returns n ports that were free just now, since these servers bind their ports
// themselves.
func freePorts(t *testing.T, n int) []string {
	t.Helper()
	var p proxy
	defer p.release()
	var ports []string
	for range n {
		_, port, err := net.SplitHostPort(p.hold(t, proxyIP, "", make(map[string]string)))
		require.NoError(t, err)
		ports = append(ports, port)
	}
	return ports
}

// awaitPort waits until a process listens, and fails if it ended. It returns false if another
// program took the port.
func awaitPort(t *testing.T, p *process, address string) bool {
	t.Helper()
	for late := time.After(timeout); ; {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return !strings.Contains(p.stdout.String()+p.stderr.String(), "Address already in use")
		}
		select {
		case <-p.ended:
			require.Contains(t, p.stdout.String()+p.stderr.String(), "Address already in use", "%s ended", p.name)
			return false
		case <-late:
			require.Fail(t, p.name+" does not listen")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// dialRelayAsProxy connects to a relay as a trusted proxy, with a header without a client, like
// that of a health check or a client of a unix socket.
func dialRelayAsProxy(t *testing.T, address string, version int) net.Conn {
	t.Helper()
	c := dialFrom(t, proxyIP, address)
	require.NoError(t, proxyproto.WriteHeader(c, proxyproto.Header{Version: version, Local: true}))
	return c
}
