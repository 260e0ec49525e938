package interop

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The matrix has a cell for every product, every way of a client through it, and every header
// that reports the client to the server. cannotExist lists the cells that are omitted, with
// the reason. TestMatrix runs all other cells.

// A cell is a cell of the matrix.
type cell struct{ product, way, sending string }

var products = []string{"haproxy", "nginx", "caddy", "traefik"}

// The ways are the protocols of clients. HTTP has three ways.
const (
	httpUpstream  = "HTTP upstream"      // to the server's plain listener
	httpsUpstream = "HTTPS re-encrypted" // to the server's TLS listener, with the proxy's TLS
	passthrough   = "passthrough"        // to the server's TLS listener, with the client's TLS
)

var cellWays = []string{httpUpstream, httpsUpstream, passthrough,
	"SMTP", "SMTPS", "submission", "IMAP", "IMAPS", "POP3", "POP3S"}

// The sendings are the sources of the server's information: a PROXY header of version 1 or 2,
// or a report that TLS ended at the proxy. The latter is an entry of the PROXY header, a
// setting, or, for requests, forwarding headers.
const (
	sentByV1    = "v1"
	sentByV2    = "v2"
	sentAtProxy = "TLS ended at the proxy"
)

var cellSendings = []string{sentByV1, sentByV2, sentAtProxy}

// everyCell iterates over all cells.
func everyCell(yield func(cell) bool) {
	for _, product := range products {
		for _, way := range cellWays {
			for _, sending := range cellSendings {
				if !yield(cell{product, way, sending}) {
					return
				}
			}
		}
	}
}

// cannotExist lists the cells that cannot exist. The first match is used. A nil list matches
// everything.
var cannotExist = []struct {
	products, ways, sendings []string
	why                      string
}{
	{products: nil, ways: []string{passthrough}, sendings: []string{sentAtProxy}, why: "a proxy that passes TLS on does not end it"},
	{products: []string{"caddy"}, ways: []string{passthrough, "SMTP", "SMTPS", "submission", "IMAP", "IMAPS", "POP3", "POP3S"}, sendings: nil,
		why: "stock Caddy has no TCP mode"},
	{products: nil, ways: []string{"SMTP", "submission", "IMAP", "POP3"}, sendings: []string{sentAtProxy},
		why: "TCP proxies pass STARTTLS on to the server (NGINX's mail module ends it, but authenticates users itself)"},
	{products: []string{"nginx"}, ways: nil, sendings: []string{sentByV2}, why: "open-source NGINX sends version 1 only, and no header from its http module"},
}

func (c cell) cannotExist() (why string) {
	has := func(names []string, name string) bool { return names == nil || slices.Contains(names, name) }
	for _, r := range cannotExist {
		if has(r.products, c.product) && has(r.ways, c.way) && has(r.sendings, c.sending) {
			return r.why
		}
	}
	return ""
}

// The checks of a cell. Mail cells do not have the checks of HTTP.
const (
	checkAddress   = "client address"
	checkTLS       = "TLS state"
	checkIPv6      = "IPv6 client"
	checkDirect    = "direct client served at once"
	checkHeader    = "forged header refused"
	checkForwarded = "forged forwarding headers ignored"
	checkDocuments = "byte-identical documents"
)

var checks = []string{checkAddress, checkTLS, checkHeader, checkForwarded, checkDirect, checkIPv6, checkDocuments}

func (c cell) needs(check string) bool {
	isHTTP := c.way == httpUpstream || c.way == httpsUpstream || c.way == passthrough
	return isHTTP || check != checkForwarded && check != checkDocuments
}

// A setup is a configuration of a proxy in front of a mailfront, and the cells that it tests.
type setup struct {
	file     string
	set      map[string]string
	settings []string // of mailfront
	version  int      // of the PROXY header; 0 for forwarding headers
	sending  string
	ways     map[string]way
	mailSent string // sending of mail ways, if not ""
}

