//go:build unix

package proxyproto_test

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

func canExamine() bool { return true }

// awaitBytes waits until c has bytes to read, and does not read them.
func awaitBytes(t *testing.T, c *proxyproto.Conn) {
	t.Helper()
	raw, err := c.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Read(func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
		return err != syscall.EAGAIN
	}))
}
