package proxyproto_test

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

// Most sessions of a proxy are silent most of the time. A session that waits for its next small
// transfer has no pipes of splice(2), which would take four descriptors. A single read that
// fills a buffer does not change this.
func TestWaitingCopyHoldsNoPipe(t *testing.T) {
	for name, copyTo := range map[string]func(dst, src net.Conn){
		"io.Copy": func(dst, src net.Conn) { io.Copy(dst, src) },
		"Forward": func(dst, src net.Conn) { proxyproto.Forward(dst, src, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			socket, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			l, err := proxyproto.New(socket, proxyproto.Config{Trusted: trustnet.MustParse("loopback")})
			require.NoError(t, err)
			defer l.Close()
			behind, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer behind.Close()

			var copies sync.WaitGroup
			defer copies.Wait()
			before := openPipes(t)
			for range 10 {
				client, err := net.Dial("tcp", l.Addr().String())
				require.NoError(t, err)
				defer client.Close()
				require.NoError(t, proxyproto.WriteHeader(client, proxyproto.Header{Source: client.LocalAddr(), Destination: client.RemoteAddr()}))
				front, err := l.Accept()
				require.NoError(t, err)
				defer front.Close()
				back, err := net.Dial("tcp", behind.Addr().String())
				require.NoError(t, err)
				defer back.Close()
				server, err := behind.Accept()
				require.NoError(t, err)
				defer server.Close()
				copies.Go(func() { copyTo(back, front) })
				copies.Go(func() { copyTo(front, back) })
				for _, size := range []int{5, 8 << 10, 5, 8 << 10, 5} {
					for from, to := range map[net.Conn]net.Conn{client: server, server: client} {
						want := bytes.Repeat([]byte("NOOP\n"), size)[:size]
						_, err := from.Write(want)
						require.NoError(t, err)
						got := make([]byte, size)
						_, err = io.ReadFull(to, got)
						require.NoError(t, err)
						require.True(t, bytes.Equal(want, got))
					}
				}
			}
			require.LessOrEqual(t, openPipes(t), before, "fewer if package net has closed unused ones")
		})
	}
}

// openPipes counts the pipes of this process.
func openPipes(t *testing.T) (pipes int) {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	require.NoError(t, err)
	require.NotEmpty(t, fds)
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && strings.HasPrefix(target, "pipe:") {
			pipes++
		}
	}
	return pipes
}
