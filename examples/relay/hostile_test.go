package main

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

// Clients and backends that end their connections at the wrong time leave no session, no
// goroutine and no place in the room.
func TestHostilePeersLeaveNothing(t *testing.T) {
	const large = 4 << 20
	type peer func(c *net.TCPConn)
	var header bytes.Buffer
	require.NoError(t, proxyproto.WriteHeader(&header, ofClient(2, nil)))
	for _, tt := range []struct {
		name    string
		client  peer // sends the header, too
		backend peer // nil if no session begins
	}{
		{name: "reset within the header", client: func(c *net.TCPConn) {
			c.Write(header.Bytes()[:20])
			reset(c)
		}},
		{name: "single bytes, and reset", client: func(c *net.TCPConn) {
			for _, b := range slices.Concat(header.Bytes(), []byte("EHLO\r\n")) {
				c.Write([]byte{b})
			}
			io.ReadFull(c, make([]byte, 3))
			reset(c)
		}, backend: func(c *net.TCPConn) {
			io.WriteString(c, "220")
			io.Copy(io.Discard, c)
			c.Close()
		}},
		{name: "backend closes with unread input", client: func(c *net.TCPConn) {
			c.Write(slices.Concat(header.Bytes(), make([]byte, large)))
			io.Copy(io.Discard, c)
			c.Close()
		}, backend: func(c *net.TCPConn) {
			io.ReadFull(c, make([]byte, 1))
			c.Close()
		}},
		{name: "client closes with unread input", client: func(c *net.TCPConn) {
			c.Write(header.Bytes())
			io.ReadFull(c, make([]byte, 1))
			c.Close()
		}, backend: func(c *net.TCPConn) {
			c.Write(make([]byte, large))
			c.Close()
		}},
		{name: "client resets while neither reads", client: func(c *net.TCPConn) {
			c.Write(header.Bytes())
			io.ReadFull(c, make([]byte, 1))
			reset(c)
		}, backend: func(c *net.TCPConn) {
			for err := error(nil); err == nil; {
				_, err = c.Write(make([]byte, large))
			}
			c.Close()
		}},
		{name: "backend resets at once", client: func(c *net.TCPConn) {
			c.Write(header.Bytes())
			io.Copy(io.Discard, c)
			c.Close()
		}, backend: func(c *net.TCPConn) { reset(c) }},
		{name: "both end their direction, and then reset", client: func(c *net.TCPConn) {
			c.Write(header.Bytes())
			c.CloseWrite()
			io.Copy(io.Discard, c)
			reset(c)
		}, backend: func(c *net.TCPConn) {
			c.CloseWrite()
			io.Copy(io.Discard, c)
			reset(c)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer l.Close()
			const sessions, atOnce = 20, 3
			before := runtime.NumGoroutine()
			r, _ := startRelay(t, []string{l.Addr().String()}, "MAX_SESSIONS=3", "LOG=warn")
			for range sessions / atOnce {
				var all sync.WaitGroup
				for range atOnce {
					c := dial(t, r)
					all.Go(func() { tt.client(c) })
					if tt.backend != nil {
						all.Go(func() {
							c, err := l.Accept()
							if err != nil {
								return
							}
							io.ReadFull(c, make([]byte, header.Len()))
							tt.backend(c.(*net.TCPConn))
						})
					}
				}
				all.Wait()
			}
			r.sessions.Wait()
			require.Empty(t, r.room)
			r.watch.mu.Lock()
			require.Empty(t, r.watch.sessions)
			r.watch.mu.Unlock()
			require.NoError(t, r.shutdown(0))
			for i := 0; runtime.NumGoroutine() > before; i++ {
				require.Less(t, i, 3_000_000, "a goroutine is left")
				runtime.Gosched()
			}
		})
	}
}
