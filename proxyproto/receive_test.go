package proxyproto_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
	"github.com/stretchr/testify/require"
)

// Tests of the receiver rules of proxy-protocol.txt.

func TestHeadersThatAreAccepted(t *testing.T) {
	const v6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07" + "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"
	const mapped = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xcb\x00\x71\x07" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc6\x33\x64\x01"
	for name, tt := range map[string]struct {
		header         string
		remote, local  string
		version        int
		isLocal, known bool
	}{
		"v1 TCP4":                       {header: "PROXY TCP4 203.0.113.7 198.51.100.1 50000 25\r\n", remote: clientAddr, local: "198.51.100.1:25", version: 1, isLocal: false, known: true},
		"v1 TCP6":                       {header: "PROXY TCP6 2001:db8::7 2001:DB8::1 50000 25\r\n", remote: "[2001:db8::7]:50000", local: "[2001:db8::1]:25", version: 1, isLocal: false, known: true},
		"v1 TCP6 mapped is unmapped":    {header: "PROXY TCP6 ::ffff:203.0.113.7 ::ffff:198.51.100.1 50000 25\r\n", remote: clientAddr, local: "198.51.100.1:25", version: 1, isLocal: false, known: true},
		"v1 TCP6 mapped in hex":         {header: "PROXY TCP6 ::ffff:cb00:7107 ::ffff:c633:6401 50000 25\r\n", remote: clientAddr, local: "198.51.100.1:25", version: 1, isLocal: false, known: true},
		"v1 TCP6 longest line":          {header: "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", remote: "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0]:65535", local: "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", version: 1, isLocal: false, known: true},
		"v1 TCP6 to IPv4, from NGINX":   {header: "PROXY TCP6 2001:db8::7 127.0.0.1 50000 25\r\n", remote: "[2001:db8::7]:50000", local: "127.0.0.1:25", version: 1, isLocal: false, known: true},
		"v1 TCP4 to IPv6":               {header: "PROXY TCP4 203.0.113.7 2001:db8::1 50000 25\r\n", remote: clientAddr, local: "[2001:db8::1]:25", version: 1, isLocal: false, known: true},
		"v1 TCP4 to mapped":             {header: "PROXY TCP4 203.0.113.7 ::ffff:198.51.100.1 50000 25\r\n", remote: clientAddr, local: "198.51.100.1:25", version: 1, isLocal: false, known: true},
		"v1 mapped TCP6 to IPv4":        {header: "PROXY TCP6 ::ffff:203.0.113.7 198.51.100.1 50000 25\r\n", remote: clientAddr, local: "198.51.100.1:25", version: 1, isLocal: false, known: true},
		"v1 source port 0":              {header: "PROXY TCP4 203.0.113.7 198.51.100.1 0 25\r\n", remote: "203.0.113.7:0", local: "198.51.100.1:25", version: 1, isLocal: false, known: true},
		"v1 destination port 0":         {header: "PROXY TCP4 203.0.113.7 198.51.100.1 65535 0\r\n", remote: "203.0.113.7:65535", local: serverAddr, version: 1, isLocal: false, known: true},
		"v1 UNKNOWN":                    {header: "PROXY UNKNOWN\r\n", remote: proxyAddr, local: serverAddr, version: 1, isLocal: false, known: false},
		"v1 UNKNOWN with addresses":     {header: "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", remote: proxyAddr, local: serverAddr, version: 1, isLocal: false, known: false},
		"v1 UNKNOWN with anything":      {header: "PROXY UNKNOWN \x00 \xff TCP4\r\n", remote: proxyAddr, local: serverAddr, version: 1, isLocal: false, known: false},
		"v2 TCP4":                       {header: proxy4(), remote: clientAddr, local: "198.51.100.1:25", version: 2, isLocal: false, known: true},
		"v2 TCP6":                       {header: v2(0x21, 0x21, v6, "\xc3\x50\x00\x19"), remote: "[2001:db8::7]:50000", local: "[2001:db8::1]:25", version: 2, isLocal: false, known: true},
		"v2 TCP6 mapped is unmapped":    {header: v2(0x21, 0x21, mapped, "\xc3\x50\x00\x19"), remote: clientAddr, local: "198.51.100.1:25", version: 2, isLocal: false, known: true},
		"v2 from Caddy":                 {header: v2(0x21, 0x11, "\xcb\x00\x71\x07\x00\x00\x00\x00\x00\x00\x00\x00"), remote: "203.0.113.7:0", local: serverAddr, version: 2, isLocal: false, known: true},
		"v2 destination unspecified":    {header: v2(0x21, 0x11, "\xcb\x00\x71\x07\x00\x00\x00\x00\xc3\x50\x00\x19"), remote: clientAddr, local: serverAddr, version: 2, isLocal: false, known: true},
		"v2 source unspecified":         {header: v2(0x21, 0x11, "\x00\x00\x00\x00\xc6\x33\x64\x01\xc3\x50\x00\x19"), remote: "0.0.0.0:50000", local: "198.51.100.1:25", version: 2, isLocal: false, known: false},
		"v2 LOCAL":                      {header: v2(0x20, 0x00), remote: proxyAddr, local: serverAddr, version: 2, isLocal: true, known: false},
		"v2 LOCAL with addresses":       {header: v2(0x20, 0x11, "\xcb\x00\x71\x07\xc6\x33\x64\x01\xc3\x50\x00\x19"), remote: proxyAddr, local: serverAddr, version: 2, isLocal: true, known: false},
		"v2 LOCAL from AWS NLB":         {header: v2(0x20, 0x11, tlv(0xea, "\x01"+strings.Repeat("v", 21)), tlv(0x04, strings.Repeat("\x00", 54))), remote: proxyAddr, local: serverAddr, version: 2, isLocal: true, known: false},
		"v2 LOCAL with any family":      {header: v2(0x20, 0xff, "junk"), remote: proxyAddr, local: serverAddr, version: 2, isLocal: true, known: false},
		"v2 LOCAL with a broken TLV":    {header: v2(0x20, 0x00, "\x01\xff"), remote: proxyAddr, local: serverAddr, version: 2, isLocal: true, known: false},
		"v2 LOCAL with a wrong CRC32C":  {header: v2(0x20, 0x00, tlv(0x03, "\x00\x00\x00\x00")), remote: proxyAddr, local: serverAddr, version: 2, isLocal: true, known: false},
		"v2 unknown TLV":                {header: proxy4(tlv(0xe7, "x"), tlv(0x30, "ns")), remote: clientAddr, local: "198.51.100.1:25", version: 2, isLocal: false, known: true},
		"v2 NOOP for padding":           {header: proxy4(tlv(0x04, ""), tlv(0x04, "\x00\x00")), remote: clientAddr, local: "198.51.100.1:25", version: 2, isLocal: false, known: true},
		"v2 block of the greatest size": {header: proxy4(tlv(0x04, strings.Repeat("x", 4096-12-3))), remote: clientAddr, local: "198.51.100.1:25", version: 2, isLocal: false, known: true},
	} {
		t.Run(name, func(t *testing.T) {
			check := func(conn *proxyproto.Conn, rej *proxyproto.Rejection) {
				require.Nil(t, rej)
				require.NotNil(t, conn)
				require.Equal(t, tt.remote, conn.RemoteAddr().String())
				require.Equal(t, tt.local, conn.LocalAddr().String())
				for _, a := range []net.Addr{conn.RemoteAddr(), conn.LocalAddr(), conn.Info().Server, conn.Info().Proxy} {
					ip := a.(*net.TCPAddr).IP
					require.Equal(t, ip.To4() != nil, len(ip) == net.IPv4len, "%v is mapped", a)
				}
				info := conn.Info()
				require.Equal(t, conn.RemoteAddr(), info.Client)
				require.Equal(t, proxyAddr, info.Proxy.String())
				require.Equal(t, tt.version, info.Version)
				require.Equal(t, tt.isLocal, info.Local)
				require.Equal(t, tt.known, info.ClientKnown())
				if tt.isLocal {
					require.Empty(t, info.TLVs)
				}
			}
			check(offer(t, proxyproto.Config{}, tt.header))
			check(offer(t, proxyproto.Config{}, strings.Split(tt.header, "")...)) // one byte at a time
		})
	}
}

