package main

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/discovery/verify"
	"github.com/seed-94e48765/portico/publicurl"
)

func TestDoctorNamesIssuersNotRequested(t *testing.T) {
	const address = "https://192.0.2.1/.well-known/oauth-authorization-server/realms/mail" // no connection is attempted
	server := foreignIssuer(t, "https://192.0.2.1/realms/mail")
	_, stdout, stderr := doctor(t, "", server.URL)
	require.Empty(t, stderr)
	require.Contains(t, stdout, "\nnot requested: "+address+": the address is not public, and -foreign-hosts does not have the host\n")
	require.NotContains(t, stdout, "Config.")

	_, stdout, _ = doctor(t, "", "-json", "-connect", server.Listener.Addr().String(), server.URL)
	require.NotContains(t, stdout, "Config.")
	var d diagnosis
	require.NoError(t, json.Unmarshal([]byte(stdout), &d))
	skipped := slices.IndexFunc(d.Server.Checked, func(c verify.Checked) bool { return c.Skipped })
	require.NotEqual(t, -1, skipped)
	require.Equal(t, "issuers on other hosts are not requested at the node of -connect", d.Server.Checked[skipped].Error)

	require.Equal(t, len(d.Report.Checked)-1, d.requests())
	_, stdout, _ = doctor(t, "", server.URL)
	require.Contains(t, stdout, fmt.Sprintf(", %d requests", len(d.Report.Checked)-1))
}

// foreignIssuer starts a server whose documents name an issuer on another host.
func foreignIssuer(t *testing.T, issuer string) *httptest.Server {
	t.Helper()
	var documents http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { documents.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	server.URL = strings.Replace(server.URL, "127.0.0.1", "localhost", 1) // so that the issuer can be at 127.0.0.1
	base, err := publicurl.Parse(server.URL, publicurl.AllowInsecureHTTP())
	require.NoError(t, err)
	set, err := discovery.Build(discovery.Config{Base: base, JMAP: &discovery.JMAP{}, AuthorizationServers: []string{issuer}})
	require.NoError(t, err)
	documents = discovery.NewServer(set, discovery.ServerConfig{})
	return server
}

// A report of verify names the fields of verify.Config. Doctor has flags for them.
func TestDoctorNamesFlagsForProxies(t *testing.T) {
	server := foreignIssuer(t, "https://192.0.2.1")
	base, err := publicurl.Parse(server.URL, publicurl.AllowInsecureHTTP())
	require.NoError(t, err)
	proxied := func(r *http.Request) (*url.URL, error) {
		if r.URL.Hostname() == "192.0.2.1" {
			return url.Parse("http://127.0.0.1:9")
		}
		return nil, nil
	}
	report, err := verify.Run(t.Context(), base, verify.Config{Client: &http.Client{Transport: &http.Transport{Proxy: proxied}}})
	require.NoError(t, err)
	nameFlags(report, nil)
	skipped := slices.IndexFunc(report.Checked, func(c verify.Checked) bool { return c.Skipped })
	require.NotEqual(t, -1, skipped)
	require.Equal(t, "requests to the host use a proxy (HTTPS_PROXY), and -foreign-hosts does not have the host", report.Checked[skipped].Error)
}

func TestDoctorRequestsForeignHosts(t *testing.T) {
	var requests atomic.Int32
	issuer := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		fmt.Fprintf(w, `{"issuer":"https://%s"}`, r.Host)
	}))
	issuer.StartTLS()
	defer issuer.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issuer.Certificate().Raw})
	require.NoError(t, os.WriteFile(ca, certificate, 0o600))
	server := foreignIssuer(t, issuer.URL)
	_, stdout, _ := doctor(t, "", "-ca", ca, server.URL)
	require.Contains(t, stdout, "-foreign-hosts does not have the host")
	require.Zero(t, requests.Load())
	_, stdout, stderr := doctor(t, "", "-ca", ca, "-foreign-hosts", "id.example, "+issuer.Listener.Addr().String(), "-connect", server.Listener.Addr().String(), server.URL)
	require.Empty(t, stderr)
	require.NotContains(t, stdout, "not requested")
	require.NotContains(t, stdout, issuer.URL)
	require.EqualValues(t, 1, requests.Load())
}

func TestDoctorDoesNotCompareSkippedIssuers(t *testing.T) {
	const u = "https://id.example"
	for _, c := range []struct {
		name          string
		proxy, server verify.Checked
	}{
		{name: "skipped at both", proxy: verify.Checked{URL: u, Skipped: true, Error: "one reason"}, server: verify.Checked{URL: u, Skipped: true, Error: "another"}},
		{name: "skipped at the server", proxy: verify.Checked{URL: u, Status: 200}, server: verify.Checked{URL: u, Skipped: true, Error: "a reason"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &diagnosis{Report: &verify.Report{Checked: []verify.Checked{c.proxy}}, Server: &verify.Report{Checked: []verify.Checked{c.server}}}
			d.compare()
			require.Empty(t, d.Differences)
		})
	}
}
