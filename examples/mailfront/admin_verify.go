// What to copy: verifyClient, if your server checks its own documents on behalf of a user:
// the documents decide which URLs are requested, and no other host may be reached by them.
// What to change: the expected documents.

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

// verifyClient returns a client that connects to the host and port of the public URL alone,
// without a proxy of the environment. With a dial function of its own, package verify asks
// no foreign issuer either.
func verifyClient(base publicurl.Base) *http.Client {
	host := net.JoinHostPort(base.Hostname(), strconv.Itoa(int(base.Port())))
	var dialer net.Dialer
	return &http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2:      true,
		MaxResponseHeaderBytes: 64 << 10,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != host {
				return nil, fmt.Errorf("mailfront: the check connects to %s alone, not to %s", host, address)
			}
			return dialer.DialContext(ctx, network, address)
		},
	}}
}

// verifyDocuments checks the documents as clients see them, by way of the public URL.
func (a *admin) verifyDocuments(ctx context.Context, base publicurl.Base) (*verify.Report, error) {
	expected := []discovery.Document{discovery.BaseResource, discovery.JMAPDocument, discovery.DAVDocument}
	if len(a.f.cfg.issuers) == 0 {
		expected = append(expected, discovery.OAuthDocument, discovery.OpenIDDocument, discovery.WebUIDocument)
	}
	client := verifyClient(base)
	defer client.CloseIdleConnections()
	return verify.Run(ctx, base, verify.Config{Client: client, Timeout: verifyTimeout, RequestTimeout: verifyTimeout / 4, Expected: expected})
}
