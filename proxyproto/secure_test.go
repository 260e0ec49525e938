package proxyproto_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"testing"
	"testing/synctest"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/stretchr/testify/require"
)

// The result of Secure depends on the peer, on the TLS facts of the header, on TLS on top of
// the connection, and on the TLS path.
func TestSecure(t *testing.T) {
	type answer struct{ secure, known bool }
	var (
		yes     = answer{true, true}
		no      = answer{false, true}
		unknown = answer{false, false}
	)
	const passthrough, terminated, reencrypted = proxyproto.PassthroughTLS, proxyproto.TerminatedTLS, proxyproto.ReencryptedTLS
	type key struct {
		from  string // where the connection comes from, and what it sends
		onTLS bool
	}
	headers := map[string]string{
		"direct":             "",
		"v1":                 "PROXY TCP4 203.0.113.7 198.51.100.1 50000 25\r\n",
		"v2 without a word":  proxy4(),
		"v2 TLS":             proxy4(sslTLV(1, 0, tlv(0x21, "TLSv1.3"))),
		"v2 plaintext":       proxy4(sslTLV(0, 0)),
		"v2 cert bits alone": proxy4(sslTLV(6, 0)),
		"v1 UNKNOWN":         "PROXY UNKNOWN\r\n",
		"v2 LOCAL":           v2(0x20, 0),
		"v2 LOCAL with TLS":  v2(0x20, 0, sslTLV(1, 0, tlv(0x21, "TLSv1.3"))),
	}
	want := map[key]map[proxyproto.TLSPath]answer{
		{"direct", false}:             {passthrough: no, terminated: no, reencrypted: no},
		{"direct", true}:              {passthrough: yes, terminated: yes, reencrypted: yes},
		{"v1", false}:                 {passthrough: unknown, terminated: yes, reencrypted: unknown},
		{"v1", true}:                  {passthrough: yes, terminated: yes, reencrypted: unknown},
		{"v2 without a word", false}:  {passthrough: unknown, terminated: yes, reencrypted: unknown},
		{"v2 without a word", true}:   {passthrough: yes, terminated: yes, reencrypted: unknown},
		{"v2 TLS", false}:             {passthrough: yes, terminated: yes, reencrypted: yes},
		{"v2 TLS", true}:              {passthrough: yes, terminated: yes, reencrypted: yes},
		{"v2 plaintext", false}:       {passthrough: no, terminated: no, reencrypted: no},
		{"v2 plaintext", true}:        {passthrough: yes, terminated: yes, reencrypted: no},
		{"v2 cert bits alone", false}: {passthrough: no, terminated: no, reencrypted: no},
		{"v2 cert bits alone", true}:  {passthrough: yes, terminated: yes, reencrypted: no},
		{"v1 UNKNOWN", false}:         {passthrough: unknown, terminated: unknown, reencrypted: unknown},
		{"v1 UNKNOWN", true}:          {passthrough: yes, terminated: yes, reencrypted: unknown},
		{"v2 LOCAL", false}:           {passthrough: unknown, terminated: unknown, reencrypted: unknown},
		{"v2 LOCAL", true}:            {passthrough: yes, terminated: yes, reencrypted: unknown},
		{"v2 LOCAL with TLS", false}:  {passthrough: unknown, terminated: unknown, reencrypted: unknown},
		{"v2 LOCAL with TLS", true}:   {passthrough: yes, terminated: yes, reencrypted: unknown},
	}
	require.Len(t, want, 2*len(headers))
	for k, paths := range want {
		require.Len(t, paths, 3)
		for path, a := range paths {
			t.Run(fmt.Sprintf("%s/tls=%v/%v", k.from, k.onTLS, path), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFixture(t, proxyproto.Config{TLS: path})
					from := proxyAddr
					if k.from == "direct" {
						from = clientAddr
					}
					send(t, f.mem.dial(from), headers[k.from])
					conn, err := f.Accept()
					require.NoError(t, err)
					info, ok := proxyproto.FromConn(conn)
					require.True(t, ok)
					if k.onTLS {
						conn = tls.Server(conn, &tls.Config{})
					}
					secure, known := proxyproto.Secure(conn)
					require.Equal(t, a, answer{secure, known}, "Secure")
					secure, known = info.Secure(k.onTLS)
					require.Equal(t, a, answer{secure, known}, "Info.Secure")
				})
			})
		}
	}
}

func TestSecureOfConnectionOfNoListener(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	for name, tt := range map[string]struct {
		conn net.Conn
		want bool // both secure and known
	}{
		"plain":                 {conn: a, want: false},
		"TLS":                   {conn: tls.Server(a, &tls.Config{}), want: true},
		"TLS in a wrapper":      {conn: open{tls.Server(a, &tls.Config{})}, want: true},
		"nil":                   {want: false},
		"a wrapper of nil":      {conn: open{}, want: false},
		"a wrapper of itself":   {conn: loop{a}, want: false},
		"a nil Conn":            {conn: (*proxyproto.Conn)(nil), want: false},
		"TLS hidden by wrapper": {conn: hiding{tls.Server(a, &tls.Config{})}, want: false},
	} {
		t.Run(name, func(t *testing.T) {
			secure, known := proxyproto.Secure(tt.conn)
			require.Equal(t, tt.want, secure)
			require.Equal(t, tt.want, known)
			info, ok := proxyproto.FromConn(tt.conn)
			require.False(t, ok)
			require.Nil(t, info)
		})
	}
	for _, onTLS := range []bool{false, true} { // ConnContext was forgotten
		secure, known := (*proxyproto.Info)(nil).Secure(onTLS)
		require.False(t, secure)
		require.False(t, known)
	}
}

// Wrappers as applications have them.
type (
	open   struct{ net.Conn }
	loop   struct{ net.Conn }
	hiding struct{ net.Conn }
)

func (w open) NetConn() net.Conn { return w.Conn }
func (w loop) NetConn() net.Conn { return w }

func TestFromConnFollowsEveryNetConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		send(t, f.mem.dial(proxyAddr), proxy4())
		conn, err := f.Accept()
		require.NoError(t, err)
		for name, tt := range map[string]struct {
			conn net.Conn
			ok   bool
		}{
			"itself":               {conn: conn, ok: true},
			"TLS":                  {conn: tls.Server(conn, &tls.Config{}), ok: true},
			"wrapper of TLS":       {conn: open{tls.Server(conn, &tls.Config{})}, ok: true},
			"TLS of wrapper":       {conn: tls.Server(open{open{conn}}, &tls.Config{}), ok: true},
			"wrapper that hides":   {conn: hiding{conn}, ok: false},
			"TLS of one that does": {conn: tls.Server(hiding{conn}, &tls.Config{}), ok: false},
		} {
			info, ok := proxyproto.FromConn(tt.conn)
			require.Equal(t, tt.ok, ok, name)
			if ok {
				require.Equal(t, clientAddr, info.Client.String(), name)
			} else {
				require.Nil(t, info, "%s: not known is not direct", name)
			}
		}
	})
}

func TestConnHasNoConnectionState(t *testing.T) {
	// net/http would use it: http.conn.serve looks for this method.
	_, has := any(new(proxyproto.Conn)).(interface{ ConnectionState() tls.ConnectionState })
	require.False(t, has)
}
