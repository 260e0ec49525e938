package differential

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	peer "github.com/pires/go-proxyproto"
	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

const signature = "\r\n\r\n\x00\r\nQUIT\n"

// mixedFamilies is the line that NGINX sends for an IPv6 client and an IPv4 socket.
var mixedFamilies = regexp.MustCompile(`^PROXY (TCP4 [^ :]+ [^ ]*:[^ ]* |TCP6 [^ ]*:[^ ]* [^ :]+ )`)

var (
	proxyAddr  = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 10).To4(), Port: 40000}
	serverAddr = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 25).To4(), Port: 25}
)

// memConn is one end of a pipe with the addresses of a TCP connection.
type memConn struct{ net.Conn }

func (memConn) RemoteAddr() net.Addr { return proxyAddr }
func (memConn) LocalAddr() net.Addr  { return serverAddr }

// memListener accepts one connection, then waits until it is closed.
type memListener struct {
	conns  chan net.Conn
	closed context.Context
	close  context.CancelFunc
}

func (l memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed.Done():
		return nil, net.ErrClosed
	}
}

func (l memListener) Close() error   { l.close(); return nil }
func (l memListener) Addr() net.Addr { return serverAddr }

// receive sends a stream to one of our listeners, as a proxy does, and closes it. It
// returns the connection, or the reason for the refusal.
func receive(t *testing.T, stream []byte) (conn *proxyproto.Conn, refused error) {
	inner := memListener{conns: make(chan net.Conn, 1)}
	inner.closed, inner.close = context.WithCancel(t.Context())
	l, err := proxyproto.New(inner, proxyproto.Config{
		Trusted:  trustnet.MustParse("192.0.2.10"),
		OnReject: func(r proxyproto.Rejection) { refused = r.Err },
	})
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	client, server := net.Pipe()
	t.Cleanup(func() { client.Close() })
	inner.conns <- memConn{server}
	go func() {
		client.Write(stream) // fails if the connection is refused
		client.Close()
	}()
	go func() {
		if c, err := l.Accept(); err == nil {
			conn = c.(*proxyproto.Conn)
		}
	}()
	synctest.Wait()
	if conn == nil && refused == nil {
		require.EqualValues(t, 1, l.Stats().Probes)
		refused = errors.New("a probe")
	}
	return conn, refused
}

// knownDifference returns the reason why our reader and go-proxyproto differ on purpose.
// For all other input the acceptance, the addresses, the TLVs and the first byte of the
// payload must be the same.
func knownDifference(stream string, ours error) string {
	line, _, _ := strings.Cut(stream, "\n")
	switch {
	case errors.Is(ours, proxyproto.ErrChecksum):
		return "go-proxyproto does not verify CRC32C"
	case strings.HasPrefix(stream, "PROXY UNKNOWN") && strings.ContainsAny(strings.TrimSuffix(line, "\r"), "\r"):
		return "go-proxyproto accepts a single CR in an UNKNOWN line"
	case mixedFamilies.MatchString(line):
		return "go-proxyproto refuses a destination of the other family"
	case !strings.HasPrefix(stream, signature) || len(stream) < 16:
		return ""
	case stream[12] == 0x20 && ours == nil && stream[13] != 0 && stream[13] != 0x11 && stream[13] != 0x12 &&
		stream[13] != 0x21 && stream[13] != 0x22 && stream[13] != 0x31 && stream[13] != 0x32:
		return "go-proxyproto refuses LOCAL with an unknown family, which section 2.2 ignores"
	case errors.Is(ours, proxyproto.ErrUnsupported):
		return "go-proxyproto accepts UDP and UNIX addresses"
	case errors.Is(ours, proxyproto.ErrMalformed) && stream[12] == 0x21:
		return "go-proxyproto parses TLVs only on request and does not check their rules"
	}
	return ""
}

func FuzzHeaderReaderAgreesWithGoProxyproto(f *testing.F) {
	captures, err := filepath.Glob("../../proxyproto/testdata/captures/*.bin")
	require.NoError(f, err)
	require.NotEmpty(f, captures)
	for _, name := range captures {
		b, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(b)
	}
	for _, s := range []string{
		"PROXY TCP4 203.0.113.7 198.51.100.1 50000 25\r\nEHLO",
		"PROXY TCP6 ::1 ::ffff:1.2.3.4 0 65535\r\n", "PROXY TCP6 2001:db8::7 127.0.0.1 1 2\r\n",
		"PROXY UNKNOWN \x00\r\n", "PROXY NOOP\r\n", "\r\n\r\n",
		signature + "\x21\x11\x00\x13\xcb\x00\x71\x07\xc6\x33\x64\x01\xc3\x50\x00\x19\x04\x00\x04rest",
		signature + "\x20\x11\x00\x03abc", signature + "\x21\x31\x00\xd8" + strings.Repeat("x", 216),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 5000 {
			return
		}
		stream := string(b)
		synctest.Test(t, func(t *testing.T) {
			conn, ours := receive(t, b)
			r := bufio.NewReaderSize(bytes.NewReader(b), 8192)
			h, theirs := peer.Read(r)
			if why := knownDifference(stream, ours); why != "" {
				return
			}
			if (ours == nil) != (theirs == nil) {
				t.Fatalf("%q: ours %v, theirs %v", stream, ours, theirs)
			}
			if ours != nil {
				return
			}
			rest, err := io.ReadAll(conn)
			require.NoError(t, err)
			theirRest, err := io.ReadAll(r)
			require.NoError(t, err)
			require.Equal(t, string(theirRest), string(rest))
			require.Equal(t, int(h.Version), conn.Info().Version)
			if h.Command.IsLocal() {
				require.Equal(t, proxyAddr.String(), conn.RemoteAddr().String())
				require.False(t, conn.Info().ClientKnown())
				return
			}
			require.Equal(t, h.SourceAddr.String(), conn.Info().Client.String())
			require.Equal(t, h.DestinationAddr.String(), conn.Info().Server.String())
			tlvs, err := h.TLVs()
			require.NoError(t, err)
			var rest2 []proxyproto.TLV
			for _, v := range tlvs {
				switch byte(v.Type) {
				case proxyproto.TypeALPN:
					require.Equal(t, string(v.Value), conn.Info().ALPN)
				case proxyproto.TypeAuthority:
					require.Equal(t, string(v.Value), conn.Info().ServerName)
				case proxyproto.TypeUniqueID:
					require.Equal(t, string(v.Value), string(conn.Info().UniqueID))
				case proxyproto.TypeSSL:
					require.Equal(t, v.Value[0]&1 != 0, conn.Info().TLS.Client)
					require.Equal(t, v.Value[0]&6 != 0 && binary.BigEndian.Uint32(v.Value[1:]) == 0, conn.Info().TLS.Verified)
				case proxyproto.TypeCRC32C:
				case proxyproto.TypeNoop: // go-proxyproto drops the value
					rest2 = append(rest2, proxyproto.TLV{Type: byte(v.Type)})
				default:
					rest2 = append(rest2, proxyproto.TLV{Type: byte(v.Type), Value: v.Value})
				}
			}
			require.Len(t, conn.Info().TLVs, len(rest2))
			for i, v := range conn.Info().TLVs {
				require.Equal(t, rest2[i].Type, v.Type)
				if v.Type != proxyproto.TypeNoop {
					require.Equal(t, string(rest2[i].Value), string(v.Value))
				}
			}
			// The header can be passed on.
			var w bytes.Buffer
			require.NoError(t, proxyproto.WriteHeader(&w, conn.Info().Header()))
		})
	})
}
