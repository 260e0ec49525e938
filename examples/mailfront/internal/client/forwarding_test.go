package client

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/forwarded"
)

func TestForwardingHeaderSpelling(t *testing.T) {
	for _, tc := range []struct {
		name string
		want bool
	}{
		{name: "X-Forwarded-For", want: true}, {name: "X-Forwarded-Proto", want: true}, {name: "x_forwarded_for", want: true},
		{name: "Forwarded", want: true}, {name: "FORWARDED", want: true}, {name: "X-Forwarded", want: true}, {name: "X-Real-Ip", want: true},
		{name: "X_real-IP", want: true}, {name: "CF-Connecting-IPv6", want: true}, {name: "True-Client-Ip", want: true}, {name: "Via", want: true},
		{name: "Forwarding"}, {name: "X-Forward"}, {name: "X-Forwardedfor"}, {name: "Referer"}, {name: "Host"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, tc.want, isForwardingHeader(tc.name))
			want := ""
			if tc.want {
				want = tc.name
			}
			require.Equal(t, want, forwardingHeader(http.Header{tc.name: {"x"}, "Accept": {"*/*"}}))
		})
	}
}

// The log of forwarding headers finds every header for which package forwarded reports an
// untrusted peer.
func TestAllForwardingHeadersAreLogged(t *testing.T) {
	resolver, err := forwarded.New(forwarded.Config{})
	require.NoError(t, err)
	for _, name := range []string{
		"Forwarded", "Forwarded-For", "X-Forwarded", "X-Forwarded-For", "x_forwarded_host", "X-Real-Ip", "X-Client-Ip",
		"True-Client-Ip", "Cf-Connecting-Ip", "Cf-Connecting-Ipv6", "Fly-Client-Ip",
	} {
		h := http.Header{name: {"192.0.2.7"}}
		require.Equal(t, forwarded.UntrustedHeader, resolver.Resolve(h, "198.51.100.7:50000").Reason, name)
		require.Equal(t, name, forwardingHeader(h))
	}
}
