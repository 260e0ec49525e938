// Copy verifyClient if your server checks its own documents for a user. The documents determine
// the URLs to request, and verifyClient prevents requests to any other host. Change the expected
// documents.

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/discovery/verify"
	"github.com/seed-94e48765/portico/publicurl"
)

// verifyClient returns a client that connects only to the host and port of the public URL and
// ignores the proxy settings of the environment. Because it has a dial function, package verify
// sends no requests to foreign issuers either.
func verifyClient(base publicurl.Base) *http.Client {
	host := net.JoinHostPort(base.Hostname(), strconv.Itoa(int(base.Port())))
	var dialer net.Dialer
	return &http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2:      true,
		MaxResponseHeaderBytes: 64 << 10,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != host {
				return nil, fmt.Errorf("mailfront: the check connects to %s only, not to %s", host, address)
			}
			return dialer.DialContext(ctx, network, address)
		},
	}}
}

// verifyDocuments checks the documents at the public URL, as clients see them.
func (a *admin) verifyDocuments(ctx context.Context, base publicurl.Base) (*verify.Report, error) {
	expected := []discovery.Document{discovery.BaseResource, discovery.JMAPDocument, discovery.DAVDocument}
	if len(a.f.cfg.issuers) == 0 {
		expected = append(expected, discovery.OAuthDocument, discovery.OpenIDDocument, discovery.WebUIDocument)
	}
	client := verifyClient(base)
	defer client.CloseIdleConnections()
	return verify.Run(ctx, base, verify.Config{Client: client, Timeout: verifyTimeout, RequestTimeout: verifyTimeout / 4, Expected: expected})
}
