package proxyproto_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

func TestTLSFromStateOfHandshake(t *testing.T) {
	const aes, ecdhe = "TLS_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"
	for name, c := range map[string]struct {
		client  *tls.Config
		version string
		cipher  string
		group   string
		cert    bool
	}{
		"TLS 1.3":                    {client: &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519}}, version: "TLSv1.3", cipher: aes, group: "x25519", cert: false},
		"TLS 1.3, P-256":             {client: &tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP256}}, version: "TLSv1.3", cipher: aes, group: "secp256r1", cert: false},
		"TLS 1.3, post-quantum":      {client: &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519MLKEM768}}, version: "TLSv1.3", cipher: aes, group: "X25519MLKEM768", cert: false},
		"TLS 1.3, a certificate":     {client: &tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP384}}, version: "TLSv1.3", cipher: aes, group: "secp384r1", cert: true},
		"TLS 1.2":                    {client: &tls.Config{MaxVersion: tls.VersionTLS12, CurvePreferences: []tls.CurveID{tls.CurveP521}, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}}, version: "TLSv1.2", cipher: ecdhe, group: "secp521r1", cert: false},
		"TLS 1.1":                    {client: &tls.Config{MaxVersion: tls.VersionTLS11, CurvePreferences: []tls.CurveID{tls.X25519}, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA}}, version: "TLSv1.1", cipher: "ECDHE-RSA-AES256-SHA", group: "x25519", cert: false},
		"TLS 1.0, no group, RSA key": {client: &tls.Config{MaxVersion: tls.VersionTLS10, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}}, version: "TLSv1", cipher: "AES128-SHA", group: "", cert: false},
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan *proxyproto.TLS, 1)
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got <- proxyproto.TLSFromState(*r.TLS)
			}))
			s.TLS = &tls.Config{
				MinVersion:   tls.VersionTLS10,
				CipherSuites: c.client.CipherSuites,
				ClientAuth:   tls.RequestClientCert,
			}
			s.StartTLS()
			defer s.Close()
			config := s.Client().Transport.(*http.Transport).TLSClientConfig
			config.MinVersion, config.MaxVersion = tls.VersionTLS10, c.client.MaxVersion
			config.CipherSuites, config.CurvePreferences = c.client.CipherSuites, c.client.CurvePreferences
			if c.cert {
				config.Certificates = s.TLS.Certificates
			}
			response, err := s.Client().Get(s.URL)
			require.NoError(t, err)
			response.Body.Close()
			want := &proxyproto.TLS{Client: true, Version: c.version, Cipher: c.cipher, Group: c.group}
			if c.cert {
				want.ClientCert, want.VerifyError = true, 1
			}
			facts := <-got
			if facts.Version == "TLSv1.3" { // which of its suites depends on the hardware
				require.Regexp(t, `^TLS_(AES|CHACHA20)_[A-Z0-9_]+$`, facts.Cipher)
				want.Cipher = facts.Cipher
			}
			require.Equal(t, want, facts)
		})
	}
}

func TestTLSFromStateOfClientCertificate(t *testing.T) {
	leaf := &x509.Certificate{Subject: pkix.Name{CommonName: "client"}}
	for name, c := range map[string]struct {
		state tls.ConnectionState
		want  proxyproto.TLS
	}{
		"none":       {state: tls.ConnectionState{}, want: proxyproto.TLS{}},
		"resumption": {state: tls.ConnectionState{DidResume: true}, want: proxyproto.TLS{}},
		"not verified": {
			state: tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}},
			want:  proxyproto.TLS{ClientCert: true, CommonName: "client", VerifyError: 1},
		},
		"verified": {
			state: tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf}}},
			want:  proxyproto.TLS{ClientCert: true, CommonName: "client", Verified: true},
		},
		"verified, earlier in the session": {
			state: tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf}}, DidResume: true},
			want:  proxyproto.TLS{ClientCert: true, CommonName: "client", Verified: true, FromSession: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.state.HandshakeComplete = true
			c.state.Version, c.state.CipherSuite = tls.VersionTLS13, tls.TLS_AES_128_GCM_SHA256
			c.want.Client, c.want.Version, c.want.Cipher = true, "TLSv1.3", "TLS_AES_128_GCM_SHA256"
			facts := proxyproto.TLSFromState(c.state)
			require.Equal(t, &c.want, facts)
			require.Equal(t, &c.want, sentAndReceived(t, facts), "after a header")
		})
	}
}

