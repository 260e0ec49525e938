package recipes

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
)

// whoami is a handler that knows its client.
func whoami(w http.ResponseWriter, r *http.Request) {
	info, ok := proxyproto.FromContext(r.Context())
	if !ok { // ConnContext is missing
		http.Error(w, "internal server error", http.StatusInternalServerError)
		return
	}
	secure, known := info.Secure(r.TLS != nil)
	fmt.Fprintln(w, r.Proto, r.RemoteAddr, "known:", info.ClientKnown(), "TLS:", secure && known)
}

// net/http in clear text, with HTTP/1.1 and HTTP/2: the proxy has ended TLS and says
// so.
func Example_netHTTP() {
	l := listen()
	srv := &http.Server{
		Handler:           http.HandlerFunc(whoami),
		ConnContext:       proxyproto.ConnContext, // the client, for handlers, and for package forwarded
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		Protocols:         new(http.Protocols),
	}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true) // only for proxies that speak it
	go srv.Serve(l)
	defer srv.Close()

	// To try it.
	for _, http2 := range []bool{false, true} {
		transport := &http.Transport{
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				return throughProxy(l, &proxyproto.TLS{Client: true}), nil
			},
			Protocols: new(http.Protocols),
		}
		transport.Protocols.SetHTTP1(!http2)
		transport.Protocols.SetUnencryptedHTTP2(http2)
		get(transport, "http://mail.example.com/")
	}
	// Output:
	// HTTP/1.1 203.0.113.7:50000 known: true TLS: true
	// HTTP/2.0 203.0.113.7:50000 known: true TLS: true
}

// net/http with TLS on top: the proxy passes bytes on, and the TLS is the client's.
func Example_netHTTPWithTLS() {
	cert, pool := certificate()
	l := listen()
	srv := &http.Server{
		Handler:           http.HandlerFunc(whoami),
		ConnContext:       proxyproto.ConnContext,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{cert}},
	}
	go srv.ServeTLS(l, "", "") // HTTP/2 too
	defer srv.Close()

	// To try it.
	for _, http2 := range []bool{false, true} {
		get(&http.Transport{
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				return throughProxy(l, nil), nil
			},
			TLSClientConfig:   &tls.Config{RootCAs: pool},
			ForceAttemptHTTP2: http2,
		}, "https://mail.example.com/")
	}
	// Output:
	// HTTP/1.1 203.0.113.7:50000 known: true TLS: true
	// HTTP/2.0 203.0.113.7:50000 known: true TLS: true
}

func get(transport *http.Transport, url string) {
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Get(url)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(body))
}
