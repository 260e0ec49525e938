package deploy

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A deployment is what compose.yaml or kubernetes.yaml describes.
type deployment struct {
	nodes     []node
	proxy     map[string]string // environment of HAProxy
	proxyName []string          // names whose answers are the addresses of the proxy, and only these
	nodeNames []string          // names of the nodes, as HAProxy looks them up
	published map[string]string // port of the proxy by public port
	subnet    string            // network of the proxy and the nodes; "" if not known
	store     store
	problems  []string // found while the file was read
}

// A node is one mailfront.
type node struct {
	name   string
	env    map[string]string // variables with a value in the file
	secret []string          // names of the other variables
	image  string
	grace  time.Duration // from SIGTERM to SIGKILL
	open   []string      // ports that other programs than the proxy can reach
}

// A store is the Redis or Valkey server.
type store struct {
	command string
	open    []string // ports that other programs than the nodes can reach
	env     map[string]string
	secret  []string
}

// mailListeners are those that HAProxy passes mail on to.
var mailListeners = []string{"SMTP", "SUBMISSION", "SUBMISSIONS", "IMAP", "IMAPS", "POP3", "POP3S"}

// publicPorts are the ports of RFC 8314, RFC 5321 and HTTP.
var publicPorts = map[string]string{
	"SMTP": "25", "SUBMISSION": "587", "SUBMISSIONS": "465", "IMAP": "143", "IMAPS": "993", "POP3": "110", "POP3S": "995",
	"HTTP": "80", "HTTPS": "443",
}

const (
	// sessionGrace is the time that mailfront leaves sessions after MAILFRONT_DRAIN.
	sessionGrace = 10 * time.Second

	// noticing is the longest time that HAProxy needs to notice that a node drains. It makes
	// two checks, 1 s apart, with a timeout of 2 s.
	noticing = 2 * (1 + 2) * time.Second
)

// check returns the problems of a deployment. settings are the names of mailfront's settings,
// and presets are the values in the configuration of HAProxy.
func (d *deployment) check(settings map[string]bool, presets map[string]string) []string {
	problems := slices.Clone(d.problems)
	report := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if len(d.nodes) != 3 {
		report("nodes: %d, want 3", len(d.nodes))
		return problems
	}
	for _, n := range d.nodes {
		for _, name := range slices.Sorted(maps.Keys(n.env)) {
			if !settings[name] {
				report("%s: %s is not a setting of mailfront", n.name, name)
			}
		}
		for _, name := range n.secret {
			if !settings[name] {
				report("%s: %s is not a setting of mailfront", n.name, name)
			}
		}
		for _, problem := range n.checkSecrets() {
			report("%s: %s", n.name, problem)
		}
		for _, port := range n.open {
			report("%s: port %s can be reached past the proxy", n.name, port)
		}
		if !maps.Equal(n.env, d.nodes[0].env) || !slices.Equal(n.secret, d.nodes[0].secret) || n.image != d.nodes[0].image {
			report("%s differs from %s", n.name, d.nodes[0].name)
		}
	}
	n := d.nodes[0]
	problems = append(problems, d.checkTrust(n)...)
	problems = append(problems, d.checkPorts(n, presets)...)
	for i, name := range []string{"NODE1", "NODE2", "NODE3"} {
		if d.proxy[name] != d.nodeNames[i] {
			report("proxy: %s is %q, want %q", name, d.proxy[name], d.nodeNames[i])
		}
	}
	for name := range d.proxy {
		if _, ok := presets[name]; !ok {
			report("proxy: %s is not in the configuration of HAProxy", name)
		}
	}
	drain, err := time.ParseDuration(n.env["MAILFRONT_DRAIN"])
	switch {
	case err != nil:
		report("MAILFRONT_DRAIN: %v", err)
	case drain <= noticing:
		report("MAILFRONT_DRAIN is %v, want more than the %v that HAProxy needs to notice", drain, noticing)
	case n.grace <= drain+sessionGrace:
		report("%s is killed after %v, want more than MAILFRONT_DRAIN and %v", n.name, n.grace, sessionGrace)
	}
	// load-balanced.cfg sets X-Forwarded-For and X-Forwarded-Proto.
	if n.env["MAILFRONT_HTTP_CLIENT"] != "forwarded" || n.env["MAILFRONT_FORWARDED_PROTO"] != "true" {
		report("MAILFRONT_HTTP_CLIENT and MAILFRONT_FORWARDED_PROTO do not fit a proxy in HTTP mode")
	}
	return append(problems, d.store.check()...)
}

