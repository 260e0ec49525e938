// Copy hop, a minimal proxy that reports its clients and whether they use TLS. A complete proxy is
// examples/relay. Change the address that it connects to.

package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
)

// A hop is a proxy in front of one listener.
type hop struct {
	l      net.Listener
	tls    *tls.Config // ends TLS; if nil, the hop passes the bytes on
	dial   proxyproto.Dialer
	target string
	open   sync.WaitGroup
}

func startHop(dial proxyproto.Dialer, target string, config *tls.Config) (*hop, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &hop{l: l, tls: config, dial: dial, target: target}
	h.open.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			h.open.Go(func() { h.pass(c) })
		}
	})
	return h, nil
}

// close returns after the last connection has ended.
func (h *hop) close() {
	h.l.Close()
	h.open.Wait()
}

// pass forwards one connection.
func (h *hop) pass(c net.Conn) {
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), demoTimeout)
	defer cancel()
	// Like HAProxy's send-proxy-v2-ssl: the header has the SSL TLV, which reports no TLS if the hop
	// has seen none.
	header := proxyproto.Header{Source: c.RemoteAddr(), Destination: c.LocalAddr(), TLS: &proxyproto.TLS{}}
	if h.tls != nil {
		tc := tls.Server(c, h.tls)
		if err := tc.HandshakeContext(ctx); err != nil {
			return
		}
		state := tc.ConnectionState()
		header.TLS = &proxyproto.TLS{
			Client:  true,
			Version: tls.VersionName(state.Version),
			Cipher:  tls.CipherSuiteName(state.CipherSuite),
		}
		header.ServerName = state.ServerName
		c = tc
	}
	s, err := h.dial.DialContext(ctx, "tcp", h.target, header)
	if err != nil {
		return
	}
	defer s.Close()
	deadline, _ := ctx.Deadline()
	c.SetDeadline(deadline)
	s.SetDeadline(deadline)
	var both sync.WaitGroup
	both.Go(func() { copyHalf(s, c) })
	both.Go(func() { copyHalf(c, s) })
	both.Wait()
}

// copyHalf copies one direction and passes its end on. The other direction continues.
func copyHalf(to, from net.Conn) {
	_, err := io.Copy(to, from)
	w, ok := to.(interface{ CloseWrite() error })
	if err != nil || !ok || w.CloseWrite() != nil {
		to.Close()
	}
}

// A visit connects a client to a listener.
type visit struct {
	dial     func() (net.Conn, error)
	startTLS bool
}

func (d *demo) dialer() *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: d.client.AsSlice()}}
}

// to dials address as the client.
func (d *demo) to(address string) func() (net.Conn, error) {
	return func() (net.Conn, error) {
		c, err := d.dialer().DialContext(d.ctx, "tcp", address)
		if err == nil {
			c.SetDeadline(time.Now().Add(demoTimeout / 3))
		}
		return c, err
	}
}

// toTLS is like to, with TLS from the first byte.
func (d *demo) toTLS(address string) func() (net.Conn, error) {
	return func() (net.Conn, error) {
		c, err := d.to(address)()
		if err != nil {
			return nil, err
		}
		tc := tls.Client(c, d.tls)
		if err := tc.HandshakeContext(d.ctx); err != nil {
			c.Close()
			return nil, err
		}
		return tc, nil
	}
}

func failing(err error) (visit, func()) {
	return visit{dial: func() (net.Conn, error) { return nil, err }}, func() {}
}

func throughPlain(d *demo, listener string) (visit, func()) {
	h, err := startHop(proxyproto.Dialer{Dial: d.asProxy}, d.behind.address(listener), nil)
	if err != nil {
		return failing(err)
	}
	return visit{dial: d.to(h.l.Addr().String()), startTLS: true}, h.close
}

func throughPlainToTLS(d *demo, listener string) (visit, func()) {
	h, err := startHop(proxyproto.Dialer{Dial: d.asProxy}, d.behind.address(listener), nil)
	if err != nil {
		return failing(err)
	}
	return visit{dial: d.toTLS(h.l.Addr().String())}, h.close
}

func throughTLS(d *demo, listener string) (visit, func()) {
	h, err := startHop(proxyproto.Dialer{Dial: d.asProxy}, d.behind.address(listener), d.behind.tls)
	if err != nil {
		return failing(err)
	}
	return visit{dial: d.toTLS(h.l.Addr().String())}, h.close
}

func directly(d *demo, listener string) (visit, func()) {
	return visit{dial: d.to(d.direct.address(listener)), startTLS: true}, func() {}
}

func directlyOnTLS(d *demo, listener string) (visit, func()) {
	return visit{dial: d.toTLS(d.direct.address(listener))}, func() {}
}

// address returns the address of a listener that is not off.
func (f *frontend) address(name string) string { return f.addr(name).String() }
