package proxyproto_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

// throughProxy is the proxy of the examples. It sends a header with the client address
// 203.0.113.7:50000, and then the bytes that the client sends.
func throughProxy(addr net.Addr, tlsFacts *proxyproto.TLS, sends string) string {
	var d proxyproto.Dialer
	c, err := d.DialContext(context.Background(), "tcp", addr.String(), proxyproto.Header{
		Source:      &net.TCPAddr{IP: net.IPv4(203, 0, 113, 7), Port: 50000},
		Destination: &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 25},
		TLS:         tlsFacts,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, sends)
	c.(*net.TCPConn).CloseWrite()
	answer, err := io.ReadAll(c)
	if err != nil {
		log.Fatal(err)
	}
	return string(answer)
}

// Wrap a listener. The trusted proxy is 127.0.0.1.
func ExampleNew() {
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
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // net.ErrClosed
			}
			go func() {
				defer c.Close()
				fmt.Fprintf(c, "220 hello %v\r\n", c.RemoteAddr())
			}()
		}
	}()
	fmt.Print(throughProxy(l.Addr(), nil, ""))
	// Output: 220 hello 203.0.113.7:50000
}

// A server with a Serve(net.Listener) method, such as those of emersion/go-smtp
// and emersion/go-imap, needs no change to see the client. Its session calls FromConn once,
// when it starts, and Secure again after STARTTLS.
func ExampleFromConn() {
	l := exampleListener(proxyproto.Config{})
	defer l.Close()

	go serveMail(l, func(c net.Conn) string { // the session's start
		info, ok := proxyproto.FromConn(c)
		secure, known := proxyproto.Secure(c)
		switch {
		case !ok || !info.ClientKnown():
			return "220 hello, unknown client"
		case secure && known:
			return fmt.Sprint("220 hello ", info.Client, ", AUTH is welcome")
		default:
			return fmt.Sprint("220 hello ", info.Client, ", STARTTLS first")
		}
	})

	fmt.Println(throughProxy(l.Addr(), &proxyproto.TLS{Client: true, Version: "TLSv1.3"}, ""))
	fmt.Println(throughProxy(l.Addr(), nil, ""))
	// Output:
	// 220 hello 203.0.113.7:50000, AUTH is welcome
	// 220 hello 203.0.113.7:50000, STARTTLS first
}

// serveMail is a minimal Serve method of a mail server.
func serveMail(l net.Listener, greet func(net.Conn) string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			io.WriteString(c, greet(c))
		}()
	}
}

// With http.Server, ConnContext makes the client known to handlers.
func ExampleConnContext() {
	l := exampleListener(proxyproto.Config{})
	srv := &http.Server{
		ConnContext:       proxyproto.ConnContext,
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			info, ok := proxyproto.FromContext(r.Context())
			if !ok {
				http.Error(w, "not through the listener", http.StatusInternalServerError)
				return
			}
			secure, known := info.Secure(r.TLS != nil)
			fmt.Fprintln(w, "client", r.RemoteAddr, "secure", secure, "known", known)
		}),
	}
	go srv.Serve(l)
	defer srv.Close()

	answer := throughProxy(l.Addr(), &proxyproto.TLS{Client: true}, "GET / HTTP/1.0\r\nX-Forwarded-For: 192.0.2.66\r\n\r\n")
	fmt.Println(answer[strings.Index(answer, "client"):])
	// Output: client 203.0.113.7:50000 secure true known true
}

// The order of the layers is TCP, PROXY, TLS, because the header comes before the client's
// handshake.
func ExampleNew_tls() {
	l := exampleListener(proxyproto.Config{})
	defer l.Close()
	tl := tls.NewListener(l, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return nil, fmt.Errorf("put your certificate here")
	}})
	go throughProxy(l.Addr(), nil, "")

	c, err := tl.Accept()
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	info, ok := proxyproto.FromConn(c) // through the *tls.Conn
	fmt.Println(info.Client, ok)
	// Output: 203.0.113.7:50000 true
}

// greeter is a backend that trusts the relay at 127.0.0.1.
func greeter() *proxyproto.Listener {
	l := exampleListener(proxyproto.Config{})
	go serveMail(l, func(c net.Conn) string {
		line, _ := bufio.NewReader(c).ReadString('\n')
		info, _ := proxyproto.FromConn(c)
		return fmt.Sprintf("220 hello %v on %s, you said %q\n", info.Client, info.TLS.Version, line)
	})
	return l
}

// The backend learns the address of the client.
func ExampleDialer() {
	backend := greeter()
	defer backend.Close()
	d := proxyproto.Dialer{Payload: []byte("EHLO\r\n")} // in the same segment
	c, err := d.DialContext(context.Background(), "tcp", backend.Addr().String(), proxyproto.Header{
		Source:      &net.TCPAddr{IP: net.IPv4(203, 0, 113, 7), Port: 50000},
		Destination: &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 25},
		TLS:         &proxyproto.TLS{Client: true, Version: "TLSv1.3"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	answer, _ := io.ReadAll(c)
	fmt.Print(string(answer))
	// Output: 220 hello 203.0.113.7:50000 on TLSv1.3, you said "EHLO\r\n"
}

func ExampleWriteHeader() {
	err := proxyproto.WriteHeader(os.Stdout, proxyproto.Header{
		Version:     1,
		Source:      &net.TCPAddr{IP: net.IPv4(203, 0, 113, 7), Port: 50000},
		Destination: &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 25},
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: PROXY TCP4 203.0.113.7 198.51.100.1 50000 25
}

// A graceful end loses no connection: shut down the listener, wait for Serve to return, then
// shut down the server.
func ExampleListener_Shutdown() {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	l, err := proxyproto.New(inner, proxyproto.Config{})
	if err != nil {
		log.Fatal(err)
	}
	srv := &http.Server{ConnContext: proxyproto.ConnContext}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	fmt.Println(l.Shutdown(ctx))
	<-served // net.ErrClosed, from Accept
	fmt.Println(srv.Shutdown(ctx))
	// Output:
	// <nil>
	// <nil>
}
