package proxyproto_test

import (
	"fmt"
	"io"
	"net"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

// Headers may be enabled on one proxy host after another, or other programs on the machine of
// the proxy may connect directly. Such a peer is Optional.
func ExampleConfig_optional() {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	l, err := proxyproto.New(inner, proxyproto.Config{
		Optional:  trustnet.MustParse("127.0.0.1"),
		Untrusted: proxyproto.Refuse,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()

	for _, sent := range []string{
		"PROXY TCP4 203.0.113.7 198.51.100.1 50000 25\r\nEHLO client.example\r\n",
		"GET /healthz HTTP/1.1\r\n\r\n",
	} {
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			fmt.Println(err)
			return
		}
		defer client.Close()
		io.WriteString(client, sent)
		c, err := l.Accept()
		if err != nil {
			fmt.Println(err)
			return
		}
		info, _ := proxyproto.FromConn(c)
		b := make([]byte, 100)
		n, _ := c.Read(b)
		fmt.Printf("%v, header %v: %q\n", info.ClientAddr().Addr(), info.Version, b[:n])
		c.Close()
	}
	// Output:
	// 203.0.113.7, header 1: "EHLO client.example\r\n"
	// 127.0.0.1, header 0: "GET /healthz HTTP/1.1\r\n\r\n"
}

// A Listener without trusted peers, under an HTTP server that uses package forwarded: a
// proxy that sends the PROXY protocol to this port is reported.
func ExampleNew_withoutTrustedPeers() {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	l, err := proxyproto.New(inner, proxyproto.Config{
		OnReject: func(r proxyproto.Rejection) { fmt.Printf("refused: %q\n", r.Prefix) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()

	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	io.WriteString(client, "PROXY TCP4 203.0.113.7 198.51.100.1 50000 80\r\n")
	c, err := l.Accept()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	n, _ := c.Read(make([]byte, 100))
	fmt.Println(n, "bytes reach the HTTP server")
	// Output:
	// refused: "PROXY TCP4 203.0.113.7 198.51.100.1 50000 80\r\n"
	// 0 bytes reach the HTTP server
}
