package verify

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
)

// certificateHint returns the fix for a certificate that is not trusted. It reports whether
// err is about such a certificate.
func (f *fetcher) certificateHint(err error) (string, bool) {
	var (
		certificate *tls.CertificateVerificationError
		name        x509.HostnameError
		invalid     x509.CertificateInvalidError
		unknown     x509.UnknownAuthorityError
	)
	switch {
	case !errors.As(err, &certificate):
		return "", false
	case errors.As(err, &name):
		return "the certificate does not have the name " + name.Host + ": add the name to it (subjectAltName), or give the host a certificate of its own", true
	case errors.As(err, &unknown) && lacksIntermediate(certificate.UnverifiedCertificates, f.hasRoots()):
		return "the server sends its certificate without that of the authority that issued it: send the full chain, with the intermediate certificates (fullchain.pem in NGINX's ssl_certificate and in HAProxy's crt)", true
	case errors.As(err, &invalid):
		return "clients refuse the certificate: renew it", true
	}
	return "add its authority to those that the client trusts, or use a certificate of an authority that clients trust", true
}

func isCertificateError(err error) bool {
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &certificate)
}

// lacksIntermediate reports whether a server sends its own certificate without the
// intermediate certificate of its authority. The certificate of a public authority has the
// URL of the authority's own certificate. A certificate without that URL can be from a
// private authority that signs without intermediates; then the intermediate is known to be
// missing only if the client has roots of its own.
func lacksIntermediate(chain []*x509.Certificate, ownRoots bool) bool {
	if len(chain) == 0 {
		return false
	}
	last := chain[len(chain)-1]
	return !last.IsCA && !bytes.Equal(last.RawIssuer, last.RawSubject) && (ownRoots || len(last.IssuingCertificateURL) > 0)
}

// hasRoots reports whether the caller chose the authorities.
func (f *fetcher) hasRoots() bool {
	if f.settings.Client == nil {
		return false
	}
	t, ok := f.settings.Client.Transport.(*http.Transport)
	return ok && t.TLSClientConfig != nil && t.TLSClientConfig.RootCAs != nil
}