// secretSettings are the settings whose values must not be in the file.
var secretSettings = []string{"MAILFRONT_STORE", "MAILFRONT_SECRET", "MAILFRONT_DEMO_PASSWORD", "MAILFRONT_INTROSPECTION_CLIENT"}

func (n node) checkSecrets() (problems []string) {
	for _, name := range secretSettings {
		if n.env[name] != "" {
			problems = append(problems, "the value of "+name+" is in the file")
		}
	}
	for _, name := range secretSettings[:3] {
		if !slices.Contains(n.secret, name) {
			problems = append(problems, name+" has no value")
		}
	}
	return problems
}

// checkTrust checks that only the proxy is trusted, by its name or a single address.
func (d *deployment) checkTrust(n node) (problems []string) {
	items := strings.Split(n.env["MAILFRONT_TRUSTED_PROXIES"], ",")
	for _, item := range items {
		item = strings.TrimSpace(item)
		if name, ok := strings.CutPrefix(item, "dns:"); ok {
			if !slices.Contains(d.proxyName, strings.TrimSuffix(name, ".")) {
				problems = append(problems, fmt.Sprintf("trust: %q is not a name of the proxy, want one of %q", name, d.proxyName))
			}
			continue
		}
		if _, err := netip.ParseAddr(item); err != nil {
			problems = append(problems, fmt.Sprintf("trust: %q is more than the proxy", item))
		}
	}
	if within := n.env["MAILFRONT_TRUSTED_PROXIES_WITHIN"]; within != d.subnet {
		problems = append(problems, fmt.Sprintf("trust: MAILFRONT_TRUSTED_PROXIES_WITHIN is %q, want the network of the proxy, %q", within, d.subnet))
	}
	return problems
}

// checkPorts follows each protocol from the public port to the listener.
func (d *deployment) checkPorts(n node, presets map[string]string) (problems []string) {
	report := func(format string, args ...any) { problems = append(problems, fmt.Sprintf("ports: "+format, args...)) }
	portOf := func(address string) (host, port string) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			report("%v", err)
		}
		return host, port
	}
	for _, name := range slices.Concat(mailListeners, []string{"HTTP", "HEALTH"}) {
		host, port := portOf(n.env["MAILFRONT_LISTEN_"+name])
		if host != "" {
			report("MAILFRONT_LISTEN_%s is on %s only, and the proxy is on another host", name, host)
		}
		want := presets[name+"_PORT"]
		if value, ok := d.proxy[name+"_PORT"]; ok {
			want = value
		}
		if port != want {
			report("MAILFRONT_LISTEN_%s has %s, and HAProxy connects to %s", name, port, want)
		}
	}
	for name, public := range publicPorts {
		_, front, _ := strings.Cut(strings.Replace(d.proxy[name+"_FRONT"], ":::", "[::]:", 1), "]:")
		if front == "" || d.published[public] != front {
			report("port %s leads to port %q of the proxy, which listens on %q for %s", public, d.published[public], front, name)
		}
	}
	if len(d.published) != len(publicPorts) {
		report("%d are published, want %d", len(d.published), len(publicPorts))
	}
	return problems
}

var literalPassword = regexp.MustCompile(`requirepass\s+[^$\s]`)

func (s store) check() (problems []string) {
	for _, want := range []string{"--appendonly yes", "--maxmemory-policy noeviction", "--appendfsync always"} {
		if !strings.Contains(s.command, want) {
			problems = append(problems, "store: no "+want)
		}
	}
	if literalPassword.MatchString(s.command) || s.env["VALKEY_PASSWORD"] != "" {
		problems = append(problems, "store: the password is in the file")
	}
	if !slices.Contains(s.secret, "VALKEY_PASSWORD") || !strings.Contains(s.command, "VALKEY_PASSWORD") {
		problems = append(problems, "store: no password")
	}
	for _, port := range s.open {
		problems = append(problems, "store: port "+port+" can be reached by others than the nodes")
	}
	return problems
}

var presetenv = regexp.MustCompile(`(?m)^ *presetenv +(\w+) +(\S+)`)

// readPresets returns the values in the configuration of HAProxy.
func readPresets(file string) (map[string]string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	presets := make(map[string]string)
	for _, m := range presetenv.FindAllSubmatch(b, -1) {
		presets[string(m[1])] = string(m[2])
	}
	return presets, nil
}
