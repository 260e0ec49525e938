package interop

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// shortTimeouts shortens the time that a proxy waits for an ordinary answer.
var shortTimeouts = map[string][]change{
	"haproxy": {{"    timeout client  1m\n    timeout server  1m\n", "    timeout client  1s\n    timeout server  1s\n"}},
	"nginx":   {{"        proxy_http_version 1.1;\n", "        proxy_http_version 1.1;\n        proxy_read_timeout 1s;\n"}},
}

// The event stream of JMAP (RFC 8620 section 7.3) and its web sockets (RFC 8887) are silent
// until something changes. The timeouts of proxies for ordinary requests must not close them,
// because a client misses changes until it connects again.
func TestEventStreamsOutliveTimeouts(t *testing.T) {
	for _, c := range []struct {
		name, file, prefix string
		onTLS              bool // between the proxy and the server
		changes            map[string][]change
	}{
		{name: "root", file: "http"},
		{name: "behind another proxy", file: "http-append"},
		{name: "re-encrypted", file: "http-reencrypted", onTLS: true},
		{name: "path stripped", file: "http-path", prefix: "/mail"},
		{name: "path kept", file: "http-path", prefix: "/mail", changes: keepPath},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachHTTPProxy(t, func(t *testing.T, product httpProxy) {
				server, name := startEventServer(t, c.onTLS), "HTTP_SERVER"
				if c.onTLS {
					name = "HTTPS_SERVER"
				}
				changes := slices.Concat(shortTimeouts[product.product], c.changes[product.product])
				p := product.run(t, startForwarded(t), c.file, map[string]string{name: server.Listener.Addr().String()}, changes...)
				dial := withTLS(p.client("https"), endedByProxy)
				browsers := map[string]browser{"HTTP/1.1": browse(t, dial(t)), "HTTP/2": browseHTTP2(t, p.client("https")(t))}
				streams := make(map[string]*bufio.Reader)
				for version, b := range browsers {
					answer := b.open(t, c.prefix+"/jmap/eventsource/?types=*&closeafter=no&ping=0")
					require.Equal(t, http.StatusOK, answer.StatusCode, version)
					streams["event stream, "+version] = bufio.NewReader(answer.Body)
				}
				if product.product != "nginx" { // whose files have no web sockets
					streams["web socket"] = openWebSocket(t, dial(t), c.prefix+"/jmap/ws")
				}
				for name, stream := range streams {
					line, err := stream.ReadString('\n')
					require.NoError(t, err, name)
					require.Equal(t, "begun\n", line, name)
				}

				// The proxy ends these requests, which are younger than the streams, by its
				// timeout.
				for range 2 {
					if shortTimeouts[product.product] != nil {
						answer := browse(t, dial(t)).open(t, c.prefix+"/never")
						require.Equal(t, http.StatusGatewayTimeout, answer.StatusCode)
					}
				}
				close(server.change)
				for name, stream := range streams {
					line, err := stream.ReadString('\n')
					require.NoError(t, err, "%s: the proxy has ended it", name)
					require.Equal(t, "changed\n", line, name)
				}
			})
		})
	}
}

// openWebSocket returns a reader of the server's data after the handshake.
func openWebSocket(t *testing.T, c net.Conn, path string) *bufio.Reader {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, "http://"+serverName+path, nil)
	require.NoError(t, err)
	request.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
	require.NoError(t, request.Write(c))
	r := bufio.NewReader(c)
	answer, err := http.ReadResponse(r, request)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, answer.StatusCode)
	return r
}

// An eventServer has an event stream and a web socket that are silent until change is closed,
// and a page that never answers. Each is available with and without the prefix.
type eventServer struct {
	*httptest.Server
	change chan struct{}
}

func startEventServer(t *testing.T, onTLS bool) *eventServer {
	t.Helper()
	s := &eventServer{change: make(chan struct{})}
	ended := make(chan struct{})
	wait := func(w io.Writer, flush func() error) {
		io.WriteString(w, "begun\n")
		flush()
		select {
		case <-s.change:
			io.WriteString(w, "changed\n")
			flush()
		case <-ended:
		}
	}
	mux := http.NewServeMux()
	for _, prefix := range []string{"", "/mail"} {
		mux.HandleFunc(prefix+"/never", func(http.ResponseWriter, *http.Request) { <-ended })
		mux.HandleFunc(prefix+"/jmap/eventsource/", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			wait(w, http.NewResponseController(w).Flush)
		})
		mux.HandleFunc(prefix+"/jmap/ws", func(w http.ResponseWriter, r *http.Request) {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer c.Close()
			io.WriteString(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
				"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n") // for the key of openWebSocket
			wait(rw, rw.Flush)
		})
	}
	l, err := net.Listen("tcp", net.JoinHostPort(proxyIP, "0"))
	require.NoError(t, err)
	s.Server = &httptest.Server{Listener: l, Config: &http.Server{Handler: mux}}
	if onTLS {
		certs := testCertificates(t)
		cert, err := tls.LoadX509KeyPair(certs.serverCert, certs.serverKey)
		require.NoError(t, err)
		s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(func() {
		close(ended)
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// open returns a response whose body is not read yet.
func (b browser) open(t *testing.T, path string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.base+path, nil)
	require.NoError(t, err)
	response, err := b.client.Do(request)
	require.NoError(t, err)
	t.Cleanup(func() { response.Body.Close() })
	require.Equal(t, b.http, response.ProtoMajor)
	return response
}
