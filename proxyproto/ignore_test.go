package proxyproto_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/stretchr/testify/require"
)

var ignoreConfig = proxyproto.Config{Untrusted: proxyproto.Ignore}

func TestIgnoreDropsHeaderInSegments(t *testing.T) {
	headers := map[string]string{
		"v2 with TLVs":      proxy4(sslTLV(1, 0, tlv(0x21, "TLSv1.3")), tlv(0x04, strings.Repeat("x", 600))),
		"v2 UNSPEC":         v2(0x21, 0x00),
		"v2 UDP4":           v2(0x21, 0x12, strings.Repeat("x", 12)),
		"v2 UNIX":           v2(0x21, 0x31, strings.Repeat("x", 216)),
		"v1 of the longest": "PROXY UNKNOWN " + strings.Repeat("x", 91) + "\r\n",
	}
	for name, h := range forgedHeaders {
		headers[name] = h
	}
	for name, header := range headers {
		for how, chunks := range map[string]func(i int) []string{
			"split":        func(i int) []string { return []string{header[:i], header[i:] + "EHLO"} },
			"byte by byte": func(int) []string { return strings.Split(header+"EHLO", "") },
		} {
			t.Run(name+"/"+how, func(t *testing.T) {
				for i := 1; i < len(header); i++ {
					if how == "byte by byte" && i > 1 {
						break
					}
					synctest.Test(t, func(t *testing.T) {
						f := newFixture(t, ignoreConfig)
						client, server := direct(t, f)
						send(t, server, "220 ready\r\n")
						require.Equal(t, "220 ready\r\n", read(t, client), "Write does not wait")
						send(t, client, chunks(i)...)
						got := make([]byte, 4)
						_, err := io.ReadFull(server, got)
						require.NoError(t, err)
						require.Equal(t, "EHLO", string(got))

						require.Equal(t, clientAddr, server.RemoteAddr().String(), "the peer keeps its own address")
						require.Equal(t, serverAddr, server.LocalAddr().String())
						info := server.(*proxyproto.Conn).Info()
						require.Zero(t, info.Version)
						require.Nil(t, info.TLS)
						require.True(t, info.ClientKnown())
						secure, known := proxyproto.Secure(server)
						require.True(t, known)
						require.False(t, secure)
						require.Equal(t, proxyproto.Stats{Direct: 1, Untrusted: 1, Ignored: 1}, f.Stats())
						require.Len(t, f.rejected(), 1)
						r := f.rejected()[0]
						require.True(t, r.Served)
						require.ErrorIs(t, r.Err, proxyproto.ErrUntrustedHeader)
						require.ErrorContains(t, r.Err, "was ignored")
						require.Equal(t, clientAddr, r.Peer.String())
						require.Equal(t, header[:min(64, len(header))], string(r.Prefix))
					})
				}
			})
		}
	}
}

// A header arrives one byte at a time after the server has sent first, and both sides continue
// afterwards.
func TestIgnoreSlowHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, ignoreConfig)
		client, server := direct(t, f)
		send(t, server, "220 ready\r\n")
		require.Equal(t, "220 ready\r\n", read(t, client))
		var steps []step
		for _, b := range strings.Split(proxy4(), "") {
			steps = append(steps, step{after: 100 * time.Millisecond, send: b})
		}
		steps = append(steps, step{after: time.Hour, send: "EHLO"})
		follow(t, client, steps)
		start := time.Now()
		require.Equal(t, "EHLO", read(t, server), "no deadline is left")
		require.Equal(t, time.Hour+2800*time.Millisecond, time.Since(start))
		send(t, server, "250 OK")
		require.Equal(t, "250 OK", read(t, client))
	})
}

