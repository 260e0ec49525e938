package main

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// shown is the certificate that a listener has for its clients.
func shown(t *testing.T, c net.Conn) *x509.Certificate {
	t.Helper()
	tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, tc.Handshake())
	return tc.ConnectionState().PeerCertificates[0]
}

// A connection from before the reload continues, even if the files are invalid.
func TestReloadOnSIGHUP(t *testing.T) {
	list := filepath.Join(t.TempDir(), "trusted")
	write := func(path, text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	write(list, proxyIP+"\n")
	first, certFile, keyFile := certificateFiles(t, "first.test")
	second, secondCert, secondKey := certificateFiles(t, "second.test")
	r := runMailfront(t, map[string]string{
		"MAILFRONT_TRUSTED_PROXIES": "", "MAILFRONT_TRUSTED_PROXIES_FILE": list,
		"MAILFRONT_TLS_CERT": certFile, "MAILFRONT_TLS_KEY": keyFile,
	})
	open := newScript(t, r.proxied("smtp", header(nil)))
	open.line()
	openHTTP := r.direct("http")
	require.True(t, first.Leaf.Equal(shown(t, r.direct("https"))))

	for name, text := range map[string]string{
		"no list": "no address\n", "no peer": "# empty\n", "half": "127.0.0.2\n10.0.0.0/", "everybody": "0.0.0.0/0\n",
	} {
		write(list, text)
		write(certFile, "half a certificate")
		before := r.logged("old list stays in force")
		r.hangup <- syscall.SIGHUP
		r.awaitLogs(before+1, "level=ERROR", "old list stays in force", "MAILFRONT_TRUSTED_PROXIES_FILE")
		r.awaitLogs(before+1, "level=ERROR", "old certificate stays in force", "MAILFRONT_TLS_CERT")
		newScript(t, r.proxied("smtp", header(nil))).line()
		require.True(t, first.Leaf.Equal(shown(t, r.direct("https"))), name)
	}
	require.NoError(t, os.Remove(list))
	r.hangup <- syscall.SIGHUP
	r.awaitLogs(5, "old list stays in force")
	r.awaitLogs(5, "old certificate stays in force") // comes second

	for from, to := range map[string]string{secondCert: certFile, secondKey: keyFile} {
		b, err := os.ReadFile(from)
		require.NoError(t, err)
		write(to, string(b))
	}
	write(list, directIP+" # the proxy has moved\n")
	r.hangup <- syscall.SIGHUP
	r.awaitLogs(2, "level=INFO", "msg=reload ")
	// The old proxy is now a client, and the old client must now send a header.
	c := r.dial(proxyIP, "smtp")
	newScript(t, c).line()
	_, got := get(t, r.dial(proxyIP, "http"), "/whoami", http.Header{"X-Forwarded-For": {"203.0.113.99"}})
	require.Equal(t, proxyIP, got["client_ip"])
	_, got = get(t, r.direct("http"), "/whoami", http.Header{"X-Forwarded-For": {"203.0.113.99"}})
	require.Equal(t, "203.0.113.99", got["client_ip"])

	open.smtp("EHLO client.example")
	_, got = get(t, openHTTP, "/whoami", http.Header{"X-Forwarded-For": {"203.0.113.99"}})
	require.Equal(t, "203.0.113.99", got["client_ip"], "each request asks the list")
	require.True(t, second.Leaf.Equal(shown(t, r.dial(proxyIP, "https"))), "the new certificate")
}