func TestHeadersThatAreRefused(t *testing.T) {
	const addrs = "\xcb\x00\x71\x07\xc6\x33\x64\x01\xc3\x50\x00\x19"
	malformed, unsupported := proxyproto.ErrMalformed, proxyproto.ErrUnsupported
	for name, tt := range map[string]struct {
		header string
		err    error
	}{
		"SMTP":                             {header: "EHLO x\r\n", err: proxyproto.ErrNoHeader},
		"HTTP":                             {header: "GET / HTTP/1.1\r\n", err: proxyproto.ErrNoHeader},
		"TLS":                              {header: "\x16\x03\x01\x02\x00\x01", err: proxyproto.ErrNoHeader},
		"an empty line":                    {header: "\r\n\r\nX", err: proxyproto.ErrNoHeader},
		"lower case":                       {header: "proxy TCP4 203.0.113.7 198.51.100.1 1 2\r\n", err: proxyproto.ErrNoHeader},
		"v1 no space":                      {header: "PROXYTCP4 203.0.113.7 198.51.100.1 1 2\r\n", err: malformed},
		"v1 two spaces first":              {header: "PROXY  TCP4 203.0.113.7 198.51.100.1 1 2\r\n", err: malformed},
		"v1 two spaces":                    {header: "PROXY TCP4 203.0.113.7  198.51.100.1 1 2\r\n", err: malformed},
		"v1 tab":                           {header: "PROXY TCP4 203.0.113.7\t198.51.100.1 1 2\r\n", err: malformed},
		"v1 trailing space":                {header: "PROXY TCP4 203.0.113.7 198.51.100.1 1 2 \r\n", err: malformed},
		"v1 too few fields":                {header: "PROXY TCP4 203.0.113.7 198.51.100.1 1\r\n", err: malformed},
		"v1 too many fields":               {header: "PROXY TCP4 203.0.113.7 198.51.100.1 1 2 3\r\n", err: malformed},
		"v1 no fields":                     {header: "PROXY TCP4 \r\n", err: malformed},
		"v1 only PROXY":                    {header: "PROXY\r\n", err: malformed},
		"v1 no protocol":                   {header: "PROXY \r\n", err: malformed},
		"v1 UDP4":                          {header: "PROXY UDP4 203.0.113.7 198.51.100.1 1 2\r\n", err: malformed},
		"v1 protocol in lower case":        {header: "PROXY tcp4 203.0.113.7 198.51.100.1 1 2\r\n", err: malformed},
		"v1 UNKNOWN and a letter":          {header: "PROXY UNKNOWNX\r\n", err: malformed},
		"v1 UNKNOWN and LF":                {header: "PROXY UNKNOWN\n", err: malformed},
		"v1 UNKNOWN and CR":                {header: "PROXY UNKNOWN\rX", err: malformed},
		"v1 UNKNOWN with a CR inside":      {header: "PROXY UNKNOWN a\rb\r\n", err: malformed},
		"v1 UNKNOWN with a LF inside":      {header: "PROXY UNKNOWN a\nb\r\n", err: malformed},
		"v1 LF":                            {header: "PROXY TCP4 203.0.113.7 198.51.100.1 1 2\n", err: malformed},
		"v1 CR":                            {header: "PROXY TCP4 203.0.113.7 198.51.100.1 1 2\rX", err: malformed},
		"v1 octet with heading zero":       {header: "PROXY TCP4 203.0.113.07 198.51.100.1 1 2\r\n", err: malformed},
		"v1 octet too large":               {header: "PROXY TCP4 203.0.113.256 198.51.100.1 1 2\r\n", err: malformed},
		"v1 three octets":                  {header: "PROXY TCP4 203.0.113 198.51.100.1 1 2\r\n", err: malformed},
		"v1 IPv6 in TCP4":                  {header: "PROXY TCP4 ::1 ::1 1 2\r\n", err: malformed},
		"v1 mapped in TCP4":                {header: "PROXY TCP4 ::ffff:203.0.113.7 198.51.100.1 1 2\r\n", err: malformed},
		"v1 IPv4 in TCP6":                  {header: "PROXY TCP6 203.0.113.7 198.51.100.1 1 2\r\n", err: malformed},
		"v1 mapped source in TCP4":         {header: "PROXY TCP4 ::ffff:203.0.113.7 ::1 1 2\r\n", err: malformed},
		"v1 IPv4 source, IPv6 destination": {header: "PROXY TCP6 203.0.113.7 ::1 1 2\r\n", err: malformed},
		"v1 IPv6 source in TCP4":           {header: "PROXY TCP4 ::1 198.51.100.1 1 2\r\n", err: malformed},
		"v1 zone of the destination":       {header: "PROXY TCP6 fe80::1 fe80::2%eth0 1 2\r\n", err: malformed},
		"v1 destination with leading zero": {header: "PROXY TCP6 ::1 198.51.100.01 1 2\r\n", err: malformed},
		"v1 destination is a name":         {header: "PROXY TCP6 ::1 localhost 1 2\r\n", err: malformed},
		"v1 zone":                          {header: "PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n", err: malformed},
		"v1 brackets":                      {header: "PROXY TCP6 [::1] [::1] 1 2\r\n", err: malformed},
		"v1 host name":                     {header: "PROXY TCP4 localhost 198.51.100.1 1 2\r\n", err: malformed},
		"v1 empty address":                 {header: "PROXY TCP4  198.51.100.1 1 2\r\n", err: malformed},
		"v1 source port with heading zero": {header: "PROXY TCP4 203.0.113.7 198.51.100.1 01 2\r\n", err: malformed},
		"v1 source port 00":                {header: "PROXY TCP4 203.0.113.7 198.51.100.1 00 2\r\n", err: malformed},
		"v1 source port too large":         {header: "PROXY TCP4 203.0.113.7 198.51.100.1 65536 2\r\n", err: malformed},
		"v1 source port overflows":         {header: "PROXY TCP4 203.0.113.7 198.51.100.1 18446744073709551617 2\r\n", err: malformed},
		"v1 source port negative":          {header: "PROXY TCP4 203.0.113.7 198.51.100.1 -1 2\r\n", err: malformed},
		"v1 source port with sign":         {header: "PROXY TCP4 203.0.113.7 198.51.100.1 +1 2\r\n", err: malformed},
		"v1 destination port hex":          {header: "PROXY TCP4 203.0.113.7 198.51.100.1 1 0x2\r\n", err: malformed},
		"v1 destination port too large":    {header: "PROXY TCP4 203.0.113.7 198.51.100.1 1 99999\r\n", err: malformed},
		"v1 destination port empty":        {header: "PROXY TCP4 203.0.113.7 198.51.100.1 1 \r\n", err: malformed},
		"v1 108 bytes":                     {header: "PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n", err: proxyproto.ErrTooLarge},
		"v1 107 bytes without CRLF":        {header: "PROXY UNKNOWN " + strings.Repeat("x", 93), err: proxyproto.ErrTooLarge},
		"v1 107 bytes with only CR":        {header: "PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r", err: proxyproto.ErrTooLarge},
		"v1 too long is malformed as well": {header: "PROXY UNKNOWN " + strings.Repeat("x", 93), err: malformed},
		"v2 version 1":                     {header: signature + "\x11", err: malformed},
		"v2 version 3":                     {header: signature + "\x31", err: malformed},
		"v2 command 2":                     {header: signature + "\x22", err: malformed},
		"v2 command 15":                    {header: signature + "\x2f", err: malformed},
		"v2 UNSPEC":                        {header: v2(0x21, 0x00), err: unsupported},
		"v2 UNSPEC with addresses":         {header: v2(0x21, 0x00, addrs), err: unsupported},
		"v2 IPv4 of unspecified transport": {header: v2(0x21, 0x10, addrs), err: unsupported},
		"v2 UDP4":                          {header: v2(0x21, 0x12, addrs), err: unsupported},
		"v2 UDP6":                          {header: v2(0x21, 0x22, strings.Repeat("x", 36)), err: unsupported},
		"v2 UNIX stream":                   {header: v2(0x21, 0x31, strings.Repeat("x", 216)), err: unsupported},
		"v2 UNIX datagram":                 {header: v2(0x21, 0x32, strings.Repeat("x", 216)), err: unsupported},
		"v2 unknown family":                {header: v2(0x21, 0x41, addrs), err: malformed},
		"v2 unknown transport":             {header: v2(0x21, 0x13, addrs), err: malformed},
		"v2 TCP4 too short":                {header: v2(0x21, 0x11, addrs[:11]), err: malformed},
		"v2 TCP6 with addresses of TCP4":   {header: v2(0x21, 0x21, addrs), err: malformed},
		"v2 over the limit":                {header: signature + "\x21\x11\x10\x01", err: proxyproto.ErrTooLarge},
		"v2 LOCAL over the limit":          {header: signature + "\x20\x00\xff\xff", err: proxyproto.ErrTooLarge},
		"v2 TLV of one byte":               {header: proxy4("\x04"), err: malformed},
		"v2 TLV of two bytes":              {header: proxy4("\x04\x00"), err: malformed},
		"v2 TLV longer than the block":     {header: proxy4("\x04\x00\x02x"), err: malformed},
		"v2 second TLV truncated":          {header: proxy4(tlv(0x04, "x"), "\xe0\x00"), err: malformed},
		"v2 unique ID of 129 bytes":        {header: proxy4(tlv(0x05, strings.Repeat("x", 129))), err: malformed},
		"v2 CRC32C of 3 bytes":             {header: proxy4(tlv(0x03, "xxx")), err: malformed},
		"v2 CRC32C wrong":                  {header: proxy4(tlv(0x03, "\x00\x00\x00\x00")), err: proxyproto.ErrChecksum},
		"v2 SSL empty":                     {header: proxy4(tlv(0x20, "")), err: malformed},
		"v2 SSL of 4 bytes":                {header: proxy4(tlv(0x20, "\x01\x00\x00\x00")), err: malformed},
		"v2 SSL with a broken sub-TLV":     {header: proxy4(sslTLV(1, 0, "\x21\x00\x09TLSv1.3")), err: malformed},
		"v2 SSL with a byte left over":     {header: proxy4(sslTLV(1, 0, tlv(0x21, "TLSv1.3"), "\x22")), err: malformed},
		"v2 two SSL":                       {header: proxy4(sslTLV(0, 0), sslTLV(1, 0)), err: malformed},
		"v2 two common names":              {header: proxy4(sslTLV(7, 0, tlv(0x22, "a"), tlv(0x22, "b"))), err: malformed},
		"v2 two authorities":               {header: proxy4(tlv(0x02, "a"), tlv(0x02, "b")), err: malformed},
	} {
		t.Run(name, func(t *testing.T) {
			for _, chunks := range [][]string{{tt.header}, strings.Split(tt.header, "")} {
				conn, rej := offer(t, proxyproto.Config{}, chunks...)
				require.Nil(t, conn)
				require.ErrorIs(t, rej.Err, tt.err)
				require.Regexp(t, `^proxyproto: `, rej.Err.Error())
				require.Equal(t, proxyAddr, rej.Peer.String())
				require.NotEmpty(t, rej.Prefix)
				require.LessOrEqual(t, len(rej.Prefix), 64)
				require.True(t, strings.HasPrefix(tt.header, string(rej.Prefix)))
			}
		})
	}
}

