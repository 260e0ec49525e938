package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// serverName is in both certificates. The certificate shows where a client's TLS ended.
const serverName = "mail.example.com"

const (
	endedByProxy  = "the proxy" // common names
	endedByServer = "the server"
)

// certificates has certificate files and the pool that clients trust.
type certificates struct {
	roots                 *x509.CertPool
	ca                    string
	serverCert, serverKey string
	proxyCert, proxyKey   string
	proxyPEM              string // both in one file
	providerCert          string // of an identity provider at 127.0.0.1
	providerKey           string
}

var makeCertificates = sync.OnceValues(func() (*certificates, error) {
	ca, caKey, err := issue(&x509.Certificate{
		Subject:               pkix.Name{CommonName: "interop tests"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}, nil, nil)
	if err != nil {
		return nil, err
	}
	c := &certificates{
		roots:      x509.NewCertPool(),
		ca:         filepath.Join(shared, "ca.pem"),
		serverCert: filepath.Join(shared, "server.pem"),
		serverKey:  filepath.Join(shared, "server.key"),
		proxyCert:  filepath.Join(shared, "proxy.pem"),
		proxyKey:   filepath.Join(shared, "proxy.key"),
		proxyPEM:   filepath.Join(shared, "proxy-both.pem"),

		providerCert: filepath.Join(shared, "provider.pem"),
		providerKey:  filepath.Join(shared, "provider.key"),
	}
	c.roots.AddCert(ca)
	if err := writeFiles(encodeCert(ca), c.ca); err != nil {
		return nil, err
	}
	for _, leaf := range []struct {
		name, cert, key, both string
		addresses             []net.IP
	}{
		{name: endedByServer, cert: c.serverCert, key: c.serverKey},
		{name: endedByProxy, cert: c.proxyCert, key: c.proxyKey, both: c.proxyPEM},
		{name: "identity provider", cert: c.providerCert, key: c.providerKey, addresses: []net.IP{net.IPv4(127, 0, 0, 1)}},
	} {
		cert, key, err := issue(&x509.Certificate{
			Subject:     pkix.Name{CommonName: leaf.name},
			DNSNames:    []string{serverName},
			IPAddresses: leaf.addresses,
			KeyUsage:    x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}, ca, caKey)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		certPEM := encodeCert(cert)
		if err := writeFiles(certPEM, leaf.cert); err != nil {
			return nil, err
		}
		if err := writeFiles(keyPEM, leaf.key); err != nil {
			return nil, err
		}
		if leaf.both != "" {
			if err := writeFiles(append(certPEM, keyPEM...), leaf.both); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
})

func testCertificates(t *testing.T) *certificates {
	t.Helper()
	c, err := makeCertificates()
	require.NoError(t, err)
	return c
}

// issue signs template, or creates a self-signed certificate.
func issue(template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		return nil, nil, err
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

func encodeCert(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func writeFiles(data []byte, path string) error { return os.WriteFile(path, data, 0o600) }

// clientTLS returns the TLS configuration of clients.
func clientTLS(t *testing.T) *tls.Config {
	t.Helper()
	return &tls.Config{RootCAs: testCertificates(t).roots, ServerName: serverName}
}

// onTLS does a handshake on c and checks where the TLS ends.
func onTLS(t *testing.T, c net.Conn, endedBy string) net.Conn {
	t.Helper()
	tc := tls.Client(c, clientTLS(t))
	require.NoError(t, tc.Handshake())
	requireEndedBy(t, tc.ConnectionState(), endedBy)
	return tc
}

func requireEndedBy(t *testing.T, state tls.ConnectionState, endedBy string) {
	t.Helper()
	require.NotEmpty(t, state.PeerCertificates)
	require.Equal(t, endedBy, state.PeerCertificates[0].Subject.CommonName, "who ended TLS")
}
