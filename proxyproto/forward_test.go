package proxyproto_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

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

// A forwarded is what Forward reported.
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

func TestForwardRefusesAnUntrustedHeader(t *testing.T) {
	_, conn := accepted(t, proxyproto.Config{}, proxy4()+"EHLO\r\n")
	backend, server := socketPair(t)
	require.ErrorIs(t, proxyproto.Forward(backend, conn, nil), proxyproto.ErrUntrustedHeader)
	backend.Close()
	got, err := io.ReadAll(server)
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestForwardReturnsErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		bulky   bool
		reports int // of progress before it fails: two of small transfers, then bulk
		fail    func(client, conn, backend, server *net.TCPConn)
		want    error
	}{
		"source reset":             {false, 2, func(client, _, _, _ *net.TCPConn) { client.SetLinger(0); client.Close() }, syscall.ECONNRESET},
		"source closed":            {false, 2, func(_, conn, _, _ *net.TCPConn) { conn.Close() }, net.ErrClosed},
		"source's own deadline":    {false, 2, func(_, conn, _, _ *net.TCPConn) { conn.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		"destination's, bulky":     {true, 5, func(_, _, backend, _ *net.TCPConn) { backend.SetWriteDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		"destination closed, bulk": {true, 5, func(_, _, backend, _ *net.TCPConn) { backend.Close() }, net.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			client, conn := socketPair(t)
			backend, server := socketPair(t)
			started := make(chan struct{}, 100)
			result := make(chan error, 1)
			go func() {
				result <- proxyproto.Forward(backend, conn, func(bool, int64) {
					select {
					case started <- struct{}{}:
					default:
					}
				})
			}()
			if tt.bulky {
				go io.Copy(client, zeros{}) // and the server reads nothing
			} else {
				_, err := client.Write([]byte("E"))
				require.NoError(t, err)
			}
			for range tt.reports {
				<-started
			}
			tt.fail(client, conn, backend, server)
			err := <-result
			require.ErrorIs(t, err, tt.want)
			if tt.want == syscall.ECONNRESET { // a log line must name the side
				require.ErrorContains(t, err, client.LocalAddr().String())
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// After a pause a bulky connection is like any other: it forwards single lines, and is not
// reported as writing while it waits.
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
	await(3 << 20) // the last part comes with the pause
	for i := range 3 {
		_, err = client.Write([]byte("NOOP\r\n"))
		require.NoError(t, err)
		await(3<<20 + int64(i+1)*6)
	}
}

// progress may limit each transfer with a write deadline of dst. What the deadline cut off
// is lost, so Forward must not go on even if progress has removed the deadline.
func TestForwardEndsAtAWriteDeadlineThatProgressRemoves(t *testing.T) {
	const limit = 300 * time.Millisecond
	client, conn := socketPair(t)
	backend, server := socketPair(t)
	sent := make([]byte, 32<<20) // more than the sockets take
	rand.Read(sent)
	go func() {
		client.Write(sent)
		client.CloseWrite()
	}()
	var once sync.Once
	cut := make(chan struct{}) // closed when the deadline has passed
	var deadline time.Time
	result := make(chan error, 1)
	go func() {
		result <- proxyproto.Forward(backend, conn, func(writing bool, _ int64) {
			if writing {
				deadline = time.Now().Add(limit)
				backend.SetWriteDeadline(deadline)
				return
			}
			backend.SetWriteDeadline(time.Time{})
			if time.Now().After(deadline) {
				once.Do(func() { close(cut) })
			}
		})
		once.Do(func() { close(cut) })
		backend.Close()
	}()
	<-cut
	got, err := io.ReadAll(server)
	require.NoError(t, err)
	require.ErrorIs(t, <-result, os.ErrDeadlineExceeded)
	require.True(t, bytes.HasPrefix(sent, got), "bytes are missing in the middle")
}

// A failed transfer is reported as ended, too.
func TestForwardEndsEachReportOfProgress(t *testing.T) {
	client, conn := socketPair(t)
	backend, server := socketPair(t)
	go io.Copy(client, zeros{})
	go io.Copy(io.Discard, server)
	var f forwarded
	reports := 0
	err := proxyproto.Forward(backend, conn, func(writing bool, n int64) {
		require.NotEqual(t, writing, f.writing)
		f.progress(writing, n)
		if reports++; reports == 6 { // a bulky transfer has ended
			conn.Close()
		}
	})
	require.ErrorIs(t, err, net.ErrClosed)
	require.False(t, f.writing)
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

// The Read and Write of a scripted connection are functions of the test.
type scripted struct {
	net.Conn
	read    func([]byte) (int, error)
	write   func([]byte) (int, error)
	written bytes.Buffer
}

func (c *scripted) Read(b []byte) (int, error) { return c.read(b) }

func (c *scripted) Write(b []byte) (int, error) {
	n, err := c.write(b)
	c.written.Write(b[:n])
	return n, err
}

func TestForwardAtTheFirstFailure(t *testing.T) {
	broken := errors.New("broken")
	whole := func(b []byte) (int, error) { return len(b), nil }
	for _, tt := range []struct {
		name    string
		readErr error // with the bytes of the first Read
		write   func([]byte) (int, error)
		want    error
		written string
	}{
		{name: "bytes that come with the end", readErr: io.EOF, write: whole, written: "EHLO"},
		{name: "bytes that come with an error", readErr: broken, write: whole, want: broken, written: "EHLO"},
		{name: "a Write that fails", write: func([]byte) (int, error) { return 2, broken }, want: broken, written: "EH"},
		{name: "a Write that fails at the end", readErr: io.EOF, write: func([]byte) (int, error) { return 0, broken }, want: broken},
		{name: "a short Write", write: func([]byte) (int, error) { return 3, nil }, want: io.ErrShortWrite, written: "EHL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reads := 0
			src := &scripted{read: func(b []byte) (int, error) {
				if reads++; reads > 1 {
					t.Error("a second Read")
					return 0, io.EOF
				}
				return copy(b, "EHLO"), tt.readErr
			}}
			dst := &scripted{write: tt.write}
			var f forwarded
			require.ErrorIs(t, proxyproto.Forward(dst, src, f.progress), tt.want)
			require.Equal(t, tt.written, dst.written.String())
			require.EqualValues(t, len(tt.written), f.bytes)
			require.False(t, f.writing)
		})
	}
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

// A proxy with many silent sessions needs little but stacks. Forward waits, after it has
// forwarded a line, in the smallest that there is.
func TestForwardNeedsTheSmallestStack(t *testing.T) {
	if raceDetector() {
		t.Skip("the race detector needs larger stacks")
	}
	const sessions = 100
	type session struct{ client, conn, backend, server net.Conn }
	all := make([]session, sessions)
	for i := range all {
		client, conn := accepted(t, proxyproto.Config{}, "")
		backend, server := socketPair(t)
		all[i] = session{client, conn, backend, server}
	}
	// A collection sets the size of new stacks to the average of those in use: see that this
	// is the smallest, and stays so.
	end := make(chan struct{})
	defer close(end)
	for range 5_000 {
		go func() { <-end }()
	}
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
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
	t.Logf("%.0f bytes of stack for each goroutine", each)
	require.Less(t, each, 2560.0, "2 KiB for each goroutine, and not 4")
}

// raceDetector reports whether the test was built with -race.
func raceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}

func TestReadArrivedDoesNotWait(t *testing.T) {
	loopback := trustnet.MustParse("loopback")
	ignoring := proxyproto.Config{Trusted: trustnet.MustParse("192.0.2.1"), Untrusted: proxyproto.Ignore}
	for _, tt := range []struct {
		name   string
		config proxyproto.Config
		first  string
		socket bool // the bytes are in the socket
		want   string
		err    error
	}{
		{name: "trusted, nothing", config: proxyproto.Config{Trusted: loopback}, first: proxy4()},
		{name: "trusted, behind the header", config: proxyproto.Config{Trusted: loopback}, first: proxy4() + "EHLO\r\n", want: "EHLO\r\n"},
		{name: "direct, nothing"},
		{name: "direct", first: "EHLO\r\n", socket: true, want: "EHLO\r\n"},
		{name: "direct, a header", first: proxy4(), socket: true, err: proxyproto.ErrUntrustedHeader},
		{name: "optional", config: proxyproto.Config{Optional: loopback}, first: "EHLO\r\n", want: "EHLO\r\n"},
		{name: "ignoring, may be a header", config: ignoring, first: signature[:5], socket: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, conn := accepted(t, tt.config, tt.first)
			if tt.socket {
				if !canExamine() {
					t.Skip("sockets cannot be examined here")
				}
				awaitBytes(t, conn)
			}
			b := make([]byte, 100)
			n, err := conn.ReadArrived(b)
			require.ErrorIs(t, err, tt.err)
			require.Equal(t, tt.want, string(b[:n]))
			n, err = conn.ReadArrived(b)
			if tt.err == nil {
				require.NoError(t, err)
				require.Zero(t, n)
			}
		})
	}
}

func TestReadArrivedReturnsTheEnd(t *testing.T) {
	if !canExamine() {
		t.Skip("sockets cannot be examined here")
	}
	client, conn := accepted(t, proxyproto.Config{}, "")
	require.NoError(t, client.CloseWrite())
	awaitBytes(t, conn)
	_, err := conn.ReadArrived(make([]byte, 1))
	require.True(t, errors.Is(err, io.EOF), "%v", err)
}
