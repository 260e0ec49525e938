// What to copy: newClient, a client that speaks to the server itself under the public
// name: Host, SNI and certificate are those that clients see.

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
)

// newClient returns a client that reaches every host by its name, or at a node.
func newClient(cfg *config, to *node) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes = 64 << 10
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.roots}
	if to == nil {
		transport.DialContext = nil // with one verify asks no foreign issuer
		return &http.Client{Transport: transport}
	}
	transport.Proxy = nil
	var dialer net.Dialer
	dial := func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", to.address) }
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
	// The URL is https, as the proxy's clients use it. The server behind the proxy may not
	// do TLS: then the request is sent in the clear, but not with a token to another
	// machine, since an attacker on the way may have given that answer.
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
				return nil, fmt.Errorf("the server at %s does no TLS, and %s would be sent in the clear: if that is meant, give -connect http://%s", to.address, tokenVariable, to.address)
			}
			return dial(ctx)
		}
		return nil, err
	}
	return &http.Client{Transport: transport}
}

// mayGoPlain reports whether requests are sent to a server that turns out not to do TLS.
func (cfg *config) mayGoPlain(server net.Addr) bool {
	tcp, ok := server.(*net.TCPAddr)
	return cfg.token == "" || ok && tcp.IP.IsLoopback()
}
