package recipes

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"log"
	"math/big"
	"net"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

// listen is how every recipe begins.
func listen() *proxyproto.Listener {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	l, err := proxyproto.New(inner, proxyproto.Config{
		Trusted:  trustnet.MustParse("127.0.0.1"),
		OnReject: func(r proxyproto.Rejection) { log.Printf("%v: %v", r.Peer, r.Err) },
	})
	if err != nil {
		log.Fatal(err)
	}
	return l
}

// throughProxy connects as the proxy does for a client. tlsFacts is what the proxy
// says of the client's TLS, nil if it says nothing.
func throughProxy(l net.Listener, tlsFacts *proxyproto.TLS) net.Conn {
	var d proxyproto.Dialer
	c, err := d.DialContext(context.Background(), "tcp", l.Addr().String(), proxyproto.Header{
		Source:      &net.TCPAddr{IP: net.IPv4(203, 0, 113, 7), Port: 50000},
		Destination: &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 25},
		TLS:         tlsFacts,
	})
	if err != nil {
		log.Fatal(err)
	}
	return c
}

// certificate returns one for mail.example.com that lives for an hour, and those
// who trust it.
func certificate() (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mail.example.com"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		log.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		log.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// tlsOrNot is what the proxy says: nothing, then that the client is on TLS.
var tlsOrNot = []*proxyproto.TLS{nil, {Client: true, Version: "TLSv1.3"}}
