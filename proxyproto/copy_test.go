package proxyproto_test

import (
	"bufio"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

// A peekListener returns connections from which some bytes have been read already, as a protocol
// switch does. Their SyscallConn is that of the socket.
type peekListener struct{ net.Listener }

type peekConn struct {
	net.Conn
	r *bufio.Reader
}

func (l peekListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	p := &peekConn{c, bufio.NewReader(c)}
	_, err = p.r.Peek(1)
	return p, err
}

func (c *peekConn) Read(b []byte) (int, error) { return c.r.Read(b) }

func (c *peekConn) SyscallConn() (syscall.RawConn, error) {
	return c.Conn.(syscall.Conn).SyscallConn()
}

// Bytes that a connection below has read from the socket are part of the stream.
func TestCopyLosesNothingThatIsBelow(t *testing.T) {
	const header = "PROXY TCP4 203.0.113.7 198.51.100.1 50000 25\r\n"
	loopback := trustnet.MustParse("loopback")
	payload := strings.Repeat("0123456789abcdef", 200)
	listen := func(t *testing.T, below func(net.Listener) net.Listener, c proxyproto.Config) net.Listener {
		socket, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		l, err := proxyproto.New(below(socket), c)
		require.NoError(t, err)
		t.Cleanup(func() { l.Close() })
		return l
	}
	socket := func(l net.Listener) net.Listener { return l }
	over := func(c proxyproto.Config) func(net.Listener) net.Listener {
		return func(l net.Listener) net.Listener {
			inner, err := proxyproto.New(l, c)
			require.NoError(t, err)
			return inner
		}
	}
	peek := func(l net.Listener) net.Listener { return peekListener{l} }
	copies := map[string]func(w, c net.Conn) (int64, error){
		"io.Copy":  func(w, c net.Conn) (int64, error) { return io.Copy(w, c) },
		"ReadFrom": func(w, c net.Conn) (int64, error) { return w.(io.ReaderFrom).ReadFrom(c) },
	}
	for _, tt := range []struct {
		name   string
		below  func(net.Listener) net.Listener
		config proxyproto.Config
		header string
	}{
		{name: "a header and what came along with it", below: socket, config: proxyproto.Config{Trusted: loopback}, header: header},
		{name: "a direct client", below: socket},
		{name: "a direct client of a wrapper", below: peek},
		{name: "a header of a wrapper", below: peek, config: proxyproto.Config{Trusted: loopback}, header: header},
		{
			name:   "a header that another Listener dropped",
			below:  over(proxyproto.Config{Trusted: trustnet.MustParse("192.0.2.10"), Untrusted: proxyproto.Ignore}),
			header: header,
		},
		{
			name:   "a header of another Listener",
			below:  over(proxyproto.Config{Trusted: loopback}),
			header: header,
		},
	} {
		for name, copyTo := range copies {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				front := listen(t, tt.below, tt.config)
				client, err := net.Dial("tcp", front.Addr().String())
				require.NoError(t, err)
				defer client.Close()
				_, err = io.WriteString(client, tt.header+payload)
				require.NoError(t, err)
				require.NoError(t, client.(*net.TCPConn).CloseWrite())
				from, err := front.Accept()
				require.NoError(t, err)
				defer from.Close()

				back := listen(t, socket, proxyproto.Config{})
				server, err := net.Dial("tcp", back.Addr().String())
				require.NoError(t, err)
				defer server.Close()
				to, err := back.Accept()
				require.NoError(t, err)
				defer to.Close()

				n, err := copyTo(to, from)
				require.NoError(t, err)
				require.EqualValues(t, len(payload), n)
				require.NoError(t, to.(*proxyproto.Conn).CloseWrite())
				got, err := io.ReadAll(server)
				require.NoError(t, err)
				require.Equal(t, payload, string(got))
			})
		}
	}
}
