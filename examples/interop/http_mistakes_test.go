package interop

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// The tests of this file make the mistakes that the comments in the configurations warn of. If
// a trusted proxy does not add the address of its peer, the client controls the rightmost
// entry, and the server cannot detect this.

const (
	haproxySetsXFF   = "\n    http-request set-header X-Forwarded-For %[src]\n"
	haproxySetsHTTPS = "\n    http-request set-header X-Forwarded-Proto https if { ssl_fc }\n"
	haproxySetsHTTP  = "    http-request set-header X-Forwarded-Proto http unless { ssl_fc }\n"
	nginxSetsXFF     = "\n        proxy_set_header X-Forwarded-For $remote_addr;\n"
	nginxSetsProto   = "\n        proxy_set_header X-Forwarded-Proto $scheme;\n"
	nginxPasses      = "            proxy_pass http://web;\n"
	caddyDeletes     = "\t\theader_up -Forwarded\n"
	caddyServers     = "\t\tprotocols h1 h2\n"
)

func TestProxyThatAddsNoAddress(t *testing.T) {
	unknown := func(w forwardedWhoami) forwardedWhoami { w.TLS, w.TLSKnown = false, false; return w }
	m := startForwarded(t, useProto)
	correct, forged := proxied(clientIP, false, true), proxied(forgedIP, false, true)
	for _, c := range []struct {
		name    string
		product httpProxy
		changes []change
		silent  forwardedWhoami // without forged headers
		forging forwardedWhoami // with X-Forwarded-For: 203.0.113.9
	}{
		{name: "haproxy as it should be", product: httpProxies[0], changes: nil, silent: correct, forging: correct},
		{name: "haproxy without option forwardfor", product: httpProxies[0],
			changes: []change{{haproxySetsXFF, "\n"}}, silent: unknownClient("NoHeader"), forging: forged},
		{name: "haproxy with option forwardfor if-none", product: httpProxies[0],
			changes: []change{{haproxySetsXFF, "\n    option forwardfor if-none\n"}}, silent: correct, forging: forged},
		{name: "haproxy with option forwardfor except the client's network", product: httpProxies[0],
			changes: []change{{haproxySetsXFF, "\n    option forwardfor except 127.0.0.0/8\n"}}, silent: unknownClient("NoHeader"), forging: forged},
		{name: "haproxy with X-Real-IP alone", product: httpProxies[0],
			changes: []change{{haproxySetsXFF, "\n"}, {"http-request del-header X-Real-IP\n", "http-request set-header X-Real-IP %[src]\n"}},
			silent:  unknownClient("NoHeader"), forging: forged},
		{name: "nginx as it should be", product: httpProxies[1], changes: nil, silent: correct, forging: correct},
		{name: "nginx with proxy_pass alone", product: httpProxies[1],
			changes: []change{{nginxSetsXFF, "\n"}}, silent: unknownClient("NoHeader"), forging: forged},
		{name: "nginx with the client's value in place of its own", product: httpProxies[1],
			changes: []change{{nginxSetsXFF, "\n        proxy_set_header X-Forwarded-For $http_x_forwarded_for;\n"}}, silent: unknownClient("NoHeader"), forging: forged},
		{name: "nginx with X-Real-IP alone", product: httpProxies[1],
			changes: []change{{nginxSetsXFF, "\n"}, {`proxy_set_header X-Real-IP "";`, "proxy_set_header X-Real-IP $remote_addr;"}},
			silent:  unknownClient("NoHeader"), forging: forged},
		{name: "nginx with a location that has one proxy_set_header of its own", product: httpProxies[1],
			changes: []change{{nginxPasses, nginxPasses + "            proxy_set_header Upgrade $http_upgrade;\n"}},
			silent:  unknownClient("NoHeader"), forging: unknown(forged)},
		{name: "caddy as it should be", product: httpProxies[2], changes: nil, silent: correct, forging: correct},
		{name: "caddy with the client's value in place of its own", product: httpProxies[2],
			changes: []change{{caddyDeletes, "\t\theader_up X-Forwarded-For {header.X-Forwarded-For}\n"}}, silent: unknownClient("Malformed"), forging: forged},
		{name: "caddy with trusted_proxies that contain the client, which appends", product: httpProxies[2],
			changes: []change{{caddyServers, caddyServers + "\t\ttrusted_proxies static 127.0.0.0/8\n"}}, silent: correct, forging: correct},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.product.run(t, m, "http", nil, c.changes...)
			b := browse(t, p.client("http")(t))
			require.Equal(t, c.silent, b.ask(t, http.Header{}))
			require.Equal(t, c.forging, b.ask(t, http.Header{"X-Forwarded-For": {forgedIP}}))
		})
	}
}

// If the proxy does not set X-Forwarded-Proto, a client can falsely claim TLS, unless the
// server ignores the header, which is the default.
func TestProxyThatPassesOnProto(t *testing.T) {
	using, ignoring := startForwarded(t, useProto), startForwarded(t)
	for _, c := range []struct {
		name    string
		product httpProxy
		changes []change
		used    forwardedWhoami // for a client without TLS that sends https
	}{
		{name: "haproxy as it should be", product: httpProxies[0], changes: nil, used: proxied(clientIP, false, true)},
		{name: "haproxy without the rules", product: httpProxies[0],
			changes: []change{{haproxySetsHTTPS, "\n"}, {haproxySetsHTTP, ""}}, used: proxied(clientIP, true, true)},
		{name: "haproxy with the rule for TLS alone", product: httpProxies[0],
			changes: []change{{haproxySetsHTTP, ""}}, used: proxied(clientIP, true, true)},
		{name: "haproxy with add-header, which sends two values", product: httpProxies[0],
			changes: []change{{"http-request set-header X-Forwarded-Proto ", "http-request add-header X-Forwarded-Proto "}}, used: proxied(clientIP, false, false)},
		{name: "nginx as it should be", product: httpProxies[1], changes: nil, used: proxied(clientIP, false, true)},
		{name: "nginx without the line", product: httpProxies[1],
			changes: []change{{nginxSetsProto, "\n"}}, used: proxied(clientIP, true, true)},
		{name: "caddy as it should be", product: httpProxies[2], changes: nil, used: proxied(clientIP, false, true)},
		{name: "caddy with trusted_proxies that contain the client", product: httpProxies[2],
			changes: []change{{caddyServers, caddyServers + "\t\ttrusted_proxies static 127.0.0.0/8\n"}}, used: proxied(clientIP, true, true)},
		{name: "caddy that deletes it", product: httpProxies[2],
			changes: []change{{caddyDeletes, "\t\theader_up -X-Forwarded-Proto\n"}}, used: proxied(clientIP, false, false)},
	} {
		t.Run(c.name, func(t *testing.T) {
			resolve := func(m *mailfront) forwardedWhoami {
				p := c.product.run(t, m, "http", nil, c.changes...)
				return browse(t, p.client("http")(t)).ask(t, http.Header{"X-Forwarded-Proto": {"https"}})
			}
			require.Equal(t, c.used, resolve(using))
			require.Equal(t, proxied(clientIP, false, false), resolve(ignoring), "not used by default")
		})
	}
}
