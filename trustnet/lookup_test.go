package trustnet_test

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/seed-94e48765/portico/trustnet"
)

// A zone has the answers of a DNS server on loopback: addresses or a response code for each
// type.
type zone struct {
	a, aaaa   string
	rcode     dnsmessage.RCode // of A
	rcodeAAAA dnsmessage.RCode
}

// serve answers queries until the test ends, for any name.
func (z zone) serve(t *testing.T) string {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var query dnsmessage.Message
			if query.Unpack(buf[:n]) != nil || len(query.Questions) != 1 {
				continue
			}
			q := query.Questions[0]
			reply := dnsmessage.Message{Header: dnsmessage.Header{ID: query.ID, Response: true, RecursionAvailable: true}, Questions: query.Questions}
			list, rcode := z.a, z.rcode
			if q.Type == dnsmessage.TypeAAAA {
				list, rcode = z.aaaa, z.rcodeAAAA
			}
			reply.RCode = rcode
			for _, a := range addrs(list) {
				h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}
				if a.Is4() {
					reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
				} else {
					reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
				}
			}
			if packed, err := reply.Pack(); err == nil {
				conn.WriteTo(packed, from)
			}
		}
	}()
	return conn.LocalAddr().String()
}

// If package net looks up both families at once, it does not report the failure of one, and
// the addresses of that family would be removed.
func TestDefaultLookupOfOneFamily(t *testing.T) {
	const (
		nxdomain = dnsmessage.RCodeNameError
		servfail = dnsmessage.RCodeServerFailure
	)
	tests := []struct {
		name     string
		zone     zone
		want     string
		reported string
	}{
		{name: "A and AAAA", zone: zone{a: "192.0.2.1 192.0.2.3", aaaa: "2001:db8::1"}, want: "192.0.2.1,192.0.2.3,2001:db8::1"},
		{name: "A alone", zone: zone{a: "192.0.2.1"}, want: "192.0.2.1"},
		{name: "AAAA alone", zone: zone{aaaa: "2001:db8::1"}, want: "2001:db8::1"},
		{name: "A alone, and AAAA answered with no such name", zone: zone{a: "192.0.2.1", rcodeAAAA: nxdomain}, want: "192.0.2.1"},
		{name: "AAAA fails", zone: zone{a: "192.0.2.1", rcodeAAAA: servfail}, want: "192.0.2.1", reported: "look-up failed"},
		{name: "A fails", zone: zone{rcode: servfail, aaaa: "2001:db8::1"}, want: "2001:db8::1", reported: "look-up failed"},
		{name: "A fails, no AAAA", zone: zone{rcode: servfail}, reported: "look-up failed"},
		{name: "no A, AAAA fails", zone: zone{rcodeAAAA: servfail}, reported: "look-up failed"},
		{name: "both fail", zone: zone{rcode: servfail, rcodeAAAA: servfail}, reported: "look-up failed"},
		{name: "no such name", zone: zone{rcode: nxdomain, rcodeAAAA: nxdomain}, reported: "no such name"},
		{name: "neither A nor AAAA", zone: zone{}, reported: "no such name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server, usual := tt.zone.serve(t), net.DefaultResolver
			net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, server)
			}}
			defer func() { net.DefaultResolver = usual }()
			var d dns
			var live trustnet.Live
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			n := trustnet.Names{Items: []string{"dns:proxy.example."}, OnError: d.onError}
			require.NoError(t, n.Watch(ctx, &live))
			require.Equal(t, tt.want, live.Trusted().String())
			reported := d.reported()
			if tt.reported == "" {
				require.Empty(t, reported)
				return
			}
			require.Len(t, reported, 1)
			require.Contains(t, reported[0], "trustnet: dns:proxy.example.: "+tt.reported)
		})
	}
}

// Most names in the hosts file have addresses of one family only.
func TestDefaultLookupReadsHostsFile(t *testing.T) {
	if _, err := net.DefaultResolver.LookupNetIP(t.Context(), "ip", "localhost"); err != nil {
		t.Skip("localhost is not known here:", err)
	}
	var d dns
	var live trustnet.Live
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := trustnet.Names{Items: []string{"dns:localhost", "loopback"}, OnError: d.onError}
	require.NoError(t, n.Watch(ctx, &live))
	require.True(t, live.Trusted().Contains(netip.MustParseAddr("127.0.0.1")))
	require.Empty(t, d.reported())
}