func TestRefusalQuotesTrustedPeer(t *testing.T) {
	const fix = " or remove its address from the list of trusted proxies"
	for _, tt := range []struct{ name, sent, want string }{
		{name: "TLS handshake", sent: "\x16\x03\x01\x02\x00\x01", want: "it begins with a TLS handshake; configure the proxy to send a header in front of it," + fix},
		{name: "SMTP", sent: "EHLO secret\r\n", want: `it begins with "EHLO"; configure the proxy to send a header,` + fix},
		{name: "another record of TLS", sent: "\x15\x03\x01\x00\x02", want: `it begins with "\x15\x03\x01\x00\x02"; configure the proxy to send a header,` + fix},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, rej := offer(t, proxyproto.Config{}, tt.sent)
			require.EqualError(t, rej.Err, "proxyproto: no PROXY header from a trusted peer: "+tt.want)
		})
	}
}

func TestRefusalOfSilentPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		client := f.mem.dial(proxyAddr)
		defer client.Close()
		elapse(5 * time.Second)
		synctest.Wait()
		require.Len(t, f.rejected(), 1)
		require.EqualError(t, f.rejected()[0].Err, "proxyproto: PROXY header did not arrive in time: no byte in 5s; "+
			"configure the proxy to send a header, or remove its address from the list of trusted proxies")
	})
}

