package msgauth

import (
	"net"
	"net/mail"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/proxyproto"
)

func TestReceivedFields(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	v4, v6 := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")
	for _, test := range []struct {
		name string
		Trace
		want string
	}{
		{"plain", Trace{Client: client.Client{IP: v4, Known: true}, HELO: "Mx.Sender.test", To: []string{"demo@example.test"}},
			"from mx.sender.test ([192.0.2.7]) by example.test with ESMTP id X for <demo@example.test>;"},
		{"TLS, IPv6, address literal", Trace{Client: client.Client{IP: v6, Known: true, TLS: true}, HELO: "[IPv6:2001:db8::7]", TLS: "TLSv1.3 with cipher TLS_AES_128_GCM_SHA256"},
			"from [IPv6:2001:db8::7] ([IPv6:2001:db8::7]) (using TLSv1.3 with cipher TLS_AES_128_GCM_SHA256) by example.test with ESMTPS id X;"},
		{"logged in, TLS without details", Trace{Client: client.Client{IP: v4, Known: true, TLS: true}, HELO: "localhost", User: true},
			"from localhost ([192.0.2.7]) by example.test with ESMTPSA id X;"},
		{"TLS that may be the proxy's own", Trace{Client: client.Client{IP: v4, Known: true}, HELO: "a", TLS: "TLSv1.3"},
			"from a ([192.0.2.7]) by example.test with ESMTP id X;"},
		{"the client is not known", Trace{Client: client.Client{IP: v4}, HELO: "a"},
			"from a (client not known) by example.test with ESMTP id X;"},
		{"several recipients", Trace{Client: client.Client{IP: v4, Known: true}, HELO: "[192.0.2.7]", To: []string{"a@example.test", "b@example.test"}},
			"from [192.0.2.7] ([192.0.2.7]) by example.test with ESMTP id X;"},
		{"made up", Trace{Client: client.Client{IP: v4, Known: true}, HELO: "a([127.0.0.1])by", To: []string{"a> by evil@example.test"}},
			"from unknown ([192.0.2.7]) by example.test with ESMTP id X;"},
		{"made up, as an address literal", Trace{Client: client.Client{IP: v4, Known: true}, HELO: "[fe80::1%a)b]"},
			"from unknown ([192.0.2.7]) by example.test with ESMTP id X;"},
		{"too long", Trace{Client: client.Client{IP: v4, Known: true}, HELO: strings.Repeat("a.", 130) + "a", To: []string{strings.Repeat("a", 255) + "@example.test"}},
			"from unknown ([192.0.2.7]) by example.test with ESMTP id X;"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.Trace.By, test.Trace.ID, test.Trace.At = "example.test", "X", at
			field := test.Field()
			for line := range strings.Lines(field) {
				require.LessOrEqual(t, len(line), 998+2)
			}
			m, err := mail.ReadMessage(strings.NewReader(field + "\r\n"))
			require.NoError(t, err)
			require.Equal(t, test.want+" Sun, 22 Nov 2026 10:00:00 +0000", m.Header.Get("Received"))
		})
	}
}

func TestDescribeTLSOfPROXYHeader(t *testing.T) {
	for _, tc := range []struct {
		name string
		tls  proxyproto.TLS
		want string
	}{
		{name: "version and cipher", tls: proxyproto.TLS{Client: true, Version: "TLSv1.2", Cipher: "ECDHE-RSA-AES128-GCM-SHA256"}, want: "TLSv1.2 with cipher ECDHE-RSA-AES128-GCM-SHA256"},
		{name: "a cipher that ends the comment", tls: proxyproto.TLS{Client: true, Version: "TLSv1.3", Cipher: "x) by evil (y"}, want: "TLSv1.3"},
		{name: "a version with a line end", tls: proxyproto.TLS{Client: true, Version: "TLSv1.3\r\n", Cipher: "x"}},
		{name: "no version", tls: proxyproto.TLS{Client: true}},
		{name: "a client without TLS", tls: proxyproto.TLS{Version: "TLSv1.3"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, _ := net.Pipe()
			defer c.Close()
			require.Equal(t, tc.want, DescribeTLS(client.Client{Info: &proxyproto.Info{TLS: &tc.tls}}, c))
		})
	}
}
