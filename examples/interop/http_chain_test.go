package interop

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Two proxies in a row. The second sees the first at 127.0.0.1 and adds that to the
// header; mailfront trusts it, and looks one further left.

// chain starts a second proxy with a configuration that appends, and a first with
// any, in front of it.
func chain(t *testing.T, m *mailfront, first, second httpProxy, file string, changes ...change) (p, q *proxy) {
	t.Helper()
	q = second.run(t, m, "http-append", nil)
	server, door := "HTTP_SERVER", "http"
	if file == "http-reencrypted" {
		server, door = "HTTPS_SERVER", "https"
	}
	return first.run(t, m, file, map[string]string{server: q.front[door]}, changes...), q
}

func TestForgedHeadersTwoProxies(t *testing.T) {
	eachHTTPProxy(t, func(t *testing.T, first httpProxy) {
		m := startForwarded(t, useProto)
		for _, second := range httpProxies {
			for _, c := range []struct {
				what, file string
				changes    []change
			}{
				{"replaces", "http", nil},
				{"appends", "http", appendInPlaceOfReplace[first.product]},
				{"appends, TLS between them", "http-reencrypted", appendInPlaceOfReplace[first.product]},
			} {
				if c.changes == nil && c.what != "replaces" {
					continue // Traefik appends with another file
				}
				what := c.what + ", then " + second.product
				t.Run(what, func(t *testing.T) {
					p, _ := chain(t, m, first, second, c.file, c.changes...)
					tryForgeries(t, p, m, what, "http", true)
				})
			}
		}
	})
}

// The second proxy is reached past the first one, too: by another peer.
func TestForgedHeadersPastFirstProxy(t *testing.T) {
	eachHTTPProxy(t, func(t *testing.T, second httpProxy) {
		m := startForwarded(t, useProto)
		_, q := chain(t, m, httpProxies[0], second, "http")
		tryForgeries(t, q, m, "second of two", "http", true)
	})
}

// A second proxy that replaces names the first one as the client. That is correct,
// but it is the address of all clients, so the client is not known.
func TestSecondProxyReplacesHeader(t *testing.T) {
	eachHTTPProxy(t, func(t *testing.T, second httpProxy) {
		m := startForwarded(t, useProto)
		q := second.run(t, m, "http", nil)
		p := httpProxies[0].run(t, m, "http", map[string]string{"HTTP_SERVER": q.front["http"]})
		for _, f := range forgeries {
			require.Equal(t, unknownClient("AllTrusted"), browse(t, p.client("http")(t)).ask(t, f.header), f.name)
		}
	})
}

// A first proxy that is not on mailfront's list is a client like any other, and what
// it says of others is its own text. 127.0.0.78 is where it connects from here.
func TestUntrustedFirstProxyIsTheClient(t *testing.T) {
	needOtherIP(t)
	eachHTTPProxy(t, func(t *testing.T, second httpProxy) {
		m := startForwarded(t)
		q := second.run(t, m, "http-append", nil)
		p := startHAProxy(t, m, "http.cfg", map[string]string{"HTTP_SERVER": q.front["http"]},
			change{"    default-server check\n", "    default-server check source " + otherIP + "\n"})
		w := browse(t, p.client("http")(t)).ask(t, everythingForged)
		require.Equal(t, proxied(otherIP, false, false), w)
	})
}
