package proxyproto

import (
	"crypto/tls"
	"net"
)

// A TLSPath says who ends the client's TLS on the way to a listener. It speaks
// only for connections with a PROXY header that names a client, never for a
// direct one.
type TLSPath uint8

const (
	// PassthroughTLS: the proxy passes bytes on. TLS on top of a connection is
	// the client's; without it nothing is known, unless the proxy says it in the
	// header (HAProxy: send-proxy-v2-ssl).
	PassthroughTLS TLSPath = iota

	// TerminatedTLS: the proxy ends TLS for every client of this listener, and
	// may not say so: NGINX, Caddy and Traefik never do. Without a word in the
	// header a connection counts as secure. Set it only where the proxy offers
	// no plaintext port that leads here.
	TerminatedTLS

	// ReencryptedTLS: the proxy ends the client's connection and opens a TLS
	// connection of its own, which says nothing of the client's. Secure knows that
	// only while it finds the Conn below: on top of a wrapper that hides it, a
	// *tls.Conn looks like the client's. Keep the Info, and ask it.
	ReencryptedTLS
)

func (p TLSPath) String() string {
	switch p {
	case PassthroughTLS:
		return "PassthroughTLS"
	case TerminatedTLS:
		return "TerminatedTLS"
	case ReencryptedTLS:
		return "ReencryptedTLS"
	}
	return "TLSPath(invalid)"
}

// Secure reports whether the client's connection is encrypted, and whether that
// is known at all. Offer passwords and set Secure cookies only when both are
// true. known is false where secure is a guess: a plain connection from a proxy
// that says nothing, a health check.
//
// c is the connection as the application has it: a [Conn], or a *tls.Conn or
// other wrapper with a NetConn() net.Conn method on top of one. A connection of
// no Listener is secure with a *tls.Conn, else unknown. A wrapper without
// NetConn hides the Info: keep what [FromConn] gave when the session began, and
// ask [Info.Secure].
func Secure(c net.Conn) (secure, known bool) {
	conn, onTLS := unwrap(c)
	if conn == nil {
		return onTLS, onTLS
	}
	return conn.info.Secure(onTLS)
}

// Secure is [Secure] for a caller who has the Info and knows whether TLS was
// negotiated on top of the connection. In an HTTP handler:
//
//	info, ok := proxyproto.FromContext(r.Context())
//	secure, known := info.Secure(r.TLS != nil)
//
// A nil Info is a connection of which nothing is known, TLS or not: the TLS may be
// a proxy's own. A handler that gets one lacks http.Server.ConnContext.
func (i *Info) Secure(onTLS bool) (secure, known bool) {
	switch {
	case i == nil:
		return false, false

	case i.Version == 0: // direct: what is on top is the client's, or nothing is
		return onTLS, true

	case i.Local || i.unknown: // whose connection is it?
		mine := onTLS && i.path != ReencryptedTLS
		return mine, mine

	case i.TLS != nil && i.TLS.Client: // the proxy says so
		return true, true

	case onTLS && i.path != ReencryptedTLS: // end to end, or as good
		return true, true

	case i.TLS != nil: // the proxy says no
		return false, true

	case i.path == TerminatedTLS: // the administrator says so
		return true, true
	}
	return false, false
}

// unwrap finds the Conn below c, and whether a *tls.Conn is on top of it.
func unwrap(c net.Conn) (conn *Conn, onTLS bool) {
	// A chain of wrappers is short. The bound is for one that leads to itself.
	for range 32 {
		switch t := c.(type) {
		case *Conn:
			return t, onTLS
		case *tls.Conn:
			onTLS = true
			c = t.NetConn()
		case interface{ NetConn() net.Conn }:
			c = t.NetConn()
		default:
			return nil, onTLS
		}
	}
	return nil, onTLS
}