func TestIgnoreIsSameForEveryWayToRead(t *testing.T) {
	for name, readAll := range map[string]func(c *proxyproto.Conn) (string, error){
		"Read": func(c *proxyproto.Conn) (string, error) { b, err := io.ReadAll(c); return string(b), err },
		"Read of one byte": func(c *proxyproto.Conn) (string, error) {
			var got []byte
			for {
				var b [1]byte
				n, err := c.Read(b[:])
				got = append(got, b[:n]...)
				if err == io.EOF {
					return string(got), nil
				} else if err != nil {
					return string(got), err
				}
			}
		},
		"Read of 64 KiB": func(c *proxyproto.Conn) (string, error) {
			var got []byte
			for {
				b := make([]byte, 64<<10)
				n, err := c.Read(b)
				got = append(got, b[:n]...)
				if err == io.EOF {
					return string(got), nil
				} else if err != nil {
					return string(got), err
				}
			}
		},
		"WriteTo": func(c *proxyproto.Conn) (string, error) {
			var got bytes.Buffer
			_, err := c.WriteTo(&got)
			return got.String(), err
		},
	} {
		for stream, want := range map[string]string{
			proxy4() + "EHLO x\r\n": "EHLO x\r\n",
			proxy4():                "",
			"PROXY UNKNOWN\r\n" + strings.Repeat("data", 5000): strings.Repeat("data", 5000),
			proxy4() + proxy4(): proxy4(), // a second header is payload
			"EHLO x\r\n":        "EHLO x\r\n",
			"PROXY NOOP\r\n":    "PROXY NOOP\r\n",
			"PROXY":             "PROXY",
			"\r\n":              "\r\n",
			"":                  "",
		} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFixture(t, ignoreConfig)
					client, server := direct(t, f)
					go func() { io.WriteString(client, stream); client.Close() }()
					got, err := readAll(server.(*proxyproto.Conn))
					require.NoError(t, err)
					require.Equal(t, want, got)
				})
			})
		}
	}
}

func TestIgnoreHoldsOnlyPossibleHeaders(t *testing.T) {
	for _, tt := range []struct {
		name string
		sent []string
		want string        // of the first Read
		at   time.Duration // when it returns
	}{
		{name: "a command", sent: []string{"EHLO x\r\n"}, want: "EHLO x\r\n"},
		{name: "the tag PROXY", sent: []string{"PROXY NOOP\r\n"}, want: "PROXY NOOP\r\n"},
		{name: "an empty line and a command", sent: []string{"\r\n", "EHLO"}, want: "\r\nEHLO"},
		{name: "all of a signature but the last byte", sent: []string{"PROXY TCP4", "X"}, want: "PROXY TCP4X"},
		{name: "a partial signature, then silence", sent: []string{"PROXY"}, want: "PROXY", at: 5 * time.Second},
		{name: "an empty line, then silence", sent: []string{"\r\n"}, want: "\r\n", at: 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, ignoreConfig)
				client, server := direct(t, f)
				elapse(time.Hour) // the time begins with the first byte
				start := time.Now()
				send(t, client, tt.sent...)
				require.Equal(t, tt.want, read(t, server))
				require.Equal(t, tt.at, time.Since(start))
				send(t, client, "more")
				elapse(time.Hour)
				require.Equal(t, "more", read(t, server), "no deadline is left")
				require.Zero(t, f.Stats().Untrusted)
			})
		})
	}
}

func TestIgnoreHoldsOneHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := ignoreConfig
		config.MaxHeaderSize = 100
		f := newFixture(t, config)
		client, server := direct(t, f)
		data := strings.Repeat("data", 10_000)
		send(t, client, proxy4()[:7], proxy4()[7:]+data)
		b := make([]byte, len(data))
		n, err := server.Read(b)
		require.NoError(t, err)
		require.LessOrEqual(t, n, 16+100, "the rest stays in the socket")
		m, err := io.ReadFull(server, b[n:])
		require.NoError(t, err)
		require.Equal(t, data, string(b[:n+m]))
	})
}

func TestIgnoreRefusesPartlyDeliveredHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, ignoreConfig)
		client, server := direct(t, f)
		send(t, client, "PROXY TC")
		require.Equal(t, "PROXY TC", read(t, server))
		send(t, client, "P4 192.0.2.99 198.51.100.1 50000 25\r\n")
		_, err := server.Read(make([]byte, 100))
		require.ErrorIs(t, err, proxyproto.ErrUntrustedHeader)
		require.Equal(t, proxyproto.Stats{Direct: 1, Untrusted: 1}, f.Stats())
		require.False(t, f.rejected()[0].Served)
	})
}