func TestHeaderSplitAnywhere(t *testing.T) {
	const payload = "EHLO client.example\r\n"
	for name, header := range map[string]string{
		"v1": "PROXY TCP4 203.0.113.7 198.51.100.1 50000 25\r\n",
		"v2": proxy4(sslTLV(1, 0, tlv(0x21, "TLSv1.3")), tlv(0x04, strings.Repeat("x", 300))),
	} {
		t.Run(name, func(t *testing.T) {
			stream := header + payload
			for i := 1; i < len(stream); i++ {
				synctest.Test(t, func(t *testing.T) {
					f := newFixture(t, proxyproto.Config{})
					client := f.mem.dial(proxyAddr)
					send(t, client, stream[:i], stream[i:])
					conn, err := f.Accept()
					require.NoError(t, err)
					require.Equal(t, clientAddr, conn.RemoteAddr().String())
					got := ""
					for len(got) < len(payload) {
						got += read(t, conn)
					}
					require.Equal(t, payload, got)
				})
			}
		})
	}
}

func TestSecondHeaderIsPayload(t *testing.T) {
	for name, second := range map[string]string{"v1": "PROXY TCP4 192.0.2.99 198.51.100.1 1 2\r\n", "v2": proxy4()} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, proxyproto.Config{})
				client := f.mem.dial(proxyAddr)
				send(t, client, proxy4()+second)
				conn, err := f.Accept()
				require.NoError(t, err)
				require.Equal(t, second, read(t, conn))
				require.Equal(t, clientAddr, conn.RemoteAddr().String())
			})
		})
	}
}

