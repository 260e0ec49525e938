package interop

import (
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// startEcho starts a server that answers with the header of the request.
func startEcho(t *testing.T) (address string) {
	t.Helper()
	needAddresses(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(r.Header)
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// Proxies send the header lines that package forwarded and the comments in the configurations
// document.
func TestForwardingHeadersOfProxies(t *testing.T) {
	forged := http.Header{
		"X-Forwarded-For": {"203.0.113.9", `"203.0.113.10`}, "X-Forwarded-Proto": {"https"},
		"Forwarded": {"for=" + forgedIP}, "X-Real-Ip": {forgedIP}, "X_forwarded_for": {forgedIP},
	}
	haproxy, nginx, caddy := httpProxies[0], httpProxies[1], httpProxies[2]
	type lines map[string][]string
	for _, c := range []struct {
		name    string
		product httpProxy
		file    string
		changes []change
		sent    http.Header
		want    lines
	}{
		{name: "haproxy replaces", product: haproxy, file: "http", changes: nil, sent: forged,
			want: lines{"X-Forwarded-For": {clientIP}, "X-Forwarded-Proto": {"http"}, "X_forwarded_for": {forgedIP}}},
		{name: "haproxy appends a line", product: haproxy, file: "http", changes: appendInPlaceOfReplace["haproxy"], sent: forged,
			want: lines{"X-Forwarded-For": {"203.0.113.9", `"203.0.113.10`, clientIP}, "X-Forwarded-Proto": {"http"}, "X_forwarded_for": {forgedIP}}},
		{name: "haproxy with option forwardfor alone does not report TLS", product: haproxy, file: "http",
			changes: append([]change{{haproxySetsHTTPS, "\n"}, {haproxySetsHTTP, ""}}, appendInPlaceOfReplace["haproxy"]...), sent: http.Header{},
			want: lines{"X-Forwarded-For": {clientIP}}},
		{name: "haproxy with forwardfor alone passes on the rest", product: haproxy, file: "http",
			changes: append([]change{{haproxySetsHTTPS, "\n"}, {haproxySetsHTTP, ""}, {"    http-request del-header Forwarded\n", ""}, {"    http-request del-header X-Real-IP\n", ""}},
				appendInPlaceOfReplace["haproxy"]...), sent: forged,
			want: lines{"X-Forwarded-For": {"203.0.113.9", `"203.0.113.10`, clientIP}, "X-Forwarded-Proto": {"https"}, "Forwarded": {"for=" + forgedIP},
				"X-Real-Ip": {forgedIP}, "X_forwarded_for": {forgedIP}}},
		{name: "nginx replaces", product: nginx, file: "http", changes: nil, sent: forged,
			want: lines{"X-Forwarded-For": {clientIP}, "X-Forwarded-Proto": {"http"}}},
		{name: "nginx appends to the client's lines, in one", product: nginx, file: "http", changes: appendInPlaceOfReplace["nginx"], sent: forged,
			want: lines{"X-Forwarded-For": {`203.0.113.9, "203.0.113.10, ` + clientIP}, "X-Forwarded-Proto": {"http"}}},
		{name: "nginx with proxy_pass alone passes on everything", product: nginx, file: "http",
			changes: []change{{nginxPasses, nginxPasses + "            proxy_set_header Upgrade $http_upgrade;\n"}}, sent: forged,
			want: lines{"X-Forwarded-For": {"203.0.113.9", `"203.0.113.10`}, "X-Forwarded-Proto": {"https"}, "Forwarded": {"for=" + forgedIP}, "X-Real-Ip": {forgedIP}}},
		{name: "caddy replaces", product: caddy, file: "http", changes: nil, sent: forged,
			want: lines{"X-Forwarded-For": {clientIP}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {serverName}}},
		{name: "caddy appends to the header of a trusted proxy", product: caddy, file: "http",
			changes: []change{{caddyServers, caddyServers + "\t\ttrusted_proxies static 127.0.0.0/8\n"}}, sent: forged,
			want: lines{"X-Forwarded-For": {`203.0.113.9, "203.0.113.10, ` + clientIP}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {serverName}}},
		{name: "caddy without header_up passes on the rest", product: caddy, file: "http",
			changes: []change{{caddyDeletes, ""}, {"\t\theader_up -X-Real-IP\n", ""}}, sent: forged,
			want: lines{"X-Forwarded-For": {clientIP}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {serverName},
				"Forwarded": {"for=" + forgedIP}, "X-Real-Ip": {forgedIP}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.product.run(t, nil, c.file, map[string]string{"HTTP_SERVER": startEcho(t)}, c.changes...)
			require.Equal(t, c.want, lines(forwardingLines(t, browse(t, p.client("http")(t)), c.sent)))
		})
	}
}

// forwardingLines returns the forwarding headers in the answer of an echo server.
func forwardingLines(t *testing.T, b browser, sent http.Header) map[string][]string {
	t.Helper()
	var header map[string][]string
	require.NoError(t, json.Unmarshal(b.get(t, sent), &header))
	have := make(map[string][]string)
	for name, values := range header {
		if strings.Contains(strings.ToLower(name), "forwarded") || name == "X-Real-Ip" {
			have[name] = values
		}
	}
	return have
}

// An IPv4 client of an IPv6 socket (HAProxy's v4v6, NGINX's ipv6only=off) has the address
// ::ffff:127.0.0.77 and must be reported by its IPv4 address.
func TestIPv4ClientOfIPv6SocketHTTP(t *testing.T) {
	eachHTTPProxy(t, func(t *testing.T, product httpProxy) {
		if product.product == "caddy" || product.product == "traefik" {
			return // Go's net package unmaps the address
		}
		t.Run("header", func(t *testing.T) {
			p, front := onIPv6Socket(t, product, nil, map[string]string{"HTTP_SERVER": startEcho(t)})
			have := forwardingLines(t, browse(t, dialFrom(t, clientIP, front)), http.Header{})
			require.Equal(t, []string{"::ffff:" + clientIP}, have["X-Forwarded-For"], p.file)
		})
		t.Run("mailfront", func(t *testing.T) {
			m := startForwarded(t, useProto)
			_, front := onIPv6Socket(t, product, m, make(map[string]string))
			b := browse(t, dialFrom(t, clientIP, front))
			for _, f := range forgeries {
				require.Equal(t, proxied(clientIP, false, true), b.ask(t, f.header), f.name)
			}
		})
	})
}

// onIPv6Socket starts a proxy whose door for HTTP is an IPv6 socket that IPv4 clients reach at
// front. The proxy binds the socket itself, on a port that was free just now.
func onIPv6Socket(t *testing.T, product httpProxy, m *mailfront, set map[string]string) (p *proxy, front string) {
	t.Helper()
	for try := 1; ; try++ {
		var free proxy
		fronts := make(map[string]string)
		front = free.hold(t, proxyIP, "http", fronts)
		free.release()
		_, port, err := net.SplitHostPort(front)
		require.NoError(t, err)
		set["HTTP_FRONT"] = "[::ffff:" + proxyIP + "]:" + port
		if product.product == "nginx" {
			set["HTTP_FRONT"] += " ipv6only=off"
		}
		p = product.run(t, m, "http", set)
		// Clients of the other door wait until all doors are bound, and are reset when
		// HAProxy ends.
		err = tls.Client(p.client("https")(t), clientTLS(t)).Handshake()
		if err == nil {
			return p, front
		}
		p.stop(t)
		inUse := strings.Contains(p.stderr.String(), "Address already in use")
		require.True(t, inUse && try < 3, "%s does not start: %v", product.product, err)
	}
}
