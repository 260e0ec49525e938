package client

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIsThisMachine(t *testing.T) {
	here, there := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.1")
	for _, test := range []struct {
		name   string
		client Client
		want   bool
	}{
		{name: "direct, from here", client: Client{IP: here, Known: true}, want: true},
		{name: "direct, from here, IPv6", client: Client{IP: netip.IPv6Loopback(), Known: true}, want: true},
		{name: "direct, from 127.0.0.77", client: Client{IP: netip.MustParseAddr("127.0.0.77"), Known: true}, want: false},
		{name: "direct, from elsewhere", client: Client{IP: there, Known: true}, want: false},
		{name: "by a proxy here, from here", client: Client{IP: here, Known: true, Proxy: here, Version: 2}, want: true},
		{name: "by a proxy here, from elsewhere", client: Client{IP: there, Known: true, Proxy: here, Version: 2}, want: false},
		{name: "by a proxy elsewhere, from 127.0.0.1 there", client: Client{IP: here, Known: true, Proxy: there, Version: 1}, want: false},
		{name: "LOCAL or UNKNOWN by a proxy here", client: Client{IP: here, Proxy: here, Version: 2}, want: false},
		{name: "nothing is known", client: Client{}, want: false},
	} {
		require.Equal(t, test.want, test.client.IsThisMachine(), test.name)
	}
}

func TestIsPlaintextOfThisMachine(t *testing.T) {
	direct := Client{IP: localhost4, Known: true, TLSKnown: true}
	for _, test := range []struct {
		name   string
		host   string
		change func(*Client)
		want   bool
	}{
		{name: "127.0.0.1", host: "127.0.0.1:8080"},
		{name: "another loopback address", host: "127.0.0.2"},
		{name: "::1", host: "[::1]:8080"},
		{name: "::1 without port", host: "[::1]"},
		{name: "localhost", host: "LOCALHOST:8080"},
		{name: "a name below localhost", host: "mail.localhost."},
		{name: "no host, as in HTTP/1.0 and outside HTTP", host: ""},
		{name: "the public host", host: "mail.example.com", want: true},
		{name: "a name that ends alike", host: "notlocalhost", want: true},
		{name: "an address of this machine in its network", host: "192.0.2.1:80", want: true},
		{name: "with a forwarding header", host: "127.0.0.1", change: func(cl *Client) { cl.ForwardedBy = "Via" }, want: true},
		{name: "another client", host: "127.0.0.1", change: func(cl *Client) { cl.IP = netip.MustParseAddr("192.0.2.7") }, want: true},
		{name: "by a trusted proxy", host: "127.0.0.1", change: func(cl *Client) { cl.Proxy = localhost4 }, want: true},
		{name: "on TLS", host: "mail.example.com", change: func(cl *Client) { cl.TLS = true }},
		{name: "its TLS is not known", host: "mail.example.com", change: func(cl *Client) { cl.TLSKnown = false }},
	} {
		t.Run(test.name, func(t *testing.T) {
			cl := direct
			cl.Host = test.host
			if test.change != nil {
				test.change(&cl)
			}
			require.Equal(t, test.want, cl.IsPlaintext())
		})
	}
}