func TestMaxHeaderSize(t *testing.T) {
	for name, tt := range map[string]struct{ limit, length int }{
		"default":  {limit: 0, length: 4097},
		"smaller":  {limit: 100, length: 101},
		"smallest": {limit: 12, length: 13},
		"largest":  {limit: 65534, length: 65535},
	} {
		t.Run(name, func(t *testing.T) {
			// The 16 bytes do not include the block.
			_, rej := offer(t, proxyproto.Config{MaxHeaderSize: tt.limit}, signature+"\x21\x11"+string([]byte{byte(tt.length >> 8), byte(tt.length)}))
			require.ErrorIs(t, rej.Err, proxyproto.ErrTooLarge)
			fits := proxy4()
			if tt.limit != 12 {
				fits = proxy4(tlv(0x04, strings.Repeat("x", tt.length-1-12-3)))
			}
			conn, _ := offer(t, proxyproto.Config{MaxHeaderSize: tt.limit}, fits)
			require.NotNil(t, conn)
		})
	}
}

func TestTLVs(t *testing.T) {
	conn, _ := offer(t, proxyproto.Config{}, proxy4(
		tlv(0xe0, "vendor"), tlv(0x01, "h2"), tlv(0x02, "mail.example.test"), tlv(0x04, "\x00"),
		tlv(0x05, strings.Repeat("u", 128)), tlv(0x30, "netns"), tlv(0x99, ""),
		sslTLV(0x07, 0, tlv(0x21, "TLSv1.3"), tlv(0x22, "client.example"), tlv(0x23, "TLS_AES_128_GCM_SHA256"),
			tlv(0x24, "RSA-SHA256"), tlv(0x25, "RSA2048"), tlv(0x26, "x25519"), tlv(0x27, "rsa_pss_rsae_sha256"),
			tlv(0x28, "\x30\x00"), tlv(0x2f, "new"))))
	info := conn.Info()
	require.Equal(t, "h2", info.ALPN)
	require.Equal(t, "mail.example.test", info.ServerName)
	require.Equal(t, strings.Repeat("u", 128), string(info.UniqueID))
	require.Equal(t, []proxyproto.TLV{{0xe0, []byte("vendor")}, {0x04, []byte{0}}, {0x30, []byte("netns")}, {0x99, []byte{}}}, info.TLVs)
	require.Equal(t, &proxyproto.TLS{
		Client: true, Version: "TLSv1.3", Cipher: "TLS_AES_128_GCM_SHA256", Group: "x25519",
		ClientCert: true, Verified: true, CommonName: "client.example", Certificate: []byte{0x30, 0},
		SigAlg: "RSA-SHA256", KeyAlg: "RSA2048", SigScheme: "rsa_pss_rsae_sha256",
		TLVs: []proxyproto.TLV{{0x2f, []byte("new")}},
	}, info.TLS)
}

