//go:build unix

package main

import (
	"context"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSessionsThatLastHaveKeepAliveTowardsTheBackend(t *testing.T) {
	b := startBackend(t)
	r, _ := startRelay(t, []string{b.address()})
	c, err := r.dial(context.Background(), "tcp", b.address())
	require.NoError(t, err)
	defer c.Close()
	backend := c.(*net.TCPConn)
	keepAlive := func() bool {
		raw, err := backend.SyscallConn()
		require.NoError(t, err)
		var value int
		require.NoError(t, raw.Control(func(fd uintptr) {
			value, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE)
		}))
		require.NoError(t, err)
		return value != 0
	}
	var w watch
	session := &traffic{backend: backend, client: backend, clock: &w.clock}
	require.True(t, w.add(session))
	require.False(t, keepAlive(), "a session that ends soon pays nothing")
	w.look()
	require.True(t, keepAlive())
}
