package main

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"testing"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/stretchr/testify/require"
)

func TestRelayingByAddressIsForKnownClientsOnThisMachineOnly(t *testing.T) {
	here, there := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.1")
	for _, test := range []struct {
		name   string
		client client
		want   bool
	}{
		{"direct, from here", client{IP: here, Known: true}, true},
		{"direct, from here, IPv6", client{IP: netip.IPv6Loopback(), Known: true}, true},
		{"direct, from 127.0.0.77", client{IP: netip.MustParseAddr("127.0.0.77"), Known: true}, false},
		{"direct, from elsewhere", client{IP: there, Known: true}, false},
		{"by a proxy here, from here", client{IP: here, Known: true, Proxy: here, Version: 2}, true},
		{"by a proxy here, from elsewhere", client{IP: there, Known: true, Proxy: here, Version: 2}, false},
		{"by a proxy elsewhere, from 127.0.0.1 there", client{IP: here, Known: true, Proxy: there, Version: 1}, false},
		{"LOCAL or UNKNOWN by a proxy here", client{IP: here, Proxy: here, Version: 2}, false},
		{"nothing is known", client{}, false},
	} {
		require.Equal(t, test.want, test.client.mayRelayByAddress(), test.name)
	}
}

func TestAClientsWordsDoNotLookLikeAReport(t *testing.T) {
	var b bytes.Buffer
	l := newLogger(&b, slog.LevelDebug)
	const words = "panic proto=https event=session client_ip=6.6.6.6 tls=true"
	libraryLog(l, "https").Printf("http: TLS handshake error: [%q]", words)
	logRejection(l, "smtp")(proxyproto.Rejection{Err: errors.New(words), Prefix: []byte("PROXY UNKNOWN " + words + "\r\n")})
	require.NotContains(t, b.String(), "client_ip=6.6.6.6")
	require.NotContains(t, b.String(), "level=ERROR")
	libraryLog(l, "https").Print("http: panic serving 192.0.2.1:1: boom")
	require.Contains(t, b.String(), "level=ERROR")
}
