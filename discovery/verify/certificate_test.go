package verify

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/discovery"
)

// An authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// sign returns a certificate that an authority has signed. With nil it is self-signed.
func (a *authority) sign(t testing.TB, template x509.Certificate) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(t, err)
	template.NotBefore = time.Now().Add(-2 * time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	parent, signer := &template, key
	if a != nil {
		parent, signer = a.certificate, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, key.Public(), signer)
	require.NoError(t, err)
	c, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &authority{c, key}
}

func (a *authority) chain(further ...*authority) tls.Certificate {
	c := tls.Certificate{Certificate: [][]byte{a.certificate.Raw}, PrivateKey: a.key}
	for _, f := range further {
		c.Certificate = append(c.Certificate, f.certificate.Raw)
	}
	return c
}

func ca(name string) x509.Certificate {
	return x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
}

// certificateClient reaches a handler with a certificate for every name.
func certificateClient(t testing.TB, h http.Handler, roots *x509.CertPool, choose func(name string) tls.Certificate) *http.Client {
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		c := choose(hello.ServerName)
		return &c, nil
	}}
	server.StartTLS()
	t.Cleanup(server.Close)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestRunNamesWhatIsWrongWithCertificate(t *testing.T) {
	root := (*authority)(nil).sign(t, ca("root"))
	intermediate := root.sign(t, ca("intermediate"))
	names := []string{"example.com"}
	leaf := intermediate.sign(t, x509.Certificate{DNSNames: names})
	public := intermediate.sign(t, x509.Certificate{DNSNames: names, IssuingCertificateURL: []string{"http://authority.example/intermediate.der"}})
	private := root.sign(t, x509.Certificate{DNSNames: names})
	self := (*authority)(nil).sign(t, x509.Certificate{DNSNames: names, Subject: pkix.Name{CommonName: "self"}})
	expired := root.sign(t, x509.Certificate{DNSNames: names, NotAfter: time.Now().Add(-time.Hour)})
	other := root.sign(t, x509.Certificate{DNSNames: []string{"other.example"}})
	roots := x509.NewCertPool()
	roots.AddCert(root.certificate)
	others := x509.NewCertPool()
	others.AddCert((*authority)(nil).sign(t, ca("another root")).certificate)
	for _, c := range []struct {
		name  string
		roots *x509.CertPool
		chain tls.Certificate
		want  string // "": it is trusted
	}{
		{name: "the full chain", roots: roots, chain: leaf.chain(intermediate)},
		{name: "no intermediate", roots: roots, chain: leaf.chain(), want: "send the full chain"},
		{name: "no intermediate of a public authority", chain: public.chain(), want: "send the full chain"},
		{name: "a private authority", chain: private.chain(), want: "add its authority"},
		{name: "the full chain of an authority that is not among the client's", roots: others, chain: leaf.chain(intermediate), want: "add its authority"},
		{name: "a private authority's full chain", chain: leaf.chain(intermediate, root), want: "add its authority"},
		{name: "signed by itself", roots: roots, chain: self.chain(), want: "add its authority"},
		{name: "expired", roots: roots, chain: expired.chain(), want: "renew it"},
		{name: "another name", roots: roots, chain: other.chain(), want: "does not have the name example.com"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := certificateClient(t, correctServer(t, verifyConfig(t, rootBase)), c.roots, func(string) tls.Certificate { return c.chain })
			report, err := Run(t.Context(), mustBase(t, rootBase), Config{Client: client})
			if c.want == "" {
				require.NoError(t, err)
				require.Empty(t, report.Findings)
				return
			}
			require.ErrorContains(t, err, "the certificate is not trusted: ")
			require.ErrorContains(t, err, c.want)
			var certificate *tls.CertificateVerificationError
			require.True(t, errors.As(err, &certificate))
		})
	}
}

func TestCertificatesOfMailHosts(t *testing.T) {
	root := (*authority)(nil).sign(t, ca("root"))
	roots := x509.NewCertPool()
	roots.AddCert(root.certificate)
	issue := func(names ...string) tls.Certificate { return root.sign(t, x509.Certificate{DNSNames: names}).chain() }
	for _, c := range []struct {
		name     string
		without  string
		document discovery.Document
	}{
		{name: "all names", without: ""},
		{name: "no mta-sts", without: "mta-sts.example.com", document: discovery.MTASTSDocument},
		{name: "no autoconfig", without: "autoconfig.example.com", document: discovery.AutoconfigDocument("example.com")},
		{name: "no ua-auto-config", without: "ua-auto-config.example.com", document: discovery.UserAgentDocument},
	} {
		t.Run(c.name, func(t *testing.T) {
			good, bad := issue("example.com", "*.example.com"), issue("example.com")
			client := certificateClient(t, correctServer(t, verifyConfig(t, rootBase)), roots, func(name string) tls.Certificate {
				if name == c.without {
					return bad
				}
				return good
			})
			report, err := Run(t.Context(), mustBase(t, rootBase), Config{Client: client, MailDomains: []string{"example.com"}})
			require.NoError(t, err)
			if c.without == "" {
				require.Empty(t, report.Findings)
				return
			}
			require.Len(t, report.Findings, 1, "%v", report.Findings)
			f := report.Findings[0]
			require.Equal(t, ruleCertificate, f.Rule)
			require.Equal(t, MistakeCertificate, f.Mistake)
			require.Equal(t, c.document, f.Document)
			require.Contains(t, f.Hint, "does not have the name "+c.without)
		})
	}
}
