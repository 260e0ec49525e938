package interop

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/internal/nodes"
)

// signInThrough returns a sign-in through a proxy, with a new connection for each step.
func signInThrough(t *testing.T, p *proxy) nodes.SignIn {
	t.Helper()
	config := clientTLS(t)
	transport := &http.Transport{DisableKeepAlives: true, DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := dialContext(ctx, p.front["https"])
		if err != nil {
			return nil, err
		}
		return tls.Client(conn, config), nil
	}}
	return nodes.SignIn{
		Base: "https://" + serverName, User: account, Password: password,
		Do: func(_ int, r *http.Request) (*http.Response, error) { return transport.RoundTrip(r) },
	}
}

// Every product sends each step to another node. The sign-in fails without a shared store, which
// shows that the steps reach different nodes.
func TestBalancedSignIn(t *testing.T) {
	r := startRedis(t)
	shared, memory := startNodes(t, sharedStore(r)...), startNodes(t)
	eachBalancer(t, func(t *testing.T, b balancer) {
		s := signInThrough(t, b.run(t, shared))
		for i := range 10 {
			require.NoError(t, s.Run(t.Context()), "sign-in %d", i+1)
		}
		s = signInThrough(t, b.run(t, memory))
		for i := range 3 {
			require.Error(t, s.Run(t.Context()), "sign-in %d", i+1)
		}
	})
}

// The doctor compares the nodes directly, because it cannot tell them apart through the proxy.
func TestTheDoctorComparesNodes(t *testing.T) {
	const base = "https://" + serverName
	r := startRedis(t)
	for _, c := range []struct {
		name     string
		settings []string
		status   int
		want     []string // of the text
	}{
		{name: "without a shared store", status: 1, want: []string{"nodes-disagree", "jwks_uri", "Likely cause: nodes-differ", "MAILFRONT_STORE"}},
		{name: "with a shared store", settings: sharedStore(r), want: []string{"nothing wrong"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := startNodes(t, append(c.settings, "DEMO_PASSWORD="+publicPassword)...)
			p := startHAProxy(t, n.all[0], "load-balanced.cfg", n.set(t, "haproxy", "load-balanced.cfg"))
			var addresses []string
			for i := range n.all {
				addresses = append(addresses, net.JoinHostPort(n.hosts[i], n.ports["http"]))
			}
			status, out := askDoctor(t, base, p.front["https"], "-json", "-connect", strings.Join(addresses, ","))
			require.Equal(t, c.status, status, "%s", out)
			var d diagnosis
			require.NoError(t, json.Unmarshal([]byte(out), &d), "%s", out)
			for _, f := range d.Report.Findings {
				require.Equal(t, "nodes-disagree", f.Rule, "%s", out)
				require.Equal(t, "nodes-differ", f.Mistake, "%s", out)
			}
			require.Equal(t, c.status > 0, len(d.Report.Findings) > 0)
			status, out = askDoctor(t, base, p.front["https"], "-connect", strings.Join(addresses, ","))
			require.Equal(t, c.status, status, "%s", out)
			for _, want := range c.want {
				require.Contains(t, out, want)
			}
		})
	}
}
