package interop

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Clients from npm, unmodified, that find the server by its documents. They are
// told the base URL and no more; a loader that they do not see leads each of
// their connections to the proxy, or to mailfront.

var npmClients = []string{"openid-client", "oauth4webapi", "jmap-jam", "tsdav"}

// A mount is where clients find the server, and a file's way to it.
type mount struct {
	name, base string
	file       string // HAProxy's, or "" for none
	changes    []change
}

var mounts = []mount{
	{"root, direct", "https://" + serverName, "", nil},
	{"port, direct", "https://" + serverName + ":8443", "", nil},
	{"path, direct", "https://" + serverName + "/mail", "", nil},
	{"root, HAProxy", "https://" + serverName, "http.cfg", nil},
	{"port, HAProxy", "https://" + serverName + ":8443", "http.cfg", nil},
	{"path stripped, HAProxy", "https://" + serverName + "/mail", "http-path.cfg", nil},
	{"path kept, HAProxy", "https://" + serverName + "/mail", "http-path.cfg", keepPath["haproxy"]},
	{"path and port, HAProxy", "https://" + serverName + ":8443/mail", "http-path.cfg", nil},
}

func TestClientsFromNPMSignInByTheDocuments(t *testing.T) {
	needAddresses(t) // before npm, which needs a minute to give up without a network
	dir := installNPMClients(t)
	for _, at := range mounts {
		t.Run(at.name, func(t *testing.T) {
			front := at.start(t)
			for _, name := range npmClients {
				t.Run(name, func(t *testing.T) { runNPMClient(t, dir, name, at.base, front) })
			}
		})
	}
}

// publicPassword is one that can be a bearer token (RFC 6750 section 2.1).
const publicPassword = "correct-horse"

// start starts mailfront, and the proxy if there is one, and returns where clients
// of the base connect to.
func (at mount) start(t *testing.T) (front string) {
	t.Helper()
	settings := []string{"PUBLIC_URL=" + at.base, "DEMO_PASSWORD=" + publicPassword}
	if at.file == "" {
		return startMailfront(t, settings...).address["https"]
	}
	m := startForwarded(t, append(settings, believeProto)...)
	return startHAProxy(t, m, at.file, nil, at.changes...).front["https"]
}

func runNPMClient(t *testing.T, dir, name, base, front string) {
	t.Helper()
	_, port, err := net.SplitHostPort(front)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "node", "--import", "./connect.mjs", name+".mjs")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"BASE="+base, "ACCOUNT="+account, "PASSWORD="+publicPassword,
		"CONNECT_PORT="+port, "CONNECT_FROM="+clientIP, "NODE_EXTRA_CA_CERTS="+testCertificates(t).ca)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Logf("%s", out)
}

var npmInstall sync.Mutex

// installNPMClients returns a directory with the clients and what they need, which
// is kept in the user's cache, under the hash of what is in it.
func installNPMClients(t *testing.T) string {
	t.Helper()
	npm := binary(t, "npm", "PORTICO_NPM", "Node.js 20 or later")
	files, err := filepath.Glob("npm/*")
	require.NoError(t, err)
	hash := sha256.New()
	content := make(map[string][]byte)
	for _, name := range files {
		if info, err := os.Stat(name); err != nil || info.IsDir() {
			continue
		}
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		content[filepath.Base(name)] = b
		hash.Write([]byte(name))
		hash.Write(b)
	}
	require.Contains(t, content, "package-lock.json")
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = shared
	}
	dir := filepath.Join(cache, "portico-interop", "npm-"+hex.EncodeToString(hash.Sum(nil)[:8]))

	npmInstall.Lock()
	defer npmInstall.Unlock()
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	// Other processes see the directory when it is complete. npm ci empties the one that
	// it is used in, even if it fails then.
	require.NoError(t, os.MkdirAll(filepath.Dir(dir), 0o755))
	temporary, err := os.MkdirTemp(filepath.Dir(dir), "npm")
	require.NoError(t, err)
	defer os.RemoveAll(temporary)
	for name, b := range content {
		require.NoError(t, os.WriteFile(filepath.Join(temporary, name), b, 0o644))
	}
	cmd := exec.CommandContext(t.Context(), npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = temporary
	if out, err := cmd.CombinedOutput(); err != nil {
		unavailable(t, "npm ci: %v\n%s", err, out)
	}
	if err := os.Rename(temporary, dir); err != nil {
		require.DirExists(t, dir, "%v", err) // another process was first
	}
	return dir
}