// sentAndReceived returns the facts that a server reads when a proxy sends tls.
func sentAndReceived(t *testing.T, facts *proxyproto.TLS) *proxyproto.TLS {
	t.Helper()
	address := &net.TCPAddr{IP: net.IPv4(203, 0, 113, 7), Port: 50000}
	var b bytes.Buffer
	require.NoError(t, proxyproto.WriteHeader(&b, proxyproto.Header{Source: address, Destination: address, TLS: facts}))
	conn, _ := offer(t, proxyproto.Config{}, b.String())
	return conn.Info().TLS
}

func TestTLSFromStateBeforeHandshake(t *testing.T) {
	require.Nil(t, proxyproto.TLSFromState(tls.ConnectionState{}))
	require.Nil(t, proxyproto.TLSFromState(tls.Server(nil, &tls.Config{}).ConnectionState()))
}

// The names are those that "openssl ciphers -stdname" prints.
func TestTLSFromStateCipherNames(t *testing.T) {
	want := map[string]string{
		"TLS_AES_128_GCM_SHA256":                        "TLS_AES_128_GCM_SHA256",
		"TLS_AES_256_GCM_SHA384":                        "TLS_AES_256_GCM_SHA384",
		"TLS_CHACHA20_POLY1305_SHA256":                  "TLS_CHACHA20_POLY1305_SHA256",
		"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA":          "ECDHE-ECDSA-AES128-SHA",
		"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA":          "ECDHE-ECDSA-AES256-SHA",
		"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA":            "ECDHE-RSA-AES128-SHA",
		"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA":            "ECDHE-RSA-AES256-SHA",
		"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256":       "ECDHE-ECDSA-AES128-GCM-SHA256",
		"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384":       "ECDHE-ECDSA-AES256-GCM-SHA384",
		"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256":         "ECDHE-RSA-AES128-GCM-SHA256",
		"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384":         "ECDHE-RSA-AES256-GCM-SHA384",
		"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256":   "ECDHE-RSA-CHACHA20-POLY1305",
		"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
		"TLS_RSA_WITH_RC4_128_SHA":                      "RC4-SHA",
		"TLS_RSA_WITH_3DES_EDE_CBC_SHA":                 "DES-CBC3-SHA",
		"TLS_RSA_WITH_AES_128_CBC_SHA":                  "AES128-SHA",
		"TLS_RSA_WITH_AES_256_CBC_SHA":                  "AES256-SHA",
		"TLS_RSA_WITH_AES_128_CBC_SHA256":               "AES128-SHA256",
		"TLS_RSA_WITH_AES_128_GCM_SHA256":               "AES128-GCM-SHA256",
		"TLS_RSA_WITH_AES_256_GCM_SHA384":               "AES256-GCM-SHA384",
		"TLS_ECDHE_ECDSA_WITH_RC4_128_SHA":              "ECDHE-ECDSA-RC4-SHA",
		"TLS_ECDHE_RSA_WITH_RC4_128_SHA":                "ECDHE-RSA-RC4-SHA",
		"TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA":           "ECDHE-RSA-DES-CBC3-SHA",
		"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256":       "ECDHE-ECDSA-AES128-SHA256",
		"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256":         "ECDHE-RSA-AES128-SHA256",
	}
	suites := append(tls.CipherSuites(), tls.InsecureCipherSuites()...)
	require.NotEmpty(t, suites)
	for _, suite := range suites {
		require.Contains(t, want, suite.Name, "a suite that Go knows: what is OpenSSL's name?")
		facts := proxyproto.TLSFromState(tls.ConnectionState{HandshakeComplete: true, CipherSuite: suite.ID})
		require.Equal(t, want[suite.Name], facts.Cipher)
	}
}

// Go has no names for some of these groups before version 1.26.
func TestTLSFromStateGroups(t *testing.T) {
	for id, want := range map[tls.CurveID]string{
		tls.X25519MLKEM768: "X25519MLKEM768",
		0x11eb:             "SecP256r1MLKEM768",
		0x11ed:             "SecP384r1MLKEM1024",
		0xfefe:             "",
	} {
		require.Equal(t, want, proxyproto.TLSFromState(tls.ConnectionState{HandshakeComplete: true, CurveID: id}).Group, "%#x", uint16(id))
	}
}
