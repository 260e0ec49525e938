package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/acme"

	"github.com/seed-94e48765/portico/proxyproto"
)

// A ca is an ACME server (RFC 8555) for one name. It does not check the signatures of
// requests. It checks challenges by connecting to the servers of the name, as a client behind
// the proxy.
type ca struct {
	*httptest.Server
	challenge   string // type of the offered challenge
	http, https string // the servers of the name, set after they are started
	key         *ecdsa.PrivateKey
	cert        *x509.Certificate

	mu     sync.Mutex
	thumb  string // of the account's key
	err    error  // of the check
	status string // of authorization and order
	chain  []byte // PEM
}

const token = "dG9rZW4tb2YtdGhlLWNhLTAwMDE"

func startCA(t *testing.T, challenge string) *ca {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	c := &ca{challenge: challenge, key: key, cert: cert, status: "pending"}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func (c *ca) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var jws struct{ Protected, Payload string }
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(r.Body).Decode(&jws); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	payload, _ := base64.RawURLEncoding.DecodeString(jws.Payload)
	w.Header().Set("Replay-Nonce", "nonce")
	w.Header().Set("Content-Type", "application/json")
	identifier := map[string]string{"type": "dns", "value": "mail.example.com"}
	challenge := map[string]any{"type": c.challenge, "url": c.URL + "/challenge", "token": token, "status": c.status}
	order := map[string]any{"status": c.status, "identifiers": []any{identifier}, "authorizations": []string{c.URL + "/authz"}, "finalize": c.URL + "/finalize"}
	if c.status == "valid" && c.chain == nil {
		order["status"] = "ready"
	}
	var answer any
	switch r.URL.Path {
	case "/":
		answer = map[string]string{"newNonce": c.URL + "/nonce", "newAccount": c.URL + "/account", "newOrder": c.URL + "/new-order"}
	case "/nonce":
	case "/account":
		c.thumb = thumbprint(jws.Protected)
		w.Header().Set("Location", c.URL+"/account/1")
		w.WriteHeader(http.StatusCreated)
		answer = map[string]string{"status": "valid"}
	case "/new-order":
		w.Header().Set("Location", c.URL+"/order")
		w.WriteHeader(http.StatusCreated)
		answer = order
	case "/authz":
		answer = map[string]any{"status": c.status, "identifier": identifier, "challenges": []any{challenge}}
	case "/challenge":
		c.status = "valid"
		if c.err = c.check(r.Context()); c.err != nil {
			c.status = "invalid"
		}
		challenge["status"] = c.status
		answer = challenge
	case "/order":
		w.Header().Set("Location", c.URL+"/order")
		answer = order
	case "/finalize":
		if c.chain, c.err = c.sign(payload); c.err != nil {
			http.Error(w, c.err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Location", c.URL+"/order")
		order["status"], order["certificate"] = "valid", c.URL+"/cert"
		answer = order
	case "/cert":
		w.Header().Set("Content-Type", "application/pem-certificate-chain")
		w.Write(c.chain)
		return
	default:
		http.NotFound(w, r)
		return
	}
	if answer != nil {
		json.NewEncoder(w).Encode(answer)
	}
}

// thumbprint returns the thumbprint of the key in a JWS header (RFC 7638).
func thumbprint(protected string) string {
	raw, _ := base64.RawURLEncoding.DecodeString(protected)
	var header struct {
		JWK struct{ Crv, Kty, X, Y string }
	}
	if json.Unmarshal(raw, &header) != nil {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":%q,"kty":%q,"x":%q,"y":%q}`, header.JWK.Crv, header.JWK.Kty, header.JWK.X, header.JWK.Y))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// header is the PROXY header of the CA's connections.
var header = proxyproto.Header{
	Source:      &net.TCPAddr{IP: net.IPv4(192, 0, 2, 99), Port: 40000},
	Destination: &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 443},
}

// check performs the challenge: RFC 8737 section 3, or RFC 8555 section 8.3.
func (c *ca) check(ctx context.Context) error {
	want := token + "." + c.thumb
	dial := func(ctx context.Context, _, address string) (net.Conn, error) {
		return new(proxyproto.Dialer).DialContext(ctx, "tcp", address, header)
	}
	if c.challenge == "http-01" {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dial(ctx, network, c.http)
		}}}
		response, err := client.Get("http://mail.example.com/.well-known/acme-challenge/" + token)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if body, err := io.ReadAll(response.Body); err != nil || string(body) != want {
			return fmt.Errorf("%d %q, %v: want %q", response.StatusCode, body, err, want)
		}
		return nil
	}
	raw, err := dial(ctx, "tcp", c.https)
	if err != nil {
		return err
	}
	defer raw.Close()
	conn := tls.Client(raw, &tls.Config{ServerName: "mail.example.com", NextProtos: []string{acme.ALPNProto}, InsecureSkipVerify: true}) // self-signed, RFC 8737
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	state := conn.ConnectionState()
	if state.NegotiatedProtocol != acme.ALPNProto {
		return fmt.Errorf("ALPN %q", state.NegotiatedProtocol)
	}
	sum := sha256.Sum256([]byte(want))
	if !slices.ContainsFunc(state.PeerCertificates[0].Extensions, func(e pkix.Extension) bool {
		return e.Id.String() == "1.3.6.1.5.5.7.1.31" && bytes.HasSuffix(e.Value, sum[:])
	}) {
		return errors.New("the certificate does not have the digest of the key authorization")
	}
	return nil
}

// sign returns the certificate for the request in the payload of finalize.
func (c *ca) sign(payload []byte) ([]byte, error) {
	var request struct{ CSR string }
	if err := json.Unmarshal(payload, &request); err != nil {
		return nil, err
	}
	der, err := base64.RawURLEncoding.DecodeString(request.CSR)
	if err != nil {
		return nil, err
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: csr.DNSNames, NotAfter: time.Now().Add(90 * 24 * time.Hour)}
	leaf, err := x509.CreateCertificate(rand.Reader, template, c.cert, csr.PublicKey, c.key)
	if err != nil {
		return nil, err
	}
	return slices.Concat(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.cert.Raw})), nil
}
