package proxyproto_test

import (
	"context"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
	"github.com/stretchr/testify/require"
)

// A step is an action of a client after a time.
type step struct {
	after time.Duration
	send  string
	end   bool // it closes the connection
}

// follow makes c follow the steps in a goroutine. The end of the test closes c.
func follow(t *testing.T, c net.Conn, steps []step) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); c.Close() })
	go func() {
		for _, s := range steps {
			select {
			case <-time.After(s.after):
			case <-ctx.Done():
				return
			}
			if s.end {
				c.Close()
				return
			}
			if _, err := io.WriteString(c, s.send); err != nil {
				return
			}
		}
	}()
}

func optionalConfig(c proxyproto.Config) proxyproto.Config {
	c.Trusted, c.Optional = trustnet.MustParse("198.51.100.99"), trustnet.MustParse("192.0.2.10")
	return c
}

func TestOptionalPeer(t *testing.T) {
	const v1 = "PROXY TCP4 203.0.113.7 198.51.100.1 50000 25\r\n"
	const ms = time.Millisecond
	for _, tt := range []struct {
		name    string
		config  proxyproto.Config
		steps   []step
		want    proxyproto.Stats // after Accept has returned, or at the end
		at      time.Duration    // when Accept returns; 0 with a rejection or a probe
		payload string           // what Read returns after that
		err     error            // of Read, or of the rejection
		says    string           // in the error
	}{
		{name: "a version 1 header", steps: []step{{send: v1 + "EHLO"}}, want: proxyproto.Stats{Proxied: 1}, payload: "EHLO"},
		{name: "a version 2 header", steps: []step{{send: proxy4() + "EHLO"}}, want: proxyproto.Stats{Proxied: 1}, payload: "EHLO"},
		{name: "LOCAL", steps: []step{{send: v2(0x20, 0) + "EHLO"}}, want: proxyproto.Stats{Local: 1}, payload: "EHLO"},
		{name: "a header that begins just in time", steps: []step{{after: 299 * ms, send: proxy4()[:1]}, {after: 2 * time.Second, send: proxy4()[1:]}},
			want: proxyproto.Stats{Proxied: 1}, at: 2299 * ms},
		{name: "a header whose signature is split", steps: []step{{send: v1[:7]}, {after: 4 * time.Second, send: v1[7:]}},
			want: proxyproto.Stats{Proxied: 1}, at: 4 * time.Second},
		{name: "a command", steps: []step{{send: "EHLO"}}, want: proxyproto.Stats{Direct: 1}, payload: "EHLO"},
		{name: "an HTTP health check", steps: []step{{send: "GET /healthz HTTP/1.1\r\n\r\n"}}, want: proxyproto.Stats{Direct: 1}, payload: "GET /healthz HTTP/1.1\r\n\r\n"},
		{name: "an IMAP command with the tag PROXY", steps: []step{{send: "PROXY NOOP\r\n"}}, want: proxyproto.Stats{Direct: 1}, payload: "PROXY NOOP\r\n"},
		{name: "a command after an empty line", steps: []step{{send: "\r\n"}, {after: time.Second, send: "EHLO"}},
			want: proxyproto.Stats{Direct: 1}, at: time.Second, payload: "\r\nEHLO"},
		{name: "silence", want: proxyproto.Stats{Direct: 1}, at: 300 * ms},
		{name: "silence, a longer wait", config: proxyproto.Config{OptionalWait: 3 * time.Second}, want: proxyproto.Stats{Direct: 1}, at: 3 * time.Second},
		{name: "silence, a short wait", config: proxyproto.Config{OptionalWait: 20 * ms}, want: proxyproto.Stats{Direct: 1}, at: 20 * ms},
		{name: "silence, a wait as long as the timeout", config: proxyproto.Config{OptionalWait: 5 * time.Second}, want: proxyproto.Stats{Direct: 1}, at: 5 * time.Second},
		{name: "silence, a timeout shorter than the default wait", config: proxyproto.Config{HeaderTimeout: 100 * ms}, want: proxyproto.Stats{Direct: 1}, at: 100 * ms},
		{name: "silence, then a command", steps: []step{{after: time.Minute, send: "EHLO"}}, want: proxyproto.Stats{Direct: 1}, at: 300 * ms, payload: "EHLO"},
		{name: "silence, then the end", steps: []step{{after: time.Minute, end: true}}, want: proxyproto.Stats{Direct: 1}, at: 300 * ms, err: io.EOF},
		{name: "a header after the wait", steps: []step{{after: 301 * ms, send: proxy4()}},
			want: proxyproto.Stats{Direct: 1}, at: 300 * ms, err: proxyproto.ErrUntrustedHeader, says: "for 300ms (OptionalWait)"},
		{name: "a version 1 header after the wait", steps: []step{{after: time.Minute, send: v1}},
			want: proxyproto.Stats{Direct: 1}, at: 300 * ms, err: proxyproto.ErrTimeout, says: "for 300ms (OptionalWait)"},
		{name: "the end without a byte", steps: []step{{after: 100 * ms, end: true}}, want: proxyproto.Stats{Probes: 1}},
		{name: "the end after a partial signature", steps: []step{{send: "PROXY TCP"}, {after: time.Second, end: true}},
			want: proxyproto.Stats{Direct: 1}, at: time.Second, payload: "PROXY TCP", err: io.EOF},
		{name: "the end in a header", steps: []step{{send: v1[:20]}, {end: true}}, want: proxyproto.Stats{Malformed: 1}, err: proxyproto.ErrMalformed},
		{name: "a partial signature, then silence", steps: []step{{send: "PROXY "}}, want: proxyproto.Stats{TimedOut: 1}, err: proxyproto.ErrTimeout, says: "6 bytes in 5s"},
		{name: "half a header, then silence", steps: []step{{send: v1[:20]}}, want: proxyproto.Stats{TimedOut: 1}, err: proxyproto.ErrTimeout},
		{name: "a malformed header", steps: []step{{send: "PROXY TCP4 x\r\n"}}, want: proxyproto.Stats{Malformed: 1}, err: proxyproto.ErrMalformed},
		{name: "a header that is too large", steps: []step{{send: signature + "\x21\x11\xff\xff"}}, want: proxyproto.Stats{TooLarge: 1}, err: proxyproto.ErrTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, optionalConfig(tt.config))
				start := time.Now()
				follow(t, f.mem.dial(proxyAddr), tt.steps)
				if tt.want.Proxied+tt.want.Local+tt.want.Direct == 0 {
					elapse(time.Minute)
					require.Equal(t, tt.want, f.Stats())
					if tt.err == nil {
						require.Empty(t, f.rejected())
						return
					}
					require.Len(t, f.rejected(), 1)
					require.ErrorIs(t, f.rejected()[0].Err, tt.err)
					require.ErrorContains(t, f.rejected()[0].Err, tt.says)
					return
				}
				c, err := f.Accept()
				require.NoError(t, err)
				require.Equal(t, tt.at, time.Since(start))
				require.Equal(t, tt.want, f.Stats())
				info := c.(*proxyproto.Conn).Info()
				require.Equal(t, tt.want.Local == 0, info.ClientKnown())
				if tt.want.Direct == 1 {
					require.Zero(t, info.Version)
					require.Nil(t, info.Proxy)
					require.Equal(t, proxyAddr, c.RemoteAddr().String())
					require.Equal(t, serverAddr, c.LocalAddr().String())
					require.True(t, ignoresForwarding(t, c), "a direct client, but not one whose forwarding headers count")
				}
				got := make([]byte, len(tt.payload))
				_, err = io.ReadFull(c, got)
				require.NoError(t, err)
				require.Equal(t, tt.payload, string(got))
				if tt.err == nil {
					return
				}
				_, err = c.Read(make([]byte, 100))
				require.ErrorIs(t, err, tt.err)
				require.ErrorContains(t, err, tt.says)
				if tt.err != io.EOF {
					require.Len(t, f.rejected(), 1)
					require.ErrorIs(t, f.rejected()[0].Err, proxyproto.ErrUntrustedHeader)
					require.Equal(t, uint64(1), f.Stats().Untrusted)
					require.Equal(t, err, f.rejected()[0].Err)
				}
			})
		})
	}
}

func TestBannerForSilentOptionalPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, optionalConfig(proxyproto.Config{}))
		client := f.mem.dial(proxyAddr)
		server, err := f.Accept()
		require.NoError(t, err)
		send(t, server, "220 ready\r\n")
		require.Equal(t, "220 ready\r\n", read(t, client))
		send(t, client, "EHLO\r\n")
		require.Equal(t, "EHLO\r\n", read(t, server), "no deadline is left, and no byte is lost")
	})
}

func TestHeaderOfOptionalPeerByteByByte(t *testing.T) {
	for name, header := range map[string]string{"v1": "PROXY TCP4 203.0.113.7 198.51.100.1 50000 25\r\n", "v2": proxy4(sslTLV(1, 0))} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, optionalConfig(proxyproto.Config{}))
				var steps []step
				for _, b := range strings.Split(header+"EHLO", "") {
					steps = append(steps, step{after: 50 * time.Millisecond, send: b})
				}
				follow(t, f.mem.dial(proxyAddr), steps)
				c, err := f.Accept()
				require.NoError(t, err)
				require.Equal(t, clientAddr, c.RemoteAddr().String())
				got := make([]byte, 4)
				_, err = io.ReadFull(c, got)
				require.NoError(t, err)
				require.Equal(t, "EHLO", string(got))
			})
		})
	}
}

