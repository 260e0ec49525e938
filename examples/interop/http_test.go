package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Proxies in HTTP mode report the client in headers. They are in front of listeners of
// mailfront that read X-Forwarded-For with package forwarded. Clients send such headers too.

// An httpProxy is a proxy in HTTP mode. Its files are http.cfg, http.conf,
// http.caddyfile or http.yaml, http-append and http-reencrypted.
type httpProxy struct {
	product, suffix string
	start, startTCP func(t *testing.T, m *mailfront, file string, set map[string]string, changes ...change) *proxy
}

var httpProxies = []httpProxy{
	{product: "haproxy", suffix: ".cfg", start: startHAProxy, startTCP: startHAProxy},
	{product: "nginx", suffix: ".conf", start: startNGINX, startTCP: startNGINX},
	{product: "caddy", suffix: ".caddyfile", start: startCaddy, startTCP: startCaddy},
	{product: "traefik", suffix: ".yaml", start: startTraefik, startTCP: startTraefik},
}

func (p httpProxy) run(t *testing.T, m *mailfront, name string, set map[string]string, changes ...change) *proxy {
	t.Helper()
	return p.start(t, m, name+p.suffix, set, changes...)
}

// eachHTTPProxy runs a test behind every product.
func eachHTTPProxy(t *testing.T, test func(t *testing.T, p httpProxy)) {
	t.Helper()
	for _, p := range httpProxies {
		t.Run(p.product, func(t *testing.T) { test(t, p) })
	}
}

const useProto = "FORWARDED_PROTO=true"

// startForwarded starts a mailfront that gets its clients from headers on both listeners.
func startForwarded(t *testing.T, settings ...string) *mailfront {
	t.Helper()
	return startMailfront(t, append([]string{"HTTP_CLIENT=forwarded", "HTTPS_CLIENT=forwarded"}, settings...)...)
}

// A forwardedWhoami is mailfront's answer about the client of a request.
type forwardedWhoami struct {
	ClientIP string `json:"last_ip"` // of the last hop unless Known
	Known    bool   `json:"client_known"`
	TLS      bool   `json:"tls"`
	TLSKnown bool   `json:"tls_known"`
	Proxy    string `json:"proxy"`
	Version  int    `json:"version"` // of the PROXY header, which is absent
	Reason   string `json:"reason"`
}

// proxied returns the answer for a client that the proxy reported.
func proxied(ip string, tls, tlsKnown bool) forwardedWhoami {
	return forwardedWhoami{ClientIP: ip, Known: true, TLS: tls, TLSKnown: tlsKnown, Proxy: proxyIP, Reason: "UntrustedHop"}
}

// unknownClient returns the answer if the proxy did not report a client.
func unknownClient(reason string) forwardedWhoami {
	return forwardedWhoami{ClientIP: proxyIP, Proxy: proxyIP, Reason: reason}
}

