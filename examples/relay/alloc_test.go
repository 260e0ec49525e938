package main

import (
	"io"
	"math"
	"net"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

// A session makes 52 allocations. They include both connections of package net and dialling, and
// exclude the client and the backend.
func TestSessionAllocations(t *testing.T) {
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("the race detector allocates, too")
	}
	const sessions = 300
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	backend, err := proxyproto.New(socket, proxyproto.Config{Trusted: trustnet.MustParse(proxyIP)})
	require.NoError(t, err)
	defer backend.Close()
	go func() {
		b := make([]byte, 5)
		for {
			c, err := backend.Accept()
			if err != nil {
				return
			}
			if _, err := io.ReadFull(c, b); err == nil {
				c.Write(b)
				io.ReadFull(c, b[:1]) // the end
			}
			c.Close()
		}
	}()
	r, _ := startRelay(t, []string{socket.Addr().String()}, "LOG=warn")
	header := ofClient(2, nil)
	b := make([]byte, 5)
	through := func(address string) {
		c, err := net.Dial("tcp", address)
		require.NoError(t, err)
		require.NoError(t, proxyproto.WriteHeader(c, header))
		_, err = c.Write([]byte("NOOP\n"))
		require.NoError(t, err)
		_, err = io.ReadFull(c, b)
		require.NoError(t, err)
		require.NoError(t, c.(*net.TCPConn).CloseWrite())
		_, err = c.Read(b[:1])
		require.ErrorIs(t, err, io.EOF)
		require.NoError(t, c.Close())
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	each := func(address string) float64 {
		through(address)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range sessions {
			through(address)
		}
		runtime.ReadMemStats(&after)
		return float64(after.Mallocs-before.Mallocs) / sessions
	}
	least := math.Inf(1)
	for range 5 {
		least = min(least, each(r.listeners[0].Addr().String())-each(socket.Addr().String()))
	}
	require.Less(t, least, 53.0)
}
