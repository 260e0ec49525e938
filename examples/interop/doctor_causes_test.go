package interop

import (
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Common mistakes in configurations of HAProxy and NGINX, and the cause that the doctor
// reports.

const (
	haproxyRules = "    http-request set-header X-Forwarded-For %[src]\n"
	haproxyWeb   = "    server web \"${HTTP_SERVER}\"\n"
	nginxRoot    = "        location / {\n            proxy_pass http://web;\n"
)

// A cause is a fault in the configuration of a proxy.
type cause struct {
	name    string
	start   func(t *testing.T, m *mailfront, file string, set map[string]string, changes ...change) *proxy
	file    string
	m       *mailfront
	set     map[string]string
	changes []change
	base    string // that of the server if ""
	flags   []string
	rule    string
	mistake string
	text    []string // in the text report
}

func TestTheDoctorNamesTheCause(t *testing.T) {
	const base = "https://" + serverName
	settings := []string{"PUBLIC_URL=" + base, "DEMO_PASSWORD=" + publicPassword, useProto}
	m := startForwarded(t, settings...)
	other := startForwarded(t, settings...) // with keys of its own
	expectsPROXY := startMailfront(t, append([]string{"HTTP_CLIENT=proxy"}, settings[:2]...)...)
	backend := startNGINX(t, m, "http.conf", nil)
	rule := func(lines string) []change { return []change{{haproxyRules, lines + haproxyRules}} }
	server := func(lines string) []change { return []change{{haproxyWeb, lines}} }
	location := func(lines string) []change { return []change{{nginxRoot, nginxRoot + lines}} }
	for _, c := range []cause{
		{name: "POST is denied", start: startHAProxy, file: "http.cfg", m: m, changes: rule("    http-request deny if METH_POST\n"),
			rule: "endpoint-missing", mistake: "method-blocked", text: []string{"the proxy denies every POST by itself", "token_endpoint", "http-request deny unless METH_GET"}},
		{name: "a firewall in front of everything", start: startHAProxy, file: "http.cfg", m: m, changes: rule("    http-request deny deny_status 403 if TRUE\n"),
			rule: "status", mistake: "access-denied", text: []string{": 1 finding, ", "403 Forbidden for every URL", "firewall (WAF)"}},
		{name: "a password in front of everything", start: startNGINX, file: "http.conf", m: m, changes: location("            auth_basic staff; auth_basic_user_file /dev/null;\n"),
			rule: "status", mistake: "access-denied", text: []string{": 1 finding, ", "401 Unauthorized for every URL", "auth_basic off;"}},
		{name: "forward authentication in front of everything", start: startHAProxy, file: "http.cfg", m: m, changes: rule("    http-request redirect location https://auth.example.com/start?rd=%[path] if TRUE\n"),
			rule: "redirect", mistake: "access-denied", text: []string{": 1 finding, ", "https://auth.example.com/start for every URL", "forward authentication"}},
		{name: "HTTPS is forced behind an HTTP hop", start: startHAProxy, file: "http.cfg", m: m, changes: rule("    http-request redirect scheme https unless { dst_port 443 }\n"),
			rule: "redirect", mistake: "https-forced", text: []string{": 1 finding, ", "to the same URL, for every URL", "X-Forwarded-Proto"}},
		{name: "HTTPS is forced behind an HTTP hop by NGINX", start: startNGINX, file: "http.conf", m: m, changes: location("            return 301 https://$host$request_uri;\n"),
			rule: "redirect", mistake: "https-forced", text: []string{": 1 finding, ", "to the same URL, for every URL"}},
		{name: "a PROXY header to NGINX, which expects none", start: startHAProxy, file: "http.cfg", m: m, set: map[string]string{"HTTP_SERVER": backend.front["http"]}, changes: server(strings.TrimSuffix(haproxyWeb, "\n") + " send-proxy no-check\n"),
			rule: "status", mistake: "proxy-header", text: []string{": 1 finding, ", "400 Bad Request for every URL", "remove send-proxy or proxy_protocol"}},
		{name: "no PROXY header to a server that requires one", start: startHAProxy, file: "http.cfg", m: expectsPROXY, changes: server(strings.TrimSuffix(haproxyWeb, "\n") + " no-check\n"), flags: []string{"-request-timeout", "3s"}, // HTTP/2 clients try again and again
			rule: "status", mistake: "backend-not-reached", text: []string{": 1 finding, ", "502 Bad Gateway for every URL", "add send-proxy-v2"}},
		{name: "nodes with keys of their own", start: startHAProxy, file: "http.cfg", m: m, changes: server("    balance roundrobin\n    server web1 " + m.address["http"] + "\n    server web2 " + other.address["http"] + "\n"),
			rule: "nodes-disagree", mistake: "nodes-differ", text: []string{"jwks_uri", "2 different answers over 4 connections", "its own signing keys"}},
		{name: "nodes that a sticky balancer hides", start: startHAProxy, file: "http.cfg", m: m, flags: []string{"-connect", m.address["http"] + "," + other.address["http"]},
			rule: "nodes-disagree", mistake: "nodes-differ", text: []string{"2 different answers over 6 connections", m.address["http"] + " differs from " + other.address["http"]}},
		{name: "OPTIONS is answered by NGINX", start: startNGINX, file: "http.conf", m: m, changes: location("            if ($request_method = OPTIONS) { return 204; }\n"),
			rule: "method-blocked", mistake: "cors-headers", text: []string{"answers OPTIONS itself", "if ($request_method = OPTIONS) { return 204; }"}},
		{name: "a wrong content coding", start: startNGINX, file: "http.conf", m: m, changes: location("            add_header Content-Encoding gzip always;\n"),
			rule: "content-coding", mistake: "body-rewritten", text: []string{"the body is not gzip", "switch compression off"}},
		{name: "CORS is removed by NGINX", start: startNGINX, file: "http.conf", m: m, changes: location("            proxy_hide_header Access-Control-Allow-Origin;\n"),
			rule: "cors-missing", mistake: "cors-headers", text: []string{"at    " + base + "/auth/token", "proxy_hide_header Access-Control-"}},
		{name: "a certificate without the names of mail hosts", start: startHAProxy, file: "http.cfg", m: m, flags: []string{"-domains", "example.test"},
			rule: "certificate", mistake: "certificate", text: []string{"does not have the name mta-sts.example.test", "does not have the name autoconfig.example.test", "certbot"}},
		{name: "a page is given as base", start: startNGINX, file: "http.conf", m: m, base: base + "/login",
			rule: "no-documents", mistake: "wrong-base", text: []string{": 1 finding, ", "issuer " + base, "the URL of a page"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.start(t, c.m, c.file, c.set, c.changes...)
			if c.base == "" {
				c.base = base
			}
			status, out := askDoctor(t, c.base, p.front["https"], append([]string{"-json"}, c.flags...)...)
			require.Equal(t, 1, status, "%s", out)
			var d diagnosis
			require.NoError(t, json.Unmarshal([]byte(out), &d), "%s", out)
			found := false
			for _, f := range d.Report.Findings {
				found = found || f.Rule == c.rule && f.Mistake == c.mistake
			}
			require.True(t, found, "%s", out)
			status, text := askDoctor(t, c.base, p.front["https"], c.flags...)
			require.Equal(t, 1, status)
			for _, want := range c.text {
				require.Contains(t, text, want)
			}
		})
	}
}

// The doctor trusts the root authority, and the proxy sends the server's certificate only.
func TestTheDoctorNamesMissingIntermediate(t *testing.T) {
	m := startForwarded(t, "PUBLIC_URL=https://"+serverName, useProto)
	dir := t.TempDir()
	authority := func(name string, parent *x509.Certificate, key *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		c, k, err := issue(&x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, parent, key)
		require.NoError(t, err)
		return c, k
	}
	root, rootKey := authority("a root", nil, nil)
	intermediate, intermediateKey := authority("an intermediate", root, rootKey)
	leaf, key, err := issue(&x509.Certificate{Subject: pkix.Name{CommonName: endedByProxy}, DNSNames: []string{serverName}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, intermediate, intermediateKey)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	roots := filepath.Join(dir, "root.pem")
	require.NoError(t, writeFiles(encodeCert(root), roots))
	for name, chain := range map[string][]byte{"leaf": encodeCert(leaf), "full": append(encodeCert(leaf), encodeCert(intermediate)...)} {
		file := filepath.Join(dir, name+".pem")
		require.NoError(t, writeFiles(append(chain, keyPEM...), file))
		p := startHAProxy(t, m, "http.cfg", map[string]string{"TLS_PEM": file})
		path, err := doctorBinary()
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), path, "-ca", roots, "https://"+serverName)
		cmd.Env = append(os.Environ(), "HTTPS_PROXY="+webProxy(t, p.front["https"]), "NO_PROXY=")
		out, err := cmd.CombinedOutput()
		if name == "full" {
			require.NoError(t, err, "%s", out)
			continue
		}
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, 2, exit.ExitCode(), "%s", out)
		require.Contains(t, string(out), "send the full chain")
		require.NotContains(t, string(out), "-ca")
	}
}
