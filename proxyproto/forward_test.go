package proxyproto_test

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

// socketPair returns the two ends of a TCP connection.
func socketPair(t testing.TB) (client, server *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	s, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { c.Close(); s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

// accepted returns a client and its connection as a Listener accepts it. The client has
// sent first.
func accepted(t testing.TB, c proxyproto.Config, first string) (*net.TCPConn, *proxyproto.Conn) {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l, err := proxyproto.New(socket, c)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	client, err := net.Dial("tcp", socket.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	_, err = io.WriteString(client, first)
	require.NoError(t, err)
	conn, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return client.(*net.TCPConn), conn.(*proxyproto.Conn)
}

// A forwarded is a report of Forward.
type forwarded struct {
	bytes   int64
	writing bool
	most    int64
}

func (f *forwarded) progress(writing bool, n int64) {
	f.writing = writing
	f.bytes += n
	f.most = max(f.most, n)
}

func TestForwardCopiesUntilTheEnd(t *testing.T) {
	loopback := trustnet.MustParse("loopback")
	ignoring := proxyproto.Config{Trusted: trustnet.MustParse("192.0.2.1"), Untrusted: proxyproto.Ignore}
	random := make([]byte, 5<<20)
	rand.Read(random)
	for _, tt := range []struct {
		name    string
		config  proxyproto.Config
		first   string // sent before Accept
		header  int    // bytes of first that are not data
		payload []byte
	}{
		{name: "trusted, nothing", config: proxyproto.Config{Trusted: loopback}, first: proxy4(), header: len(proxy4())},
		{name: "trusted, a line", config: proxyproto.Config{Trusted: loopback}, first: proxy4(), header: len(proxy4()), payload: []byte("EHLO\r\n")},
		{name: "trusted, with data behind the header", config: proxyproto.Config{Trusted: loopback}, first: proxy4() + "EHLO\r\n", header: len(proxy4()), payload: []byte("MAIL\r\n")},
		{name: "trusted, bulky", config: proxyproto.Config{Trusted: loopback}, first: proxy4() + "DATA\r\n", header: len(proxy4()), payload: random},
		{name: "direct, a line", first: "EHLO\r\n"},
		{name: "direct, like a signature", first: signature[:len(signature)-1], payload: []byte("EHLO\r\n")},
		{name: "direct, bulky", payload: random},
		{name: "ignored header", config: ignoring, first: proxy4() + "EHLO\r\n", header: len(proxy4()), payload: random},
		{name: "ignored, like a signature", config: ignoring, first: signature[:9], payload: []byte("EHLO\r\n")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, conn := accepted(t, tt.config, tt.first)
			backend, server := socketPair(t)
			go func() {
				client.Write(tt.payload)
				client.CloseWrite()
			}()
			var f forwarded
			result := make(chan error, 1)
			go func() {
				err := proxyproto.Forward(backend, conn, f.progress)
				backend.CloseWrite()
				result <- err
			}()
			got, err := io.ReadAll(server)
			require.NoError(t, err)
			require.NoError(t, <-result)
			want := append([]byte(tt.first[tt.header:]), tt.payload...)
			require.True(t, bytes.Equal(want, got), "got %d bytes, want %d", len(got), len(want))
			require.EqualValues(t, len(want), f.bytes)
			require.False(t, f.writing)
			require.LessOrEqual(t, f.most, int64(1<<20))

			// And to the client.
			var down forwarded
			go func() {
				server.Write(want)
				server.CloseWrite()
			}()
			go func() {
				result <- proxyproto.Forward(conn, backend, down.progress)
				conn.CloseWrite()
			}()
			got, err = io.ReadAll(client)
			require.NoError(t, err)
			require.NoError(t, <-result)
			require.True(t, bytes.Equal(want, got), "down: got %d bytes, want %d", len(got), len(want))
			require.EqualValues(t, len(want), down.bytes)
			if len(want) > 1<<20 && canExamine() {
				const large = 64 << 10
				require.Greater(t, f.most, int64(large), "a large transfer uses the small buffer only")
				require.Greater(t, down.most, int64(large), "a large transfer to the client uses the small buffer only")
			}
		})
	}
}

func TestForwardUsesLargeTransfersBelowTwoListeners(t *testing.T) {
	if !canExamine() {
		t.Skip("this system has no splice(2)")
	}
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	below, err := proxyproto.New(socket, proxyproto.Config{})
	require.NoError(t, err)
	l, err := proxyproto.New(below, proxyproto.Config{})
	require.NoError(t, err)
	defer l.Close()
	server, err := net.Dial("tcp", socket.Addr().String())
	require.NoError(t, err)
	defer server.Close()
	dst, err := l.Accept()
	require.NoError(t, err)
	defer dst.Close()
	client, src := socketPair(t)
	go io.Copy(io.Discard, server)
	go func() {
		client.Write(make([]byte, 5<<20))
		client.CloseWrite()
	}()
	var f forwarded
	require.NoError(t, proxyproto.Forward(dst, src, f.progress))
	require.EqualValues(t, 5<<20, f.bytes)
	require.Greater(t, f.most, int64(64<<10))
}

func TestForwardRefusesAnUntrustedHeader(t *testing.T) {
	_, conn := accepted(t, proxyproto.Config{}, proxy4()+"EHLO\r\n")
	backend, server := socketPair(t)
	require.ErrorIs(t, proxyproto.Forward(backend, conn, nil), proxyproto.ErrUntrustedHeader)
	backend.Close()
	got, err := io.ReadAll(server)
	require.NoError(t, err)
	require.Empty(t, got)
}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// After a pause a bulky connection forwards single lines again, and is not reported as writing
// while it waits.
func TestForwardOfABulkyConnectionThatPauses(t *testing.T) {
	client, conn := socketPair(t)
	backend, server := socketPair(t)
	go io.Copy(io.Discard, server)
	var mu sync.Mutex
	var f forwarded
	moved := make(chan struct{}, 1000)
	go proxyproto.Forward(backend, conn, func(writing bool, n int64) {
		mu.Lock()
		f.progress(writing, n)
		mu.Unlock()
		if !writing {
			moved <- struct{}{}
		}
	})
	await := func(bytes int64) {
		for {
			mu.Lock()
			done := f.bytes == bytes && !f.writing
			mu.Unlock()
			if done {
				return
			}
			<-moved
		}
	}
	_, err := client.Write(make([]byte, 3<<20))
	require.NoError(t, err)
	await(3 << 20) // the last part is reported with the pause
	for i := range 3 {
		_, err = client.Write([]byte("NOOP\r\n"))
		require.NoError(t, err)
		await(3<<20 + int64(i+1)*6)
	}
}

// heldWrite is a connection whose Write waits.
type heldWrite struct {
	net.Conn
	lines   chan string
	release chan struct{}
}

func (c *heldWrite) Write(b []byte) (int, error) {
	c.lines <- ""
	<-c.release
	c.lines <- string(b)
	return len(b), nil
}

// A buffer belongs to one Forward until dst has taken its bytes.
func TestForwardDoesNotShareABufferThatIsInUse(t *testing.T) {
	client, conn := socketPair(t)
	held := &heldWrite{conn, make(chan string), make(chan struct{})}
	go proxyproto.Forward(held, conn, nil)
	line := func(during func()) string {
		_, err := io.WriteString(client, "of the first")
		require.NoError(t, err)
		<-held.lines
		during()
		held.release <- struct{}{}
		return <-held.lines
	}
	require.Equal(t, "of the first", line(func() {}))
	type session struct{ client, server net.Conn }
	others := make([]session, 70) // more than there are buffers
	all := func() {
		for _, o := range others {
			_, err := io.WriteString(o.client, "of another one")
			require.NoError(t, err)
			_, err = io.ReadFull(o.server, make([]byte, len("of another one")))
			require.NoError(t, err)
		}
	}
	for i := range others {
		client, conn := socketPair(t)
		backend, server := socketPair(t)
		others[i] = session{client, server}
		go proxyproto.Forward(backend, conn, nil)
	}
	all()
	require.Equal(t, "of the first", line(all))
}

func TestForwardIsForConnectionsThatAreNotSocketsToo(t *testing.T) {
	client, conn := net.Pipe()
	backend, server := net.Pipe()
	result := make(chan error, 1)
	go func() {
		err := proxyproto.Forward(backend, conn, nil)
		backend.Close()
		result <- err
	}()
	text := strings.Repeat("over a pipe ", 10_000)
	go func() {
		io.WriteString(client, text)
		client.Close()
	}()
	got, err := io.ReadAll(server)
	require.NoError(t, err)
	require.NoError(t, <-result)
	require.Equal(t, text, string(got))
}

// The memory of silent sessions is mostly stacks. After Forward has forwarded a line, it waits
// on the smallest stack.
func TestForwardNeedsTheSmallestStack(t *testing.T) {
	const sessions = 100
	type session struct{ client, conn, backend, server net.Conn }
	all := make([]session, sessions)
	for i := range all {
		client, conn := accepted(t, proxyproto.Config{}, "")
		backend, server := socketPair(t)
		all[i] = session{client, conn, backend, server}
	}
	startWithSmallestStacks(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, s := range all {
		go proxyproto.Forward(s.backend, s.conn, func(bool, int64) {})
		go proxyproto.Forward(s.conn, s.backend, func(bool, int64) {})
	}
	line := make([]byte, 6)
	for _, s := range all {
		for from, to := range map[net.Conn]net.Conn{s.client: s.server, s.server: s.client} {
			_, err := from.Write([]byte("NOOP\r\n"))
			require.NoError(t, err)
			_, err = io.ReadFull(to, line)
			require.NoError(t, err)
		}
	}
	runtime.ReadMemStats(&after)
	each := float64(after.StackInuse-before.StackInuse) / (2 * sessions)
	heap := float64(after.HeapAlloc-before.HeapAlloc) / (2 * sessions)
	t.Logf("%.0f bytes of stack and %.0f of heap for each goroutine", each, heap)
	require.Less(t, heap, 4096.0, "no buffer of 8 KiB is held")
	require.Less(t, each, 2560.0, "2 KiB for each goroutine, and not 4")
}
