package client

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestThisMachineIsAKnownClientWithItsOwnLoopbackAddress(t *testing.T) {
	here, there := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.1")
	for _, test := range []struct {
		name   string
		client Client
		want   bool
	}{
		{"direct, from here", Client{IP: here, Known: true}, true},
		{"direct, from here, IPv6", Client{IP: netip.IPv6Loopback(), Known: true}, true},
		{"direct, from 127.0.0.77", Client{IP: netip.MustParseAddr("127.0.0.77"), Known: true}, false},
		{"direct, from elsewhere", Client{IP: there, Known: true}, false},
		{"by a proxy here, from here", Client{IP: here, Known: true, Proxy: here, Version: 2}, true},
		{"by a proxy here, from elsewhere", Client{IP: there, Known: true, Proxy: here, Version: 2}, false},
		{"by a proxy elsewhere, from 127.0.0.1 there", Client{IP: here, Known: true, Proxy: there, Version: 1}, false},
		{"LOCAL or UNKNOWN by a proxy here", Client{IP: here, Proxy: here, Version: 2}, false},
		{"nothing is known", Client{}, false},
	} {
		require.Equal(t, test.want, test.client.IsThisMachine(), test.name)
	}
}
