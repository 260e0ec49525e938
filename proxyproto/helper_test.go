package proxyproto_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
	"github.com/stretchr/testify/require"
)

const (
	proxyAddr  = "192.0.2.10:40000" // trusted in these tests
	clientAddr = "203.0.113.7:50000"
	serverAddr = "192.0.2.1:25"

	signature = "\r\n\r\n\x00\r\nQUIT\n"
)

// v2 builds a version 2 header of a version and command byte, a family byte and the bytes
// after the length.
func v2(command, family byte, block ...string) string {
	b := strings.Join(block, "")
	return signature + string([]byte{command, family}) + string(binary.BigEndian.AppendUint16(nil, uint16(len(b)))) + b
}

// proxy4 is a PROXY header for TCP over IPv4 from 203.0.113.7:50000 to
// 198.51.100.1:25.
func proxy4(tlvs ...string) string {
	return v2(0x21, 0x11, "\xcb\x00\x71\x07\xc6\x33\x64\x01\xc3\x50\x00\x19", strings.Join(tlvs, ""))
}

func tlv(typ byte, value string) string {
	return string([]byte{typ}) + string(binary.BigEndian.AppendUint16(nil, uint16(len(value)))) + value
}

// sslTLV is a TLV of type SSL.
func sslTLV(client byte, verify uint32, sub ...string) string {
	return tlv(proxyproto.TypeSSL, string([]byte{client})+string(binary.BigEndian.AppendUint32(nil, verify))+strings.Join(sub, ""))
}

// A memListener accepts pipes that have addresses of TCP.
type memListener struct {
	conns  chan net.Conn
	errs   chan error
	closed chan struct{}
	once   sync.Once
}

func newMemListener() *memListener {
	return &memListener{conns: make(chan net.Conn), errs: make(chan error), closed: make(chan struct{})}
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case err := <-l.errs:
		return nil, err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *memListener) Addr() net.Addr { return tcpAddr(serverAddr) }

// dial returns the client's end, or nil if the listener is closed.
func (l *memListener) dial(from string) net.Conn {
	client, server := net.Pipe()
	select {
	case l.conns <- &memConn{server, tcpAddr(from), tcpAddr(serverAddr)}:
		return client
	case <-l.closed:
		return nil
	}
}

type memConn struct {
	net.Conn
	remote, local net.Addr
}

func (c *memConn) RemoteAddr() net.Addr { return c.remote }
func (c *memConn) LocalAddr() net.Addr  { return c.local }

func tcpAddr(s string) *net.TCPAddr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }

// A fixture is a Listener on a memListener. It needs a synctest bubble.
type fixture struct {
	*proxyproto.Listener
	mem *memListener

	mu         sync.Mutex
	rejections []proxyproto.Rejection
}

// goField finds names of Go fields, which must not be in a text for operators. The exception is
// OptionalWait, which the contract of the package requires.
var goField = regexp.MustCompile(`Config\b|\b(Trusted|Optional|Direct|AllowTrustAll|Untrusted|HeaderTimeout|MaxHeaderSize|MaxPending|OnReject)\b`)

// newFixture returns a Listener that accepts. It trusts 192.0.2.10 unless c has another set.
func newFixture(t *testing.T, c proxyproto.Config) *fixture {
	f := lazyFixture(t, c)
	f.Start()
	return f
}

// lazyFixture returns a fixture whose Listener accepts nothing before Accept.
func lazyFixture(t *testing.T, c proxyproto.Config) *fixture {
	f := &fixture{mem: newMemListener()}
	if c.Trusted == nil {
		c.Trusted = trustnet.MustParse("192.0.2.10")
	}
	c.OnReject = func(r proxyproto.Rejection) {
		if name := goField.FindString(r.Err.Error()); name != "" {
			t.Errorf("%q names the Go field %s: an operator does not know it", r.Err, name)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.rejections = append(f.rejections, r)
	}
	l, err := proxyproto.New(f.mem, c)
	require.NoError(t, err)
	f.Listener = l
	t.Cleanup(func() { l.Close() })
	return f
}

func (f *fixture) rejected() []proxyproto.Rejection {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rejections
}

// send writes the chunks, one Write each, and does not wait for them to be
// read. The end of the test closes c.
func send(t *testing.T, c net.Conn, chunks ...string) {
	t.Cleanup(func() { c.Close() })
	go func() {
		for _, s := range chunks {
			if _, err := io.WriteString(c, s); err != nil {
				return
			}
		}
	}()
}

// offer connects from the trusted proxy, sends the chunks and returns the connection or the
// rejection.
func offer(t *testing.T, c proxyproto.Config, chunks ...string) (conn *proxyproto.Conn, rej *proxyproto.Rejection) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, c)
		client := f.mem.dial(proxyAddr)
		defer client.Close()
		send(t, client, chunks...)
		synctest.Wait()
		switch s := f.Stats(); s.Ready {
		case 1:
			got, err := f.Accept()
			require.NoError(t, err)
			conn = got.(*proxyproto.Conn)
			require.Empty(t, f.rejected())
			conn.Close()
		default:
			// A rejection must not need the timeout.
			require.Zero(t, s.Pending, "neither accepted nor refused: %q", chunks)
			require.Len(t, f.rejected(), 1)
			r := f.rejected()[0]
			rej = &r
			_, err := client.Write([]byte("x"))
			require.Error(t, err, "a refused connection is closed")
		}
	})
	return conn, rej
}

// read returns the bytes of one Read.
func read(t *testing.T, c net.Conn) string {
	t.Helper()
	b := make([]byte, 4096)
	n, err := c.Read(b)
	require.NoError(t, err)
	return string(b[:n])
}

// elapse lets time pass in a synctest bubble.
func elapse(d time.Duration) { <-time.After(d) }
