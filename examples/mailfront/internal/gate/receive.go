// Package gate handles a connection of a mail listener before a server gets it.
//
// A [Receiver] applies the limits of package guard, ends TLS and selects the server with the right
// offers for the connection. Several servers share one listener by means of proxyproto.Split, because
// libraries decide for each server, and not for each connection, whether they offer passwords.
// [Sessions] closes connections whose clients make no progress, and waits for all connections at
// shutdown. [Listener] logs connections whose first bytes show that a proxy and a listener have
// different settings.
//
// Copy with it: client, guard, store.
//
// Change the settings that [Listener] names. Remove the offers if your server can decide for each
// connection.
package gate

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
	"github.com/seed-94e48765/portico/proxyproto"
)

// HandshakeTimeout bounds a TLS handshake.
const HandshakeTimeout = 10 * time.Second

// An Offer is a set of mechanisms that a server may offer on a connection. Each Offer has a
// server. Its value is the index in the result of proxyproto.Split.
type Offer int

// The offers. Offers is the number of offers.
const (
	StartTLS Offer = iota // STARTTLS, and no password before it
	Login                 // passwords without STARTTLS, because the client already uses TLS
	Neither               // no password and no STARTTLS, which would not make the client's connection secure
	Offers
)

// offerOn returns the offer for c.
func offerOn(c net.Conn) Offer {
	if secure, known := proxyproto.Secure(c); secure && known {
		return Login
	}
	// Under ReencryptedTLS the TLS of the proxy proves nothing about the client's connection, and
	// STARTTLS would not change that.
	info, _ := proxyproto.FromConn(c)
	if secure, known := info.Secure(true); secure && known {
		return StartTLS
	}
	return Neither
}

// A Receiver handles the connections of a mail listener.
type Receiver struct {
	Context  context.Context // cancels handshakes
	Listener client.Listener
	Patience time.Duration // maximum time without success; see Sessions.Add
	TLS      *tls.Config   // for clients that begin with TLS; nil otherwise
	Sessions *Sessions
	Guard    *guard.Guard
	Log      *slog.Logger
}

// Receive returns the connection with the [Offer] that selects its server, or nil if it has closed the
// connection. It is the choose function of proxyproto.Split, which calls it concurrently for several
// connections, so that a slow handshake delays no other connection.
func (r *Receiver) Receive(c net.Conn) (net.Conn, int) {
	cl := client.New(r.Listener, c)
	release, err := r.Guard.Admit(cl)
	if err != nil {
		c.Close()
		return nil, 0
	}
	c = r.Sessions.Add(c, r.Patience, func() { cl.Log(r.Log, "out_of_patience") }, release)
	accepted := cl
	if r.TLS != nil {
		tc := tls.Server(c, r.TLS)
		ctx, cancel := context.WithTimeout(r.Context, HandshakeTimeout)
		err := tc.HandshakeContext(ctx)
		cancel()
		if err != nil {
			tc.Close()
			// A forged PROXY header has been logged as a rejection.
			if !errors.Is(err, proxyproto.ErrUntrustedHeader) {
				r.Log.Debug("no TLS handshake", "proto", r.Listener.Name, "peer", client.IPOf(c.RemoteAddr()).String(), "reason", client.Quote(err.Error()))
			}
			return nil, 0
		}
		c = tc
		accepted = client.New(r.Listener, c)
	}
	accepted.Log(r.Log, "accept")
	o := offerOn(c)
	if o != Login {
		c = hideTLS(c)
	}
	return c, int(o)
}

// hideTLS hides a *tls.Conn from the server if the TLS is that of the proxy and not of the client. The
// server would offer passwords otherwise.
func hideTLS(c net.Conn) net.Conn {
	if _, ok := c.(*tls.Conn); ok {
		return hiddenConn{c}
	}
	return c
}

type hiddenConn struct{ net.Conn }

// NetConn lets package proxyproto find the connection that is hidden from the server.
func (c hiddenConn) NetConn() net.Conn { return c.Conn }
