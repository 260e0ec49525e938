package proxyproto_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
)

// A proxy forwards the facts about the client, and the bytes that the client has sent.
func ExampleForward() {
	backend := greeter()
	defer backend.Close()

	front := exampleListener(proxyproto.Config{})
	defer front.Close()
	go func() {
		for {
			c, err := front.Accept()
			if err != nil {
				return
			}
			go relay(c.(*proxyproto.Conn), backend.Addr().String())
		}
	}()

	fmt.Print(throughProxy(front.Addr(), &proxyproto.TLS{Client: true, Version: "TLSv1.3"}, "EHLO\r\n"))
	// Output: 220 hello 203.0.113.7:50000 on TLSv1.3, you said "EHLO\r\n"
}

func relay(client *proxyproto.Conn, backend string) {
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	h := client.Info().Header()
	h.Checksum = true
	first := make([]byte, 1024)
	n, err := client.ReadArrived(first)
	if err != nil && err != io.EOF { // after io.EOF Forward ends at once
		return // an untrusted header, which OnReject reports, or a reset
	}
	d := proxyproto.Dialer{Payload: first[:n]}
	c, err := d.DialContext(ctx, "tcp", backend, h)
	if err != nil {
		log.Print(err)
		return
	}
	session := &relayed{client: client, server: c.(*net.TCPConn)}
	var both sync.WaitGroup
	both.Go(func() { session.forward(session.server, client) })
	both.Go(func() { session.forward(client, session.server) })
	both.Wait()
	session.close()
}

// relayed is a session of relay.
type relayed struct {
	client *proxyproto.Conn
	server *net.TCPConn
	failed atomic.Bool // an error ended a direction
}

// forward copies one direction until src ends.
func (r *relayed) forward(dst interface {
	net.Conn
	CloseWrite() error
}, src net.Conn) {
	switch err := proxyproto.Forward(dst, src, nil); {
	case err != nil:
		r.failed.Store(true)
		if _, err := dst.Write(nil); err == nil {
			r.close() // the error is that of src
		} // else the other direction forwards the last answer of dst, and ends
	case !r.failed.Load():
		dst.CloseWrite()
	}
}

// close closes both connections. After an error it resets them, so that neither peer takes
// incomplete data for complete.
func (r *relayed) close() {
	for _, c := range []net.Conn{r.client.NetConn(), r.server} {
		if r.failed.Load() {
			c.(*net.TCPConn).SetLinger(0)
		}
		c.Close()
	}
}
