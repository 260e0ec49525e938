package proxyproto_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
	"github.com/stretchr/testify/require"
)

// direct connects from an untrusted address and accepts the connection.
func direct(t *testing.T, f *fixture) (client, server net.Conn) {
	client = f.mem.dial(clientAddr)
	server, err := f.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

func TestDirectClientIsServedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{TLS: proxyproto.TerminatedTLS})
		client, server := direct(t, f) // which has sent nothing
		send(t, server, "220 ready\r\n")
		require.Equal(t, "220 ready\r\n", read(t, client))

		info, ok := proxyproto.FromConn(server)
		require.True(t, ok)
		require.Equal(t, clientAddr, info.Client.String())
		require.Equal(t, clientAddr, server.RemoteAddr().String())
		require.Equal(t, serverAddr, server.LocalAddr().String())
		require.Nil(t, info.Proxy)
		require.Zero(t, info.Version)
		require.True(t, info.ClientKnown())
		require.Equal(t, uint64(1), f.Stats().Direct)
	})
}

func TestAddressesOfIPv6SocketAreUnmapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, trusted := range []string{"198.51.100.1", "203.0.113.7"} { // direct, then LOCAL
			f := newFixture(t, proxyproto.Config{Trusted: trustnet.MustParse(trusted)})
			a, b := net.Pipe()
			send(t, a, v2(0x20, 0))
			f.mem.conns <- &memConn{b,
				&net.TCPAddr{IP: net.IPv4(203, 0, 113, 7), Port: 50000},
				&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 25}}
			c, err := f.Accept()
			require.NoError(t, err)
			require.Equal(t, tcpAddr(clientAddr), c.RemoteAddr())
			require.Equal(t, tcpAddr(serverAddr), c.LocalAddr())
			require.Len(t, c.RemoteAddr().(*net.TCPAddr).IP, net.IPv4len)
			require.Len(t, c.LocalAddr().(*net.TCPAddr).IP, net.IPv4len)
		}
	})
}

var forgedHeaders = map[string]string{
	"v1 TCP4":           "PROXY TCP4 192.0.2.99 198.51.100.1 50000 25\r\n",
	"v1 TCP6":           "PROXY TCP6 ::1 ::1 50000 25\r\n",
	"v1 UNKNOWN":        "PROXY UNKNOWN\r\n",
	"v1 UNKNOWN, words": "PROXY UNKNOWN a b\r\n",
	"v2":                proxy4(),
	"v2 LOCAL":          v2(0x20, 0x00),
}

func TestForgedHeaderIsRefusedAtEverySplit(t *testing.T) {
	for name, header := range forgedHeaders {
		t.Run(name, func(t *testing.T) {
			stream := header + "EHLO x\r\n"
			for i := range len(stream) {
				synctest.Test(t, func(t *testing.T) {
					f := newFixture(t, proxyproto.Config{})
					client, server := direct(t, f)
					send(t, client, stream[:i], stream[i:])
					got, err := io.ReadAll(server)
					require.ErrorIs(t, err, proxyproto.ErrUntrustedHeader)
					// Bytes are delivered until a chunk completes the signature. That
					// chunk is not delivered.
					require.Less(t, len(got), len("PROXY UNKNOWN "))
					require.True(t, strings.HasPrefix(stream[:i], string(got)))
					require.Equal(t, clientAddr, server.RemoteAddr().String())

					_, err = server.Read(make([]byte, 10))
					require.ErrorIs(t, err, proxyproto.ErrUntrustedHeader, "the error stays")
					_, err = client.Write([]byte("x"))
					require.Error(t, err, "the connection is closed")
					require.Equal(t, uint64(1), f.Stats().Untrusted)
					require.Len(t, f.rejected(), 1)
					r := f.rejected()[0]
					require.ErrorIs(t, r.Err, proxyproto.ErrUntrustedHeader)
					require.Equal(t, clientAddr, r.Peer.String())
					require.LessOrEqual(t, len(r.Prefix), 64)
				})
			}
		})
	}
}

func TestForgedHeaderIsRefusedByteByByte(t *testing.T) {
	for name, header := range forgedHeaders {
		for how, readAll := range map[string]func(net.Conn) ([]byte, error){
			"Read of one byte": func(c net.Conn) ([]byte, error) {
				var got []byte
				for {
					var b [1]byte
					n, err := c.Read(b[:])
					got = append(got, b[:n]...)
					if err != nil {
						return got, err
					}
				}
			},
			"WriteTo": func(c net.Conn) ([]byte, error) {
				var got bytes.Buffer
				_, err := c.(*proxyproto.Conn).WriteTo(&got)
				return got.Bytes(), err
			},
		} {
			t.Run(name+"/"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFixture(t, proxyproto.Config{})
					client, server := direct(t, f)
					send(t, client, strings.Split(header, "")...)
					got, err := readAll(server)
					require.ErrorIs(t, err, proxyproto.ErrUntrustedHeader)
					require.NotContains(t, string(got), "192.0.2.99")
					require.Less(t, len(got), len("PROXY UNKNOWN "))
				})
			})
		}
	}
}

func TestForgedHeaderLeavesNoBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		client, server := direct(t, f)
		send(t, client, "PROXY TCP4 192.0.2.99 198.51.100.1 50000 25\r\n")
		b := make([]byte, 100)
		n, err := server.Read(b)
		require.Zero(t, n)
		require.ErrorIs(t, err, proxyproto.ErrUntrustedHeader)
		require.Equal(t, make([]byte, 100), b)
	})
}

func TestDirectBytesAreUnchanged(t *testing.T) {
	for name, chunks := range map[string][]string{
		"SMTP":                           {"EHLO x\r\n"},
		"an IMAP command tagged PROXY":   {"PROXY NOOP\r\n"},
		"IMAP, in pieces":                {"PROXY", " ", "NOOP\r\n"},
		"an IMAP command PROXY TCP4":     {"PROXY TCP4\r\n"},
		"PROXY TCP5":                     {"PROXY TCP5 x\r\n"},
		"PROXY UNKNOWN and a letter":     {"PROXY UNKNOWNS\r\n"},
		"an empty line":                  {"\r\n", "EHLO x\r\n"},
		"two empty lines":                {"\r\n\r\n", "EHLO x\r\n"},
		"all of the signature but a bit": {"\r\n\r\n\x00\r\nQUIT", "\r"},
		"no more than PROXY":             {"PROXY"},
		"QUIT":                           {"\r\n", "\r\n", "QUIT\r\n"},
		"a header, later":                {"A", "PROXY TCP4 192.0.2.99 198.51.100.1 50000 25\r\n"},
		"a v2 header, later":             {"\r\n", proxy4()},
		"a signature begun twice":        {"PROXY PROXY TCP4 ", "x"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, proxyproto.Config{})
				client, server := direct(t, f)
				for _, s := range chunks {
					send(t, client, s)
					require.Equal(t, s, read(t, server)) // each without waiting for the next
				}
			})
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, proxyproto.Config{})
				client, server := direct(t, f)
				go func() {
					for _, s := range chunks {
						io.WriteString(client, s)
					}
					client.Close()
				}()
				var got bytes.Buffer
				n, err := io.Copy(&got, server)
				require.NoError(t, err)
				require.Equal(t, strings.Join(chunks, ""), got.String())
				require.Equal(t, int64(got.Len()), n)
				require.Zero(t, f.Stats().Untrusted)
			})
		})
	}
}

func TestRefusePolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{Untrusted: proxyproto.Refuse})
		client := f.mem.dial(clientAddr)
		_, err := client.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		synctest.Wait()
		require.Len(t, f.rejected(), 1)
		require.ErrorIs(t, f.rejected()[0].Err, proxyproto.ErrRefused)
		require.Equal(t, clientAddr, f.rejected()[0].Peer.String())
		require.Equal(t, proxyproto.Stats{Refused: 1}, f.Stats())

		send(t, f.mem.dial(proxyAddr), proxy4()) // a trusted one is served
		_, err = f.Accept()
		require.NoError(t, err)
	})
}

func TestOneSnapshotForEachConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var live trustnet.Live // trusts no peer
		f := newFixture(t, proxyproto.Config{Trusted: &live})
		connect := func() *proxyproto.Info {
			client := f.mem.dial(proxyAddr)
			send(t, client, proxy4())
			c, err := f.Accept()
			require.NoError(t, err)
			return c.(*proxyproto.Conn).Info()
		}
		require.Nil(t, connect().Proxy)
		live.Store(trustnet.MustParse("192.0.2.10"))
		require.NotNil(t, connect().Proxy)
		live.Store(nil)
		require.Nil(t, connect().Proxy)
	})
}

func TestUnixPeersNeedTheKeyword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for set, trusted := range map[string]bool{"unix": true, "127.0.0.1": false} {
			f := newFixture(t, proxyproto.Config{Trusted: trustnet.MustParse(set)})
			a, b := net.Pipe()
			sock := &net.UnixAddr{Name: "/run/mail.sock", Net: "unix"}
			f.mem.conns <- &memConn{b, &net.UnixAddr{Net: "unix"}, sock}
			send(t, a, proxy4())
			c, err := f.Accept()
			require.NoError(t, err)
			info := c.(*proxyproto.Conn).Info()
			if trusted {
				require.Equal(t, clientAddr, c.RemoteAddr().String())
				require.IsType(t, &net.UnixAddr{}, info.Proxy)
			} else {
				require.IsType(t, &net.UnixAddr{}, c.RemoteAddr())
				require.Nil(t, info.Proxy)
				require.Nil(t, info.Header().Source, "an address that is not TCP is not passed on")
			}
		}
	})
}

func TestPrefixOfSplitForgedHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		client, server := direct(t, f)
		send(t, client, "PROXY TC", "P4 192.0.2.99 198.51.100.1 50000 25\r\n")
		io.ReadAll(server)
		require.Equal(t, "PROXY TCP4 192.0.2.99 198.51.100.1 50000 25\r\n", string(f.rejected()[0].Prefix))
	})
}
