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

// What the tests with Debian's Postfix and Dovecot have in common: both want to be
// started by root, and give up its rights themselves.

func needRoot(t *testing.T, what string) {
	t.Helper()
	if os.Geteuid() != 0 {
		unavailable(t, "%s has to be started by root", what)
	}
}

// needUser returns the ids of a user that a package brings along.
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

// serverDir is a directory whose whole path other users can enter, which that of
// t.TempDir they cannot.
func serverDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "interop")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	return dir
}

// freePorts are n that were free just now: these servers bind theirs themselves.
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

// awaitPort waits until a process listens, or fails if it ended. It reports false
// if another program took the port.
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

// dialRelayAsProxy connects to a relay as a trusted proxy does, with a header that
// names no client: a health check, or a client of a unix socket.
func dialRelayAsProxy(t *testing.T, address string, version int) net.Conn {
	t.Helper()
	c := dialFrom(t, proxyIP, address)
	require.NoError(t, proxyproto.WriteHeader(c, proxyproto.Header{Version: version, Local: true}))
	return c
}
