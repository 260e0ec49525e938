package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

// With this variable the test binary is the relay.
const beRelay = "RELAY_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(beRelay) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// The bytes of a session stay in the kernel. They pass a relay in another process, and
// /proc/<pid>/io (proc_pid_io(5)) has the bytes that the process moved by read(2) and write(2),
// without splice(2). TLS that ends in the relay needs both calls, which shows that the check can
// fail.
func TestSessionsAreSplicedBothWaysButForTLS(t *testing.T) {
	const size = 8 << 20
	certFile, keyFile, config := certificate(t)
	for name, c := range map[string]struct {
		env    []string
		header bool
		tls    bool
	}{
		"behind a proxy": {env: []string{"RELAY_TRUSTED_PROXIES=" + proxyIP}, header: true, tls: false},
		"direct":         {header: false, tls: false},
		"TLS ends here":  {env: []string{"RELAY_TLS_CERT=" + certFile, "RELAY_TLS_KEY=" + keyFile}, header: false, tls: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := startBackend(t)
			address, pid := startRelayProcess(t, append(c.env, "RELAY_BACKEND="+b.address()))
			for _, up := range []bool{true, false} {
				conn := dialAddress(t, address)
				if c.header {
					require.NoError(t, proxyproto.WriteHeader(conn, ofClient(2, nil)))
				}
				client := duplex(conn)
				if c.tls {
					tc := tls.Client(conn, config)
					require.NoError(t, tc.Handshake())
					client = tc
				}
				server := duplex(b.accept())
				from, to := client, server
				if !up {
					from, to = server, client
				}
				write(t, client, "E") // the relay reads a direct client's first byte
				requireRead(t, server, "E")
				read0, written0 := movedByReadAndWrite(t, pid)
				go func() {
					io.CopyN(from, zeros{}, size)
					from.CloseWrite()
				}()
				n, err := io.Copy(io.Discard, to)
				require.NoError(t, err)
				require.EqualValues(t, size, n)
				read, written := movedByReadAndWrite(t, pid)
				if c.tls {
					require.GreaterOrEqual(t, read-read0, size)
					require.GreaterOrEqual(t, written-written0, size)
				} else {
					require.Less(t, read-read0, 64<<10, "up: %t", up)
					require.Less(t, written-written0, 64<<10, "up: %t", up)
				}
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func startRelayProcess(t *testing.T, env []string) (address string, pid int) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(append(os.Environ(), env...), beRelay+"=1", "RELAY_GRACE=0s")
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Signal(os.Interrupt))
		require.NoError(t, cmd.Wait())
	})
	table := make([]byte, 0, 512)
	for strings.Count(string(table), "\n") < 2 {
		n, err := stdout.Read(table[len(table):cap(table)])
		require.NoError(t, err)
		table = table[:len(table)+n]
	}
	line := strings.Split(string(table), "\n")[1]
	return strings.Fields(line)[0], cmd.Process.Pid
}

// movedByReadAndWrite returns how many bytes a process has read and written.
func movedByReadAndWrite(t *testing.T, pid int) (read, written int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("this kernel does not count a process's bytes (CONFIG_TASK_IO_ACCOUNTING)")
	}
	require.NoError(t, err)
	_, err = fmt.Sscanf(string(b), "rchar: %d\nwchar: %d\n", &read, &written)
	require.NoError(t, err, "%s", b)
	return read, written
}
