package interop

import (
	"context"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// A client of net/http negotiates HTTP/2 with mailfront through a proxy that passes TLS on. A
// proxy that ends TLS offers HTTP/1.1, because the server behind it has HTTP without TLS.
func TestHTTP2Negotiation(t *testing.T) {
	for _, c := range []struct {
		name    string
		start   func(*testing.T, *mailfront) *proxy
		endedBy string
		http    int
		want    whoami
	}{
		{name: "haproxy passes on", start: func(t *testing.T, m *mailfront) *proxy {
			return startHAProxy(t, m, "passthrough.cfg", nil)
		}, endedBy: endedByServer, http: 2, want: whoami{ClientIP: clientIP, TLS: true, Known: true, Version: 2}},
		{name: "nginx passes on", start: func(t *testing.T, m *mailfront) *proxy {
			return startNGINX(t, m, "passthrough.conf", nil)
		}, endedBy: endedByServer, http: 2, want: whoami{ClientIP: clientIP, TLS: true, Known: true, Version: 1}},
		{name: "haproxy ends TLS", start: func(t *testing.T, m *mailfront) *proxy {
			return startHAProxy(t, m, "tls-terminated.cfg", nil)
		}, endedBy: endedByProxy, http: 1, want: whoami{ClientIP: clientIP, TLS: true, Known: true, Version: 2}},
		{name: "nginx ends TLS", start: func(t *testing.T, m *mailfront) *proxy {
			return startNGINX(t, m, "tls-terminated.conf", nil)
		}, endedBy: endedByProxy, http: 1, want: whoami{ClientIP: clientIP, TLS: true, Known: true, Version: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := startMailfront(t, terminatedListeners)
			p := c.start(t, m)
			transport := &http.Transport{
				TLSClientConfig:   clientTLS(t),
				ForceAttemptHTTP2: true,
				DialContext: func(context.Context, string, string) (net.Conn, error) {
					return p.client("https")(t), nil
				},
			}
			t.Cleanup(transport.CloseIdleConnections)
			client := &http.Client{Transport: transport, Timeout: timeout}
			for range 3 {
				response, err := client.Get("https://" + serverName + "/whoami")
				require.NoError(t, err)
				w := readResponse(t, response)
				require.Equal(t, c.want, w)
				require.Equal(t, c.http, response.ProtoMajor)
				requireEndedBy(t, *response.TLS, c.endedBy)
			}
		})
	}
}