func TestVerifiedNeedsCertificate(t *testing.T) {
	for name, tt := range map[string]struct {
		client byte
		verify uint32
		want   proxyproto.TLS
	}{
		"plaintext client of HAProxy":      {client: 0x00, verify: 0, want: proxyproto.TLS{}},
		"TLS without a certificate":        {client: 0x01, verify: 0, want: proxyproto.TLS{Client: true}},
		"TLS, verify set, no certificate":  {client: 0x01, verify: 1, want: proxyproto.TLS{Client: true}},
		"certificate verified":             {client: 0x07, verify: 0, want: proxyproto.TLS{Client: true, ClientCert: true, Verified: true}},
		"certificate not verified":         {client: 0x07, verify: 18, want: proxyproto.TLS{Client: true, ClientCert: true, VerifyError: 18}},
		"certificate of a resumed session": {client: 0x05, verify: 0, want: proxyproto.TLS{Client: true, ClientCert: true, FromSession: true, Verified: true}},
		"certificate of this connection":   {client: 0x03, verify: 0, want: proxyproto.TLS{Client: true, ClientCert: true, Verified: true}},
		"bits that are not assigned":       {client: 0xf8, verify: 0, want: proxyproto.TLS{}},
	} {
		t.Run(name, func(t *testing.T) {
			conn, _ := offer(t, proxyproto.Config{}, proxy4(sslTLV(tt.client, tt.verify)))
			require.Equal(t, &tt.want, conn.Info().TLS)
		})
	}
}

