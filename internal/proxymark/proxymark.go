// Package proxymark is the one thing that proxyproto and forwarded share: a
// mark in a request's context which says that its connection came through a
// PROXY protocol listener. One listener means one mechanism, so a request with
// this mark never has its forwarding headers believed.
//
// proxyproto.NewContext sets the mark, forwarded.Resolver reads it. The two
// packages do not import each other.
package proxymark

import (
	"context"
	"net/netip"
)

// A Mark says what the PROXY protocol listener knows of a connection.
type Mark struct {
	// Client is the client's address, or when it is not known the address of
	// the socket's peer. Unmapped, without zone; the zero Addr when the address
	// is not an IP address (a unix socket).
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

// FromContext returns the mark of ctx, or nil when there is none.
func FromContext(ctx context.Context) *Mark {
	m, _ := ctx.Value(contextKey{}).(*Mark)
	return m
}
