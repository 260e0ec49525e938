package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// certificateFiles writes a certificate for domain and its key.
func certificateFiles(t *testing.T, domain string) (cert *tls.Certificate, certFile, keyFile string) {
	t.Helper()
	cert, err := selfSigned([]string{domain})
	require.NoError(t, err)
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	require.NoError(t, err)
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}), 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600))
	return cert, certFile, keyFile
}

func TestCertificateOnEveryListener(t *testing.T) {
	cert, certFile, keyFile := certificateFiles(t, "files.test")
	r := runMailfront(t, map[string]string{"MAILFRONT_TLS_CERT": certFile, "MAILFRONT_TLS_KEY": keyFile})
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	handshake := func(name string, c net.Conn) {
		tc := tls.Client(c, &tls.Config{RootCAs: roots, ServerName: "files.test"})
		require.NoError(t, tc.Handshake(), name)
	}
	for _, name := range listenerNames {
		if strings.HasSuffix(name, "s") {
			handshake(name, r.direct(name))
		} else if name != "http" {
			s := newScript(t, r.direct(name))
			s.line()
			if name == "smtp" || name == "submission" {
				s.smtp("EHLO client.example")
				s.send("STARTTLS\r\n")
			} else {
				s.send("%s", startTLSCommands[name])
			}
			s.line()
			handshake(name, s.Conn)
		}
	}
}

func TestSelfSignedNames(t *testing.T) {
	cert, err := selfSigned([]string{"one.test", "two.test"})
	require.NoError(t, err)
	for _, name := range []string{"one.test", "two.test", "localhost", "127.0.0.1", "::1"} {
		require.NoError(t, cert.Leaf.VerifyHostname(name))
	}
	require.Error(t, cert.Leaf.VerifyHostname("three.test"))
}

func TestSelfSignedForDocumentHosts(t *testing.T) {
	r := runMailfront(t, map[string]string{"MAILFRONT_PUBLIC_URL": "https://web.test:8443/mail", "MAILFRONT_HOSTNAME": "mx.test", "MAILFRONT_DOMAINS": "one.test"})
	tc := tls.Client(r.direct("https"), &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, tc.Handshake())
	for _, name := range []string{"web.test", "mx.test", "one.test", "mta-sts.one.test", "autoconfig.one.test", "ua-auto-config.one.test", "autodiscover.one.test"} {
		require.NoError(t, tc.ConnectionState().PeerCertificates[0].VerifyHostname(name))
	}
}
