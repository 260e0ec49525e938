package interop

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A client on a unix socket has no address for the header. Most proxies write something that is
// not an address. It must not be skipped, because the client controls the entries left of it.
// If a proxy writes nothing, the client can choose its address.
func TestUnixSocketClientHTTP(t *testing.T) {
	m := startForwarded(t, useProto)
	haproxy, nginx, caddy := httpProxies[0], httpProxies[1], httpProxies[2]
	for _, c := range []struct {
		name    string
		product httpProxy
		append  bool
		header  []string // header at the server, for X-Forwarded-For: 203.0.113.9
		want    forwardedWhoami
	}{
		{name: "haproxy replaces", product: haproxy, append: false, header: []string{""}, want: unknownClient("Malformed")},
		{name: "haproxy appends, which is nothing", product: haproxy, append: true, header: []string{forgedIP}, want: proxied(forgedIP, false, true)},
		{name: "nginx replaces", product: nginx, append: false, header: []string{"unix:"}, want: unknownClient("Malformed")},
		{name: "nginx appends", product: nginx, append: true, header: []string{forgedIP + ", unix:"}, want: unknownClient("Malformed")},
		{name: "caddy deletes", product: caddy, append: false, header: nil, want: unknownClient("NoHeader")},
	} {
		t.Run(c.name, func(t *testing.T) {
			run := func(m *mailfront, set map[string]string) browser {
				path := filepath.Join(shortTempDir(t), "http")
				changes := map[string][]change{
					"haproxy": {{"\n    bind \"${HTTP_FRONT}\" v4v6\n", "\n    bind \"${HTTP_FRONT}\" v4v6\n    bind " + path + "\n"}},
					"nginx":   {{"    listen [::1]:20080 ", "    listen unix:" + path + ";\n        listen [::1]:20080 "}},
					"caddy":   {{"\tbind {$HTTP_FRONT:", "\tbind unix/" + path + " {$HTTP_FRONT:"}},
				}[c.product.product]
				if c.append {
					changes = append(changes, appendInPlaceOfReplace[c.product.product]...)
				}
				p := c.product.run(t, m, "http", set, changes...)
				p.socket["http"] = path
				return browse(t, p.local("http")(t))
			}
			sent := everythingForged
			require.Equal(t, c.header, forwardingLines(t, run(nil, map[string]string{"HTTP_SERVER": startEcho(t)}), sent)["X-Forwarded-For"])
			require.Equal(t, c.want, run(m, nil).ask(t, sent))
		})
	}
}