// The states that a connection of an optional peer can be in before Accept.
var optionalStates = map[string][]step{
	"silent":              nil,
	"partial signature":   {{send: "PROXY "}},
	"half a header":       {{send: "PROXY TCP4 203.0.113.7"}},
	"ready, with header":  {{send: proxy4()}},
	"ready, with data":    {{send: "EHLO"}},
	"ready, after a wait": {{after: time.Hour}},
}

func TestCloseInEveryStateOfOptionalPeer(t *testing.T) {
	for name, steps := range optionalStates {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, optionalConfig(proxyproto.Config{}))
				client := f.mem.dial(proxyAddr)
				if len(steps) > 0 && steps[0].after > 0 {
					elapse(time.Second)
				} else {
					follow(t, client, steps)
				}
				synctest.Wait()
				start := time.Now()
				require.NoError(t, f.Close())
				_, err := client.Read(make([]byte, 1))
				require.ErrorIs(t, err, io.EOF)
				_, err = f.Accept()
				require.ErrorIs(t, err, net.ErrClosed)
				synctest.Wait()
				require.Zero(t, time.Since(start))
				require.Zero(t, f.Stats().Pending+f.Stats().Ready)
				require.Empty(t, f.rejected())
			})
		})
	}
}

func TestShutdownInEveryStateOfOptionalPeer(t *testing.T) {
	for name, tt := range map[string]struct {
		left time.Duration // until Accept returns the connection, or its end
		lost bool
	}{
		"silent":              {left: 300 * time.Millisecond},
		"partial signature":   {left: 5 * time.Second, lost: true},
		"half a header":       {left: 5 * time.Second, lost: true},
		"ready, with header":  {},
		"ready, with data":    {},
		"ready, after a wait": {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, optionalConfig(proxyproto.Config{}))
				client := f.mem.dial(proxyAddr)
				if steps := optionalStates[name]; len(steps) > 0 && steps[0].after > 0 {
					elapse(time.Second)
				} else {
					follow(t, client, steps)
				}
				synctest.Wait()
				start := time.Now()
				done := make(chan error, 1)
				go func() { done <- f.Shutdown(context.Background()) }()
				_, err := f.Accept()
				require.Equal(t, tt.left, time.Since(start))
				if !tt.lost {
					require.NoError(t, err)
					_, err = f.Accept()
				}
				require.ErrorIs(t, err, net.ErrClosed)
				require.NoError(t, <-done)
			})
		})
	}
}

