package main

import (
	"bytes"
	"crypto/tls"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

// infoOf returns the Info of a connection with the header h from a trusted peer, or of a direct
// client if h is nil.
func infoOf(t *testing.T, path proxyproto.TLSPath, h *proxyproto.Header) *proxyproto.Info {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	config := proxyproto.Config{TLS: path}
	if h != nil {
		config.Trusted = trustnet.MustParse(proxyIP)
	}
	l, err := proxyproto.New(inner, config)
	require.NoError(t, err)
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	if h != nil {
		require.NoError(t, proxyproto.WriteHeader(c, *h))
	}
	conn, err := l.Accept()
	require.NoError(t, err)
	defer conn.Close()
	return conn.(*proxyproto.Conn).Info()
}

func TestWhoseWordsOnTLSTheBackendIsTold(t *testing.T) {
	const (
		passed      = proxyproto.PassthroughTLS
		terminated  = proxyproto.TerminatedTLS
		reencrypted = proxyproto.ReencryptedTLS
	)
	ended := &tls.ConnectionState{HandshakeComplete: true, Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256,
		ServerName: "mail.example.com", NegotiatedProtocol: "imap"}
	ours := proxyproto.TLSFromState(*ended)
	yes, no := &proxyproto.TLS{Client: true, Version: "TLSv1.2"}, &proxyproto.TLS{}
	v1, silent := ofClient(1, nil), ofClient(2, nil)
	saysYes, saysNo := ofClient(2, yes), ofClient(2, no)
	for name, c := range map[string]struct {
		path  proxyproto.TLSPath
		in    *proxyproto.Header // nil: a direct client
		ended *tls.ConnectionState
		want  *proxyproto.TLS
	}{
		"direct":                                {path: passed, in: nil, ended: nil, want: no},
		"direct, TLS ended here":                {path: passed, in: nil, ended: ended, want: ours},
		"direct, where proxies end TLS":         {path: terminated, in: nil, ended: nil, want: no},
		"direct, where proxies reencrypt":       {path: reencrypted, in: nil, ended: ended, want: ours},
		"v1":                                    {path: passed, in: &v1, ended: nil, want: nil},
		"v1, TLS ended here":                    {path: passed, in: &v1, ended: ended, want: ours},
		"v1, a proxy ends TLS":                  {path: terminated, in: &v1, ended: nil, want: &proxyproto.TLS{Client: true}},
		"v1, reencrypted":                       {path: reencrypted, in: &v1, ended: ended, want: nil},
		"v2 without a word":                     {path: passed, in: &silent, ended: nil, want: nil},
		"v2 without a word, TLS ended here":     {path: passed, in: &silent, ended: ended, want: ours},
		"v2 without a word, a proxy ends TLS":   {path: terminated, in: &silent, ended: nil, want: &proxyproto.TLS{Client: true}},
		"v2 says TLS":                           {path: passed, in: &saysYes, ended: nil, want: yes},
		"v2 says TLS, and TLS ended here":       {path: passed, in: &saysYes, ended: ended, want: yes},
		"v2 says TLS, reencrypted":              {path: reencrypted, in: &saysYes, ended: ended, want: yes},
		"v2 says TLS, a proxy ends TLS":         {path: terminated, in: &saysYes, ended: nil, want: yes},
		"v2 says no TLS":                        {path: passed, in: &saysNo, ended: nil, want: no},
		"v2 says no TLS to it, TLS ended here":  {path: passed, in: &saysNo, ended: ended, want: ours},
		"v2 says no TLS, reencrypted":           {path: reencrypted, in: &saysNo, ended: ended, want: no},
		"v2 says no TLS, though proxies end it": {path: terminated, in: &saysNo, ended: nil, want: no},
	} {
		t.Run(name, func(t *testing.T) {
			info := infoOf(t, c.path, c.in)
			h := newHeader(info, c.ended)
			require.Equal(t, c.want, h.TLS)
			require.Equal(t, info.Client, h.Source)
			require.Equal(t, info.Server, h.Destination)
			if c.want == ours {
				require.Equal(t, "mail.example.com", h.ServerName)
				require.Equal(t, "imap", h.ALPN)
			} else {
				require.Empty(t, h.ServerName+h.ALPN)
			}
		})
	}
}

// TLS that ended at the relay does not change this, because it may be the TLS of the proxy.
func TestAHeaderThatNamesNoClientStaysOne(t *testing.T) {
	ended := &tls.ConnectionState{HandshakeComplete: true, Version: tls.VersionTLS13, ServerName: "mail.example.com"}
	for version, want := range map[int]string{1: "PROXY UNKNOWN\r\n", 2: "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"} {
		for _, path := range []proxyproto.TLSPath{proxyproto.PassthroughTLS, proxyproto.TerminatedTLS, proxyproto.ReencryptedTLS} {
			for _, state := range []*tls.ConnectionState{nil, ended} {
				for in := 1; in <= 2; in++ {
					h := newHeader(infoOf(t, path, &proxyproto.Header{Version: in, Local: true}), state)
					h.Version = version
					var b bytes.Buffer
					require.NoError(t, proxyproto.WriteHeader(&b, h))
					require.Equal(t, want, b.String(), "%v, from version %d", path, in)
				}
			}
		}
	}
}

// Backends limit headers. The limit of Portico is 4096 bytes.
func TestANameThatIsTooLongForAHostIsNotPassedOn(t *testing.T) {
	for name, want := range map[string]bool{strings.Repeat("a", 253): true, strings.Repeat("a", 254): false} {
		h := newHeader(infoOf(t, 0, nil), &tls.ConnectionState{HandshakeComplete: true, ServerName: name})
		require.Equal(t, want, h.ServerName == name)
		require.Equal(t, !want, h.ServerName == "")
	}
}