func TestIgnoreMalformedHeader(t *testing.T) {
	for _, tt := range []struct {
		name  string
		steps []step
		err   error
		at    time.Duration
	}{
		{name: "malformed v1", steps: []step{{send: "PROXY TCP4 x y 1 2\r\n"}}, err: proxyproto.ErrMalformed},
		{name: "a single LF", steps: []step{{send: "PROXY TCP4 203.0.113.7 198.51.100.1 1 2\n"}}, err: proxyproto.ErrMalformed},
		{name: "v1 of 108 bytes", steps: []step{{send: "PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n"}}, err: proxyproto.ErrTooLarge},
		{name: "version 3", steps: []step{{send: signature + "\x31"}}, err: proxyproto.ErrMalformed},
		{name: "a malformed TLV", steps: []step{{send: proxy4("\x04")}}, err: proxyproto.ErrMalformed},
		{name: "a wrong checksum", steps: []step{{send: proxy4(tlv(3, "\x00\x00\x00\x00"))}}, err: proxyproto.ErrChecksum},
		{name: "a family that is not assigned", steps: []step{{send: v2(0x21, 0x41)}}, err: proxyproto.ErrUnsupported},
		{name: "UDP over MaxHeaderSize", steps: []step{{send: signature + "\x21\x12\x10\x01"}}, err: proxyproto.ErrTooLarge},
		{name: "the end in a header for UDP", steps: []step{{send: v2(0x21, 0x12, "12 bytes....")[:20]}, {after: time.Second, end: true}}, err: proxyproto.ErrMalformed, at: time.Second},
		{name: "over MaxHeaderSize", steps: []step{{send: signature + "\x21\x11\x10\x01"}}, err: proxyproto.ErrTooLarge},
		{name: "the end in a header", steps: []step{{send: proxy4()[:20]}, {after: time.Second, end: true}}, err: proxyproto.ErrMalformed, at: time.Second},
		{name: "silence in a header", steps: []step{{send: proxy4()[:20]}}, err: proxyproto.ErrTimeout, at: 5 * time.Second},
		{name: "a header that takes too long", steps: []step{{send: proxy4()[:20]}, {after: 3 * time.Second, send: proxy4()[20:21]}, {after: 3 * time.Second, send: proxy4()[21:]}},
			err: proxyproto.ErrTimeout, at: 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, ignoreConfig)
				client, server := direct(t, f)
				start := time.Now()
				follow(t, client, tt.steps)
				b := make([]byte, 8192)
				n, err := server.Read(b)
				require.Zero(t, n)
				require.ErrorIs(t, err, tt.err)
				require.ErrorIs(t, err, proxyproto.ErrUntrustedHeader)
				require.Equal(t, make([]byte, 8192), b, "nothing is left in the buffer")
				require.Equal(t, tt.at, time.Since(start))
				_, again := server.Read(b)
				require.Equal(t, err, again, "the error stays")
				_, err = client.Write([]byte("x"))
				require.Error(t, err, "the connection is closed")
				require.Equal(t, proxyproto.Stats{Direct: 1, Untrusted: 1}, f.Stats())
				require.Len(t, f.rejected(), 1)
				require.False(t, f.rejected()[0].Served)
				require.NotEmpty(t, f.rejected()[0].Prefix)
			})
		})
	}
}

func TestIgnoreKeepsDeadlinesOfApplication(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(c net.Conn, at time.Time) error
	}{
		{name: "SetReadDeadline", set: func(c net.Conn, at time.Time) error { return c.SetReadDeadline(at) }},
		{name: "SetDeadline", set: func(c net.Conn, at time.Time) error { return c.SetDeadline(at) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, ignoreConfig)
				client, server := direct(t, f)
				start := time.Now()
				at := func(d time.Duration) time.Time { return start.Add(d) }
				timesOut := func(d time.Duration) {
					t.Helper()
					_, err := server.Read(make([]byte, 100))
					require.ErrorIs(t, err, os.ErrDeadlineExceeded)
					require.Equal(t, d, time.Since(start))
				}
				require.NoError(t, tt.set(server, at(time.Second)))
				timesOut(time.Second) // before a byte

				send(t, client, "PROXY TC") // at 1 s: held until 6 s
				require.NoError(t, tt.set(server, at(2*time.Second)))
				timesOut(2 * time.Second) // while bytes are held
				require.NoError(t, tt.set(server, at(-time.Second)))
				timesOut(2 * time.Second) // one in the past
				require.NoError(t, tt.set(server, at(time.Hour)))
				go func() {
					elapse(time.Second)
					tt.set(server, at(4*time.Second)) // while Read waits
				}()
				timesOut(4 * time.Second)
				require.NoError(t, tt.set(server, time.Time{}))
				go func() {
					elapse(time.Second)
					io.WriteString(client, "P4 203.0.113.7 198.51.100.1 1 2\r\nEHLO")
				}()
				require.Equal(t, "EHLO", read(t, server)) // at 5 s, without loss
				require.NoError(t, tt.set(server, at(7*time.Second)))
				timesOut(7 * time.Second) // after the header
			})
		})
	}
}

