package proxyproto

import (
	"crypto/tls"
	"strings"
)

// TLSFromState returns the Header.TLS of a proxy that ends its clients' TLS with
// crypto/tls:
//
//	state := conn.ConnectionState() // of a *tls.Conn, after the handshake
//	header.TLS = proxyproto.TLSFromState(state)
//	header.ServerName, header.ALPN = state.ServerName, state.NegotiatedProtocol
//
// The names are those of proxy-protocol.txt section 2.2.6, which are OpenSSL's.
// Verified needs a tls.Config.ClientAuth that verifies. Certificate is left out,
// because it makes headers of several kilobytes. To send it, set it to
// PeerCertificates[0].Raw. SigAlg, KeyAlg and SigScheme are not reported by
// crypto/tls.
//
// Before the handshake is complete TLSFromState returns nil.
func TLSFromState(state tls.ConnectionState) *TLS {
	if !state.HandshakeComplete {
		return nil
	}
	t := &TLS{
		Client:  true,
		Version: versionName.Replace(tls.VersionName(state.Version)),
		Cipher:  opensslCipher(state.CipherSuite),
		Group:   groupName(state.CurveID),
	}
	if len(state.PeerCertificates) > 0 {
		t.ClientCert = true
		t.FromSession = state.DidResume
		t.Verified = len(state.VerifiedChains) > 0
		t.CommonName = state.PeerCertificates[0].Subject.CommonName
		if !t.Verified {
			t.VerifyError = verifyUnspecified
		}
	}
	return t
}

var versionName = strings.NewReplacer("TLS 1.0", "TLSv1", "TLS ", "TLSv")

// verifyUnspecified is X509_V_ERR_UNSPECIFIED, for a certificate that was
// not verified: the field is OpenSSL's verification result.
const verifyUnspecified = 1

// fromIANA changes the names that IANA gave the cipher suites before TLS 1.3 into
// OpenSSL's. Both have the same names for those of TLS 1.3.
var fromIANA = strings.NewReplacer(
	"TLS_RSA_WITH_", "", "TLS_", "", "_WITH_", "-",
	"AES_128_CBC_", "AES128-", "AES_256_CBC_", "AES256-",
	"AES_128_GCM_", "AES128-GCM-", "AES_256_GCM_", "AES256-GCM-",
	"CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305",
	"3DES_EDE_CBC_", "DES-CBC3-", "RC4_128_", "RC4-",
	"_", "-",
)

func opensslCipher(id uint16) string {
	name := tls.CipherSuiteName(id)
	if !strings.Contains(name, "_WITH_") {
		return name
	}
	return fromIANA.Replace(name)
}

// crypto/tls has names for these since Go 1.26.
const (
	secP256r1MLKEM768  tls.CurveID = 0x11eb
	secP384r1MLKEM1024 tls.CurveID = 0x11ed
)

// groupName returns the name in IANA's registry of TLS supported groups, which OpenSSL uses
// too. It returns "" for a group that is not listed here.
func groupName(id tls.CurveID) string {
	switch id {
	case tls.CurveP256:
		return "secp256r1"
	case tls.CurveP384:
		return "secp384r1"
	case tls.CurveP521:
		return "secp521r1"
	case tls.X25519:
		return "x25519"
	case tls.X25519MLKEM768:
		return "X25519MLKEM768"
	case secP256r1MLKEM768:
		return "SecP256r1MLKEM768"
	case secP384r1MLKEM1024:
		return "SecP384r1MLKEM1024"
	}
	return ""
}