func TestLOCALExposesNothingOfItsBlock(t *testing.T) {
	conn, _ := offer(t, proxyproto.Config{}, v2(0x20, 0x11, "\xcb\x00\x71\x07\xc6\x33\x64\x01\xc3\x50\x00\x19",
		tlv(0x01, "h2"), tlv(0x02, "x"), tlv(0x05, "id"), tlv(0xe0, "v"), sslTLV(1, 0, tlv(0x21, "TLSv1.3"))))
	info := *conn.Info()
	require.Nil(t, info.TLS)
	require.Empty(t, info.ALPN+info.ServerName)
	require.Empty(t, info.UniqueID)
	require.Empty(t, info.TLVs)
}

func TestBuffersAreNotShared(t *testing.T) {
	l := wrapped(t, proxyproto.Config{Trusted: trustnet.MustParse("127.0.0.1")})
	var conns []net.Conn
	for i := range 200 {
		connect(t, l, 1, proxy4()+fmt.Sprintf("payload of %05d", i))
		s, err := l.Accept()
		require.NoError(t, err)
		defer s.Close()
		conns = append(conns, s)
	}
	for i, s := range conns {
		require.Equal(t, fmt.Sprintf("payload of %05d", i), read(t, s))
	}
}

func TestFallbackAddressesAreUnmapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		for _, s := range []string{v2(0x21, 0x11, "\xcb\x00\x71\x07\x00\x00\x00\x00\x00\x00\x00\x00"), "EHLO"} {
			a, b := net.Pipe()
			send(t, a, s)
			f.mem.conns <- &memConn{b,
				&net.TCPAddr{IP: net.IPv4(192, 0, 2, 10), Port: 40000},
				&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 25}}
		}
		c, err := f.Accept()
		require.NoError(t, err)
		require.Len(t, c.LocalAddr().(*net.TCPAddr).IP, net.IPv4len)
		synctest.Wait()
		require.Len(t, f.rejected()[0].Peer.(*net.TCPAddr).IP, net.IPv4len)
	})
}

