package recipes

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/forwarded"
	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

// newReverseProxy returns a complete HTTP reverse proxy: package forwarded in front, and
// SetHeaders behind. trusted are the proxies in front of it, none for one that clients
// connect to.
func newReverseProxy(backend *url.URL, trusted ...string) (*http.Server, error) {
	proxies, err := trustnet.Parse(trusted...)
	if err != nil {
		return nil, err
	}
	resolver, err := forwarded.New(forwarded.Config{
		Trusted: proxies,
		Proto:   len(trusted) > 0, // each of them sets X-Forwarded-Proto
		OnResolve: func(r *http.Request, res forwarded.Result) {
			if res.Reason == forwarded.UntrustedHeader { // in a server, limit the rate of this line
				log.Printf("%v sent forwarding headers; if it is a proxy, add it to the trusted proxies", res.Client)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.SetURL(backend)
			pr.Out.Host = pr.In.Host // the backend sees the name that the client used
			resolver.SetHeaders(pr.Out, pr.In)
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			log.Printf("%v: %v", backend, err)
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	return &http.Server{
		Handler:           resolver.Handler(proxy),
		ConnContext:       proxyproto.ConnContext,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}, nil
}

// A reverse proxy in front of another one, and a client that claims to be 192.0.2.1.
func Example_httpReverseProxy() {
	log.SetOutput(io.Discard) // the lines about the forged headers
	defer log.SetOutput(os.Stderr)
	backend := serveHTTP(&http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, r.Host, r.Header["X-Forwarded-For"], r.Header["X-Forwarded-Proto"], r.Header["X-Forwarded-Host"])
	})})
	inner, err := newReverseProxy(backend, "127.0.0.1")
	if err != nil {
		log.Fatal(err)
	}
	edge, err := newReverseProxy(serveHTTP(inner))
	if err != nil {
		log.Fatal(err)
	}
	// The client of this example has another address than the proxies. It is on the same
	// machine, and macOS has no other loopback address.
	handler := edge.Handler
	edge.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = "192.0.2.7:1234"
		handler.ServeHTTP(w, r)
	})
	front := serveHTTP(edge)
	defer inner.Close()
	defer edge.Close()

	// To try it.
	request, err := http.NewRequest(http.MethodGet, front.String(), nil)
	if err != nil {
		log.Fatal(err)
	}
	request.Host = "mail.example.com"
	request.Header.Set("X-Forwarded-For", "192.0.2.1")
	request.Header.Set("X-Forwarded-Proto", "https")
	response, err := clientAt("127.0.0.1").Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(body))
	// Output: mail.example.com [192.0.2.7, 127.0.0.1] [http] [mail.example.com]
}

// serveHTTP serves on a port of loopback. The listener reports PROXY headers, which this
// server does not expect.
func serveHTTP(s *http.Server) *url.URL {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	l, err := proxyproto.New(inner, proxyproto.Config{OnReject: func(r proxyproto.Rejection) { log.Printf("%v: %v", r.Peer, r.Err) }})
	if err != nil {
		log.Fatal(err)
	}
	scheme := "http"
	if s.TLSConfig != nil {
		scheme = "https"
		go s.ServeTLS(l, "", "")
	} else {
		go s.Serve(l)
	}
	return &url.URL{Scheme: scheme, Host: l.Addr().String()}
}

// clientAt returns a client that connects from an address of loopback.
func clientAt(ip string) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DialContext:       dialer.DialContext,
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // for the certificate of a test
	}}
}