var (
	passedWays = map[string]way{
		passthrough: tlsPassed("https"), "SMTP": plainPassed("smtp"), "submission": plainPassed("submission"),
		"SMTPS": tlsPassed("submissions"), "IMAP": plainPassed("imap"), "IMAPS": tlsPassed("imaps"),
		"POP3": plainPassed("pop3"), "POP3S": tlsPassed("pop3s"),
	}
	endedWays = map[string]way{
		httpUpstream: ended("https", "http", true, atOnce), "SMTPS": ended("submissions", "submission", true, atOnce),
		"IMAPS": ended("imaps", "imap", true, atOnce), "POP3S": ended("pop3s", "pop3", true, atOnce),
	}
	endedHTTP           = map[string]way{httpUpstream: ended("https", "http", true, atOnce)}
	reencryptedReported = map[string]way{httpsUpstream: ended("https", "https", true, atOnce)}
	reencryptedBlank    = map[string]way{httpsUpstream: ended("https", "https", false, never)}
)

const onlyHTTPTerminated, onlyHTTPSReencrypted = "TLS_TERMINATED=http", "TLS_REENCRYPTED=https"

func sendProxySet(value string) map[string]string { return map[string]string{"SEND_PROXY": value} }
func version(value string) map[string]string      { return map[string]string{"PROXY_PROTOCOL": value} }

var byHeaders = []string{"HTTP_CLIENT=forwarded", "HTTPS_CLIENT=forwarded", useProto}

// forwardedSetups returns the setups of a product in HTTP mode.
func forwardedSetups(suffix string) []setup {
	return []setup{
		{file: "http" + suffix, settings: byHeaders, sending: sentAtProxy, ways: endedHTTP},
		{file: "http-reencrypted" + suffix, settings: byHeaders, sending: sentAtProxy, ways: reencryptedReported},
	}
}

var setups = map[string][]setup{
	"haproxy": append(forwardedSetups(".cfg"), []setup{
		{file: "passthrough.cfg", set: sendProxySet("send-proxy"), version: 1, sending: sentByV1, ways: passedWays},
		{file: "passthrough.cfg", set: sendProxySet("send-proxy-v2"), version: 2, sending: sentByV2, ways: passedWays},
		{file: "tls-terminated.cfg", version: 2, sending: sentByV2, ways: endedWays, mailSent: sentAtProxy},
		{file: "tls-terminated.cfg", set: sendProxySet("send-proxy"), settings: []string{onlyHTTPTerminated}, version: 1, sending: sentByV1, ways: endedHTTP},
		{file: "reencrypted.cfg", settings: []string{onlyHTTPSReencrypted}, version: 2, sending: sentByV2, ways: reencryptedReported},
		{file: "reencrypted.cfg", set: sendProxySet("send-proxy"), settings: []string{onlyHTTPSReencrypted}, version: 1, sending: sentByV1, ways: reencryptedBlank},
	}...),
	"nginx": append(forwardedSetups(".conf"), []setup{
		{file: "passthrough.conf", version: 1, sending: sentByV1, ways: passedWays},
		{file: "tls-terminated.conf", settings: []string{terminatedListeners}, version: 1, sending: sentByV1, ways: endedWays, mailSent: sentAtProxy},
		{file: "reencrypted.conf", settings: []string{onlyHTTPSReencrypted}, version: 1, sending: sentByV1, ways: reencryptedBlank},
	}...),
	"caddy": append(forwardedSetups(".caddyfile"), []setup{
		{file: "tls-terminated.caddyfile", set: version("v1"), settings: []string{onlyHTTPTerminated}, version: 1, sending: sentByV1, ways: endedHTTP},
		{file: "tls-terminated.caddyfile", settings: []string{onlyHTTPTerminated}, version: 2, sending: sentByV2, ways: endedHTTP},
		{file: "reencrypted.caddyfile", set: version("v1"), settings: []string{onlyHTTPSReencrypted}, version: 1, sending: sentByV1, ways: reencryptedBlank},
		{file: "reencrypted.caddyfile", settings: []string{onlyHTTPSReencrypted}, version: 2, sending: sentByV2, ways: reencryptedBlank},
	}...),
	"traefik": append(forwardedSetups(".yaml"), []setup{
		{file: "passthrough.yaml", set: version("1"), version: 1, sending: sentByV1, ways: passedWays},
		{file: "passthrough.yaml", version: 2, sending: sentByV2, ways: passedWays},
		{file: "tls-terminated.yaml", settings: []string{terminatedListeners}, version: 2, sending: sentByV2, ways: endedWays, mailSent: sentAtProxy},
		{file: "tls-terminated.yaml", set: version("1"), settings: []string{terminatedListeners}, version: 1, sending: sentByV1, ways: endedHTTP},
		{file: "reencrypted.yaml", set: version("1"), settings: []string{onlyHTTPSReencrypted}, version: 1, sending: sentByV1, ways: reencryptedBlank},
		{file: "reencrypted.yaml", settings: []string{onlyHTTPSReencrypted}, version: 2, sending: sentByV2, ways: reencryptedBlank},
	}...),
}

