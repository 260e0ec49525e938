package interop

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// HAProxy simulates load balancers that append their own address, and load balancers with
// their own header for the client's address. Clients send all of these headers.

const (
	loadBalancerIP = "192.0.2.80"

	// Mailfront refuses loopback addresses from a load balancer, so the proxy replaces 127.0.0
	// by 203.0.113.
	src        = "%[src,regsub(^127.0.0,203.0.113)]"
	balancedIP = "203.0.113.77"
)

func TestTrustedHopsAndSingleHeader(t *testing.T) {
	haproxyBinary(t)
	appendsItself := []change{{haproxySetsXFF, "\n    http-request add-header X-Forwarded-For " + src + "\n    http-request add-header X-Forwarded-For " + loadBalancerIP + "\n"}}
	for _, c := range []struct {
		name     string
		settings []string
		changes  []change
		client   string
		reason   string
	}{
		{name: "two hops", settings: []string{"FORWARDED_HOPS=2"}, changes: appendsItself, client: balancedIP, reason: "CountedHop"},
		{name: "by address, which is wrong here", changes: appendsItself, client: loadBalancerIP, reason: "UntrustedHop"},
		{name: "a header with one address", settings: []string{"FORWARDED_HEADER=CF-Connecting-IP"},
			changes: []change{{haproxySetsXFF, "\n    http-request set-header CF-Connecting-IP " + src + "\n"}}, client: balancedIP, reason: "CountedHop"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := startForwarded(t, append([]string{useProto}, c.settings...)...)
			p := startHAProxy(t, m, "http.cfg", nil, c.changes...)
			want := forwardedWhoami{ClientIP: c.client, Known: true, TLSKnown: true, Proxy: proxyIP, Reason: c.reason}
			b := browse(t, p.client("http")(t))
			for _, f := range forgeries {
				require.Equal(t, want, b.ask(t, f.header), f.name)
			}
		})
	}
}