func TestDuplicateTLVIsRefused(t *testing.T) {
	zero := proxy4(tlv(0x03, "\x00\x00\x00\x00"), tlv(0x03, "\x00\x00\x00\x00"))
	sum := crc32.Checksum([]byte(zero), crc32.MakeTable(crc32.Castagnoli)) // the first one is right
	two := zero[:len(zero)-11] + string(binary.BigEndian.AppendUint32(nil, sum)) + zero[len(zero)-7:]
	for name, h := range map[string]string{
		"ALPN":      proxy4(tlv(0x01, "a"), tlv(0x01, "a")),
		"unique ID": proxy4(tlv(0x05, "a"), tlv(0x05, "a")),
		"CRC32C":    two,
		"certs":     proxy4(sslTLV(7, 0, tlv(0x28, "a"), tlv(0x28, "b"))),
	} {
		_, rej := offer(t, proxyproto.Config{}, h)
		require.NotNil(t, rej, name)
		require.ErrorIs(t, rej.Err, proxyproto.ErrMalformed, name)
		require.Contains(t, rej.Err.Error(), "duplicate", name)
	}
}

func TestDuplicateEmptySubTLV(t *testing.T) {
	_, rej := offer(t, proxyproto.Config{}, proxy4(sslTLV(7, 0, tlv(0x22, ""), tlv(0x22, "admin"))))
	require.ErrorIs(t, rej.Err, proxyproto.ErrMalformed)
}

func TestLocalAddressOfEachConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		for _, own := range []*net.TCPAddr{
			{IP: net.IPv4(192, 0, 2, 1), Port: 25},
			{IP: net.IPv4(192, 0, 2, 2), Port: 25}, // the same except the address
			{IP: net.IPv4(192, 0, 2, 2), Port: 587},
			{IP: net.ParseIP("fe80::1"), Port: 587, Zone: "eth0"},
			{IP: net.ParseIP("fe80::1"), Port: 587, Zone: "eth1"},
			{IP: net.IPv4(192, 0, 2, 1), Port: 25},
		} {
			a, b := net.Pipe()
			defer a.Close()
			f.mem.conns <- &memConn{b, tcpAddr(clientAddr), own}
			c, err := f.Accept()
			require.NoError(t, err)
			require.Equal(t, own.String(), c.LocalAddr().String())
		}
	})
}
