package verify

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/publicurl"
)

const verifyToken = "s3cret-token"

// verifyMounts are the four ways in which a server is mounted.
var verifyMounts = []string{"https://example.com", "https://example.com:8443", "https://example.com/mail", "https://example.com:8443/mail"}

// mustBase parses an absolute base.
func mustBase(t testing.TB, s string) publicurl.Base {
	t.Helper()
	b, err := publicurl.Parse(s)
	require.NoError(t, err)
	return b
}

const mailCapability = "urn:ietf:params:jmap:mail"

// verifyConfig has every section, for a server at example.com.
func verifyConfig(t testing.TB, base string) discovery.Config {
	t.Helper()
	return discovery.Config{
		Base:      mustBase(t, base),
		OAuth:     &discovery.OAuth{DevicePath: "/auth/device", IntrospectionPath: "/auth/introspect", RegistrationPath: "/auth/register", IssuerParameter: true},
		OpenID:    &discovery.OpenID{UserinfoPath: "/auth/userinfo"},
		JMAP:      &discovery.JMAP{EventSourcePath: "/jmap/eventsource/?types={types}&closeafter={closeafter}&ping={ping}", WebSocketPath: "/jmap/ws", Capabilities: map[string]any{mailCapability: nil}},
		DAV:       &discovery.DAV{},
		WebUI:     &discovery.WebUI{},
		Resources: []discovery.Resource{{Path: "/dav/cal/"}},
		Mail:      &discovery.Mail{Domains: []string{"example.com"}, Services: []discovery.Service{{Protocol: discovery.IMAP}, {Protocol: discovery.Submission}}},
		MTASTS:    &discovery.MTASTS{MX: []string{"example.com"}},
	}
}

func demoAccount() discovery.Account {
	return discovery.Account{
		Username:        "demo@example.com",
		Accounts:        map[string]discovery.JMAPAccount{"A1": {Name: "demo@example.com", IsPersonal: true, Capabilities: map[string]any{mailCapability: nil}}},
		PrimaryAccounts: map[string]string{mailCapability: "A1"},
	}
}

// correctServer serves all documents and the endpoints that they refer to.
func correctServer(t testing.TB, c discovery.Config) http.Handler {
	set, err := discovery.Build(c)
	require.NoError(t, err)
	var server *discovery.Server
	mux := http.NewServeMux()
	answer := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Access-Control-Allow-Origin", "*")
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	unauthorized := func(w http.ResponseWriter, r *http.Request) {
		server.Current().Unauthorized(w, r, r.URL.Path)
	}
	mux.HandleFunc("GET /login", answer(200, "text/html", "<!doctype html><title>Sign in</title>"))
	mux.HandleFunc("GET /auth/jwks.json", answer(200, "application/json", `{"keys":[{"kty":"RSA"}]}`))
	for _, path := range []string{"/auth/token", "/auth/device", "/auth/introspect", "/auth/register"} {
		mux.HandleFunc("POST "+path, answer(400, "application/json", `{"error":"invalid_request"}`))
	}
	mux.HandleFunc("GET /auth/userinfo", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+verifyToken {
			unauthorized(w, r)
			return
		}
		answer(200, "application/json", `{"sub":"jane"}`)(w, r)
	})
	mux.HandleFunc("POST /jmap/{$}", answer(400, "application/problem+json", `{}`))
	if c.DAV != nil {
		mux.HandleFunc("/dav/", unauthorized) // for every path below, as servers do
	}
	server = discovery.NewServer(set, discovery.ServerConfig{
		Session: func(r *http.Request) (discovery.Account, error) {
			if r.Header.Get("Authorization") != "Bearer "+verifyToken {
				return discovery.Account{}, discovery.ErrUnauthenticated
			}
			return demoAccount(), nil
		},
		Next: mux,
	})
	return server
}

// behindProxy is a proxy like http-path.cfg and http-path.conf of the examples. It forwards the
// path of the base, with or without the prefix, and the well-known locations at the origin.
func behindProxy(t testing.TB, base string, strip bool, backend http.Handler) http.Handler {
	b := mustBase(t, base)
	plain := httptest.NewServer(backend)
	t.Cleanup(plain.Close)
	target, err := url.Parse(plain.URL)
	require.NoError(t, err)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		if strip && b.Prefix() != "" {
			if rest, ok := strings.CutPrefix(r.Out.URL.Path, b.Prefix()); ok {
				r.Out.URL.Path = "/" + strings.TrimPrefix(rest, "/")
			}
		}
	}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := r.URL.Path
		for _, routed := range []string{b.Prefix() + "/", "/.well-known/oauth-authorization-server" + b.Prefix(), "/.well-known/oauth-protected-resource" + b.Prefix(), "/.well-known/jmap", "/.well-known/caldav", "/.well-known/carddav"} {
			if strings.HasPrefix(p, routed) {
				proxy.ServeHTTP(w, r)
				return
			}
		}
		http.NotFound(w, r)
	})
}

// publicClient connects to the handler over TLS for every host and port.
func publicClient(t testing.TB, h http.Handler) *http.Client {
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that close early
	server.StartTLS()
	t.Cleanup(server.Close)
	transport := server.Client().Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.ServerName = "example.com"
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, server.Listener.Addr().String())
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// verify runs c against a handler, by default with enough time for a busy machine.
func verify(t testing.TB, h http.Handler, base string, c Config) *Report {
	t.Helper()
	c.Client = publicClient(t, h)
	if c.Fresh == 0 {
		c.Fresh = 1 // nodes_test.go compares
	}
	c.RequestTimeout, c.Timeout = time.Minute, 5*time.Minute
	report, err := Run(t.Context(), mustBase(t, base), c)
	require.NoError(t, err)
	require.NotEmpty(t, report.Checked)
	return report
}

// A tamper changes requests and answers between the server and its clients.
type tamper func(next http.Handler) http.Handler

// at answers a path in place of the server.
func at(path string, h http.HandlerFunc) tamper {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == path {
				h(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code) }
}

func body(contentType, s string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Access-Control-Allow-Origin", "*")
		io.WriteString(w, s)
	}
}

func redirectTo(location string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", location)
		w.WriteHeader(http.StatusFound)
	}
}

var spa = body("text/html; charset=utf-8", "<!DOCTYPE html><title>Web site</title>")

// changed changes the answer of the server at a path, including the body.
func changed(path string, change func(h http.Header, body string) string) tamper {
	return func(next http.Handler) http.Handler {
		return at(path, func(w http.ResponseWriter, r *http.Request) {
			rec := httptest.NewRecorder()
			next.ServeHTTP(rec, r)
			text := change(rec.Header(), rec.Body.String())
			for name, values := range rec.Header() {
				w.Header()[name] = values
			}
			w.Header().Del("Content-Length")
			w.WriteHeader(rec.Code)
			if r.Method != http.MethodHead {
				io.WriteString(w, text)
			}
		})(next)
	}
}

func replaced(path, old, new string) tamper {
	return changed(path, func(_ http.Header, body string) string { return strings.ReplaceAll(body, old, new) })
}

func withHeader(path, name string, values ...string) tamper {
	return changed(path, func(h http.Header, body string) string {
		h[http.CanonicalHeaderKey(name)] = values
		return body
	})
}

// switching answers 101 and sends nothing after it.
func switching(w http.ResponseWriter, r *http.Request) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	io.Copy(io.Discard, c) // until Run has closed the connection
	c.Close()
}

func mustURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	require.NoError(t, err)
	return u
}
