// Package gate handles a connection of a mail listener before a server sees it. A [Receiver]
// asks package guard, ends TLS and chooses the server that may make the right offers on the
// connection: several servers share one listener by means of proxyproto.Split, because
// libraries decide once for each server, and not for each connection, whether they offer
// passwords. [Sessions] ends connections whose clients do nothing useful, and waits for all
// of them at shutdown. [Listener] reports a proxy and a listener that do not agree on what
// comes first on a connection.
//
// Copy with it: client, guard, store.
//
// What to change: the settings that [Listener] names; and the offers, if your server can
// decide for each connection.
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

// An Offer is what a server may offer on a connection. There is a server for each Offer,
// and the value is its index in the result of proxyproto.Split.
type Offer int

// The offers. Offers is their number.
const (
	StartTLS Offer = iota // no password before STARTTLS
	Login                 // passwords, and no STARTTLS: the client is on TLS already
	Neither               // not even TLS from here would make the client's connection secure
	Offers
)

// offerOn returns what may be offered on c.
func offerOn(c net.Conn) Offer {
	if secure, known := proxyproto.Secure(c); secure && known {
		return Login
	}
	// Under ReencryptedTLS the TLS of the proxy proves nothing about the client, and
	// STARTTLS would not change that.
	info, _ := proxyproto.FromConn(c)
	if secure, known := info.Secure(true); secure && known {
		return StartTLS
	}
	return Neither
}

// A Receiver handles the connections of a mail listener.
type Receiver struct {
	Context  context.Context // ends handshakes when it ends
	Listener string
	Patience time.Duration // how long a client may go on without success; see Sessions.Add
	TLS      *tls.Config   // nil unless the client begins with TLS
	Sessions *Sessions
	Guard    *guard.Guard
	Log      *slog.Logger
}

// Receive returns the connection with the [Offer] that chooses its server, or nil if it has
// closed the connection. It is the choose function of proxyproto.Split, which runs it for
// several connections at the same time: a slow handshake delays no other connection.
func (r *Receiver) Receive(c net.Conn) (net.Conn, int) {
	cl := client.New(r.Listener, c)
	release, err := r.Guard.Admit(cl)
	if err != nil {
		c.Close()
		return nil, 0
	}
	c = r.Sessions.Add(c, r.Patience, func() { cl.Log(r.Log, "out_of_patience") }, release)
	if r.TLS != nil {
		tc := tls.Server(c, r.TLS)
		ctx, cancel := context.WithTimeout(r.Context, HandshakeTimeout)
		err := tc.HandshakeContext(ctx)
		cancel()
		if err != nil {
			tc.Close()
			// A forged PROXY header is in the log already, as a rejection.
			if !errors.Is(err, proxyproto.ErrUntrustedHeader) {
				r.Log.Debug("no TLS handshake", "proto", r.Listener, "peer", client.IPOf(c.RemoteAddr()).String(), "reason", err.Error())
			}
			return nil, 0
		}
		c = tc
	}
	client.New(r.Listener, c).Log(r.Log, "accept")
	o := offerOn(c)
	if o != Login {
		c = hideTLS(c)
	}
	return c, int(o)
}

// hideTLS hides a *tls.Conn from the server, which would offer passwords on it, where its TLS
// is the proxy's and not the client's.
func hideTLS(c net.Conn) net.Conn {
	if _, ok := c.(*tls.Conn); ok {
		return hiddenConn{c}
	}
	return c
}

type hiddenConn struct{ net.Conn }

// NetConn lets proxyproto see what the server does not.
func (c hiddenConn) NetConn() net.Conn { return c.Conn }
