package proxyproto_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	peer "github.com/pires/go-proxyproto"
	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/stretchr/testify/require"
)

// countingWriter counts the calls of Write.
type countingWriter struct {
	bytes.Buffer
	writes int
}

func (w *countingWriter) Write(b []byte) (int, error) {
	w.writes++
	return w.Buffer.Write(b)
}

func TestWriteHeaderBytes(t *testing.T) {
	v4, v4b := tcpAddr(clientAddr), tcpAddr("198.51.100.1:25")
	v6, v6b := tcpAddr("[2001:db8::7]:50000"), tcpAddr("[2001:db8::1]:25")
	mapped := &net.TCPAddr{IP: net.IPv4(203, 0, 113, 7), Port: 50000}
	zoned := &net.TCPAddr{IP: v6.IP, Port: 50000, Zone: "eth0"}
	for name, tt := range map[string]struct {
		h    proxyproto.Header
		want string
	}{
		"zero is LOCAL":     {h: proxyproto.Header{}, want: v2(0x20, 0)},
		"LOCAL":             {h: proxyproto.Header{Local: true, Source: v4, Destination: v4b, ALPN: "x", Checksum: true}, want: v2(0x20, 0)},
		"v1 without source": {h: proxyproto.Header{Version: 1}, want: "PROXY UNKNOWN\r\n"},
		"v1 LOCAL":          {h: proxyproto.Header{Version: 1, Local: true, Source: v4, Destination: v4b}, want: "PROXY UNKNOWN\r\n"},
		"v1 TCP4":           {h: proxyproto.Header{Version: 1, Source: v4, Destination: v4b}, want: "PROXY TCP4 203.0.113.7 198.51.100.1 50000 25\r\n"},
		"v1 TCP6":           {h: proxyproto.Header{Version: 1, Source: v6, Destination: v6b}, want: "PROXY TCP6 2001:db8::7 2001:db8::1 50000 25\r\n"},
		"v1 mixed":          {h: proxyproto.Header{Version: 1, Source: v4, Destination: v6b}, want: "PROXY TCP6 ::ffff:203.0.113.7 2001:db8::1 50000 25\r\n"},
		"v1 carries no TLS": {h: proxyproto.Header{Version: 1, Source: v4, Destination: v4b, TLS: &proxyproto.TLS{Client: true}}, want: "PROXY TCP4 203.0.113.7 198.51.100.1 50000 25\r\n"},
		"v2 TCP4":           {h: proxyproto.Header{Version: 2, Source: v4, Destination: v4b}, want: proxy4()},
		"v2 by default":     {h: proxyproto.Header{Source: v4, Destination: v4b}, want: proxy4()},
		"v2 mapped":         {h: proxyproto.Header{Source: mapped, Destination: v4b}, want: proxy4()},
		"v2 TCP6":           {h: proxyproto.Header{Source: zoned, Destination: v6b}, want: v2(0x21, 0x21, string(v6.IP), string(v6b.IP), "\xc3\x50\x00\x19")},
		"v2 mixed":          {h: proxyproto.Header{Source: v6, Destination: v4b}, want: v2(0x21, 0x21, string(v6.IP), string(v4b.IP.To16()), "\xc3\x50\x00\x19")},
		"v2 TLVs": {h: proxyproto.Header{Source: v4, Destination: v4b, ALPN: "h2", ServerName: "mail.example", UniqueID: []byte("id"),
			TLS:  &proxyproto.TLS{Client: true, Version: "TLSv1.3", Cipher: "C", Group: "G", SigAlg: "S", KeyAlg: "K", SigScheme: "Y"},
			TLVs: []proxyproto.TLV{{Type: 0xe0, Value: []byte("v")}}},
			want: proxy4(tlv(1, "h2"), tlv(2, "mail.example"), tlv(5, "id"),
				sslTLV(1, 1, tlv(0x21, "TLSv1.3"), tlv(0x25, "K"), tlv(0x24, "S"), tlv(0x23, "C"), tlv(0x26, "G"), tlv(0x27, "Y")), tlv(0xe0, "v"))},
		"v2 plaintext client":     {h: proxyproto.Header{Source: v4, Destination: v4b, TLS: &proxyproto.TLS{}}, want: proxy4(sslTLV(0, 1))},
		"v2 certificate":          {h: proxyproto.Header{Source: v4, Destination: v4b, TLS: &proxyproto.TLS{Client: true, ClientCert: true, Verified: true, CommonName: "cn"}}, want: proxy4(sslTLV(7, 0, tlv(0x22, "cn")))},
		"v2 resumed, unverified":  {h: proxyproto.Header{Source: v4, Destination: v4b, TLS: &proxyproto.TLS{Client: true, ClientCert: true, FromSession: true, VerifyError: 18, Certificate: []byte("der")}}, want: proxy4(sslTLV(5, 18, tlv(0x28, "der")))},
		"v2 empty unique ID":      {h: proxyproto.Header{Source: v4, Destination: v4b, UniqueID: []byte{}}, want: proxy4(tlv(5, ""))},
		"v2 unknown SSL sub-TLVs": {h: proxyproto.Header{Source: v4, Destination: v4b, TLS: &proxyproto.TLS{TLVs: []proxyproto.TLV{{0x2f, []byte("n")}}}}, want: proxy4(sslTLV(0, 1, tlv(0x2f, "n")))},
	} {
		t.Run(name, func(t *testing.T) {
			var w countingWriter
			require.NoError(t, proxyproto.WriteHeader(&w, tt.h))
			require.Equal(t, tt.want, w.String())
			require.Equal(t, 1, w.writes)
		})
	}
}