func TestOptionalPeerKeepsItsWait(t *testing.T) {
	for _, tt := range []struct {
		name    string
		sends   string
		room    time.Duration // when the next connection is accepted
		evicted uint64
	}{
		// A silent optional peer becomes ready after its wait. A ready one is never evicted.
		{name: "silent", room: time.Minute},
		{name: "partial signature", sends: "PROXY ", room: 3 * time.Second, evicted: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, optionalConfig(proxyproto.Config{MaxPending: 1, OptionalWait: 3 * time.Second}))
				start := time.Now()
				first := f.mem.dial(proxyAddr)
				send(t, first, tt.sends)
				next := make(chan time.Duration, 1)
				go func() { f.mem.dial(clientAddr); next <- time.Since(start) }()
				elapse(time.Minute)
				s := f.Stats()
				require.Equal(t, tt.evicted, s.Evicted)
				if tt.evicted == 0 {
					require.Equal(t, 1, s.Ready)
					require.Empty(t, next)
					_, err := f.Accept()
					require.NoError(t, err)
				}
				require.InDelta(t, tt.room.Seconds(), (<-next).Seconds(), 0.02)
			})
		})
	}
}

func TestOptionalPeerIsEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, optionalConfig(proxyproto.Config{MaxPending: 1}))
		first := f.mem.dial(proxyAddr)
		synctest.Wait() // at the bound, and no peer that could make room
		send(t, first, "PROXY ")
		start := time.Now()
		f.mem.dial(clientAddr)
		require.InDelta(t, 1, time.Since(start).Seconds(), 0.02)
		require.Equal(t, uint64(1), f.Stats().Evicted)
	})
}

func TestUnreadOptionalHeaderIsNotLate(t *testing.T) {
	cfg := fromLoopback(t)
	cfg.Trusted, cfg.Optional, cfg.OptionalWait = nil, cfg.Trusted, 50*time.Millisecond
	c := acceptUnread(t, cfg, 4*cfg.OptionalWait)
	require.Equal(t, clientAddr, c.RemoteAddr().String())
}

func TestOptionalPeersOnSockets(t *testing.T) {
	cfg := fromLoopback(t)
	cfg.Trusted, cfg.Optional, cfg.OptionalWait = nil, cfg.Trusted, 20*time.Millisecond
	l := wrapped(t, cfg)
	for range fewer(100) {
		connect(t, l, 1, proxy4()+"x")
		connect(t, l, 1, "x")
		connect(t, l, 1, "")
		for range 3 {
			c, err := l.Accept()
			require.NoError(t, err)
			defer c.Close()
		}
	}
	n := uint64(fewer(100))
	require.Equal(t, proxyproto.Stats{Proxied: n, Direct: 2 * n}, l.Stats())
}

// An impatientConn has a time limit of its own, which ends its first Read.
type impatientConn struct {
	net.Conn
	over bool
}

func (c *impatientConn) Read(b []byte) (int, error) {
	if !c.over {
		c.over = true
		return 0, os.ErrDeadlineExceeded
	}
	return c.Conn.Read(b)
}

func TestOptionalWaitOfOddConns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{Optional: trustnet.MustParse("192.0.2.11")})
		client, server := net.Pipe()
		defer client.Close()
		f.mem.conns <- &memConn{&impatientConn{Conn: server}, tcpAddr("192.0.2.11:4711"), tcpAddr(serverAddr)}
		elapse(proxyproto.DefaultOptionalWait - time.Millisecond)
		require.Equal(t, proxyproto.Stats{Pending: 1}, f.Stats())
		elapse(2 * time.Millisecond)
		require.Equal(t, proxyproto.Stats{Direct: 1, Ready: 1}, f.Stats())
	})
}
