package interop

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the comments in the configurations warn of, shown. A trusted proxy that does
// not add the address it sees speaks with its client's voice: the rightmost entry is
// the client's own, and no server behind it can detect that.

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

func TestBehindAProxyThatAddsNoAddressOfItsOwnTheClientIsWhoeverItSaysItIs(t *testing.T) {
	unknown := func(w forwardedWhoami) forwardedWhoami { w.TLS, w.TLSKnown = false, false; return w }
	m := startForwarded(t, believeProto)
	honest, lie := proxied(clientIP, false, true), proxied(forgedIP, false, true)
	for _, c := range []struct {
		name    string
		product httpProxy
		changes []change
		silent  forwardedWhoami // without forged headers
		forging forwardedWhoami // with X-Forwarded-For: 203.0.113.9
	}{
		{"haproxy as it should be", httpProxies[0], nil, honest, honest},
		{"haproxy without option forwardfor", httpProxies[0],
			[]change{{haproxySetsXFF, "\n"}}, nobody("NoHeader"), lie},
		{"haproxy with option forwardfor if-none", httpProxies[0],
			[]change{{haproxySetsXFF, "\n    option forwardfor if-none\n"}}, honest, lie},
		{"haproxy with option forwardfor except the client's network", httpProxies[0],
			[]change{{haproxySetsXFF, "\n    option forwardfor except 127.0.0.0/8\n"}}, nobody("NoHeader"), lie},
		{"haproxy with X-Real-IP alone", httpProxies[0],
			[]change{{haproxySetsXFF, "\n"}, {"http-request del-header X-Real-IP\n", "http-request set-header X-Real-IP %[src]\n"}},
			nobody("NoHeader"), lie},
		{"nginx as it should be", httpProxies[1], nil, honest, honest},
		{"nginx with proxy_pass alone", httpProxies[1],
			[]change{{nginxSetsXFF, "\n"}}, nobody("NoHeader"), lie},
		{"nginx with the client's value in place of its own", httpProxies[1],
			[]change{{nginxSetsXFF, "\n        proxy_set_header X-Forwarded-For $http_x_forwarded_for;\n"}}, nobody("NoHeader"), lie},
		{"nginx with X-Real-IP alone", httpProxies[1],
			[]change{{nginxSetsXFF, "\n"}, {`proxy_set_header X-Real-IP "";`, "proxy_set_header X-Real-IP $remote_addr;"}},
			nobody("NoHeader"), lie},
		{"nginx with a location that has one proxy_set_header of its own", httpProxies[1],
			[]change{{nginxPasses, nginxPasses + "            proxy_set_header Upgrade $http_upgrade;\n"}},
			nobody("NoHeader"), unknown(lie)},
		{"caddy as it should be", httpProxies[2], nil, honest, honest},
		{"caddy with the client's value in place of its own", httpProxies[2],
			[]change{{caddyDeletes, "\t\theader_up X-Forwarded-For {header.X-Forwarded-For}\n"}}, nobody("Malformed"), lie},
		{"caddy with trusted_proxies that hold the client, which adds to his lie", httpProxies[2],
			[]change{{caddyServers, caddyServers + "\t\ttrusted_proxies static 127.0.0.0/8\n"}}, honest, honest},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.product.run(t, m, "http", nil, c.changes...)
			b := browse(t, p.client("http")(t))
			require.Equal(t, c.silent, b.ask(t, http.Header{}))
			require.Equal(t, c.forging, b.ask(t, http.Header{"X-Forwarded-For": {forgedIP}}))
		})
	}
}

func TestBehindAProxyThatDoesNotSetTheProtoAClientHasTLSIfItSaysSoUnlessItIsNotBelieved(t *testing.T) {
	believing, doubting := startForwarded(t, believeProto), startForwarded(t)
	for _, c := range []struct {
		name     string
		product  httpProxy
		changes  []change
		believed forwardedWhoami // for a client without TLS that says https
	}{
		{"haproxy as it should be", httpProxies[0], nil, proxied(clientIP, false, true)},
		{"haproxy without the rules", httpProxies[0],
			[]change{{haproxySetsHTTPS, "\n"}, {haproxySetsHTTP, ""}}, proxied(clientIP, true, true)},
		{"haproxy with the rule for TLS alone", httpProxies[0],
			[]change{{haproxySetsHTTP, ""}}, proxied(clientIP, true, true)},
		{"haproxy with add-header, which is two values and so none", httpProxies[0],
			[]change{{"http-request set-header X-Forwarded-Proto ", "http-request add-header X-Forwarded-Proto "}}, proxied(clientIP, false, false)},
		{"nginx as it should be", httpProxies[1], nil, proxied(clientIP, false, true)},
		{"nginx without the line", httpProxies[1],
			[]change{{nginxSetsProto, "\n"}}, proxied(clientIP, true, true)},
		{"caddy as it should be", httpProxies[2], nil, proxied(clientIP, false, true)},
		{"caddy with trusted_proxies that hold the client", httpProxies[2],
			[]change{{caddyServers, caddyServers + "\t\ttrusted_proxies static 127.0.0.0/8\n"}}, proxied(clientIP, true, true)},
		{"caddy that deletes it", httpProxies[2],
			[]change{{caddyDeletes, "\t\theader_up -X-Forwarded-Proto\n"}}, proxied(clientIP, false, false)},
	} {
		t.Run(c.name, func(t *testing.T) {
			says := func(m *mailfront) forwardedWhoami {
				p := c.product.run(t, m, "http", nil, c.changes...)
				return browse(t, p.client("http")(t)).ask(t, http.Header{"X-Forwarded-Proto": {"https"}})
			}
			require.Equal(t, c.believed, says(believing))
			require.Equal(t, proxied(clientIP, false, false), says(doubting), "not used by default")
		})
	}
}
