package recipes

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
)

// crypto/tls, for a protocol of your own. The order is TCP, PROXY, TLS.
func Example_cryptoTLS() {
	cert, pool := certificate()
	l := listen()
	defer l.Close()
	tl := tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})
	go func() {
		for {
			c, err := tl.Accept()
			if err != nil {
				return // net.ErrClosed
			}
			go func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(10 * time.Second))
				if c.(*tls.Conn).Handshake() != nil {
					return
				}
				secure, known := proxyproto.Secure(c) // looks below the *tls.Conn
				fmt.Fprintln(c, "hello", c.RemoteAddr(), "TLS:", secure && known)
			}()
		}
	}()

	// To try it.
	c := tls.Client(throughProxy(l, nil), &tls.Config{RootCAs: pool, ServerName: "mail.example.com"})
	defer c.Close()
	fmt.Print(line(c))
	// Output: hello 203.0.113.7:50000 TLS: true
}

// A server that asserts *net.TCPConn. A *proxyproto.Conn is none: an assertion with
// ok sees nothing, one without panics. What such servers want is there all the same:
//
//   - CloseWrite is a method of Conn. Assert interface{ CloseWrite() error }.
//   - SetNoDelay, SetKeepAlive, SetLinger are the socket's: take it from NetConn,
//     and set options on it, nothing else. What was read along with the header
//     is not in it, so a Read from it, or its File, loses the client's first bytes.
//   - io.Copy still uses splice(2), by ReadFrom and WriteTo.
//   - SyscallConn is a method of Conn.
func Example_tcpConn() {
	l := listen()
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if _, ok := c.(*net.TCPConn); ok {
					log.Fatal("not reached")
				}
				if below, ok := c.(interface{ NetConn() net.Conn }); ok {
					if tcp, ok := below.NetConn().(*net.TCPConn); ok {
						tcp.SetKeepAlivePeriod(time.Minute)
					}
				}
				c.SetDeadline(time.Now().Add(time.Minute))
				io.Copy(c, c) // the echo service, RFC 862
				if half, ok := c.(interface{ CloseWrite() error }); ok {
					half.CloseWrite()
				}
			}()
		}
	}()

	// To try it.
	c := throughProxy(l, nil)
	defer c.Close()
	fmt.Fprintln(c, "hello")
	fmt.Print(line(c))
	// Output: hello
}

func line(c net.Conn) string {
	s, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		log.Fatal(err)
	}
	return s
}