func TestWriteHeaderRefuses(t *testing.T) {
	v4 := tcpAddr(clientAddr)
	with := func(f func(*proxyproto.Header)) proxyproto.Header {
		h := proxyproto.Header{Source: v4, Destination: v4}
		f(&h)
		return h
	}
	for name, tt := range map[string]struct {
		h    proxyproto.Header
		says string
		is   error
	}{
		"version 3":              {h: with(func(h *proxyproto.Header) { h.Version = 3 }), says: "Header.Version is 3"},
		"source alone":           {h: with(func(h *proxyproto.Header) { h.Destination = nil }), says: "Header.Destination is <nil>", is: proxyproto.ErrUnsupported},
		"destination alone":      {h: with(func(h *proxyproto.Header) { h.Source = nil }), says: "Header.Source is <nil>", is: proxyproto.ErrUnsupported},
		"a nil *net.TCPAddr":     {h: with(func(h *proxyproto.Header) { h.Source = (*net.TCPAddr)(nil) }), says: "Header.Source", is: proxyproto.ErrUnsupported},
		"UDP":                    {h: with(func(h *proxyproto.Header) { h.Source = &net.UDPAddr{IP: v4.IP} }), says: "Header.Source", is: proxyproto.ErrUnsupported},
		"unix":                   {h: with(func(h *proxyproto.Header) { h.Source = &net.UnixAddr{Name: "/x"} }), says: "Header.Source is /x", is: proxyproto.ErrUnsupported},
		"no IP":                  {h: with(func(h *proxyproto.Header) { h.Source = &net.TCPAddr{Port: 1} }), says: "Header.Source", is: proxyproto.ErrUnsupported},
		"port -1":                {h: with(func(h *proxyproto.Header) { h.Source = &net.TCPAddr{IP: v4.IP, Port: -1} }), says: "Header.Source", is: proxyproto.ErrUnsupported},
		"port 65536 in v1":       {h: with(func(h *proxyproto.Header) { h.Version = 1; h.Destination = &net.TCPAddr{IP: v4.IP, Port: 65536} }), says: "Header.Destination", is: proxyproto.ErrUnsupported},
		"unique ID of 129 bytes": {h: with(func(h *proxyproto.Header) { h.UniqueID = make([]byte, 129) }), says: "129", is: proxyproto.ErrTooLarge},
		"too large a TLV":        {h: with(func(h *proxyproto.Header) { h.TLVs = []proxyproto.TLV{{4, make([]byte, 65536)}} }), says: "proxyproto:", is: proxyproto.ErrTooLarge},
		"too many TLVs": {h: with(func(h *proxyproto.Header) {
			h.TLVs = []proxyproto.TLV{{4, make([]byte, 40000)}, {4, make([]byte, 40000)}}
		}), says: "proxyproto:", is: proxyproto.ErrTooLarge},
		"too large a cert":       {h: with(func(h *proxyproto.Header) { h.TLS = &proxyproto.TLS{Certificate: make([]byte, 65536)} }), says: "proxyproto:", is: proxyproto.ErrTooLarge},
		"SSL as a raw TLV":       {h: with(func(h *proxyproto.Header) { h.TLVs = []proxyproto.TLV{{0x20, make([]byte, 5)}} }), says: "type 0x20"},
		"CN as a raw sub-TLV":    {h: with(func(h *proxyproto.Header) { h.TLS = &proxyproto.TLS{TLVs: []proxyproto.TLV{{0x22, nil}}} }), says: "type 0x22"},
		"verified, no cert":      {h: with(func(h *proxyproto.Header) { h.TLS = &proxyproto.TLS{Client: true, Verified: true} }), says: "TLS.ClientCert"},
		"verified with an error": {h: with(func(h *proxyproto.Header) { h.TLS = &proxyproto.TLS{ClientCert: true, Verified: true, VerifyError: 1} }), says: "VerifyError 1"},
	} {
		t.Run(name, func(t *testing.T) {
			var w countingWriter
			err := proxyproto.WriteHeader(&w, tt.h)
			require.ErrorContains(t, err, tt.says)
			require.Regexp(t, "^proxyproto: ", err.Error())
			if tt.is != nil {
				require.ErrorIs(t, err, tt.is)
			}
			require.Zero(t, w.writes)
		})
	}
}

