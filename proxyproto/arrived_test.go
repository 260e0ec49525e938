package proxyproto_test

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

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

// The bytes may be held by a Listener below.
func TestReadArrivedOfAListenerOnAListener(t *testing.T) {
	loopback := trustnet.MustParse("loopback")
	for _, tt := range []struct {
		name   string
		below  proxyproto.Config
		first  string
		socket bool // the bytes are in the socket
		want   string
		err    error
	}{
		{name: "behind a header", below: proxyproto.Config{Trusted: loopback}, first: proxy4() + "EHLO\r\n", want: "EHLO\r\n"},
		{name: "nothing", below: proxyproto.Config{Trusted: loopback}, first: proxy4()},
		{name: "direct", first: "EHLO\r\n", socket: true, want: "EHLO\r\n"},
		{name: "a second header", below: proxyproto.Config{Trusted: loopback}, first: proxy4() + proxy4(), err: proxyproto.ErrUntrustedHeader},
		{name: "ignored below", below: proxyproto.Config{Trusted: trustnet.MustParse("192.0.2.1"), Untrusted: proxyproto.Ignore}, first: "EHLO\r\n", socket: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			socket, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			below, err := proxyproto.New(socket, tt.below)
			require.NoError(t, err)
			l, err := proxyproto.New(below, proxyproto.Config{})
			require.NoError(t, err)
			defer l.Close()
			client, err := net.Dial("tcp", socket.Addr().String())
			require.NoError(t, err)
			defer client.Close()
			_, err = io.WriteString(client, tt.first)
			require.NoError(t, err)
			c, err := l.Accept()
			require.NoError(t, err)
			defer c.Close()
			conn := c.(*proxyproto.Conn)
			if tt.socket {
				if !canExamine() {
					t.Skip("sockets cannot be examined here")
				}
				awaitBytes(t, conn.NetConn().(*proxyproto.Conn))
			}
			b := make([]byte, 100)
			n, err := conn.ReadArrived(b)
			require.ErrorIs(t, err, tt.err)
			require.Equal(t, tt.want, string(b[:n]))
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

// The system reports a reset once. It must not become the end of the stream.
func TestReadArrivedReturnsAReset(t *testing.T) {
	if !canExamine() {
		t.Skip("sockets cannot be examined here")
	}
	for _, tt := range []struct {
		name   string
		config proxyproto.Config
		first  string
	}{
		{name: "direct"},
		{name: "trusted", config: proxyproto.Config{Trusted: trustnet.MustParse("loopback")}, first: proxy4()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, conn := accepted(t, tt.config, tt.first)
			address := client.LocalAddr().String()
			abort(client)
			n, err := conn.ReadArrived(make([]byte, 1))
			for n == 0 && err == nil { // the reset has not arrived
				n, err = conn.ReadArrived(make([]byte, 1))
			}
			require.ErrorIs(t, err, errReset)
			require.ErrorContains(t, err, address)
		})
	}
}

// After a Read that ended at a deadline, bytes that may become a header are held, and a Read
// would wait for more.
func TestReadArrivedDoesNotWaitForTheRestOfAnIgnoredHeader(t *testing.T) {
	_, conn := accepted(t, proxyproto.Config{Trusted: trustnet.MustParse("192.0.2.1"), Untrusted: proxyproto.Ignore}, signature[:5])
	if canExamine() {
		awaitBytes(t, conn)
	}
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	b := make([]byte, 100)
	_, err := conn.Read(b)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	n, err := conn.ReadArrived(b) // the deadline would end a Read
	require.NoError(t, err)
	require.Zero(t, n)
}

// Bytes in the socket below a wrapper do not show that a Read of the wrapper returns at once,
// because they may be the beginning of a TLS record.
func TestReadArrivedDoesNotExamineTheSocketOfAWrapper(t *testing.T) {
	if !canExamine() {
		t.Skip("sockets cannot be examined here")
	}
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l, err := proxyproto.New(peekListener{socket}, proxyproto.Config{})
	require.NoError(t, err)
	defer l.Close()
	client, err := net.Dial("tcp", socket.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	_, err = io.WriteString(client, "EHLO")
	require.NoError(t, err)
	c, err := l.Accept()
	require.NoError(t, err)
	defer c.Close()
	conn := c.(*proxyproto.Conn)
	_, err = io.WriteString(client, "\r\n")
	require.NoError(t, err)
	awaitBytes(t, conn)
	n, err := conn.ReadArrived(make([]byte, 100))
	require.NoError(t, err)
	require.Zero(t, n)
}
