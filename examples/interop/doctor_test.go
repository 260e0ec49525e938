package interop

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The doctor runs in front of real proxies. It connects to the public name through a forward
// proxy of the test.

// A diagnosis is the part of the doctor's JSON that the tests use.
type diagnosis struct {
	Report struct {
		Checked []struct {
			Document string `json:"document"`
			Status   int    `json:"status"`
		} `json:"checked"`
		Findings []struct {
			Document string `json:"document"`
			Rule     string `json:"rule"`
			Mistake  string `json:"mistake"`
			URL      string `json:"url"`
			Got      string `json:"got"`
		} `json:"findings"`
	} `json:"report"`
}

// askDoctor runs the doctor for a base whose host is at an address, and returns the exit
// status and the output.
func askDoctor(t *testing.T, base, at string, flags ...string) (int, string) {
	t.Helper()
	path, err := doctorBinary()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), path, append(flags, "-ca", testCertificates(t).ca, base)...)
	cmd.Env = append(os.Environ(), "HTTPS_PROXY="+webProxy(t, at), "NO_PROXY=", "DOCTOR_TOKEN="+publicPassword)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), string(out) + string(exit.Stderr)
	}
	require.NoError(t, err)
	return 0, string(out)
}

// webProxy connects every CONNECT request to an address, from a client's address.
func webProxy(t *testing.T, at string) string {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(clientIP)}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			http.Error(w, "CONNECT only", http.StatusMethodNotAllowed)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()
		to, err := dialer.DialContext(ctx, "tcp", at)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		from, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			to.Close()
			return
		}
		io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { io.Copy(to, from); to.Close() }()
		go func() { io.Copy(from, to); from.Close() }()
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestTheDoctorFindsNothing(t *testing.T) {
	clean := func(t *testing.T, base, at string, flags ...string) {
		t.Helper()
		status, out := askDoctor(t, base, at, append([]string{"-json"}, flags...)...)
		require.Zero(t, status, "%s", out)
		var d diagnosis
		require.NoError(t, json.Unmarshal([]byte(out), &d), "%s", out)
		require.Empty(t, d.Report.Findings)
		require.Greater(t, len(d.Report.Checked), 20, "%s", out)
	}
	for _, base := range []string{"https://" + serverName, "https://" + serverName + ":8443", "https://" + serverName + "/mail", "https://" + serverName + ":8443/mail"} {
		t.Run(base, func(t *testing.T) {
			m := startForwarded(t, "PUBLIC_URL="+base, "DEMO_PASSWORD="+publicPassword, useProto)
			for _, product := range httpProxies {
				if !strings.HasSuffix(base, "/mail") {
					for _, file := range []string{"http", "http-reencrypted"} {
						t.Run(product.product+"/"+file, func(t *testing.T) {
							clean(t, base, product.run(t, m, file, nil).front["https"])
						})
					}
					continue
				}
				for name, changes := range map[string][]change{"path stripped": nil, "path kept": keepPath[product.product]} {
					t.Run(product.product+"/"+name, func(t *testing.T) {
						p := product.run(t, m, "http-path", nil, changes...)
						clean(t, base, p.front["https"])
						clean(t, base, p.front["https"], "-connect", m.address["http"])
					})
				}
			}
		})
	}
}

// The doctor reports common mistakes in http-path and their likely causes.
func TestTheDoctorNamesProxyMistakes(t *testing.T) {
	const base = "https://" + serverName + "/mail"
	m := startForwarded(t, "PUBLIC_URL="+base, "DEMO_PASSWORD="+publicPassword, useProto)
	other := startForwarded(t, "PUBLIC_URL=https://"+serverName+":8443/mail", "DEMO_PASSWORD="+publicPassword, useProto)
	bootstrap := startForwarded(t, "MODE=bootstrap", "DEMO_PASSWORD="+publicPassword, useProto)
	for _, c := range []struct {
		name    string
		m       *mailfront
		changes []change
		rule    string
		mistake string
	}{
		{name: "the well-known locations are not routed", m: m, changes: []change{{"use_backend mail if mail or well-known or mail-host or mail-document\n", "use_backend mail if mail or mail-host or mail-document\n"}}, rule: "document-missing", mistake: "well-known-not-routed"},
		{name: "the server has another public URL", m: other, changes: nil, rule: "issuer-not-identical", mistake: "public-url-differs"},
		{name: "the server has no public URL yet", m: bootstrap, changes: nil, rule: "stale-relative-document", mistake: "public-url-differs"},
		{name: "CORS is removed", m: m, changes: []change{{"    server web \"${HTTP_SERVER}\"\n", "    http-response del-header Access-Control-Allow-Origin\n    server web \"${HTTP_SERVER}\"\n"}}, rule: "cors-missing", mistake: "cors-headers"},
		{name: "the challenge is removed", m: m, changes: []change{{"    server web \"${HTTP_SERVER}\"\n", "    http-response del-header WWW-Authenticate\n    server web \"${HTTP_SERVER}\"\n"}}, rule: "challenge", mistake: "authorization-removed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := startHAProxy(t, c.m, "http-path.cfg", nil, c.changes...)
			status, out := askDoctor(t, base, p.front["https"], "-json")
			require.Equal(t, 1, status, "%s", out)
			var d diagnosis
			require.NoError(t, json.Unmarshal([]byte(out), &d), "%s", out)
			found := false
			for _, f := range d.Report.Findings {
				found = found || f.Rule == c.rule && f.Mistake == c.mistake
			}
			require.True(t, found, "%s", out)
			status, text := askDoctor(t, base, p.front["https"])
			require.Equal(t, 1, status)
			for _, product := range []string{"HAProxy", "NGINX", "Caddy", "Traefik"} {
				require.Contains(t, text, product)
			}
		})
	}
	t.Run("the certificate is not trusted", func(t *testing.T) {
		p := startHAProxy(t, m, "http-path.cfg", nil)
		path, err := doctorBinary()
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), path, base)
		cmd.Env = append(os.Environ(), "HTTPS_PROXY="+webProxy(t, p.front["https"]), "NO_PROXY=")
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, 2, exit.ExitCode(), "%s", out)
		require.Contains(t, string(out), "certificate")
		require.Contains(t, string(out), "-ca")
	})
}