var starters = map[string]func(t *testing.T, m *mailfront, file string, set map[string]string, changes ...change) *proxy{
	"haproxy": startHAProxy, "nginx": startNGINX, "caddy": startCaddy, "traefik": startTraefik,
}

func (s setup) sentOn(way string) string {
	if s.mailSent != "" && s.ways[way].listener != "http" {
		return s.mailSent
	}
	return s.sending
}

// Every cell has one setup or cannot exist. So if TestMatrix did not run a cell, its proxy is
// missing.
func TestMatrixIsComplete(t *testing.T) {
	have := make(map[cell]int)
	for product, all := range setups {
		for _, s := range all {
			for way := range s.ways {
				have[cell{product, way, s.sentOn(way)}]++
			}
		}
	}
	for c := range everyCell {
		want := 1
		if c.cannotExist() != "" {
			want = 0
		}
		require.Equal(t, want, have[c], "%v", c)
		delete(have, c)
	}
	require.Empty(t, have, "no cells of the matrix")
}

func TestMatrix(t *testing.T) {
	for _, product := range products {
		t.Run(product, func(t *testing.T) {
			switch product { // reports a missing product first
			case "haproxy":
				haproxyBinary(t)
			case "nginx":
				nginxBinary(t)
			case "caddy":
				caddyBinary(t)
			case "traefik":
				traefikBinary(t)
			}
			for _, s := range setups[product] {
				t.Run(s.file+" "+s.sending, func(t *testing.T) {
					t.Parallel()
					m := startMailfront(t, append([]string{"PUBLIC_URL=https://" + serverName}, s.settings...)...)
					p := starters[product](t, m, s.file, s.set)
					for _, name := range cellWays {
						if w, ok := s.ways[name]; ok {
							c := cell{product, name, s.sentOn(name)}
							t.Run(name, func(t *testing.T) { tryCell(t, c, p, w, s.version) })
						}
					}
				})
			}
		})
	}
}

func tryCell(t *testing.T, c cell, p *proxy, w way, version int) {
	t.Helper()
	dial := func(v visitor) func(*testing.T) net.Conn {
		if w.tls {
			return withTLS(v.dial(p, w.door), w.endedBy)
		}
		return v.dial(p, w.door)
	}
	visit := func(t *testing.T, v visitor) {
		t.Helper()
		k := talk{m: p.m, listener: w.listener, dial: dial(v), offer: w.offer,
			want: whoami{ClientIP: v.ip, TLS: w.seenTLS, Known: true, Version: version}}
		k.run(t)
	}
	try := func(names []string, check func(t *testing.T)) {
		t.Run(strings.Join(names, " and "), func(t *testing.T) {
			t.Cleanup(func() {
				for _, name := range names {
					report.checked(c, name, !t.Failed())
				}
			})
			check(t)
		})
	}
	try([]string{checkAddress, checkTLS}, func(t *testing.T) { visit(t, ipv4) })
	try([]string{checkIPv6}, func(t *testing.T) { visit(t, ipv6) })
	try([]string{checkDirect}, func(t *testing.T) { visitDirectly(t, p.m, w.listener) })
	if c.needs(checkForwarded) {
		try([]string{checkForwarded}, func(t *testing.T) {
			want := forwardedWhoami{ClientIP: clientIP, Known: true, TLS: w.seenTLS, TLSKnown: w.seenTLS, Proxy: proxyIP, Version: version}
			if version == 0 {
				want.Reason = "UntrustedHop"
			}
			b := browse(t, dial(ipv4)(t))
			for _, f := range forgeries {
				require.Equal(t, want, b.ask(t, f.header), f.name)
			}
		})
	}
	if c.needs(checkDocuments) {
		try([]string{checkDocuments}, func(t *testing.T) {
			base := "https://" + serverName
			want := fetchDocuments(t, base, directly(p.m, w.listener), nil)
			requireDocuments(t, base, want)
			for _, headers := range asked {
				require.Equal(t, want, fetchDocuments(t, base, dial(ipv4), headers), "asked with %v", headers)
			}
		})
	}
	try([]string{checkHeader}, func(t *testing.T) {
		for _, header := range forgedHeaders(t) {
			forgeDirectly(t, p.m, w.listener, header, version == 0)
			forgeThrough(t, dial(ipv4), w.listener, header)
			if w.tls { // a header before TLS
				forgeThrough(t, ipv4.dial(p, w.door), "", header)
			}
		}
		p.m.fence(t, w.listener)
		requireNotFooled(t, p.m)
	})
}

