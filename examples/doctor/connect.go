// What to copy: newClient, whose client connects to the server without the proxy and uses
// the public name for Host, SNI and the certificate.

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
)

// newClient returns a client that connects to the host of each URL, or always to a node if
// to is not nil.
func newClient(cfg *config, to *node) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes = 64 << 10
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.roots}
	if to == nil {
		transport.DialContext = nil // with a DialContext, verify checks no foreign issuer
		return &http.Client{Transport: transport}
	}
	transport.Proxy = nil
	var dialer net.Dialer
	dial := func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", to.address) }
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
	// The URLs are https, but the server behind the proxy may not use TLS. If it does not,
	// requests are sent in the clear. A token is not sent in the clear to another machine,
	// because an attacker on the path can answer without TLS.
	transport.DialTLSContext = func(ctx context.Context, _, address string) (net.Conn, error) {
		conn, err := dial(ctx)
		if err != nil || to.plain {
			return conn, err
		}
		c := transport.TLSClientConfig.Clone()
		c.ServerName, _, _ = net.SplitHostPort(address)
		c.NextProtos = []string{"http/1.1"}
		secure := tls.Client(conn, c)
		err = secure.HandshakeContext(ctx)
		var noTLS tls.RecordHeaderError
		if err == nil {
			return secure, nil
		}
		conn.Close()
		if errors.As(err, &noTLS) {
			if !cfg.mayGoPlain(conn.RemoteAddr()) {
				return nil, fmt.Errorf("the server at %s does not use TLS, and %s would be sent in the clear; to allow that use -connect http://%s", to.address, tokenVariable, to.address)
			}
			return dial(ctx)
		}
		return nil, err
	}
	return &http.Client{Transport: transport}
}

// mayGoPlain reports whether requests may be sent in the clear to a server that does not
// use TLS.
func (cfg *config) mayGoPlain(server net.Addr) bool {
	tcp, ok := server.(*net.TCPAddr)
	return cfg.token == "" || ok && tcp.IP.IsLoopback()
}
