package proxyproto_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRelaySplices proves that io.Copy moves bytes with splice(2) through a
// Conn: they pass a relay in another process, and the kernel counts what that
// process moved by read(2) and write(2) in /proc/<pid>/io (proc_pid_io(5)).
// splice(2) does not count there. A relay that does without it shows that the
// check can fail.
func TestRelaySplices(t *testing.T) {
	const size = 8 << 20
	header := v2Header(t)
	for _, tt := range []struct {
		name   string
		hop    hop
		header string
		copied bool
	}{
		{"from a TCP connection to a TCP connection", hop{Front: raw, Back: raw}, "", false},
		{"and not from Read to Write", hop{Front: raw, Back: raw, Loop: true}, "", true},
		{"and not from Read to Write of a Conn", hop{Front: portico, Back: portico, Trusted: true, Loop: true}, header, true},

		{"from a Conn with a header", hop{Front: portico, Back: raw, Trusted: true}, header, false},
		{"from a Conn with a header of which something was read", hop{Front: portico, Back: raw, Trusted: true, Skip: 2}, header + "ab", false},
		{"from a direct Conn", hop{Front: portico, Back: raw}, "", false},
		{"from a direct Conn that was read from", hop{Front: portico, Back: raw, Skip: 2}, "ab", false},

		{"to a Conn with a header", hop{Front: portico, Back: raw, Trusted: true, Down: true}, header, false},
		{"to a direct Conn", hop{Front: portico, Back: raw, Down: true}, "", false},

		{"from a Conn with a header to a Conn", hop{Front: portico, Back: portico, Trusted: true}, header, false},
		{"from a direct Conn to a Conn", hop{Front: portico, Back: portico}, "", false},
		{"from a Conn to a Conn with a header", hop{Front: portico, Back: portico, Trusted: true, Down: true}, header, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := startChild(t, "relay")
			var addrs []string
			c.ask(t, tt.hop, &addrs)
			read0, written0 := movedByReadAndWrite(t, c.pid)
			push(t, tt.hop, addrs, tt.header, size)
			read, written := movedByReadAndWrite(t, c.pid)
			read, written = read-read0, written-written0
			if tt.copied {
				require.GreaterOrEqual(t, read, size)
				require.GreaterOrEqual(t, written, size)
				return
			}
			// The beginning passes through Read and Write.
			require.Less(t, read, 64<<10)
			require.Less(t, written, 64<<10)
		})
	}
}

// movedByReadAndWrite returns how many bytes a process has read and written.
func movedByReadAndWrite(t *testing.T, pid int) (read, written int) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("this kernel does not count a process's bytes (CONFIG_TASK_IO_ACCOUNTING), and there is no other way to see what splice(2) moved")
	}
	require.NoError(t, err)
	_, err = fmt.Sscanf(string(b), "rchar: %d\nwchar: %d\n", &read, &written)
	require.NoError(t, err, "%s", b)
	return read, written
}
