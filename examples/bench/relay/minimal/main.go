//go:build linux

// Minimal is a TCP proxy of a few lines: it accepts, dials, sends a PROXY header and copies both
// ways. It has no limits, timeouts, log or trusted proxies, and serves only
// as the baseline of the benchmark. Do not copy it.
package main

import (
	"context"
	"io"
	"log"
	"net"
	"os"

	"github.com/seed-94e48765/portico/proxyproto"
)

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	os.Stdout.WriteString(l.Addr().String() + "\n")
	for {
		c, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go relay(c.(*net.TCPConn), os.Args[1])
	}
}

func relay(client *net.TCPConn, backend string) {
	defer client.Close()
	h := proxyproto.Header{Source: client.RemoteAddr(), Destination: client.LocalAddr()}
	c, err := new(proxyproto.Dialer).DialContext(context.Background(), "tcp", backend, h)
	if err != nil {
		log.Print(err)
		return
	}
	server := c.(*net.TCPConn)
	defer server.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(server, client)
		server.CloseWrite()
	}()
	io.Copy(client, server)
	client.CloseWrite()
	<-done
}
