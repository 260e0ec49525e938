package proxyproto_test

import (
	"bufio"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

var (
	sources      = []string{"TCP", "trusted", "direct", "ignored", "unix", "pipe", "wrapper", "direct over a wrapper", "direct over a Conn", "trusted over a Conn"}
	destinations = []string{"TCP", "Conn", "unix", "pipe", "counts", "short", "fails", "closes early", "expires", "Conn over a Conn"}
)

// forwardEnds has listeners for all runs of FuzzForward, and the connections of one run.
type forwardEnds struct {
	socket, unix                              net.Listener
	trusted, direct, ignoring, peeking, above *proxyproto.Listener
	aboveTrusted                              *proxyproto.Listener
	open                                      []net.Conn
	maxFirst                                  int
	stream                                    []byte // room for first, and 2 MiB
}

// streamOf returns first and the bytes after it. The result is valid until the next call.
func (e *forwardEnds) streamOf(first []byte) []byte {
	stream := e.stream[e.maxFirst-len(first):]
	copy(stream, first)
	return stream
}

func newForwardEnds(f *testing.F) *forwardEnds {
	const maxFirst = 5000
	e := &forwardEnds{maxFirst: maxFirst, stream: slices.Concat(make([]byte, maxFirst), payload, payload)}
	listen := func(network, address string) net.Listener {
		l, err := net.Listen(network, address)
		require.NoError(f, err)
		f.Cleanup(func() { l.Close() })
		return l
	}
	over := func(inner net.Listener, c proxyproto.Config) *proxyproto.Listener {
		l, err := proxyproto.New(inner, c)
		require.NoError(f, err)
		f.Cleanup(func() { l.Close() })
		l.Start()
		return l
	}
	tcp := func() net.Listener { return listen("tcp", "127.0.0.1:0") }
	loopback := trustnet.MustParse("loopback")
	dir, err := os.MkdirTemp("", "portico")
	require.NoError(f, err)
	f.Cleanup(func() { os.RemoveAll(dir) })
	e.socket, e.unix = tcp(), listen("unix", filepath.Join(dir, "s"))
	e.trusted = over(tcp(), proxyproto.Config{Trusted: loopback})
	e.direct = over(tcp(), proxyproto.Config{})
	e.ignoring = over(tcp(), proxyproto.Config{Trusted: trustnet.MustParse("192.0.2.1"), Untrusted: proxyproto.Ignore})
	e.peeking = over(wrapListener{tcp()}, proxyproto.Config{})
	e.above = over(over(tcp(), proxyproto.Config{}), proxyproto.Config{})
	e.aboveTrusted = over(over(tcp(), proxyproto.Config{Trusted: loopback}), proxyproto.Config{})
	return e
}

// A wrapListener returns connections that hide their type and read through a buffer, and give
// access to the socket.
type wrapListener struct{ net.Listener }

func (l wrapListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &peekConn{c, bufio.NewReader(c)}, nil
}

// pair returns both ends of a connection to l. If the client sends, it does so before Accept.
func (e *forwardEnds) pair(t *testing.T, l net.Listener, sends string) (client, server net.Conn) {
	client, err := net.Dial(l.Addr().Network(), l.Addr().String())
	require.NoError(t, err)
	if sends != "" {
		_, err = io.WriteString(client, sends)
		require.NoError(t, err)
	}
	server, err = l.Accept()
	require.NoError(t, err)
	e.open = append(e.open, client, server)
	return client, server
}

// close closes all connections, without the state TIME_WAIT.
func (e *forwardEnds) close() {
	for _, c := range e.open {
		abort(c)
	}
	e.open = nil
}

// abort resets c if it is a TCP connection or a Conn, and closes it.
func abort(c net.Conn) {
	below := c
	for conn, ok := below.(*proxyproto.Conn); ok; conn, ok = below.(*proxyproto.Conn) {
		below = conn.NetConn()
	}
	if s, ok := below.(*net.TCPConn); ok {
		s.SetLinger(0)
	}
	c.Close()
}

// connect opens the connections of s.
func (s *forwardScript) connect() {
	t, e := s.t, s.ends
	withHeader := func(l net.Listener) (net.Conn, net.Conn) {
		s.sent = int(s.limit) % 100 // arrive along with the header
		return e.pair(t, l, proxy4()+string(s.stream[:s.sent]))
	}
	switch s.source {
	case "TCP":
		s.client, s.src = e.pair(t, e.socket, "")
	case "trusted":
		s.client, s.src = withHeader(e.trusted)
	case "direct":
		s.client, s.src = e.pair(t, e.direct, "")
	case "ignored":
		s.client, s.src = e.pair(t, e.ignoring, "")
		if s.beginsLikeHeader() { // the header is dropped, and what follows is data
			_, err := io.WriteString(s.client, proxy4())
			require.NoError(t, err)
		}
	case "unix":
		s.client, s.src = e.pair(t, e.unix, "")
	case "pipe":
		s.client, s.src = net.Pipe()
	case "wrapper":
		client, c := e.pair(t, e.socket, "")
		s.client, s.src = client, &peekConn{c, bufio.NewReader(c)}
	case "direct over a wrapper":
		s.client, s.src = e.pair(t, e.peeking, "")
	case "direct over a Conn":
		s.client, s.src = e.pair(t, e.above, "")
	case "trusted over a Conn":
		s.client, s.src = withHeader(e.aboveTrusted)
	}
	switch s.destination {
	case "unix":
		s.server, s.dst = e.pair(t, e.unix, "")
	case "pipe":
		s.server, s.dst = net.Pipe()
	case "Conn":
		s.server, s.dst = e.pair(t, e.direct, "")
	case "Conn over a Conn":
		s.server, s.dst = e.pair(t, e.above, "")
	default:
		s.server, s.dst = e.pair(t, e.socket, "")
	}
	switch s.destination {
	case "counts", "short", "fails":
		s.dst = &countingConn{s.dst, s}
	}
}

// beginsLikeHeader reports whether the whole stream begins with a signature.
func (s *forwardScript) beginsLikeHeader() bool {
	b := string(s.stream[:20])
	return strings.HasPrefix(b, signature) || strings.HasPrefix(b, "PROXY ")
}

// A countingConn counts what it accepts, up to a limit.
type countingConn struct {
	net.Conn
	s *forwardScript
}

func (c *countingConn) Write(b []byte) (int, error) {
	s := c.s
	s.requireRunning()
	if s.broken {
		s.t.Error("a Write after one that failed")
	}
	over := s.destination != "counts" && s.accepted+int64(len(b)) > s.limit
	if over {
		s.broken = true
		b = b[:s.limit-s.accepted]
	}
	n, err := c.Conn.Write(b)
	s.accepted += int64(n)
	if over && err == nil && s.destination == "fails" {
		err = errBroken
	}
	return n, err
}

// openSockets counts the sockets of this process where the system lists them.
func openSockets() (sockets int) {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	for _, fd := range fds {
		if target, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(target, "socket:") {
			sockets++
		}
	}
	return sockets
}
