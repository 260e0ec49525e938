package deploy

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// reads are the readers of the files.
var reads = map[string]func(text string) (*deployment, error){"compose.yaml": readCompose, "kubernetes.yaml": readKubernetes}

var settingName = regexp.MustCompile(`\[(MAILFRONT_\w+)\]`)

// mailfrontSettings returns the names in mailfront's list of settings.
func mailfrontSettings(t *testing.T) map[string]bool {
	t.Helper()
	help, err := exec.Command("go", "run", "../mailfront", "-help").CombinedOutput()
	require.NoError(t, err, "%s", help)
	names := make(map[string]bool)
	for _, m := range settingName.FindAllSubmatch(help, -1) {
		names[string(m[1])] = true
	}
	require.Greater(t, len(names), 20, "%s", help)
	return names
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(b)
}

// A mutation changes one value of a file.
type mutation struct {
	name, old, new string
	want           string // in a problem
}

var mutations = map[string][]mutation{
	"compose.yaml": {
		{"a setting is misspelt", "MAILFRONT_HTTP_CLIENT:", "MAILFRONT_HTTP_CLIENTS:", "MAILFRONT_HTTP_CLIENTS is not a setting"},
		{"a secret setting is misspelt", "# MAILFRONT_SECRET,", "# MAILFRONT_SECRETS,", "MAILFRONT_SECRETS is not a setting"},
		{"there is no secret", "# MAILFRONT_SECRET, ", "# ", "MAILFRONT_SECRET has no value"},
		{"a secret in the file", "    MAILFRONT_DOMAINS:", "    MAILFRONT_SECRET: 0123456789abcdef0123456789abcdef\n    MAILFRONT_DOMAINS:", "the value of MAILFRONT_SECRET is in the file"},
		{"a URL with a password in the file", "    MAILFRONT_DOMAINS:", "    MAILFRONT_STORE: redis://:hunter2@store:6379/0\n    MAILFRONT_DOMAINS:", "the value of MAILFRONT_STORE is in the file"},
		{"a password in the command of the store", "requirepass $$VALKEY_PASSWORD", "requirepass hunter2 # $$VALKEY_PASSWORD", "the password is in the file"},
		{"a store without a password", "        requirepass $$VALKEY_PASSWORD\n", "", "store: no password"},
		{"the whole network is trusted", "dns:proxy", "10.77.0.0/24", "is more than the proxy"},
		{"all private networks are trusted", "dns:proxy", "dns:proxy,private", "is more than the proxy"},
		{"another name is trusted", "dns:proxy", "dns:node1", "is not a name of the proxy"},
		{"answers from anywhere", "    MAILFRONT_TRUSTED_PROXIES_WITHIN: 10.77.0.0/24\n", "", "MAILFRONT_TRUSTED_PROXIES_WITHIN"},
		{"another network", "subnet: 10.77.0.0/24", "subnet: 10.78.0.0/24", "MAILFRONT_TRUSTED_PROXIES_WITHIN"},
		{"a listener moves", "MAILFRONT_LISTEN_IMAPS: :10993", "MAILFRONT_LISTEN_IMAPS: :11993", "MAILFRONT_LISTEN_IMAPS has 11993"},
		{"the health listener moves", "MAILFRONT_LISTEN_HEALTH: :18090", "MAILFRONT_LISTEN_HEALTH: :18091", "MAILFRONT_LISTEN_HEALTH has 18091"},
		{"a listener on loopback", "MAILFRONT_LISTEN_SMTP: :10025", "MAILFRONT_LISTEN_SMTP: 127.0.0.1:10025", "is on 127.0.0.1 only"},
		{"HAProxy connects elsewhere", "      NODE1: node1\n", "      NODE1: node1\n      POP3_PORT: 11110\n", "HAProxy connects to 11110"},
		{"HAProxy listens elsewhere", "SMTP_FRONT: :::20025", "SMTP_FRONT: :::21025", "which listens on \"21025\" for SMTP"},
		{"a port is published elsewhere", `"993:20993"`, `"993:20995"`, "port 993 leads to port \"20995\""},
		{"a port is not published", "      - \"110:20110\"\n", "", "port 110 leads to"},
		{"a port too many is published", `"443:20443"`, `"443:20443"` + "\n      - \"8404:8404\"", "10 are published"},
		{"a node is published", "  node1:\n", "  node1:\n    ports: [\"10025:10025\"]\n", "can be reached past the proxy"},
		{"the store is published", "    user: \"999:999\"\n", "    user: \"999:999\"\n    ports: [\"6379:6379\"]\n", "can be reached by others"},
		{"two nodes", "  node3:\n    <<: *node\n", "", "nodes: 2, want 3"},
		{"a node with other settings", "  node2:\n", "  node2:\n    environment: {MAILFRONT_DRAIN: 10s}\n", "node2 differs from node1"},
		{"HAProxy has another node", "NODE2: node2", "NODE2: node1", "NODE2 is \"node1\""},
		{"HAProxy has a variable that it does not read", "NODE2: node2", "NODE2: node2\n      NODE4: node4", "NODE4 is not in the configuration"},
		{"eviction", "noeviction --dir", "allkeys-lru --dir", "no --maxmemory-policy noeviction"},
		{"nothing is kept", "--appendonly yes ", "", "no --appendonly yes"},
		{"the last second may be lost", "--appendfsync always", "--appendfsync everysec", "no --appendfsync always"},
		{"HAProxy has no time to notice", "MAILFRONT_DRAIN: 10s", "MAILFRONT_DRAIN: 5s", "that HAProxy needs to notice"},
		{"sessions are killed", "stop_grace_period: 30s", "stop_grace_period: 15s", "is killed after 15s"},
		{"forwarding headers are not read", "MAILFRONT_HTTP_CLIENT: forwarded", "MAILFRONT_HTTP_CLIENT: proxy", "do not fit"},
		{"another configuration of HAProxy", "haproxy/load-balanced.cfg", "haproxy/passthrough.cfg", "another configuration"},
	},
	"kubernetes.yaml": {
		{"a setting is misspelt", "MAILFRONT_DOMAINS", "MAILFRONT_DOMAIN", "MAILFRONT_DOMAIN is not a setting"},
		{"a secret setting is misspelt", "name: MAILFRONT_SECRET\n", "name: MAILFRONT_SECRETS\n", "MAILFRONT_SECRETS is not a setting"},
		{"a secret in the file", "              valueFrom: {secretKeyRef: {name: mailfront, key: secret}}", "              value: 0123456789abcdef0123456789abcdef", "the value of MAILFRONT_SECRET is in the file"},
		{"a URL with a password in the file", "              valueFrom: {secretKeyRef: {name: mailfront, key: store}}", "              value: redis://:hunter2@store:6379/0", "the value of MAILFRONT_STORE is in the file"},
		{"a password in the command of the store", "requirepass $VALKEY_PASSWORD", "requirepass hunter2 # $VALKEY_PASSWORD", "the password is in the file"},
		{"a password in the environment of the store", "valueFrom: {secretKeyRef: {name: mailfront, key: valkey-password}}", "value: hunter2", "the password is in the file"},
		{"the network of the pods is trusted", "dns:proxies.mail.svc.cluster.local.", "10.244.0.0/16", "is more than the proxy"},
		{"all private networks are trusted", `"dns:proxies.mail.svc.cluster.local."`, `"dns:proxies.mail.svc.cluster.local.,private"`, "is more than the proxy"},
		{"the load balancer's Service is trusted", "dns:proxies.mail", "dns:mail.mail", "is not a name of the proxy"},
		{"the Service of the proxies has one address", "  name: proxies\nspec:\n  clusterIP: None\n", "  name: proxies\nspec:\n", "is not a name of the proxy"},
		{"the Service of the proxies selects other pods", "  clusterIP: None\n  publishNotReadyAddresses: true\n  selector: {app: haproxy}", "  clusterIP: None\n  publishNotReadyAddresses: true\n  selector: {app: mailfront}", "is not a name of the proxy"},
		{"a listener moves", `MAILFRONT_LISTEN_IMAPS, value: ":10993"`, `MAILFRONT_LISTEN_IMAPS, value: ":11993"`, "MAILFRONT_LISTEN_IMAPS has 11993"},
		{"a port of the container moves", "{name: imaps, containerPort: 10993}", "{name: imaps, containerPort: 11993}", "ports: the container has"},
		{"a port of the Service moves", "{name: imaps, port: 10993}", "{name: imaps, port: 11993}", "ports: the Service nodes has"},
		{"the readiness probe moves", "/healthz/ready, port: 18090", "/healthz/ready, port: 18080", "probes: /healthz/ready at port 18080"},
		{"the liveness probe moves", "/healthz/live, port: 18090", "/healthz/live, port: 10025", "probes: /healthz/live at port 10025"},
		{"the liveness probe checks readiness", "path: /healthz/live", "path: /healthz/ready", "want /healthz/live"},
		{"a listener on loopback", `MAILFRONT_LISTEN_SMTP, value: ":10025"`, `MAILFRONT_LISTEN_SMTP, value: "127.0.0.1:10025"`, "is on 127.0.0.1 only"},
		{"HAProxy listens elsewhere", `SMTP_FRONT, value: ":::20025"`, `SMTP_FRONT, value: ":::21025"`, "which listens on \"21025\" for SMTP"},
		{"a port of the load balancer leads elsewhere", "port: 993, targetPort: 20993", "port: 993, targetPort: 20995", "port 993 leads to port \"20995\""},
		{"a port of the load balancer is gone", "    - {name: pop3, port: 110, targetPort: 20110}\n", "", "port 110 leads to"},
		{"the client's address is lost", "externalTrafficPolicy: Local", "externalTrafficPolicy: Cluster", "with the client's address"},
		{"two nodes", "replicas: 3", "replicas: 2", "nodes: 2, want 3"},
		{"HAProxy has another node", "value: node-1.nodes", "value: node-0.nodes", "NODE2 is"},
		{"every pod reaches the nodes", "    - from:\n        - podSelector:\n            matchLabels: {app: haproxy}\n      ports:\n        - {port: 10025}", "    - ports:\n        - {port: 10025}", "NetworkPolicy nodes lets others"},
		{"every pod reaches the store", "            matchLabels: {app: mailfront}\n      ports:\n        - {port: 6379}", "            matchLabels: {}\n      ports:\n        - {port: 6379}", "NetworkPolicy store lets others"},
		{"the policy forgets a port", "        - {port: 10995}\n", "", "NetworkPolicy nodes allows"},
		{"all nodes may end at once", "maxUnavailable: 1", "maxUnavailable: 3", "more than one node"},
		{"eviction", "noeviction --dir", "allkeys-lru --dir", "no --maxmemory-policy noeviction"},
		{"nothing is kept", "--appendonly yes ", "", "no --appendonly yes"},
		{"HAProxy has no time to notice", "MAILFRONT_DRAIN, value: 10s", "MAILFRONT_DRAIN, value: 5s", "that HAProxy needs to notice"},
		{"sessions are killed", "terminationGracePeriodSeconds: 30", "terminationGracePeriodSeconds: 15", "is killed after 15s"},
		{"forwarding headers are not read", "MAILFRONT_HTTP_CLIENT, value: forwarded", "MAILFRONT_HTTP_CLIENT, value: proxy", "do not fit"},
	},
}

func TestDeploymentsAreConsistent(t *testing.T) {
	settings := mailfrontSettings(t)
	presets, err := readPresets("../proxies/haproxy/load-balanced.cfg")
	require.NoError(t, err)
	for file, read := range reads {
		t.Run(file, func(t *testing.T) {
			text := readFile(t, file)
			d, err := read(text)
			require.NoError(t, err)
			require.Empty(t, d.check(settings, presets))
			for _, m := range mutations[file] {
				t.Run(m.name, func(t *testing.T) {
					require.Contains(t, text, m.old)
					d, err := read(strings.Replace(text, m.old, m.new, 1))
					require.NoError(t, err)
					require.Contains(t, strings.Join(d.check(settings, presets), "\n"), m.want)
				})
			}
		})
	}
}

// The Dockerfile builds with the version of Go that the module requires.
func TestDockerfileGoVersion(t *testing.T) {
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(readFile(t, "../go.mod"))
	require.NotNil(t, version)
	require.Contains(t, readFile(t, "Dockerfile"), "FROM golang:"+version[1]+" ")
}
