package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin/signintest"
)

const testBase = "https://mail.example.test"

// A site is mailfront as web clients see it. Its public base URL leads to a listener or a proxy on
// loopback.
type site struct {
	*running
	signintest.App
	from   string       // address of the client; any if it is empty
	client *http.Client // follows no redirects
}

// How clients come to the site.
const (
	direct   = "direct"
	plain    = "direct, without TLS"
	stripped = "through a proxy that strips the path"
	kept     = "through a proxy that keeps the path"
)

func newSite(t *testing.T, base, how string, env map[string]string) *site {
	t.Helper()
	all := map[string]string{"MAILFRONT_PUBLIC_URL": base}
	if how == direct || how == plain {
		all["MAILFRONT_TRUSTED_PROXIES"] = " "
	}
	for key, value := range env {
		all[key] = value
	}
	return siteOf(t, runMailfront(t, all), base, how)
}

// siteOf returns a running mailfront as a site.
func siteOf(t *testing.T, r *running, base, how string) *site {
	t.Helper()
	s := &site{running: r}
	s.App = appOf(s, base)
	front := s.address["https"]
	switch how {
	case direct:
	case plain:
		front = s.address["http"]
	default:
		proxy := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: s.address["http"]}) // Host becomes that address, too
			// Read the whole body first. While the answer is forwarded, net/http closes the body
			// of the request. A transport that still reads it closes its connection.
			body, err := io.ReadAll(r.In.Body)
			if err != nil {
				t.Error(err)
			}
			r.Out.Body = io.NopCloser(bytes.NewReader(body))
			if how == stripped {
				if u, err := url.Parse(base); err == nil {
					r.Out.URL.Path = strings.TrimPrefix(r.Out.URL.Path, u.Path)
					r.Out.URL.RawPath = strings.TrimPrefix(r.Out.URL.RawPath, u.Path)
				}
			}
			r.SetXForwarded()
		}})
		t.Cleanup(proxy.Close)
		front = proxy.Listener.Addr().String()
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			d := new(net.Dialer)
			if s.from != "" {
				d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(s.from)}
			}
			return d.DialContext(ctx, network, front)
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	t.Cleanup(transport.CloseIdleConnections)
	s.client = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       testTimeout,
	}
	return s
}

// appOf returns the application that signs the user of a site in.
func appOf(s *site, base string) signintest.App {
	return signintest.App{T: s.t, Base: base, User: testAccount, Password: testPassword, Do: s.do}
}

// comeFromElsewhere makes the client connect from directIP from now on.
func (s *site) comeFromElsewhere() {
	s.t.Helper()
	needDirect(s.t)
	s.client.CloseIdleConnections()
	s.from = directIP
}

// do sends a request, and returns the answer with its body.
func (s *site) do(method, target, body string, fields ...string) (*http.Response, string) {
	s.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = s.Base + target
	}
	r, err := http.NewRequestWithContext(s.ctx, method, target, strings.NewReader(body))
	require.NoError(s.t, err)
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	response, err := s.client.Do(r)
	require.NoError(s.t, err)
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	return response, string(b)
}
