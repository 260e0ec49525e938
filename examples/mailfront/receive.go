// What to copy: receive, when a library's server decides by itself, and only by
// *tls.Conn or one flag, whether it offers passwords. What to change: the number
// of offers, if your server can be told for each connection.

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
	"github.com/seed-94e48765/portico/proxyproto"
)

// handshakeTimeout bounds the TLS handshake on a listener whose name ends in S.
const handshakeTimeout = 10 * time.Second

// An offer is what a server may offer on a connection. There is a server for
// each, behind one listener, and its value is the server's place there.
type offer int

const (
	offerStartTLS offer = iota // no password before STARTTLS
	offerLogin                 // passwords, and no STARTTLS: the client is on TLS already
	offerNeither               // not even TLS from here would make the client's connection secure
	offers
)

// offerOn decides what is offered on c.
func offerOn(c net.Conn) offer {
	if secure, known := proxyproto.Secure(c); secure && known {
		return offerLogin
	}
	// Under ReencryptedTLS the TLS that a proxy speaks to us says nothing of the
	// client, so a STARTTLS would change nothing, either.
	info, _ := proxyproto.FromConn(c)
	if secure, known := info.Secure(true); secure && known {
		return offerStartTLS
	}
	return offerNeither
}

// A receiver is what stands between a mail listener and its servers.
type receiver struct {
	ctx      context.Context // ends handshakes at shutdown
	listener string
	tls      *tls.Config // nil unless the client begins with TLS
	sessions *sessions
	guard    *guard.Guard
	log      *slog.Logger
}

// receive takes a connection from the listener, and returns it with the place of
// the server that gets it. It is the choose function of a proxyproto.Split, so that a
// slow handshake delays no other connection.
func (r *receiver) receive(c net.Conn) (net.Conn, int) {
	cl := client.New(r.listener, c)
	release, err := r.guard.Admit(cl)
	if err != nil {
		c.Close()
		return nil, 0
	}
	patience := loginPatience
	if strings.HasPrefix(r.listener, "smtp") {
		patience = mailPatience
	}
	c = r.sessions.add(c, patience, func() { cl.Log(r.log, "out_of_patience") }, release)
	if r.tls != nil {
		tc := tls.Server(c, r.tls)
		ctx, cancel := context.WithTimeout(r.ctx, handshakeTimeout)
		err := tc.HandshakeContext(ctx)
		cancel()
		if err != nil {
			tc.Close()
			// A forged PROXY header is in the log already, as a rejection.
			if !errors.Is(err, proxyproto.ErrUntrustedHeader) {
				r.log.Debug("no TLS handshake", "proto", r.listener, "peer", client.IPOf(c.RemoteAddr()).String(), "reason", err.Error())
			}
			return nil, 0
		}
		c = tc
	}
	client.New(r.listener, c).Log(r.log, "accept")
	o := offerOn(c)
	if o != offerLogin {
		c = hideTLS(c)
	}
	return c, int(o)
}

// hideTLS keeps a server from offering passwords because it sees a *tls.Conn,
// where that is the proxy's and not the client's.
func hideTLS(c net.Conn) net.Conn {
	if _, ok := c.(*tls.Conn); ok {
		return hiddenConn{c}
	}
	return c
}

type hiddenConn struct{ net.Conn }

// NetConn lets proxyproto see what the server does not.
func (c hiddenConn) NetConn() net.Conn { return c.Conn }
