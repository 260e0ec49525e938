package proxyproto_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRelaySplices checks that io.Copy moves bytes through a Conn with splice(2). The bytes pass
// a relay in another process. /proc/<pid>/io (proc_pid_io(5)) has the bytes that the process
// moved by read(2) and write(2), without splice(2). A relay without splice(2) shows that the
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
		{name: "from a TCP connection to a TCP connection", hop: hop{Front: raw, Back: raw}, header: "", copied: false},
		{name: "and not from Read to Write", hop: hop{Front: raw, Back: raw, Loop: true}, header: "", copied: true},
		{name: "and not from Read to Write of a Conn", hop: hop{Front: portico, Back: portico, Trusted: true, Loop: true}, header: header, copied: true},

		{name: "from a Conn with a header", hop: hop{Front: portico, Back: raw, Trusted: true}, header: header, copied: false},
		{name: "from a Conn with a header of which something was read", hop: hop{Front: portico, Back: raw, Trusted: true, Skip: 2}, header: header + "ab", copied: false},
		{name: "from a direct Conn", hop: hop{Front: portico, Back: raw}, header: "", copied: false},
		{name: "from a direct Conn that was read from", hop: hop{Front: portico, Back: raw, Skip: 2}, header: "ab", copied: false},

		{name: "to a Conn with a header", hop: hop{Front: portico, Back: raw, Trusted: true, Down: true}, header: header, copied: false},
		{name: "to a direct Conn", hop: hop{Front: portico, Back: raw, Down: true}, header: "", copied: false},

		{name: "from a Conn with a header to a Conn", hop: hop{Front: portico, Back: portico, Trusted: true}, header: header, copied: false},
		{name: "from a direct Conn to a Conn", hop: hop{Front: portico, Back: portico}, header: "", copied: false},
		{name: "from a Conn to a Conn with a header", hop: hop{Front: portico, Back: portico, Trusted: true, Down: true}, header: header, copied: false},
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