func TestHeaderPassesOnWhatWasReceived(t *testing.T) {
	for name, header := range map[string]string{
		"v1":             "PROXY TCP6 2001:db8::7 2001:db8::1 50000 25\r\n",
		"UNKNOWN":        "PROXY UNKNOWN\r\n",
		"v2":             proxy4(),
		"LOCAL":          v2(0x20, 0, sslTLV(1, 0)),
		"no TLS":         proxy4(sslTLV(0, 0)),
		"unknown source": v2(0x21, 0x11, "\x00\x00\x00\x00\xc6\x33\x64\x01\xc3\x50\x00\x19"),
		"all there is": proxy4(tlv(1, "h2"), tlv(2, "mail.example"), tlv(4, "\x00"), tlv(5, "id"), tlv(0xe1, "v"),
			sslTLV(5, 18, tlv(0x21, "TLSv1.3"), tlv(0x22, "cn"), tlv(0x28, "der"), tlv(0x2f, "?"))),
	} {
		for _, sum := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				conn, _ := offer(t, proxyproto.Config{}, header)
				was := conn.Info()
				h := was.Header()
				require.Zero(t, h.Version)
				h.Checksum = sum
				var w bytes.Buffer
				require.NoError(t, proxyproto.WriteHeader(&w, h))
				conn, rej := offer(t, proxyproto.Config{}, w.String())
				require.Nil(t, rej)
				is := conn.Info()
				require.Equal(t, was.ClientKnown(), is.ClientKnown())
				require.Equal(t, was.TLS, is.TLS)
				require.Equal(t, was.ServerName, is.ServerName)
				require.Equal(t, was.ALPN, is.ALPN)
				require.Equal(t, was.UniqueID, is.UniqueID)
				require.Equal(t, was.TLVs, is.TLVs)
				if was.ClientKnown() {
					require.Equal(t, was.Client, is.Client)
					require.Equal(t, was.Server, is.Server)
				}
				theirs, err := peer.Read(bufio.NewReader(&w))
				require.NoError(t, err)
				require.Equal(t, !was.ClientKnown(), theirs.Command.IsLocal())
			})
		}
	}
}

func TestHeaderOfDirectConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		_, server := direct(t, f)
		h := server.(*proxyproto.Conn).Info().Header()
		require.Equal(t, proxyproto.Header{Source: tcpAddr(clientAddr), Destination: tcpAddr(serverAddr)}, h)
	})
}

func TestDialerSendsHeaderFirst(t *testing.T) {
	inner := listen(t)
	var d proxyproto.Dialer
	c, err := d.DialContext(t.Context(), "tcp", inner.Addr().String(), proxyproto.Header{Source: tcpAddr(clientAddr), Destination: tcpAddr("198.51.100.1:25")})
	require.NoError(t, err)
	defer c.Close()
	require.IsType(t, &net.TCPConn{}, c, "so that splice(2) works")
	_, err = io.WriteString(c, "EHLO x\r\n")
	require.NoError(t, err)
	require.NoError(t, c.(*net.TCPConn).CloseWrite())
	s, err := inner.Accept()
	require.NoError(t, err)
	defer s.Close()
	got, err := io.ReadAll(s)
	require.NoError(t, err)
	require.Equal(t, proxy4()+"EHLO x\r\n", string(got))
}

// One write is one segment, unless the payload is large.
func TestDialerSendsThePayloadInOneWriteWithTheHeader(t *testing.T) {
	h := proxyproto.Header{Source: tcpAddr(clientAddr), Destination: tcpAddr(serverAddr)}
	var header bytes.Buffer
	require.NoError(t, proxyproto.WriteHeader(&header, h))
	for _, size := range []int{0, 6, 100_000} {
		payload := bytes.Repeat([]byte("x"), size)
		c := &writeCounter{}
		d := proxyproto.Dialer{
			Payload: payload,
			Dial:    func(context.Context, string, string) (net.Conn, error) { return c, nil },
		}
		_, err := d.DialContext(t.Context(), "tcp", serverAddr, h)
		require.NoError(t, err)
		require.Equal(t, [][]byte{append(header.Bytes(), payload...)}, c.writes)
	}
}

