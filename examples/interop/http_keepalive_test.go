package interop

import (
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// otherIP is a second client.
const otherIP = "127.0.0.78"

func needOtherIP(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(otherIP, "0"))
	if err != nil {
		unavailable(t, "this machine does not let a program use %s: %v", otherIP, err)
	}
	l.Close()
}

// A relay passes connections on and counts them.
type relay struct {
	net.Listener
	mu    sync.Mutex
	count int
}

// startRelay starts a relay in front of a server. Mailfront sees it at the proxy's address.
func startRelay(t *testing.T, server string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(proxyIP, "0"))
	require.NoError(t, err)
	r := &relay{Listener: l}
	var all sync.WaitGroup
	t.Cleanup(func() { l.Close(); all.Wait() })
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.count++
			r.mu.Unlock()
			all.Go(func() { pass(c, server) })
		}
	})
	return r
}

// pass copies both ways until either side ends.
func pass(c net.Conn, server string) {
	defer c.Close()
	s, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer s.Close()
	var back sync.WaitGroup
	back.Go(func() {
		io.Copy(c, s)
		c.Close()
	})
	io.Copy(s, c)
	s.Close()
	back.Wait()
}

func (r *relay) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// One connection of the proxy has requests of several clients. Each request must have its own
// client.
func TestSharedConnectionKeepsClientsApart(t *testing.T) {
	needOtherIP(t)
	for _, c := range []struct {
		name, file string
		product    httpProxy
		changes    []change
	}{
		{name: "haproxy", file: "http", product: httpProxies[0], changes: nil},
		{name: "haproxy re-encrypts, HTTP 2", file: "http-reencrypted", product: httpProxies[0], changes: nil},
		{name: "haproxy re-encrypts, HTTP 1.1", file: "http-reencrypted", product: httpProxies[0],
			changes: []change{{`server web "${HTTPS_SERVER}" alpn h2,http/1.1`, `server web "${HTTPS_SERVER}" alpn http/1.1`}}},
		{name: "nginx", file: "http", product: httpProxies[1], changes: nil},
		{name: "nginx re-encrypts", file: "http-reencrypted", product: httpProxies[1], changes: nil},
		{name: "caddy", file: "http", product: httpProxies[2], // otherwise it dials again while a connection is about to be free
			changes: []change{{caddyDeletes, "\t\ttransport http {\n\t\t\tmax_conns_per_host 1\n\t\t}\n" + caddyDeletes}}},
		{name: "caddy re-encrypts", file: "http-reencrypted", product: httpProxies[2],
			changes: []change{{"\t\t\ttls\n", "\t\t\ttls\n\t\t\tmax_conns_per_host 1\n"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			changes := slices.Clone(c.changes)
			if c.product.product == "haproxy" {
				changes = append(changes,
					change{"\n    http-reuse safe\n", "\n    http-reuse always\n"},
					change{"\n    default-server check", "\n    default-server no-check"}, // checks use connections too
					change{"\nglobal\n", "\nglobal\n    nbthread 1\n"})                    // each thread prefers its own connection
			}
			m := startForwarded(t, useProto)
			listener, server := "http", "HTTP_SERVER"
			if c.file == "http-reencrypted" {
				listener, server = "https", "HTTPS_SERVER"
			}
			r := startRelay(t, m.address[listener])
			p := c.product.run(t, m, c.file, map[string]string{server: r.Addr().String()}, changes...)
			first := browse(t, p.client("http")(t))
			second := browse(t, dialFrom(t, otherIP, p.front["http"]))
			third := browse(t, p.client6("http")(t))
			onTLS := browse(t, withTLS(p.client("https"), endedByProxy)(t))
			for range 3 {
				for _, header := range []http.Header{{}, everythingForged} {
					require.Equal(t, proxied(clientIP, false, true), first.ask(t, header))
					require.Equal(t, proxied(otherIP, false, true), second.ask(t, header))
					require.Equal(t, proxied(client6IP, false, true), third.ask(t, header))
					require.Equal(t, proxied(clientIP, true, true), onTLS.ask(t, header))
				}
			}
			want := 1
			if c.product.product == "caddy" {
				want = 2 // one for each site; three clients share one
			}
			require.Equal(t, want, r.connections(), "connections to the server")
		})
	}
}
