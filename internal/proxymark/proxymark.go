// Package proxymark has the mark that proxyproto and forwarded share: a value in a
// request's context which reports that its connection came through a PROXY protocol
// listener. A listener uses one mechanism only, so package forwarded ignores the
// forwarding headers of a request with this mark.
//
// proxyproto.NewContext sets the mark, forwarded.Resolver reads it. The two
// packages do not import each other.
package proxymark

import (
	"context"
	"net/netip"
)

// A Mark has the facts that a PROXY protocol listener reports about a connection.
type Mark struct {
	// Client is the client's address, or the address of the socket's peer if the client
	// is not known. It is unmapped and without a zone, and the zero Addr if the address is
	// not an IP address (a unix socket).
	Client netip.Addr
	// Peer is the address of the socket's peer, in the same form.
	Peer netip.Addr
	// Known reports whether Client is the client: a direct connection, or a
	// PROXY header with an address.
	Known bool
	// Direct reports that the connection came without a PROXY header: Client is
	// Peer.
	Direct bool
	// Info reports whether the client's connection is encrypted; onTLS is whether
	// there is TLS on top of the connection.
	Info interface {
		Secure(onTLS bool) (secure, known bool)
	}
}

type contextKey struct{}

// NewContext returns a context that carries m.
func NewContext(ctx context.Context, m *Mark) context.Context {
	return context.WithValue(ctx, contextKey{}, m)
}

// FromContext returns the mark of ctx, or nil if ctx has no mark.
func FromContext(ctx context.Context) *Mark {
	m, _ := ctx.Value(contextKey{}).(*Mark)
	return m
}