func TestIgnoreKeepsReadDeadline(t *testing.T) {
	for name, sent := range map[string][]string{
		"after a header":            {proxy4()[:5], proxy4()[5:] + "x"},
		"after data that was held":  {"\r\n", "x"},
		"after data that was timed": {"PROXY"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, ignoreConfig)
				client, server := direct(t, f)
				start := time.Now()
				require.NoError(t, server.SetReadDeadline(start.Add(10*time.Second)))
				send(t, client, sent...)
				read(t, server)
				_, err := server.Read(make([]byte, 1))
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				require.Equal(t, 10*time.Second, time.Since(start))
			})
		})
	}
}

func TestIgnoreNeedsReadDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, ignoreConfig)
		a, b := net.Pipe()
		send(t, a, "PROXY")
		f.mem.conns <- &memConn{noDeadline{b}, tcpAddr(clientAddr), tcpAddr(serverAddr)}
		c, err := f.Accept()
		require.NoError(t, err)
		_, err = c.Read(make([]byte, 10))
		require.ErrorContains(t, err, "read deadlines: not supported")
		require.Len(t, f.rejected(), 1)
	})
}

func TestCloseStatesUnderIgnore(t *testing.T) {
	for name, sent := range map[string]string{
		"nothing came":      "",
		"partial signature": "PROXY ",
		"half a header":     "PROXY TCP4 203.0.113.7",
		"held data":         proxy4() + "EHLO",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, ignoreConfig)
				client, server := direct(t, f)
				if sent != "" {
					send(t, client, sent)
				}
				if name == "held data" {
					_, err := server.Read(make([]byte, 1))
					require.NoError(t, err)
				}
				errs := make(chan error, 1)
				if name != "held data" {
					go func() { _, err := server.Read(make([]byte, 100)); errs <- err }()
					synctest.Wait()
				}
				start := time.Now()
				require.NoError(t, server.Close())
				if name != "held data" {
					require.True(t, errors.Is(<-errs, io.ErrClosedPipe), "Read ends at once")
				}
				_, err := server.Read(make([]byte, 1))
				require.ErrorIs(t, err, io.ErrClosedPipe)
				require.Zero(t, time.Since(start))
			})
		})
	}
}

func TestCloseListenerUnderIgnore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, ignoreConfig)
		client, server := direct(t, f)
		send(t, client, "PROXY ")
		got := make(chan string, 1)
		go func() {
			b, _ := io.ReadAll(server)
			got <- string(b)
		}()
		synctest.Wait()
		require.NoError(t, f.Shutdown(t.Context()), "the connection is the application's")
		require.NoError(t, f.Close())
		send(t, client, "UNKNOWN\r\nEHLO")
		synctest.Wait()
		client.Close()
		require.Equal(t, "EHLO", <-got)
	})
}

func TestConcurrentReadsUnderIgnore(t *testing.T) {
	const data = "0123456789abcdefghijklmnopqrstuvwxyz"
	cfg := fromLoopback(t)
	cfg.Trusted, cfg.Untrusted, cfg.OnReject = set("192.0.2.10"), proxyproto.Ignore, nil
	l := wrapped(t, cfg)
	client := connect(t, l, 1, proxy4()[:9])[0]
	server, err := l.Accept()
	require.NoError(t, err)
	defer server.Close()
	var mu sync.Mutex
	var wg sync.WaitGroup
	seen := map[byte]int{}
	for range 8 {
		wg.Go(func() {
			var b [1]byte
			for {
				server.SetReadDeadline(time.Now().Add(patience))
				if _, err := server.Read(b[:]); err != nil {
					return
				}
				mu.Lock()
				seen[b[0]]++
				mu.Unlock()
			}
		})
	}
	_, err = io.WriteString(client, proxy4()[9:]+data)
	require.NoError(t, err)
	require.NoError(t, client.(*net.TCPConn).CloseWrite())
	wg.Wait()
	want := map[byte]int{}
	for i := range len(data) {
		want[data[i]]++
	}
	require.Equal(t, want, seen)
}
