package interop

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// These tests use two proxies in a row. The second sees the first at 127.0.0.1 and adds this
// address to the header. Mailfront trusts 127.0.0.1 and uses the next entry to the left.

// chain starts a second proxy with a configuration that appends, and a first proxy with any
// configuration in front of it.
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
				{what: "replaces", file: "http"},
				{what: "appends", file: "http", changes: appendInPlaceOfReplace[first.product]},
				{what: "appends, TLS between them", file: "http-reencrypted", changes: appendInPlaceOfReplace[first.product]},
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

// Clients may also connect to the second proxy directly.
func TestForgedHeadersPastFirstProxy(t *testing.T) {
	eachHTTPProxy(t, func(t *testing.T, second httpProxy) {
		m := startForwarded(t, useProto)
		_, q := chain(t, m, httpProxies[0], second, "http")
		tryForgeries(t, q, m, "second of two", "http", true)
	})
}

// A second proxy that replaces the header reports the first proxy as the client of every
// request, so no client is known.
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

// A first proxy that is not on mailfront's list counts as the client, and its headers are not
// used. It connects from 127.0.0.78.
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
