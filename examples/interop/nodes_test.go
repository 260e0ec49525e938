package interop

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/internal/nodes"
)

// These tests use three mailfronts behind one proxy, each at its own address, with the same ports.

const nodeCount = 3

// A nodeSet has three nodes. A node keeps its address and ports when it is restarted.
type nodeSet struct {
	all      [nodeCount]*mailfront
	hosts    [nodeCount]string
	ports    map[string]string // by listener
	settings []string
}

// startNodes starts the nodes with settings of startMailfront.
func startNodes(t *testing.T, settings ...string) *nodeSet {
	t.Helper()
	needAddresses(t)
	n := &nodeSet{ports: make(map[string]string)}
	n.settings = append([]string{"HTTP_CLIENT=forwarded", "HTTPS_CLIENT=forwarded", useProto, "PUBLIC_URL=https://" + serverName, "DRAIN=0s"}, settings...)
	// No other test uses the same addresses, so a port is still free when a node opens it.
	network := fmt.Sprintf("127.%d.%d", 64+rand.IntN(128), rand.IntN(256))
	var held []net.Listener
	for _, listener := range append([]string{"health"}, listenerNames...) {
		for i := range n.hosts {
			n.hosts[i] = fmt.Sprintf("%s.%d", network, i+1)
			port := n.ports[listener]
			if i == 0 {
				port = "0"
			}
			l, err := net.Listen("tcp", net.JoinHostPort(n.hosts[i], port))
			if err != nil {
				unavailable(t, "this machine does not let a program use %s: %v", n.hosts[i], err)
			}
			held = append(held, l)
			_, n.ports[listener], err = net.SplitHostPort(l.Addr().String())
			require.NoError(t, err)
		}
	}
	for _, l := range held {
		l.Close()
	}
	for i := range n.all {
		n.start(t, i)
	}
	return n
}

// start starts a node, the first time or again.
func (n *nodeSet) start(t *testing.T, i int) {
	t.Helper()
	var listen []string
	for listener, port := range n.ports {
		listen = append(listen, "LISTEN_"+strings.ToUpper(listener)+"="+net.JoinHostPort(n.hosts[i], port))
	}
	n.all[i] = startMailfront(t, append(listen, n.settings...)...)
}

// set returns the values of the nodes' names in a configuration.
func (n *nodeSet) set(t *testing.T, product string, files ...string) map[string]string {
	t.Helper()
	values := make(map[string]string)
	for i, host := range n.hosts {
		values[fmt.Sprintf("NODE%d", i+1)] = host
		for listener, port := range n.ports {
			values[fmt.Sprintf("%s_SERVER%d", strings.ToUpper(listener), i+1)] = net.JoinHostPort(host, port)
			values[strings.ToUpper(listener)+"_PORT"] = port
		}
	}
	var text string
	for _, file := range files {
		text += readConfiguration(t, product, file, nil)
	}
	for name := range values {
		used := strings.Contains(text, "# "+name+"\n") || strings.Contains(text, "${"+name+"}") || strings.Contains(text, "{$"+name+":")
		if !used {
			delete(values, name)
		}
	}
	return values
}

// now returns the positions of the next lines in the logs.
func (n *nodeSet) now() (places [nodeCount]int) {
	for i, m := range n.all {
		places[i] = m.stderr.now()
	}
	return places
}

// requireEvents waits until the logs, from the given positions, together have the given number of
// events of a kind. It returns the number of each node.
func (n *nodeSet) requireEvents(t *testing.T, from [nodeCount]int, listener string, kind event, want int) (count [nodeCount]int) {
	t.Helper()
	require.Eventually(t, func() bool {
		total := 0
		for i, m := range n.all {
			lines, _ := m.stderr.since(from[i])
			count[i] = 0
			for _, e := range events(lines, listener) {
				if e == kind {
					count[i]++
				}
			}
			total += count[i]
		}
		return total >= want
	}, timeout, 5*time.Millisecond, "%v of %s", kind, listener)
	return count
}

// A balancer is a proxy with a configuration for several nodes.
type balancer struct {
	product string
	files   []string
	mail    bool
	version int // of the PROXY header
	start   func(t *testing.T, m *mailfront, file string, set map[string]string, changes ...change) *proxy
}

var balancers = []balancer{
	{product: "haproxy", files: []string{"load-balanced.cfg"}, mail: true, version: 2, start: startHAProxy},
	{product: "nginx", files: []string{"load-balanced.conf"}, mail: true, version: 1, start: startNGINX},
	{product: "caddy", files: []string{"load-balanced.caddyfile"}, start: startCaddy},
	{product: "traefik", files: []string{"load-balanced.yaml", "load-balanced.dynamic.yaml"}, mail: true, version: 2, start: startTraefik},
}

// balancerFiles returns the files of a product for several nodes.
func balancerFiles(product string) []string {
	for _, b := range balancers {
		if b.product == product {
			return b.files
		}
	}
	return nil
}

// run starts the proxy in front of nodes.
func (b balancer) run(t *testing.T, n *nodeSet) *proxy {
	t.Helper()
	return b.start(t, n.all[0], b.files[0], n.set(t, b.product, b.files...))
}

// eachBalancer runs a test behind every product.
func eachBalancer(t *testing.T, test func(t *testing.T, b balancer)) {
	t.Helper()
	for _, b := range balancers {
		t.Run(b.product, func(t *testing.T) { test(t, b) })
	}
}

// eachMailBalancer omits the product that has no TCP mode.
func eachMailBalancer(t *testing.T, test func(t *testing.T, b balancer)) {
	t.Helper()
	eachBalancer(t, func(t *testing.T, b balancer) {
		if b.mail {
			test(t, b)
		}
	})
}

// startRedis starts a Redis server that ends with the test.
func startRedis(t *testing.T, args ...string) *nodes.Redis {
	t.Helper()
	r, err := nodes.StartRedis(args...)
	if errors.Is(err, nodes.ErrNoRedis) {
		unavailable(t, "%v", err)
	}
	require.NoError(t, err)
	t.Cleanup(r.Close)
	return r
}

// sharedStore returns the settings for nodes with a shared store.
func sharedStore(r *nodes.Redis) []string {
	return []string{"STORE=" + r.URL(), "SECRET=" + strings.Repeat("0123456789abcdef", 2)}
}
