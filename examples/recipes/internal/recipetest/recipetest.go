// Package recipetest helps the tests of the recipes. It runs a recipe and connects to it, as
// the proxy in front of it does.
package recipetest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

// RunFunc is the run function of a recipe. It calls started with the addresses of its
// listeners and serves until ctx ends.
type RunFunc func(ctx context.Context, args []string, started func(...net.Addr)) error

// Start runs a recipe and returns the addresses of its listeners. When the test ends,
// Start ends the recipe and requires that it returns no error.
func Start(t testing.TB, run RunFunc, args ...string) []string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended, started := make(chan error, 1), make(chan []net.Addr, 1)
	go func() { ended <- run(ctx, args, func(a ...net.Addr) { started <- a }) }()
	t.Cleanup(cancel)
	select {
	case err := <-ended:
		require.NoError(t, err)
		t.Fatal("the recipe ended before its listeners were open")
		return nil
	case listeners := <-started:
		t.Cleanup(func() {
			cancel()
			assert.NoError(t, <-ended)
		})
		var addrs []string
		for _, a := range listeners {
			addrs = append(addrs, a.String())
		}
		return addrs
	}
}

// RequireRefused requires that a recipe with these arguments ends with an error that
// contains want.
func RequireRefused(t testing.TB, run RunFunc, want string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // for a recipe that starts after all
	require.ErrorContains(t, run(ctx, args, func(...net.Addr) {}), want)
}

// Header is the PROXY header for a client at 203.0.113.7. tls is what the proxy reports
// about the client's TLS, nil for a proxy that does not report it.
func Header(tls *proxyproto.TLS) proxyproto.Header {
	return proxyproto.Header{
		Source:      &net.TCPAddr{IP: net.IPv4(203, 0, 113, 7), Port: 50000},
		Destination: &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 25},
		TLS:         tls,
	}
}

// Dial connects to a recipe with a PROXY header. The connection ends with the test.
func Dial(t testing.TB, addr string, h proxyproto.Header) net.Conn {
	t.Helper()
	c, err := new(proxyproto.Dialer).DialContext(context.Background(), "tcp", addr, h)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
	return c
}

// Transport sends HTTP requests for every host to a recipe, with a PROXY header.
func Transport(t testing.TB, addr string, h proxyproto.Header) *http.Transport {
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(proxyproto.Dialer).DialContext(ctx, "tcp", addr, h)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// Certificate returns the files of a new certificate for mail.example.com and its key,
// and a pool that contains the certificate.
func Certificate(t testing.TB) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mail.example.com"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool = x509.NewCertPool()
	pool.AddCert(leaf)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	return certFile, keyFile, pool
}

// TLSClient is the configuration of a client that trusts pool.
func TLSClient(pool *x509.CertPool) *tls.Config {
	return &tls.Config{RootCAs: pool, ServerName: "mail.example.com"}
}

// A Log collects the lines that a recipe writes to the default logger of log/slog.
type Log struct {
	mu      sync.Mutex
	text    bytes.Buffer
	written chan struct{} // closed and replaced by Write
}

// CaptureLog redirects the default logger until the test ends.
func CaptureLog(t testing.TB) *Log {
	log, before := &Log{written: make(chan struct{})}, slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(log, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return log
}

func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.written)
	l.written = make(chan struct{})
	return l.text.Write(b)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Await waits until the log contains want. Lines of OnReject, for example, are written after
// the connection is closed.
func (l *Log) Await(t testing.TB, want string) {
	t.Helper()
	late := time.After(time.Minute)
	for {
		l.mu.Lock()
		text, written := l.text.String(), l.written
		l.mu.Unlock()
		if strings.Contains(text, want) {
			return
		}
		select {
		case <-written:
		case <-late:
			t.Fatalf("the log does not contain %q:\n%s", want, text)
		}
	}
}
