package proxyproto_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

// exampleListener returns a Listener on loopback that trusts the proxy at 127.0.0.1.
func exampleListener(c proxyproto.Config) *proxyproto.Listener {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	c.Trusted = trustnet.MustParse("127.0.0.1")
	l, err := proxyproto.New(inner, c)
	if err != nil {
		log.Fatal(err)
	}
	return l
}

// proxySends connects to l and sends the given bytes.
func proxySends(l net.Listener, sent string) net.Conn {
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	if _, err := io.WriteString(c, sent); err != nil {
		log.Fatal(err)
	}
	return c
}

// acceptOne returns the next connection of l.
func acceptOne(l net.Listener) net.Conn {
	c, err := l.Accept()
	if err != nil {
		log.Fatal(err)
	}
	return c
}

// A server behind a proxy at 127.0.0.1 sees the client's address.
func Example() {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	l, err := proxyproto.New(inner, proxyproto.Config{
		Trusted:  trustnet.MustParse("127.0.0.1"), // the proxy only
		OnReject: func(r proxyproto.Rejection) { log.Printf("%v: %v", r.Peer, r.Err) },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()

	proxy := proxySends(l, "PROXY TCP4 203.0.113.7 198.51.100.1 50000 25\r\nEHLO client.example\r\n")
	defer proxy.Close()
	c, err := l.Accept() // usually in the Serve method of a server
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	b := make([]byte, 100)
	n, err := c.Read(b)
	fmt.Printf("%v sends %q %v\n", c.RemoteAddr(), b[:n], err)
	// Output: 203.0.113.7:50000 sends "EHLO client.example\r\n" <nil>
}

// The TLS facts of the header decide whether passwords may be offered.
func ExampleSecure() {
	l := exampleListener(proxyproto.Config{})
	defer l.Close()
	for _, facts := range []*proxyproto.TLS{{Client: true, Version: "TLSv1.3"}, {Client: false}, nil} {
		var header bytes.Buffer
		err := proxyproto.WriteHeader(&header, proxyproto.Header{
			Source:      &net.TCPAddr{IP: net.IPv4(203, 0, 113, 7), Port: 50000},
			Destination: &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 25},
			TLS:         facts,
		})
		if err != nil {
			log.Fatal(err)
		}
		proxy := proxySends(l, header.String())
		c := acceptOne(l)
		secure, known := proxyproto.Secure(c)
		fmt.Println("secure", secure, "known", known)
		c.Close()
		proxy.Close()
	}
	// Output:
	// secure true known true
	// secure false known true
	// secure false known false
}

// A LOCAL or UNKNOWN header names no client: the address is the proxy's.
func ExampleInfo_ClientKnown() {
	l := exampleListener(proxyproto.Config{})
	defer l.Close()
	for _, header := range []string{
		"PROXY TCP4 203.0.113.7 198.51.100.1 50000 25\r\n",
		"PROXY UNKNOWN\r\n",
	} {
		proxy := proxySends(l, header)
		c := acceptOne(l)
		info, _ := proxyproto.FromConn(c)
		if info.ClientKnown() {
			fmt.Println("evaluate SPF for", info.ClientAddr().Addr())
		} else {
			fmt.Println("no SPF verdict, ban or relaying for", info.Client.(*net.TCPAddr).IP)
		}
		c.Close()
		proxy.Close()
	}
	// Output:
	// evaluate SPF for 203.0.113.7
	// no SPF verdict, ban or relaying for 127.0.0.1
}

// Stats has the counters for a metrics page.
func ExampleListener_Stats() {
	refused := make(chan error, 1)
	l := exampleListener(proxyproto.Config{OnReject: func(r proxyproto.Rejection) { refused <- r.Err }})
	defer l.Close()
	proxy := proxySends(l, "GET / HTTP/1.1\r\n\r\n") // a trusted peer must send a header
	defer proxy.Close()
	go l.Accept()
	fmt.Println(errors.Is(<-refused, proxyproto.ErrNoHeader))
	stats := l.Stats()
	fmt.Println("served", stats.Proxied+stats.Local+stats.Direct, "no header", stats.NoHeader)
	// Output:
	// true
	// served 0 no header 1
}

// A server checks for a signal from time to time.
func ExampleListener_SetDeadline() {
	l := exampleListener(proxyproto.Config{})
	defer l.Close()
	if err := l.SetDeadline(time.Now().Add(time.Millisecond)); err != nil {
		log.Fatal(err)
	}
	_, err := l.Accept()
	fmt.Println(errors.Is(err, os.ErrDeadlineExceeded))
	l.SetDeadline(time.Time{}) // no deadline
	proxy := proxySends(l, "PROXY TCP4 203.0.113.7 198.51.100.1 50000 25\r\n")
	defer proxy.Close()
	c := acceptOne(l)
	defer c.Close()
	fmt.Println(c.RemoteAddr())
	// Output:
	// true
	// 203.0.113.7:50000
}

// Two servers on one port: the first gets the connections whose client uses TLS. Only that
// server offers passwords.
func ExampleSplit() {
	l := exampleListener(proxyproto.Config{})
	const withPasswords, withoutPasswords = 0, 1
	servers := proxyproto.Split(l, 2, func(c net.Conn) (net.Conn, int) {
		if secure, known := proxyproto.Secure(c); secure && known {
			return c, withPasswords
		}
		return c, withoutPasswords
	})
	go serveMail(servers[withPasswords], func(net.Conn) string { return "250 AUTH PLAIN" })
	go serveMail(servers[withoutPasswords], func(net.Conn) string { return "250 STARTTLS" })

	fmt.Println(throughProxy(l.Addr(), &proxyproto.TLS{Client: true}, ""))
	fmt.Println(throughProxy(l.Addr(), nil, ""))
	fmt.Println(l.Shutdown(context.Background())) // ends both servers
	// Output:
	// 250 AUTH PLAIN
	// 250 STARTTLS
	// <nil>
}

// A proxy that ends its clients' TLS reports it to the server.
func ExampleTLSFromState() {
	state := tls.ConnectionState{ // of a *tls.Conn after its handshake
		HandshakeComplete:  true,
		Version:            tls.VersionTLS13,
		CipherSuite:        tls.TLS_AES_128_GCM_SHA256,
		ServerName:         "mail.example.com",
		NegotiatedProtocol: "imap",
	}
	h := proxyproto.Header{
		Source:      &net.TCPAddr{IP: net.IPv4(203, 0, 113, 7), Port: 50000},
		Destination: &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 993},
		TLS:         proxyproto.TLSFromState(state),
		ServerName:  state.ServerName,
		ALPN:        state.NegotiatedProtocol,
	}
	fmt.Println(h.TLS.Client, h.TLS.Version, h.TLS.Cipher)

	l := exampleListener(proxyproto.Config{})
	defer l.Close()
	var d proxyproto.Dialer
	proxy, err := d.DialContext(context.Background(), "tcp", l.Addr().String(), h)
	if err != nil {
		log.Fatal(err)
	}
	defer proxy.Close()
	c := acceptOne(l)
	defer c.Close()
	info, _ := proxyproto.FromConn(c)
	fmt.Println(info.ServerName, info.ALPN, info.TLS.Version)
	// Output:
	// true TLSv1.3 TLS_AES_128_GCM_SHA256
	// mail.example.com imap TLSv1.3
}
