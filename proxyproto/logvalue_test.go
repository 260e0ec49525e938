package proxyproto_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/stretchr/testify/require"
)

var (
	_ slog.LogValuer = (*proxyproto.Info)(nil)
	_ slog.LogValuer = proxyproto.Rejection{}
)

// logged returns the output of slog.TextHandler for a value named x.
func logged(value any) string {
	var b bytes.Buffer
	log := slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
				return slog.Attr{}
			}
			return a
		},
	}))
	log.Info("", "x", value)
	return strings.TrimSpace(b.String())
}

func TestInfoLogValue(t *testing.T) {
	for name, tt := range map[string]struct {
		info *proxyproto.Info
		want string
	}{
		"direct": {
			info: &proxyproto.Info{Client: tcpAddr(clientAddr), Server: tcpAddr(serverAddr)},
			want: "x.client=203.0.113.7:50000 x.client_known=true x.server=192.0.2.1:25 x.version=0",
		},
		"a header with everything": {
			info: &proxyproto.Info{
				Version: 2, Client: tcpAddr(clientAddr), Server: tcpAddr("198.51.100.1:25"), Proxy: tcpAddr(proxyAddr),
				TLS:        &proxyproto.TLS{Client: true, Version: "TLSv1.3", CommonName: "secret", Certificate: []byte("secret")},
				ServerName: "mail.example.com", ALPN: "imap", UniqueID: []byte("7F000001:C350"),
				TLVs: []proxyproto.TLV{{Type: 0xea, Value: []byte("secret")}},
			},
			want: "x.client=203.0.113.7:50000 x.client_known=true x.proxy=192.0.2.10:40000 x.server=198.51.100.1:25 x.version=2 " +
				"x.tls=true x.tls_version=TLSv1.3 x.server_name=mail.example.com x.unique_id=7F000001:C350",
		},
		"plaintext at the proxy": {
			info: &proxyproto.Info{Version: 2, Client: tcpAddr(clientAddr), Server: tcpAddr(serverAddr), Proxy: tcpAddr(proxyAddr), TLS: new(proxyproto.TLS)},
			want: "x.client=203.0.113.7:50000 x.client_known=true x.proxy=192.0.2.10:40000 x.server=192.0.2.1:25 x.version=2 x.tls=false",
		},
		"LOCAL is never the proxy's address as client": {
			info: &proxyproto.Info{Version: 2, Local: true, Client: tcpAddr(proxyAddr), Server: tcpAddr(serverAddr), Proxy: tcpAddr(proxyAddr)},
			want: "x.client_known=false x.proxy=192.0.2.10:40000 x.server=192.0.2.1:25 x.version=2 x.local=true",
		},
		"a name that forges a field": {
			info: &proxyproto.Info{Client: tcpAddr(clientAddr), ServerName: "a x.client=127.0.0.1\n"},
			want: `x.client=203.0.113.7:50000 x.client_known=true x.version=0 x.server_name="a x.client=127.0.0.1\n"`,
		},
		"a long name": {
			info: &proxyproto.Info{ServerName: strings.Repeat("a", 4000)},
			want: "x.client_known=false x.version=0 x.server_name=" + strings.Repeat("a", 255),
		},
		"a binary unique ID": {
			info: &proxyproto.Info{UniqueID: []byte{0x00, 0xff}},
			want: "x.client_known=false x.version=0 x.unique_id=0x00ff",
		},
		"a client on a unix socket": {
			info: &proxyproto.Info{Client: &net.UnixAddr{Net: "unix", Name: "@"}, Server: &net.UnixAddr{Net: "unix", Name: "/run/admin"}},
			want: "x.client=@ x.client_known=true x.server=/run/admin x.version=0",
		},
		"no Info": {info: nil, want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tt.want, logged(tt.info))
		})
	}
}

func TestRejectionLogValue(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("%w: detail", err) }
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"no header":        {err: wrap(proxyproto.ErrNoHeader), want: "no_header"},
		"malformed":        {err: wrap(proxyproto.ErrMalformed), want: "malformed"},
		"unsupported":      {err: wrap(proxyproto.ErrUnsupported), want: "unsupported"},
		"timeout":          {err: wrap(proxyproto.ErrTimeout), want: "timeout"},
		"too large":        {err: wrap(proxyproto.ErrTooLarge), want: "too_large"},
		"checksum":         {err: wrap(proxyproto.ErrChecksum), want: "checksum"},
		"untrusted header": {err: wrap(proxyproto.ErrUntrustedHeader), want: "untrusted_header"},
		"refused":          {err: wrap(proxyproto.ErrRefused), want: "refused"},
		"both unsupported and malformed": {
			err: fmt.Errorf("%w: %w: detail", proxyproto.ErrMalformed, proxyproto.ErrUnsupported), want: "unsupported",
		},
		"another read error": {err: errors.New("tls: first record does not look like a TLS handshake"), want: "read"},
	} {
		t.Run(name, func(t *testing.T) {
			got := logged(proxyproto.Rejection{Peer: tcpAddr(proxyAddr), Err: tt.err, Prefix: []byte("a LOGIN me secret")})
			require.Equal(t, fmt.Sprintf("x.peer=192.0.2.10:40000 x.reason=%s x.error=%q", tt.want, tt.err.Error()), got)
		})
	}
	require.Equal(t, "x.reason=read", logged(proxyproto.Rejection{}))
	require.Equal(t, "x.reason=read x.served=true", logged(proxyproto.Rejection{Served: true}))
}