// forgeries are headers of clients that claim another address or try to hide their own.
var forgeries = []struct {
	name   string
	header http.Header
}{
	{name: "nothing", header: http.Header{}},
	{name: "one line", header: http.Header{"X-Forwarded-For": {forgedIP}}},
	{name: "a way through the proxy", header: http.Header{"X-Forwarded-For": {forgedIP + ", " + proxyIP}}},
	{name: "the proxy itself", header: http.Header{"X-Forwarded-For": {proxyIP}}},
	{name: "several lines", header: http.Header{"X-Forwarded-For": {forgedIP, proxyIP, forgedIP + ", " + proxyIP}}},
	{name: "an empty line", header: http.Header{"X-Forwarded-For": {""}}},
	{name: "an open list", header: http.Header{"X-Forwarded-For": {forgedIP + ","}}},
	{name: "garbage", header: http.Header{"X-Forwarded-For": {`;=\,,[::, %00 256.1.1.1 ` + "\x80\xff", "unknown", "_hidden"}}},
	{name: "an open quote", header: http.Header{"X-Forwarded-For": {`"` + forgedIP}, "Forwarded": {`for=` + forgedIP + `;host="`}}},
	{name: "open quotes on lines", header: http.Header{"X-Forwarded-For": {`"`, forgedIP, `"`, `\`}}},
	{name: "4 KB of proxies", header: http.Header{"X-Forwarded-For": {strings.Repeat(proxyIP+",", 400) + proxyIP}}},
	{name: "4 KB without a comma", header: http.Header{"X-Forwarded-For": {strings.Repeat("1", 4000)}}},
	{name: "Forwarded", header: http.Header{"Forwarded": {"for=" + forgedIP + ";proto=https", `for="[2001:db8::1]:4711"`}}},
	{name: "X-Real-IP", header: http.Header{"X-Real-Ip": {forgedIP}}},
	{name: "proto https", header: http.Header{"X-Forwarded-Proto": {"https"}}},
	{name: "proto http", header: http.Header{"X-Forwarded-Proto": {"http"}}},
	{name: "proto twice", header: http.Header{"X-Forwarded-Proto": {"https", "http"}}},
	{name: "proto as a list", header: http.Header{"X-Forwarded-Proto": {"https, http"}}},
	{name: "underscores", header: http.Header{"X_forwarded_for": {forgedIP}, "X_forwarded_proto": {"https"}}},
	{name: "a request to drop the header", header: http.Header{"Connection": {"X-Forwarded-For, X-Forwarded-Proto"}}},
	{name: "everything", header: everythingForged},
}

// everythingForged claims another address, and TLS.
var everythingForged = http.Header{
	"X-Forwarded-For": {forgedIP}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"evil.example"}, "X-Forwarded-Port": {"443"},
	"Forwarded": {"for=" + forgedIP + ";proto=https;host=evil.example"}, "X-Real-Ip": {forgedIP},
	"X-Client-Ip": {forgedIP}, "True-Client-Ip": {forgedIP}, "Cf-Connecting-Ip": {forgedIP},
}

// A browser requests whoami over one connection.
type browser struct {
	client *http.Client
	base   string
	http   int // version
}

// browse returns a browser that uses HTTP/1.1.
func browse(t *testing.T, c net.Conn) browser {
	t.Helper()
	return browser{httpClient(t, c), "http://" + serverName, 1}
}

// browseHTTP2 returns a browser that negotiates HTTP/2 with the proxy.
func browseHTTP2(t *testing.T, c net.Conn) browser {
	t.Helper()
	transport := &http.Transport{
		TLSClientConfig:   clientTLS(t),
		ForceAttemptHTTP2: true,
		MaxConnsPerHost:   1,
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return c, nil },
	}
	t.Cleanup(transport.CloseIdleConnections)
	return browser{&http.Client{Transport: transport, Timeout: timeout}, "https://" + serverName, 2}
}

func (b browser) ask(t *testing.T, header http.Header) (w forwardedWhoami) {
	t.Helper()
	answer := b.get(t, header)
	require.NoError(t, json.Unmarshal(answer, &w), "%s", answer)
	requireClientOnlyIfKnown(t, answer)
	return w
}

// get returns the body.
func (b browser) get(t *testing.T, header http.Header) []byte {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, b.base+"/whoami", nil)
	require.NoError(t, err)
	request.Header = header.Clone()
	response, err := b.client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode, "%s", body)
	require.Equal(t, b.http, response.ProtoMajor)
	return body
}

// A webVisitor is a kind of client and the door that it connects to.
type webVisitor struct {
	name, ip string
	tls      bool
	browse   func(t *testing.T, p *proxy) browser
}

var webVisitors = []webVisitor{
	{name: "http/IPv4", ip: clientIP, tls: false, browse: func(t *testing.T, p *proxy) browser { return browse(t, p.client("http")(t)) }},
	{name: "http/IPv6", ip: client6IP, tls: false, browse: func(t *testing.T, p *proxy) browser { return browse(t, p.client6("http")(t)) }},
	{name: "https/IPv4", ip: clientIP, tls: true, browse: func(t *testing.T, p *proxy) browser {
		return browse(t, withTLS(p.client("https"), endedByProxy)(t))
	}},
	{name: "https/IPv6", ip: client6IP, tls: true, browse: func(t *testing.T, p *proxy) browser {
		return browse(t, withTLS(p.client6("https"), endedByProxy)(t))
	}},
	{name: "https/HTTP 2", ip: clientIP, tls: true, browse: func(t *testing.T, p *proxy) browser { return browseHTTP2(t, p.client("https")(t)) }},
}

// tryForgeries sends every forgery from every visitor. The answers and the log must not have
// another client. protoUsed is the setting of mailfront without which the TLS of a proxy's
// client is not known.
func tryForgeries(t *testing.T, p *proxy, m *mailfront, what, listener string, protoUsed bool) {
	t.Helper()
	for _, v := range webVisitors {
		t.Run(v.name, func(t *testing.T) {
			want := proxied(v.ip, v.tls && protoUsed, protoUsed)
			report.add(t, row{product: p.product, file: p.file, header: what, way: v.name + " > " + listener, client: "forging",
				talk: talk{want: whoami{ClientIP: want.ClientIP, TLS: want.TLS}}})
			from := m.stderr.now()
			b := v.browse(t, p)
			var sessions []event
			for _, f := range forgeries {
				if b.http == 2 && f.header.Get("Connection") != "" {
					continue // HTTP/2 has no such header
				}
				require.Equal(t, want, b.ask(t, f.header), f.name)
				sessions = append(sessions, event{"session", v.ip, want.TLS})
			}
			m.requireEvents(t, from, listener, sessions...)
		})
	}
}

// appendInPlaceOfReplace makes a proxy that replaces X-Forwarded-For add to it.
var appendInPlaceOfReplace = map[string][]change{
	"haproxy": {{"\n    http-request set-header X-Forwarded-For %[src]\n", "\n    option forwardfor\n"}},
	"nginx":   {{" X-Forwarded-For $remote_addr;", " X-Forwarded-For $proxy_add_x_forwarded_for;"}},
	"caddy":   {{caddyDeletes, "\t\theader_up X-Forwarded-For \"{header.X-Forwarded-For}, {remote_host}\"\n" + caddyDeletes}},
}

func TestForgedHeaders(t *testing.T) {
	eachHTTPProxy(t, func(t *testing.T, product httpProxy) {
		for _, protoUsed := range []bool{false, true} {
			var settings []string
			if protoUsed {
				settings = []string{useProto}
			}
			m := startForwarded(t, settings...)
			for _, c := range []struct {
				what, file, listener string
				changes              []change
			}{
				{what: "replaces", file: "http", listener: "http", changes: nil},
				{what: "appends", file: "http", listener: "http", changes: appendInPlaceOfReplace[product.product]},
				{what: "appends, behind another", file: "http-append", listener: "http", changes: nil},
				{what: "replaces, re-encrypts", file: "http-reencrypted", listener: "https", changes: nil},
				{what: "appends, re-encrypts", file: "http-reencrypted", listener: "https", changes: appendInPlaceOfReplace[product.product]},
			} {
				what := fmt.Sprintf("%s/proto %t", c.what, protoUsed)
				t.Run(what, func(t *testing.T) {
					p := product.run(t, m, c.file, nil, c.changes...)
					tryForgeries(t, p, m, what, c.listener, protoUsed)
				})
			}
		}
	})
}

// A direct client is known by its own address.
func TestForgedHeadersDirect(t *testing.T) {
	for _, settings := range [][]string{nil, {useProto}, {"TLS_TERMINATED=http,https"}} {
		m := startForwarded(t, settings...)
		for _, listener := range []string{"http", "https"} {
			t.Run(fmt.Sprintf("%s/%s", listener, strings.Join(settings, ",")), func(t *testing.T) {
				onTLSItself := listener == "https"
				dial := direct(m, listener)
				if onTLSItself {
					dial = withTLS(dial, endedByServer)
				}
				b := browse(t, dial(t))
				want := forwardedWhoami{ClientIP: clientIP, Known: true, TLS: onTLSItself, TLSKnown: true}
				for _, f := range forgeries {
					want.Reason = "UntrustedHeader"
					if f.header.Get("Connection") != "" || len(f.header) == 0 {
						want.Reason = "UntrustedPeer" // no forwarding header
					}
					require.Equal(t, want, b.ask(t, f.header), f.name)
				}
			})
		}
	}
}
