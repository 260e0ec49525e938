package interop

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Unmodified clients from npm find the server by its documents. They get only the base URL. A
// loader redirects each of their connections to the proxy, or to mailfront.

var npmClients = []string{"openid-client", "oauth4webapi", "jmap-jam", "tsdav"}

// A mount is a base URL of the server and the configuration that serves it.
type mount struct {
	name, base string
	file       string // of HAProxy, or "" without a proxy
	changes    []change
}

var mounts = []mount{
	{name: "root, direct", base: "https://" + serverName, file: "", changes: nil},
	{name: "port, direct", base: "https://" + serverName + ":8443", file: "", changes: nil},
	{name: "path, direct", base: "https://" + serverName + "/mail", file: "", changes: nil},
	{name: "root, HAProxy", base: "https://" + serverName, file: "http.cfg", changes: nil},
	{name: "port, HAProxy", base: "https://" + serverName + ":8443", file: "http.cfg", changes: nil},
	{name: "path stripped, HAProxy", base: "https://" + serverName + "/mail", file: "http-path.cfg", changes: nil},
	{name: "path kept, HAProxy", base: "https://" + serverName + "/mail", file: "http-path.cfg", changes: keepPath["haproxy"]},
	{name: "path and port, HAProxy", base: "https://" + serverName + ":8443/mail", file: "http-path.cfg", changes: nil},
}

func TestNPMClientsSignIn(t *testing.T) {
	needAddresses(t) // before npm, which takes a minute to fail without a network
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

// publicPassword is a password that can be a bearer token (RFC 6750 section 2.1).
const publicPassword = "correct-horse"

// start starts mailfront and its proxy, if any. It returns the address for clients of the base.
func (at mount) start(t *testing.T, more ...string) (front string) {
	t.Helper()
	settings := append([]string{"PUBLIC_URL=" + at.base, "DEMO_PASSWORD=" + publicPassword}, more...)
	if at.file == "" {
		return startMailfront(t, settings...).address["https"]
	}
	m := startForwarded(t, append(settings, useProto)...)
	return startHAProxy(t, m, at.file, nil, at.changes...).front["https"]
}

// runNPMClient runs a client with additional variables and returns its output.
func runNPMClient(t *testing.T, dir, name, base, front string, variables ...string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(front)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "node", "--import", "./connect.mjs", name+".mjs")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"BASE="+base, "ACCOUNT="+account, "PASSWORD="+publicPassword,
		"CONNECT_PORT="+port, "CONNECT_FROM="+clientIP, "NODE_EXTRA_CA_CERTS="+testCertificates(t).ca)
	cmd.Env = append(cmd.Env, variables...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Logf("%s", out)
	return string(out)
}

// The identity provider is a second mailfront. The clients get the base of the first mailfront
// and follow its documents.
func TestNPMClientsForeignIssuer(t *testing.T) {
	needAddresses(t)
	dir := installNPMClients(t)
	certs := testCertificates(t)
	l, err := net.Listen("tcp", "127.0.0.1:0") // first, since the provider needs its URL
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	issuer := "https://" + l.Addr().String()
	provider := startMailfront(t, "PUBLIC_URL="+issuer, "DEMO_PASSWORD="+publicPassword, "TRUSTED_PROXIES=192.0.2.1",
		"TLS_CERT="+certs.providerCert, "TLS_KEY="+certs.providerKey)
	go relayTo(provider.address["https"], l)
	t.Setenv("SSL_CERT_FILE", certs.ca) // for the mailfronts below, which connect to the provider
	for _, at := range mounts {
		t.Run(at.name, func(t *testing.T) {
			front := at.start(t, "AUTHORIZATION_SERVERS="+issuer)
			out := runNPMClient(t, dir, "oauth4webapi", at.base, front, "ISSUER="+issuer)
			_, token, ok := strings.Cut(out, "token: ")
			require.True(t, ok)
			runNPMClient(t, dir, "jmap-jam", at.base, front, "TOKEN="+strings.TrimSpace(token))
			runNPMClient(t, dir, "openid-client", at.base, front, "ISSUER="+issuer)
			runNPMClient(t, dir, "tsdav", at.base, front)
		})
	}
}

// relayTo passes every connection on to an address.
func relayTo(address string, l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			s, err := net.Dial("tcp", address)
			if err != nil {
				return
			}
			defer s.Close()
			go func() {
				io.Copy(s, c)
				s.(*net.TCPConn).CloseWrite()
			}()
			io.Copy(c, s)
		}()
	}
}

var npmInstall sync.Mutex

// installNPMClients returns a directory with the clients and their dependencies. It is kept in
// the user's cache, under the hash of the files in npm.
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
	// The directory is renamed when it is complete, because npm ci empties its directory even if
	// it fails.
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
