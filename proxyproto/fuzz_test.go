package proxyproto_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/stretchr/testify/require"
)

func seeds(f *testing.F) (streams []string) {
	files, err := filepath.Glob("testdata/captures/*.bin")
	if err != nil || len(files) == 0 {
		f.Fatal("no captures", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		streams = append(streams, string(b))
	}
	return append(streams,
		"PROXY TCP4 203.0.113.7 198.51.100.1 50000 25\r\nEHLO",
		"PROXY TCP6 ::1 ::ffff:1.2.3.4 0 65535\r\n", "PROXY TCP6 2001:db8::7 127.0.0.1 1 2\r\n",
		"PROXY UNKNOWN \x00\r\n", "PROXY NOOP\r\n", "\r\n\r\n",
		proxy4(tlv(4, "xx"), tlv(3, "\x00\x00\x00\x00")),
		v2(0x20, 0x11, "abc"), v2(0x21, 0x31, strings.Repeat("x", 216)),
	)
}

// receive offers a stream that ends and returns the connection, or why it was
// refused.
func receive(t *testing.T, f *fixture, from string, chunks []string) (*proxyproto.Conn, error) {
	client := f.mem.dial(from)
	t.Cleanup(func() { client.Close() })
	go func() {
		for _, s := range chunks {
			if _, err := io.WriteString(client, s); err != nil {
				break
			}
		}
		client.Close()
	}()
	synctest.Wait()
	switch s := f.Stats(); {
	case s.Ready == 1:
		c, err := f.Accept()
		require.NoError(t, err)
		return c.(*proxyproto.Conn), nil
	case s.Probes == 1:
		return nil, errors.New("nothing")
	default:
		require.Zero(t, s.Pending)
		require.Len(t, f.rejected(), 1)
		return nil, f.rejected()[0].Err
	}
}

// cut splits stream into chunks whose sizes come from cuts.
func cut(stream, cuts []byte) (chunks []string) {
	for _, c := range cuts {
		n := 1 + int(c)%32
		if n >= len(stream) {
			break
		}
		chunks = append(chunks, string(stream[:n]))
		stream = stream[n:]
	}
	return append(chunks, string(stream))
}

func FuzzListenerSegments(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add([]byte(s), []byte{0}, true)
		f.Add([]byte(s), []byte{5, 6, 0, 0, 0, 0, 3}, false)
	}
	f.Fuzz(func(t *testing.T, stream, cuts []byte, trusted bool) {
		if len(stream) > 5000 || len(stream) == 0 {
			return
		}
		from := clientAddr
		if trusted {
			from = proxyAddr
		}
		type outcome struct {
			accepted bool
			remote   string
			err      string
			payload  string
			readErr  bool
			stats    proxyproto.Stats
		}
		run := func(chunks []string) (o outcome) {
			synctest.Test(t, func(t *testing.T) {
				fix := newFixture(t, proxyproto.Config{})
				conn, err := receive(t, fix, from, chunks)
				if err == nil {
					o.accepted, o.remote = true, conn.RemoteAddr().String()
					b, err := io.ReadAll(conn)
					o.payload, o.readErr = string(b), err != nil
				} else {
					for _, kind := range []error{proxyproto.ErrNoHeader, proxyproto.ErrMalformed, proxyproto.ErrUnsupported, proxyproto.ErrTooLarge, proxyproto.ErrChecksum} {
						if errors.Is(err, kind) {
							o.err += kind.Error()
						}
					}
				}
				synctest.Wait()
				o.stats = fix.Stats()
				s := o.stats
				if s.Proxied+s.Local+s.Direct+s.Probes+s.NoHeader+s.Malformed+s.TimedOut+s.TooLarge+s.Checksum+s.Refused+s.Evicted != 1 {
					t.Fatalf("counted other than once: %+v", s)
				}
			})
			return o
		}
		whole, pieces := run([]string{string(stream)}), run(cut(stream, cuts))
		if !trusted && whole.readErr {
			// How much of a forged signature was delivered depends on the chunks.
			// It is the beginning of the stream.
			if !strings.HasPrefix(string(stream), pieces.payload) || len(pieces.payload) > 13 || whole.payload != "" {
				t.Fatalf("delivered %q and %q of a forged header", whole.payload, pieces.payload)
			}
			pieces.payload = ""
		}
		require.Equal(t, whole, pieces)
		if whole.accepted && !whole.readErr && !strings.HasSuffix(string(stream), whole.payload) {
			t.Fatalf("payload %q is not the end of the stream", whole.payload)
		}
		if !trusted {
			require.True(t, whole.accepted)
			require.Equal(t, clientAddr, whole.remote)
			require.True(t, whole.readErr || whole.payload == string(stream))
		}
	})
}

func FuzzWriteHeaderIsReadBack(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4}, []byte{5, 6, 7, 8}, uint16(1), uint16(2), byte(7), uint32(0), "h2", "mail.example", "cn", []byte("id"), byte(0xe0), []byte("v"), true)
	f.Fuzz(func(t *testing.T, src, dst []byte, sport, dport uint16, client byte, verify uint32, alpn, sni, cn string, id []byte, typ byte, value []byte, sum bool) {
		h := proxyproto.Header{
			Source: &net.TCPAddr{IP: src, Port: int(sport)}, Destination: &net.TCPAddr{IP: dst, Port: int(dport)},
			ALPN: alpn, ServerName: sni, UniqueID: id, Checksum: sum, TLVs: []proxyproto.TLV{{Type: typ, Value: value}},
			TLS: &proxyproto.TLS{Client: client&1 != 0, ClientCert: client&2 != 0, FromSession: client&6 == 6, CommonName: cn},
		}
		if h.TLS.ClientCert {
			h.TLS.Verified, h.TLS.VerifyError = verify == 0, verify
		}
		var w bytes.Buffer
		if err := proxyproto.WriteHeader(&w, h); err != nil {
			require.Regexp(t, "^proxyproto: ", err.Error())
			require.Zero(t, w.Len())
			return
		}
		if w.Len() > 16+4096 {
			return // too large for a Listener
		}
		synctest.Test(t, func(t *testing.T) {
			fix := newFixture(t, proxyproto.Config{})
			conn, err := receive(t, fix, proxyAddr, []string{w.String()})
			require.NoError(t, err)
			info := conn.Info()
			require.Equal(t, h.Source.String(), info.Client.String())
			require.Equal(t, h.Destination.String(), info.Server.String())
			require.Equal(t, alpn, info.ALPN)
			require.Equal(t, sni, info.ServerName)
			require.Equal(t, string(id), string(info.UniqueID))
			require.Equal(t, h.TLS, info.TLS)
			require.Len(t, info.TLVs, 1)
			require.Equal(t, typ, info.TLVs[0].Type)
			require.Equal(t, string(value), string(info.TLVs[0].Value))
		})
	})
}
