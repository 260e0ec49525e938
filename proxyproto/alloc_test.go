package proxyproto_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

// A cannedConn returns the same bytes again after each accept, and allocates nothing.
type cannedConn struct {
	net.Conn
	b    string
	read int
	addr net.Addr
}

func (c *cannedConn) Read(b []byte) (int, error) {
	n := copy(b, c.b[c.read:])
	c.read += n
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (c *cannedConn) Close() error                     { return nil }
func (c *cannedConn) LocalAddr() net.Addr              { return c.addr }
func (c *cannedConn) RemoteAddr() net.Addr             { return c.addr }
func (c *cannedConn) SetReadDeadline(time.Time) error  { return nil }
func (c *cannedConn) SetWriteDeadline(time.Time) error { return nil }

// Accept allocates the Conn, and the string of a version 1 line. The listener below allocates
// nothing here.
func TestAcceptAllocatesTheConnOnly(t *testing.T) {
	for _, tt := range []struct {
		name  string
		first string
		peer  string
		want  float64
	}{
		{name: "direct", first: "EHLO\r\n", peer: "203.0.113.7:50000", want: 1},
		{name: "v2", first: proxy4(), peer: proxyAddr, want: 1},
		{name: "v1", first: "PROXY TCP4 203.0.113.7 198.51.100.1 50000 25\r\n", peer: proxyAddr, want: 2},
		{name: "v2 LOCAL", first: v2(0x20, 0), peer: proxyAddr, want: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inner := newMemListener()
			l, err := proxyproto.New(inner, proxyproto.Config{Trusted: trustnet.MustParse("192.0.2.10")})
			require.NoError(t, err)
			defer l.Close()
			l.Start()
			c := &cannedConn{b: tt.first, addr: tcpAddr(tt.peer)}
			var failed error
			got := testing.AllocsPerRun(1000, func() {
				c.read = 0
				inner.conns <- c
				if _, err := l.Accept(); err != nil {
					failed = err
				}
			})
			require.NoError(t, failed)
			require.Equal(t, tt.want, got)
		})
	}
}
