package proxyproto_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/stretchr/testify/require"
)

func TestClientAddrIsClientsOrZero(t *testing.T) {
	addrPort := netip.MustParseAddrPort
	for name, tt := range map[string]struct {
		info *proxyproto.Info
		want netip.AddrPort
	}{
		"direct":             {info: &proxyproto.Info{Client: tcpAddr(clientAddr)}, want: addrPort(clientAddr)},
		"a header":           {info: &proxyproto.Info{Version: 1, Client: tcpAddr(clientAddr), Proxy: tcpAddr(proxyAddr)}, want: addrPort(clientAddr)},
		"IPv6":               {info: &proxyproto.Info{Client: tcpAddr("[2001:db8::7]:1")}, want: addrPort("[2001:db8::7]:1")},
		"IPv4-mapped":        {info: &proxyproto.Info{Client: tcpAddr("[::ffff:203.0.113.7]:1")}, want: addrPort("203.0.113.7:1")},
		"a zone":             {info: &proxyproto.Info{Client: tcpAddr("[fe80::1%eth0]:1")}, want: addrPort("[fe80::1]:1")},
		"port 0":             {info: &proxyproto.Info{Client: tcpAddr("203.0.113.7:0")}, want: addrPort("203.0.113.7:0")},
		"UDP":                {info: &proxyproto.Info{Client: net.UDPAddrFromAddrPort(addrPort(clientAddr))}, want: addrPort(clientAddr)},
		"LOCAL":              {info: &proxyproto.Info{Version: 2, Local: true, Client: tcpAddr(proxyAddr), Proxy: tcpAddr(proxyAddr)}},
		"0.0.0.0":            {info: &proxyproto.Info{Version: 1, Client: tcpAddr("0.0.0.0:1"), Proxy: tcpAddr(proxyAddr)}},
		"::":                 {info: &proxyproto.Info{Version: 1, Client: tcpAddr("[::]:1"), Proxy: tcpAddr(proxyAddr)}},
		":: over UDP":        {info: &proxyproto.Info{Client: net.UDPAddrFromAddrPort(addrPort("[::]:1"))}},
		"::ffff:0.0.0.0":     {info: &proxyproto.Info{Client: tcpAddr("[::ffff:0.0.0.0]:1")}},
		"unix":               {info: &proxyproto.Info{Client: &net.UnixAddr{Name: "203.0.113.7:1"}}},
		"a TCP address of 0": {info: &proxyproto.Info{Client: &net.TCPAddr{Port: 1}}},
		"nil TCP address":    {info: &proxyproto.Info{Client: (*net.TCPAddr)(nil)}},
		"nil UDP address":    {info: &proxyproto.Info{Client: (*net.UDPAddr)(nil)}},
		"no address":         {info: &proxyproto.Info{}},
		"no Info":            {info: nil},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tt.want, tt.info.ClientAddr())
			if _, unix := clientOf(tt.info).(*net.UnixAddr); !unix {
				require.Equal(t, tt.want.IsValid(), tt.info.ClientKnown())
			}
		})
	}
	info := &proxyproto.Info{Client: tcpAddr(clientAddr)}
	require.Zero(t, testing.AllocsPerRun(100, func() { info.ClientAddr() }))
}

func clientOf(i *proxyproto.Info) net.Addr {
	if i == nil {
		return nil
	}
	return i.Client
}

func TestTLVIsFirstEntryOfItsType(t *testing.T) {
	conn, _ := offer(t, proxyproto.Config{}, proxy4(tlv(0xea, "\x01vpce-1"), tlv(0xe0, ""), tlv(0xea, "\x01vpce-2"), tlv(proxyproto.TypeALPN, "h2")))
	require.NotNil(t, conn)
	info := conn.Info()
	for name, tt := range map[string]struct {
		typ  byte
		want []byte
		ok   bool
	}{
		"the first of two":    {typ: 0xea, want: []byte("\x01vpce-1"), ok: true},
		"an empty value":      {typ: 0xe0, want: []byte{}, ok: true},
		"not there":           {typ: 0xee},
		"a field of its own":  {typ: proxyproto.TypeALPN},
		"the zero type":       {typ: 0},
		"the checksum's type": {typ: proxyproto.TypeCRC32C},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := info.TLV(tt.typ)
			require.Equal(t, tt.ok, ok)
			require.Equal(t, tt.want, got)
		})
	}
	_, ok := (*proxyproto.Info)(nil).TLV(0xea)
	require.False(t, ok)
}