// directly dials a listener without a proxy, with TLS if the listener uses TLS.
func directly(m *mailfront, listener string) func(*testing.T) net.Conn {
	dial := direct(m, listener)
	if strings.HasSuffix(listener, "s") {
		return withTLS(dial, endedByServer)
	}
	return dial
}

// visitDirectly connects without a proxy to a listener with all settings for the proxy. It has
// less time than the server would wait for a PROXY header.
func visitDirectly(t *testing.T, m *mailfront, listener string) {
	t.Helper()
	k := talk{m: m, listener: listener, want: whoami{ClientIP: clientIP, Known: true}, offer: afterStartTLS,
		dial: func(t *testing.T) net.Conn {
			t.Helper()
			c := directly(m, listener)(t)
			require.NoError(t, c.SetDeadline(time.Now().Add(3*time.Second)))
			return c
		}}
	if strings.HasSuffix(listener, "s") {
		k.want.TLS, k.offer = true, atOnce
	}
	k.run(t)
}

// forgeDirectly sends a PROXY header from an address that is not a proxy's. A listener that
// reads forwarding headers answers with a bad request.
func forgeDirectly(t *testing.T, m *mailfront, listener string, header []byte, noPROXY bool) {
	t.Helper()
	c := m.dial(t, clientIP, listener)
	if greeting, ok := greetings[listener]; ok {
		requireGreeting(t, c, greeting)
	}
	_, err := c.Write(append(bytes.Clone(header), commands[listener]...))
	require.NoError(t, err)
	if noPROXY {
		requireNothingServed(t, c)
		return
	}
	requireNoAnswer(t, c)
	m.stderr.awaitLine(t, 0, "proto="+listener+" ", "event=reject", "peer="+clientIP) // one line a minute
}

// forgeThrough sends a PROXY header and a command through a proxy. listener sends the first
// greeting. It is "" for a connection that expects TLS.
func forgeThrough(t *testing.T, dial func(*testing.T) net.Conn, listener string, header []byte) {
	t.Helper()
	c := dial(t)
	if greeting, ok := greetings[strings.TrimSuffix(listener, "s")]; ok {
		requireGreeting(t, c, greeting)
	}
	_, err := c.Write(append(bytes.Clone(header), commands[strings.TrimSuffix(listener, "s")]...))
	require.NoError(t, err)
	require.NoError(t, c.(interface{ CloseWrite() error }).CloseWrite())
	requireNothingServed(t, c)
}

// requireNothingServed reads to the end of the connection. The answer may contain errors.
func requireNothingServed(t *testing.T, c net.Conn) {
	t.Helper()
	answer, err := io.ReadAll(c)
	if e, ok := err.(net.Error); ok {
		require.False(t, e.Timeout(), "the connection is not closed: %q", answer)
	}
	require.NotContains(t, string(answer), " 200 "+http.StatusText(http.StatusOK))
	require.NotContains(t, string(answer), forgedIP)
}