// If the server does not read, a small payload fits into its socket, and a large one does not.
func TestDialerGivesUpALargePayloadInTime(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a socket may take all of it")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	d := proxyproto.Dialer{Payload: make([]byte, 64<<20)}
	_, err = d.DialContext(ctx, "tcp", l.Addr().String(), proxyproto.Header{Local: true})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

type writeCounter struct {
	net.Conn
	writes [][]byte
}

func (c *writeCounter) Write(b []byte) (int, error) {
	c.writes = append(c.writes, bytes.Clone(b))
	return len(b), nil
}

func TestDialerFailures(t *testing.T) {
	good := proxyproto.Header{Source: tcpAddr(clientAddr), Destination: tcpAddr("198.51.100.1:25")}
	t.Run("a bad header costs no connection", func(t *testing.T) {
		d := proxyproto.Dialer{Dial: func(context.Context, string, string) (net.Conn, error) {
			t.Error("dialed")
			return nil, errors.New("dialed")
		}}
		_, err := d.DialContext(t.Context(), "tcp", serverAddr, proxyproto.Header{Version: 7})
		require.ErrorContains(t, err, "Header.Version is 7")
	})
	t.Run("the dialer's own error", func(t *testing.T) {
		refused := errors.New("refused")
		d := proxyproto.Dialer{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, refused }}
		_, err := d.DialContext(t.Context(), "tcp", serverAddr, good)
		require.ErrorIs(t, err, refused)
	})
	t.Run("ctx ends while the header is written", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := net.Pipe() // b never reads
			d := proxyproto.Dialer{Dial: func(context.Context, string, string) (net.Conn, error) { return a, nil }}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			start := time.Now()
			_, err := d.DialContext(ctx, "tcp", serverAddr, good)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "proxyproto: cannot send the header to "+serverAddr)
			require.Equal(t, time.Second, time.Since(start))
			_, err = b.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF, "closed")
		})
	})
	t.Run("the peer is gone", func(t *testing.T) {
		a, b := net.Pipe()
		b.Close()
		d := proxyproto.Dialer{Dial: func(context.Context, string, string) (net.Conn, error) { return a, nil }}
		_, err := d.DialContext(t.Context(), "tcp", serverAddr, good)
		require.ErrorIs(t, err, io.ErrClosedPipe)
	})
}

func TestNoDeadlineIsLeftBehindByDialer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer b.Close()
		go io.Copy(io.Discard, b)
		d := proxyproto.Dialer{Dial: func(context.Context, string, string) (net.Conn, error) { return a, nil }}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		c, err := d.DialContext(ctx, "tcp", serverAddr, proxyproto.Header{})
		require.NoError(t, err)
		cancel()
		elapse(time.Hour)
		_, err = io.WriteString(c, strings.Repeat("x", 100))
		require.NoError(t, err)
	})
}

func TestHeaderSaysLocal(t *testing.T) {
	conn, _ := offer(t, proxyproto.Config{}, v2(0x20, 0))
	require.True(t, conn.Info().Header().Local)
}

type cancels struct {
	net.Conn
	cancel func()
}

func (c cancels) Write(b []byte) (int, error) {
	c.cancel()
	elapse(time.Second) // the AfterFunc runs
	return len(b), nil
}

func TestDialerContextDuringWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		a, b := net.Pipe()
		defer b.Close()
		d := proxyproto.Dialer{Dial: func(context.Context, string, string) (net.Conn, error) { return cancels{a, cancel}, nil }}
		_, err := d.DialContext(ctx, "tcp", "x", proxyproto.Header{})
		require.ErrorIs(t, err, context.Canceled) // otherwise its deadline remains
	})
}

func TestHeaderIsTheCallersOwn(t *testing.T) {
	conn, _ := offer(t, proxyproto.Config{}, proxy4(tlv(0xe0, "a"), tlv(0xe1, "b"), tlv(0xe2, "c"), sslTLV(0, 0, tlv(0x2f, "x"))))
	h1 := conn.Info().Header()
	h1.TLVs = append(h1.TLVs, proxyproto.TLV{Type: 0xe9, Value: []byte("one")})
	h2 := conn.Info().Header()
	h2.TLVs = append(h2.TLVs, proxyproto.TLV{Type: 0xe9, Value: []byte("two")})
	require.Equal(t, "one", string(h1.TLVs[3].Value))
	h1.TLS.Client = true
	h1.TLS.TLVs[0].Type = 0
	secure, known := proxyproto.Secure(conn)
	require.False(t, secure)
	require.True(t, known)
	require.Equal(t, byte(0x2f), conn.Info().TLS.TLVs[0].Type)
	require.Equal(t, proxyproto.Header{}, (*proxyproto.Info)(nil).Header())
}