// forgedRequests are what a client sends that wants to have another address, or TLS.
var forgedRequests = map[string]http.Header{
	"nothing":              {},
	"X-Forwarded-For":      {"X-Forwarded-For": {"192.0.2.1"}},
	"a chain of proxies":   {"X-Forwarded-For": {"192.0.2.1, 127.0.0.1"}},
	"the proxy":            {"X-Forwarded-For": {"127.0.0.1"}},
	"lines":                {"X-Forwarded-For": {"192.0.2.1", "127.0.0.1", ""}},
	"unknown":              {"X-Forwarded-For": {"unknown"}},
	"garbage":              {"X-Forwarded-For": {"\x80\"\\,,;"}},
	"Forwarded":            {"Forwarded": {`for=192.0.2.1;proto=https;host="`}},
	"a scheme":             {"X-Forwarded-Proto": {"https"}},
	"schemes":              {"X-Forwarded-Proto": {"https, https"}},
	"a host":               {"X-Forwarded-Host": {"evil.example"}},
	"X-Real-IP":            {"X-Real-Ip": {"192.0.2.1"}},
	"vendors":              {"Cf-Connecting-Ip": {"192.0.2.1"}, "True-Client-Ip": {"192.0.2.1"}, "Fly-Client-Ip": {"192.0.2.1"}, "X-Client-Ip": {"192.0.2.1"}},
	"underscores":          {"X_Forwarded_For": {"192.0.2.1"}, "X_Real_IP": {"192.0.2.1"}, "Cf_connecting_ip": {"192.0.2.1"}},
	"a Connection header":  {"Connection": {"X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host"}, "X-Forwarded-For": {"192.0.2.1"}},
	"8 KiB of a list":      {"X-Forwarded-For": {strings.Repeat("127.0.0.1,", 800) + "127.0.0.1"}},
	"8 KiB without commas": {"X-Forwarded-For": {strings.Repeat("1", 8<<10)}},
}

func TestAChainOfReverseProxiesPassesOnTheClient(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.77:0")
	if err != nil {
		t.Skipf("no client can have the address 127.0.0.77 on this system: %v", err)
	}
	l.Close()
	log.SetOutput(io.Discard)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	behind, err := forwarded.New(forwarded.Config{Trusted: trustnet.MustParse("127.0.0.1"), Proto: true})
	require.NoError(t, err)
	type seen struct {
		result forwarded.Result
		header http.Header
		host   string
	}
	requests := make(chan seen, 1)
	backend := &http.Server{Handler: behind.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		res, _ := forwarded.FromContext(r.Context())
		requests <- seen{res, r.Header, r.Host}
	}))}
	defer backend.Close()
	inner, err := newReverseProxy(serveHTTP(backend), "127.0.0.1")
	require.NoError(t, err)
	innerURL := serveHTTP(inner)
	defer inner.Close()
	plainEdge, err := newReverseProxy(innerURL)
	require.NoError(t, err)
	plainURL := serveHTTP(plainEdge)
	defer plainEdge.Close()
	tlsEdge, err := newReverseProxy(innerURL)
	require.NoError(t, err)
	cert, _ := certificate()
	tlsEdge.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	tlsURL := serveHTTP(tlsEdge)
	defer tlsEdge.Close()

	ask := func(t *testing.T, from string, front *url.URL, header http.Header) seen {
		t.Helper()
		request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, front.String(), nil)
		require.NoError(t, err)
		request.Host, request.Header = "mail.example.com", header.Clone()
		response, err := clientAt(from).Do(request)
		require.NoError(t, err)
		response.Body.Close()
		require.Equal(t, http.StatusOK, response.StatusCode)
		return <-requests
	}
	for name, header := range forgedRequests {
		t.Run(name, func(t *testing.T) {
			for front, scheme := range map[*url.URL]string{plainURL: "http", tlsURL: "https"} {
				got := ask(t, "127.0.0.77", front, header)
				require.Equal(t, "127.0.0.77", got.result.Client.String())
				require.Equal(t, forwarded.UntrustedHop, got.result.Reason)
				secure, known := got.result.Secure()
				require.True(t, known)
				require.Equal(t, scheme == "https", secure)
				require.Equal(t, "mail.example.com", got.host)
				var names []string
				for name := range got.header {
					if name != "Accept-Encoding" && name != "User-Agent" {
						names = append(names, name)
					}
				}
				slices.Sort(names)
				require.Equal(t, []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}, names)
				require.Equal(t, []string{"127.0.0.77, 127.0.0.1"}, got.header["X-Forwarded-For"])
				require.Equal(t, []string{"mail.example.com"}, got.header["X-Forwarded-Host"])
			}
			past := ask(t, "127.0.0.77", innerURL, header) // past the edge
			require.Equal(t, "127.0.0.77", past.result.Client.String())
			require.Equal(t, []string{"127.0.0.77"}, past.header["X-Forwarded-For"])
		})
	}
	t.Run("an unknown client stays unknown", func(t *testing.T) {
		for _, value := range []string{"unknown", "x", "127.0.0.1"} {
			got := ask(t, "127.0.0.1", innerURL, http.Header{"X-Forwarded-For": {value}})
			require.False(t, got.result.ClientKnown(), value)
			require.True(t, strings.HasPrefix(got.header.Get("X-Forwarded-For"), "unknown, "), "%v", got.header)
		}
	})
}
