package interop

import (
	"fmt"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/forwarded"
	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

// A listener with PROXY protocol ignores the forwarding headers of every client and of proxies
// in HTTP mode.

// sendProxy makes the configurations for HTTP send a PROXY header too.
var sendProxy = change{"\n    default-server check", "\n    default-server check send-proxy-v2"}

// passOnForged makes HAProxy pass on the client's headers.
var passOnForged = []change{sendProxy, {haproxySetsXFF, "\n"}, {haproxySetsHTTPS, "\n"}, {haproxySetsHTTP, ""}}

func TestPROXYListenerIgnoresHTTPHeaders(t *testing.T) {
	haproxyBinary(t)
	// X-Forwarded-Proto is used on the other listener.
	front := map[string]*mailfront{
		"http":  startMailfront(t, "TRUSTED_PROXIES="+proxyIP+","+clientIP, "HTTPS_CLIENT=forwarded", useProto),
		"https": startMailfront(t, "TRUSTED_PROXIES="+proxyIP+","+clientIP, "HTTP_CLIENT=forwarded", "TLS_REENCRYPTED=https", useProto),
	}
	for _, c := range []struct {
		name, file, listener string
		changes              []change
	}{
		{name: "http, forged headers pass", file: "http.cfg", listener: "http", changes: passOnForged},
		{name: "http, the proxy appends", file: "http.cfg", listener: "http", changes: append([]change{sendProxy}, appendInPlaceOfReplace["haproxy"]...)},
		{name: "https, forged headers pass", file: "http-reencrypted.cfg", listener: "https", changes: passOnForged},
		{name: "https, the proxy appends", file: "http-reencrypted.cfg", listener: "https", changes: append([]change{sendProxy}, appendInPlaceOfReplace["haproxy"]...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := front[c.listener]
			p := startHAProxy(t, m, c.file, nil, c.changes...)
			want := forwardedWhoami{ClientIP: clientIP, Known: true, Proxy: proxyIP, Version: 2}
			from := m.stderr.now()
			b := browse(t, p.client("http")(t))
			var sessions []event
			for _, f := range forgeries {
				require.Equal(t, want, b.ask(t, f.header), f.name)
				sessions = append(sessions, event{"session", clientIP, false})
			}
			m.requireEvents(t, from, c.listener, sessions...)
		})
	}
}

// This test uses the two packages without mailfront, which has no Resolver on such a listener.
// They are connected by http.Server.ConnContext.
func TestConnContextDisablesResolver(t *testing.T) {
	needAddresses(t)
	haproxyBinary(t)
	trusted := trustnet.MustParse(proxyIP, clientIP)
	resolver, err := forwarded.New(forwarded.Config{Trusted: trusted, Proto: true, Strip: true})
	require.NoError(t, err)
	handler := resolver.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		res, _ := forwarded.FromContext(r.Context())
		fmt.Fprintf(w, "%s %s known=%t proto=%q %d headers", res.Client, res.Reason, res.ClientKnown(), res.Proto,
			len(r.Header.Values("X-Forwarded-For"))+len(r.Header.Values("X-Forwarded-Proto"))+len(r.Header.Values("Forwarded"))+len(r.Header.Values("X-Real-Ip")))
	}))
	for _, c := range []struct {
		name   string
		server *http.Server
		want   string
	}{
		{name: "with it", server: &http.Server{Handler: handler, ConnContext: proxyproto.ConnContext},
			want: clientIP + ` ProxyProtocol known=true proto="" 0 headers`},
		{name: "without it the client's header is used", server: &http.Server{Handler: handler},
			want: forgedIP + ` UntrustedHop known=true proto="https" 2 headers`},
	} {
		t.Run(c.name, func(t *testing.T) {
			socket, err := net.Listen("tcp", net.JoinHostPort(proxyIP, "0"))
			require.NoError(t, err)
			l, err := proxyproto.New(socket, proxyproto.Config{Trusted: trusted})
			require.NoError(t, err)
			served := make(chan error, 1)
			go func() { served <- c.server.Serve(l) }()
			t.Cleanup(func() {
				require.NoError(t, c.server.Close())
				require.ErrorIs(t, <-served, http.ErrServerClosed)
			})
			p := startHAProxy(t, nil, "http.cfg", map[string]string{"HTTP_SERVER": socket.Addr().String()}, passOnForged...)
			require.Equal(t, c.want, string(browse(t, p.client("http")(t)).get(t, everythingForged)))
		})
	}
}

// A PROXY header to a listener that gets its clients from forwarding headers ends the
// connection, and the log names the setting.
func TestForwardedListenerRefusesPROXY(t *testing.T) {
	haproxyBinary(t)
	m := startForwarded(t)
	p := startHAProxy(t, m, "http.cfg", nil, sendProxy)
	response, err := browse(t, p.client("http")(t)).client.Get("http://" + serverName + "/whoami")
	require.NoError(t, err)
	response.Body.Close()
	require.Equal(t, http.StatusBadGateway, response.StatusCode)
	m.stderr.awaitLine(t, 0, "event=proxy_header", "proto=http", "setting=MAILFRONT_HTTP_CLIENT")
	m.fence(t, "http")
	lines, _ := m.stderr.since(0)
	require.Len(t, events(lines, "http"), 1, "only that of the fence, since the request reached no handler")
}
