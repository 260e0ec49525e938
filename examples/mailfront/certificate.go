// Copy the use of GetCertificate, which allows the certificate to be replaced while serving.
// Change selfSigned: use no self-signed certificate in production.

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/seed-94e48765/portico/publicurl"
)

// loadCertificate loads the certificate files of the settings, or makes a self-signed certificate
// for a base.
func loadCertificate(cfg *config, base publicurl.Base) (*tls.Certificate, error) {
	if cfg.certFile.Text == "" {
		return selfSigned(cfg.certificateNames(base))
	}
	cert, err := tls.LoadX509KeyPair(cfg.certFile.Text, cfg.keyFile.Text)
	if err != nil {
		return nil, cfg.certFile.Errorf("cannot be used with %s %q: %w", cfg.keyFile.From, cfg.keyFile.Text, err)
	}
	return &cert, nil
}

// certificateNames returns the names for which clients may request a certificate.
func (cfg *config) certificateNames(base publicurl.Base) []string {
	names := slices.Clone(cfg.domains)
	for _, domain := range cfg.domains {
		for _, prefix := range []string{"mta-sts.", "autoconfig.", "ua-auto-config.", "autodiscover."} {
			names = append(names, prefix+domain)
		}
	}
	for _, host := range []string{base.Hostname(), cfg.hostnameOn(base)} {
		if host != "" && !slices.Contains(names, host) {
			names = append(names, host)
		}
	}
	return names
}

// newTLSConfig returns the configuration of every listener, for STARTTLS, implicit TLS and HTTPS.
func newTLSConfig(current *atomic.Pointer[tls.Certificate]) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return current.Load(), nil },
	}
}

// selfSigned makes a certificate for this machine and for names, which may include IP addresses.
// Clients must be configured to accept it.
func selfSigned(names []string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("mailfront: cannot make a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("mailfront: cannot make a serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: names[0]},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("mailfront: cannot make a certificate for %q: %w", names[0], err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("mailfront: cannot read the certificate just made: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}
