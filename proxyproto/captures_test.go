package proxyproto_test

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/stretchr/testify/require"
)

// testdata/captures has the first bytes that real proxies sent, and captures.json has the
// facts of each connection.
type capture struct {
	File            string   `json:"file"`
	Client          string   `json:"client_addr"`
	Frontend        string   `json:"frontend_addr"`
	Decoded         string   `json:"decoded"`
	TLSTerminated   bool     `json:"client_tls_terminated"`
	TLSVersion      string   `json:"tls_version"`
	Cipher          string   `json:"tls_cipher"`
	SNI             string   `json:"sni"`
	ALPN            string   `json:"alpn"`
	CommonName      string   `json:"client_cert_cn"`
	ProxyHeaderSize int      `json:"proxy_header_len"`
	TLVs            []string `json:"tlvs"`
}

func TestCapturesOfRealProxies(t *testing.T) {
	b, err := os.ReadFile("testdata/captures/captures.json")
	require.NoError(t, err)
	var all []capture
	require.NoError(t, json.Unmarshal(b, &all))
	files, err := filepath.Glob("testdata/captures/*.bin")
	require.NoError(t, err)
	require.Len(t, all, len(files))
	for _, c := range all {
		t.Run(strings.TrimSuffix(c.File, ".bin"), func(t *testing.T) {
			stream, err := os.ReadFile("testdata/captures/" + c.File)
			require.NoError(t, err)
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, proxyproto.Config{})
				send(t, f.mem.dial(proxyAddr), string(stream))
				conn, err := f.Accept()
				require.NoError(t, err)
				check(t, c, conn.(*proxyproto.Conn))
				payload := string(stream[c.ProxyHeaderSize:])
				got := ""
				for len(got) < len(payload) {
					got += read(t, conn)
				}
				require.Equal(t, payload, got)
				require.Equal(t, uint64(1), f.Stats().Proxied+f.Stats().Local)
			})
		})
	}
}

func check(t *testing.T, c capture, conn *proxyproto.Conn) {
	info := conn.Info()
	require.Equal(t, proxyAddr, info.Proxy.String())
	require.Equal(t, strings.HasPrefix(c.Decoded, "v2 LOCAL"), info.Local)
	if strings.HasPrefix(c.Decoded, "v1") {
		require.Equal(t, 1, info.Version)
	} else {
		require.Equal(t, 2, info.Version)
	}
	secure, known := proxyproto.Secure(conn)

	client, err := netip.ParseAddrPort(c.Client)
	if err != nil { // a client of a unix socket, a health check
		require.False(t, info.ClientKnown())
		require.Equal(t, proxyAddr, conn.RemoteAddr().String())
		require.Equal(t, serverAddr, conn.LocalAddr().String())
		require.Nil(t, info.TLS)
		require.False(t, known)
		return
	}
	require.True(t, info.ClientKnown())
	if strings.HasPrefix(c.File, "caddy") { // its header is made from an HTTP request, without a port
		require.Equal(t, client.Addr().String()+":0", conn.RemoteAddr().String())
		require.Equal(t, "0.0.0.0:0", info.Server.String())
		require.Equal(t, serverAddr, conn.LocalAddr().String())
	} else {
		require.Equal(t, c.Client, conn.RemoteAddr().String())
		require.Equal(t, c.Frontend, conn.LocalAddr().String())
	}
	require.Equal(t, len(c.TLVs) > 0, info.TLS != nil, "HAProxy reports TLS with send-proxy-v2-ssl")
	require.Equal(t, info.TLS != nil, known, "TLS is not known without the SSL TLV")
	if info.TLS == nil {
		require.False(t, secure)
		return
	}
	require.Equal(t, c.TLSTerminated, secure)
	require.Equal(t, strings.Replace(c.TLSVersion, "TLS ", "TLSv", 1), info.TLS.Version)
	require.Equal(t, c.CommonName, info.TLS.CommonName)
	require.Equal(t, c.CommonName != "", info.TLS.ClientCert)
	require.Equal(t, c.CommonName != "", info.TLS.Verified)
	if strings.Contains(c.File, "v2opts") {
		require.Equal(t, c.Cipher, info.TLS.Cipher)
		require.Equal(t, c.SNI, info.ServerName)
		require.Equal(t, c.ALPN, info.ALPN)
		require.Equal(t, "7F00004D:E9C9_7F000001:4337_6B031A9F_000F", string(info.UniqueID))
		require.Equal(t, "EC256", info.TLS.KeyAlg)
		require.Equal(t, "ecdsa-with-SHA256", info.TLS.SigAlg)
	}
}

func TestChecksumFindsChangedBits(t *testing.T) {
	stream, err := os.ReadFile("testdata/captures/haproxy-v2opts-tls.bin")
	require.NoError(t, err)
	header := stream[:201]
	checksumTLV := bytes.Index(header, []byte{proxyproto.TypeCRC32C, 0, 4})
	for i := 16; i < len(header); i++ {
		for bit := range 8 {
			b := []byte(string(header))
			b[i] ^= 1 << bit
			conn, rej := offer(t, proxyproto.Config{}, string(b))
			if conn != nil {
				// A change of the type of the checksum's TLV removes the checksum.
				require.Equal(t, checksumTLV, i, "bit %d", bit)
				continue
			}
			require.NotNil(t, rej)
		}
	}
}
