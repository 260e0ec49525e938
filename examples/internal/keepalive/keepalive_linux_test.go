package keepalive

import (
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// The connections have the same options as those of net.Listen.
func TestKeepAliveIsThatOfNet(t *testing.T) {
	var got [2][4]int
	for i, listen := range []func(string, string) (net.Listener, error){net.Listen, Listen} {
		l, err := listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		client, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		defer client.Close()
		c, err := l.Accept()
		require.NoError(t, err)
		defer c.Close()
		raw, err := c.(*net.TCPConn).SyscallConn()
		require.NoError(t, err)
		require.NoError(t, raw.Control(func(fd uintptr) {
			for j, o := range [][2]int{
				{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE}, {syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE},
				{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL}, {syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT},
			} {
				value, err := syscall.GetsockoptInt(int(fd), o[0], o[1])
				require.NoError(t, err)
				got[i][j] = value
			}
		}))
	}
	require.Equal(t, got[0], got[1])
	require.Equal(t, 1, got[1][0])
}
