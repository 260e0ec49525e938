package proxyproto

import (
	"context"
	"net"
	"net/netip"

	"github.com/seed-94e48765/portico/internal/proxymark"
)

// FromConn returns the facts about the client behind c. c is a [Conn], or a wrapper of
// one that has the method NetConn() net.Conn, such as *tls.Conn. If FromConn returns
// false, nothing is known. The connection need not be direct then, because a wrapper
// without NetConn hides what is below it.
func FromConn(c net.Conn) (*Info, bool) {
	conn, _ := unwrap(c)
	if conn == nil {
		return nil, false
	}
	return &conn.info, true
}

// ConnContext is for http.Server.ConnContext. It calls [NewContext] with the Info
// of c, so that handlers can use [FromContext] and package forwarded ignores the
// forwarding headers of requests on the connection. It returns ctx unchanged if
// [FromConn] finds no Info.
//
// Two mistakes hide the Info, and then package forwarded reads the headers of clients
// on a PROXY protocol listener: a wrapper around the connections that has no method
// NetConn() net.Conn, such as that of netutil.LimitListener (wrap the listener below
// instead), and middleware that replaces the context of a request instead of deriving
// one from it.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	info, ok := FromConn(c)
	if !ok {
		return ctx
	}
	return NewContext(ctx, info)
}

type contextKey struct{}

// NewContext returns a context from which [FromContext] returns i. It is for servers
// without ConnContext, such as gRPC, and for tests of handlers.
//
// NewContext also marks the context: package forwarded then ignores forwarding
// headers and takes the client from i, because a listener uses one mechanism only.
// It does not mark the context if i belongs to a connection of a [Listener] that has
// no trusted and no optional peers, because such a Listener does not use the PROXY
// protocol. If i is nil, NewContext returns ctx unchanged.
func NewContext(ctx context.Context, i *Info) context.Context {
	if i == nil {
		return ctx
	}
	ctx = context.WithValue(ctx, contextKey{}, i)
	if i.unmarked {
		return ctx
	}
	m := &proxymark.Mark{Client: addrOf(i.Client), Peer: addrOf(i.Client), Known: i.ClientKnown(), Direct: i.Proxy == nil, Info: i}
	if i.Proxy != nil {
		m.Peer = addrOf(i.Proxy)
	}
	return proxymark.NewContext(ctx, m)
}

// FromContext returns the Info of the connection that a request came on. It returns false
// if the context did not pass through ConnContext or NewContext. Nothing is known then; the
// connection need not be direct.
func FromContext(ctx context.Context) (*Info, bool) {
	i, ok := ctx.Value(contextKey{}).(*Info)
	return i, ok
}

// addrOf returns the IP address in a, unmapped and without its zone. It is the zero
// Addr if a has no IP address.
func addrOf(a net.Addr) netip.Addr { return addrPortOf(a).Addr() }

// addrPortOf returns the IP address and port in a, unmapped and without the zone. It
// is the zero AddrPort if a has no IP address.
func addrPortOf(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.TCPAddr:
		ap = a.AddrPort()
	case *net.UDPAddr: // a listener that is not TCP, such as one for QUIC
		ap = a.AddrPort()
	}
	if !ap.IsValid() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}
