package proxyproto

import (
	"context"
	"net"
	"net/netip"

	"github.com/seed-94e48765/portico/internal/proxymark"
)

// FromConn returns what is known of the client behind c: c is a [Conn], or a
// wrapper such as *tls.Conn whose method NetConn() net.Conn leads to one. False
// means that nothing is known, never that the connection is direct: a wrapper
// without NetConn hides what is below it.
func FromConn(c net.Conn) (*Info, bool) {
	conn, _ := unwrap(c)
	if conn == nil {
		return nil, false
	}
	return &conn.info, true
}

// ConnContext is for http.Server.ConnContext. It makes [FromContext] work in
// handlers, and marks every request on a connection of a [Listener], so that
// package forwarded believes no forwarding header in it: one listener means one
// mechanism. Without it a client's X-Forwarded-For would count when its address
// is on forwarded's list.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	info, ok := FromConn(c)
	if !ok {
		return ctx
	}
	m := &proxymark.Mark{Client: addrOf(info.Client), Peer: addrOf(info.Client), Known: info.ClientKnown(), Info: info}
	if info.Proxy != nil {
		m.Peer = addrOf(info.Proxy)
	}
	return proxymark.NewContext(ctx, m)
}

// FromContext returns the Info of the connection that a request came on.
func FromContext(ctx context.Context) (*Info, bool) {
	m := proxymark.FromContext(ctx)
	if m == nil {
		return nil, false
	}
	info, ok := m.Info.(*Info)
	return info, ok
}

// addrOf returns the IP address in a, unmapped and without its zone.
func addrOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
