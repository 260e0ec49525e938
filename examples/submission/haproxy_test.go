//go:build unix

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// haproxy runs haproxy.cfg in front of the server until the test ends, and returns
// its addresses for clients.
func haproxy(t *testing.T, smtpAddr, httpAddr string) (submissions, https string, pool *x509.CertPool) {
	t.Helper()
	path, err := exec.LookPath("haproxy")
	if err != nil {
		if os.Getenv("PORTICO_INTEROP") == "required" {
			t.Fatal("haproxy is not installed: apt-get install haproxy")
		}
		t.Skip("haproxy is not installed: apt-get install haproxy")
	}
	pemFile, pool := certificate(t)
	cmd := exec.Command(path, "-db", "-dW", "-f", "haproxy.cfg")
	cmd.Env = append(os.Environ(), "TLS_PEM="+pemFile, "SMTP_SERVER="+smtpAddr, "HTTP_SERVER="+httpAddr,
		"SUBMISSIONS_FRONT=fd@3", "HTTPS_FRONT=fd@4")
	var fronts []string
	for range 2 { // HAProxy inherits sockets with ports from the kernel
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		f, err := l.(*net.TCPListener).File()
		require.NoError(t, err)
		fronts = append(fronts, l.Addr().String())
		l.Close()
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Log(output.String())
		}
	})
	return fronts[0], fronts[1], pool
}

// certificate returns a file with a certificate for mail.example.com and its key.
func certificate(t *testing.T) (file string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"mail.example.com", "autoconfig.example.com"},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	pool = x509.NewCertPool()
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool.AddCert(parsed)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	file = filepath.Join(t.TempDir(), "mail.pem")
	require.NoError(t, os.WriteFile(file, slices.Concat(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})), 0o600))
	return file, pool
}

func TestBehindHAProxy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.77:0") // the client's address, which does not exist on macOS
	if err != nil {
		t.Skipf("no client can have the address 127.0.0.77 on this system: %v", err)
	}
	l.Close()
	smtpAddr, httpAddr, lookups := start(t)
	submissions, https, pool := haproxy(t, smtpAddr, httpAddr)
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 77)}, Timeout: time.Minute}

	conn, err := tls.DialWithDialer(from, "tcp", submissions, &tls.Config{RootCAs: pool, ServerName: "mail.example.com"})
	require.NoError(t, err)
	client := smtp.NewClient(conn)
	defer client.Close()
	require.NoError(t, client.Hello("client.example"))
	assert.True(t, client.SupportsAuth(sasl.Plain), "HAProxy reports the client's TLS")
	require.NoError(t, client.SendMail("from@sender.example", []string{"user@example.com"}, strings.NewReader("Subject: test\r\n\r\ntest\r\n")))
	assert.Equal(t, "127.0.0.77", (<-lookups).String(), "SPF is looked up for the client")
	require.NoError(t, client.Auth(sasl.NewPlainClient("", "user@example.com", password)))
	require.NoError(t, client.SendMail("user@example.com", []string{"a@elsewhere.example"}, strings.NewReader("Subject: test\r\n\r\ntest\r\n")))

	web := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "autoconfig.example.com"},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return from.DialContext(ctx, "tcp", https)
		},
	}}
	defer web.CloseIdleConnections()
	resp, err := web.Get("https://autoconfig.example.com/mail/config-v1.1.xml")
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Contains(t, string(body), "<hostname>mail.example.com</hostname>")
}
