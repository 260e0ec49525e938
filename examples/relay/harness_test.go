package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

const (
	proxyIP  = "127.0.0.1" // trusted by the relay, and by the backends
	clientIP = "203.0.113.7"
	timeout  = 30 * time.Second
)

// startRelay starts a relay in this process, in front of backends.
func startRelay(t *testing.T, backends []string, settings ...string) (*relay, *logBuffer) {
	t.Helper()
	env := map[string]string{"RELAY_BACKEND": strings.Join(backends, ","), "RELAY_TRUSTED_PROXIES": proxyIP}
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		env["RELAY_"+name] = value
	}
	cfg, err := parseConfig(nil, lookup(env), io.Discard)
	require.NoError(t, err)
	log := &logBuffer{more: make(chan struct{})}
	r, err := start(cfg, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: cfg.logLevel})))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, r.shutdown(0))
		if t.Failed() {
			t.Logf("the relay's log:\n%s", log)
		}
	})
	return r, log
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}
}

// A backend is a server that trusts the relay.
type backend struct {
	*proxyproto.Listener
	t *testing.T
}

func startBackend(t *testing.T) *backend {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l, err := proxyproto.New(inner, proxyproto.Config{Trusted: trustnet.MustParse(proxyIP)})
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return &backend{l, t}
}

func (b *backend) address() string { return b.Addr().String() }

// accept returns the next connection that the relay makes.
func (b *backend) accept() *proxyproto.Conn {
	b.t.Helper()
	late := time.AfterFunc(timeout, func() { b.Close() })
	defer late.Stop()
	c, err := b.Accept()
	require.NoError(b.t, err, "the relay makes no connection")
	return prepare(b.t, c).(*proxyproto.Conn)
}

// closedAddress returns an address at which connections are refused. It is the client's
// end of a connection that stays open, so that no listener gets its port meanwhile.
func closedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c.LocalAddr().String()
}

// dial connects to the relay's first listener.
func dial(t *testing.T, r *relay) *net.TCPConn {
	t.Helper()
	return dialAddress(t, r.listeners[0].Addr().String())
}

func dialAddress(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	require.NoError(t, err)
	return prepare(t, c).(*net.TCPConn)
}

// dialAsProxy connects, and sends a header.
func dialAsProxy(t *testing.T, r *relay, h proxyproto.Header) *net.TCPConn {
	t.Helper()
	c := dial(t, r)
	require.NoError(t, proxyproto.WriteHeader(c, h))
	return c
}

// ofClient is a header with the address of the client.
func ofClient(version int, facts *proxyproto.TLS) proxyproto.Header {
	return proxyproto.Header{
		Version:     version,
		Source:      &net.TCPAddr{IP: net.ParseIP(clientIP).To4(), Port: 50000},
		Destination: &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1).To4(), Port: 25},
		TLS:         facts,
	}
}

func prepare(t *testing.T, c net.Conn) net.Conn {
	t.Helper()
	require.NoError(t, c.SetDeadline(time.Now().Add(timeout)))
	t.Cleanup(func() { c.Close() })
	return c
}

func write(t *testing.T, c net.Conn, s string) {
	t.Helper()
	_, err := io.WriteString(c, s)
	require.NoError(t, err)
}

func requireRead(t *testing.T, c net.Conn, want string) {
	t.Helper()
	b := make([]byte, len(want))
	_, err := io.ReadFull(c, b)
	require.NoError(t, err)
	require.Equal(t, want, string(b))
}

func requireEOF(t *testing.T, c net.Conn) {
	t.Helper()
	rest, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Empty(t, string(rest))
}

// A logBuffer keeps a log, and tests can wait for a line.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // closed at the next line
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.more)
	l.more = make(chan struct{})
	return l.text.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// await waits for a line that contains all parts.
func (l *logBuffer) await(t *testing.T, parts ...string) {
	t.Helper()
	for late := time.After(timeout); ; {
		l.mu.Lock()
		text, more := l.text.String(), l.more
		l.mu.Unlock()
		for line := range strings.Lines(text) {
			all := true
			for _, part := range parts {
				all = all && strings.Contains(line, part)
			}
			if all {
				return
			}
		}
		select {
		case <-more:
		case <-late:
			require.Fail(t, "no such line in the log", "%q in\n%s", parts, text)
		}
	}
}

// certificate returns files of a certificate for mail.example.com, and the configuration of a
// client that trusts it.
func certificate(t *testing.T) (certFile, keyFile string, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     []string{"mail.example.com"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certFile, keyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	require.NoError(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return certFile, keyFile, &tls.Config{RootCAs: roots, ServerName: "mail.example.com"}
}
