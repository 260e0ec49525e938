package proxyproto_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"
)

// tcpPair returns both ends of a TCP connection through a Listener. If trusted is true, the
// client sends header first.
func tcpPair(t testing.TB, trusted bool, header string) (client *net.TCPConn, server *proxyproto.Conn) {
	cfg := proxyproto.Config{}
	if trusted {
		cfg.Trusted = trustnet.MustParse("127.0.0.1")
	}
	return pairOf(t, cfg, header)
}

func pairOf(t testing.TB, cfg proxyproto.Config, header string) (client *net.TCPConn, server *proxyproto.Conn) {
	l := wrapped(t, cfg)
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	_, err = io.WriteString(c, header)
	require.NoError(t, err)
	s, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return c.(*net.TCPConn), s.(*proxyproto.Conn)
}

func TestConnKeepsContractOfNetConn(t *testing.T) {
	loopback, other := trustnet.MustParse("127.0.0.1"), trustnet.MustParse("192.0.2.10")
	for name, tt := range map[string]struct {
		config proxyproto.Config
		header string
		read   int // bytes that the server reads first, because unread bytes would reset the connection
	}{
		"with a header":                        {config: proxyproto.Config{Trusted: loopback}, header: proxy4()},
		"direct":                               {},
		"an optional peer with a header":       {config: proxyproto.Config{Optional: loopback}, header: proxy4()},
		"an optional peer that sends nothing":  {config: proxyproto.Config{Optional: loopback, OptionalWait: time.Millisecond}},
		"a header that was ignored":            {config: proxyproto.Config{Trusted: other, Untrusted: proxyproto.Ignore}, header: proxy4() + "x", read: 1},
		"no header where one would be ignored": {config: proxyproto.Config{Trusted: other, Untrusted: proxyproto.Ignore}},
	} {
		t.Run(name, func(t *testing.T) {
			nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
				c, s := pairOf(t, tt.config, tt.header)
				if _, err := io.ReadFull(s, make([]byte, tt.read)); err != nil {
					return nil, nil, nil, err
				}
				return s, c, func() { c.Close(); s.Close() }, nil
			})
		})
	}
}

func TestReadAndWriteAllocateNothing(t *testing.T) {
	loopback, other := trustnet.MustParse("127.0.0.1"), trustnet.MustParse("192.0.2.10")
	for name, tt := range map[string]struct {
		config proxyproto.Config
		header string
	}{
		"with a header":                        {config: proxyproto.Config{Trusted: loopback}, header: proxy4()},
		"direct":                               {config: proxyproto.Config{}, header: ""},
		"an optional peer with a header":       {config: proxyproto.Config{Optional: loopback}, header: proxy4()},
		"an optional peer without a header":    {config: proxyproto.Config{Optional: loopback}, header: ""},
		"a header that was ignored":            {config: proxyproto.Config{Trusted: other, Untrusted: proxyproto.Ignore}, header: proxy4()},
		"no header where one would be ignored": {config: proxyproto.Config{Trusted: other, Untrusted: proxyproto.Ignore}, header: ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, s := pairOf(t, tt.config, tt.header+"leftover")
			b := make([]byte, 16)
			_, err := io.ReadFull(s, b[:len("leftover")])
			require.NoError(t, err)
			require.Zero(t, testing.AllocsPerRun(100, func() {
				if _, err := c.Write(b); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(s, b); err != nil {
					t.Fatal(err)
				}
				if _, err := s.Write(b); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(c, b); err != nil {
					t.Fatal(err)
				}
			}))
		})
	}
}

func TestBytesBehindHeaderAreReadInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		send(t, f.mem.dial(proxyAddr), proxy4()+"abcdef", "ghi")
		c, err := f.Accept()
		require.NoError(t, err)
		n, err := c.Read(nil)
		require.NoError(t, err)
		require.Zero(t, n)
		b := make([]byte, 4)
		for _, want := range []string{"abcd", "ef", "ghi"} {
			n, err := c.Read(b)
			require.NoError(t, err)
			require.Equal(t, want, string(b[:n]))
		}
	})
}

func TestWriteToDeliversRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		client := f.mem.dial(proxyAddr)
		go func() {
			io.WriteString(client, proxy4()+"abc")
			io.WriteString(client, "def")
			client.Close()
		}()
		c, err := f.Accept()
		require.NoError(t, err)
		var got bytes.Buffer
		n, err := c.(*proxyproto.Conn).WriteTo(&got)
		require.NoError(t, err)
		require.Equal(t, "abcdef", got.String())
		require.Equal(t, int64(6), n)
	})
}

type failingWriter struct{ short bool }

func (w failingWriter) Write(b []byte) (int, error) {
	if w.short {
		return 1, nil
	}
	return 1, errors.New("full")
}

func TestWriteToReportsWritersFailure(t *testing.T) {
	for _, short := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, proxyproto.Config{})
			send(t, f.mem.dial(proxyAddr), proxy4()+"abc")
			c, err := f.Accept()
			require.NoError(t, err)
			n, err := c.(*proxyproto.Conn).WriteTo(failingWriter{short})
			require.Error(t, err)
			require.Equal(t, int64(1), n)
		})
	}
}

func TestReadFromWorksOnAnyConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		client, server := direct(t, f)
		go func() {
			server.(*proxyproto.Conn).ReadFrom(strings.NewReader("abc"))
			server.Close()
		}()
		got, err := io.ReadAll(client)
		require.NoError(t, err)
		require.Equal(t, "abc", string(got))
	})
}

func TestConcurrentFirstReads(t *testing.T) {
	for name, tt := range map[string]struct {
		trusted bool
		header  string
	}{"with a header": {trusted: true, header: proxy4()}, "direct": {trusted: false, header: ""}} {
		t.Run(name, func(t *testing.T) {
			const stream = "PROXY NOOP 0123456789abcdefghijklmnopqrstuvwxyz"
			c, s := tcpPair(t, tt.trusted, tt.header+stream)
			require.NoError(t, c.CloseWrite())
			var mu sync.Mutex
			var wg sync.WaitGroup
			seen := map[byte]int{}
			for range 8 {
				wg.Go(func() {
					var b [1]byte
					for {
						if _, err := s.Read(b[:]); err != nil {
							return
						}
						mu.Lock()
						seen[b[0]]++
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			want := map[byte]int{}
			for i := range len(stream) {
				want[stream[i]]++
			}
			require.Equal(t, want, seen)
		})
	}
}

func TestNothingIsReadAfterClose(t *testing.T) {
	_, s := tcpPair(t, true, proxy4()+"leftover")
	require.NoError(t, s.Close())
	_, err := s.Read(make([]byte, 10))
	require.ErrorIs(t, err, net.ErrClosed)
	require.ErrorIs(t, s.Close(), net.ErrClosed)
}

func TestHalfCloseAndSocketOptions(t *testing.T) {
	c, s := tcpPair(t, true, proxy4())
	require.NoError(t, s.CloseWrite())
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	_, err = io.WriteString(c, "still")
	require.NoError(t, err)
	require.Equal(t, "still", read(t, s))

	raw, err := s.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) { require.NotZero(t, fd) }))
	require.IsType(t, &net.TCPConn{}, s.NetConn())

	synctest.Test(t, func(t *testing.T) { // a pipe supports neither
		f := newFixture(t, proxyproto.Config{})
		_, server := direct(t, f)
		require.ErrorIs(t, server.(*proxyproto.Conn).CloseWrite(), errors.ErrUnsupported)
		_, err := server.(*proxyproto.Conn).SyscallConn()
		require.ErrorIs(t, err, errors.ErrUnsupported)
	})
}
