package proxyproto

import (
	"crypto/tls"
	"net"
)

// A TLSPath describes where the client's TLS ends on the way to a listener. It
// applies to connections with a PROXY header that names a client, and not to direct
// connections.
type TLSPath uint8

const (
	// PassthroughTLS: the proxy passes bytes on. TLS on top of a connection is
	// the client's. Without it nothing is known, unless the header reports the
	// client's TLS (HAProxy: send-proxy-v2-ssl).
	PassthroughTLS TLSPath = iota

	// TerminatedTLS: the proxy ends TLS for every client of this listener. NGINX,
	// Caddy and Traefik do not report that in the header, so a connection whose
	// header has no TLS facts counts as secure. Set it only if no plaintext port of
	// the proxy leads to this listener.
	TerminatedTLS

	// ReencryptedTLS: the proxy ends the client's connection and opens a TLS
	// connection of its own to the listener. That connection is not evidence of the
	// client's TLS. Secure can apply this rule only if it finds the Conn: on top of a
	// wrapper that hides the Conn, a *tls.Conn looks like the client's. Keep the Info
	// and call [Info.Secure] then.
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
// is known. Offer passwords and set Secure cookies only if secure is true. If known
// is false, secure is false too. The answer is not known for a connection without TLS
// from a proxy whose header does not report the client's TLS, and for a health check.
//
// c is the connection as the application has it: a [Conn], or a *tls.Conn or
// other wrapper with a NetConn() net.Conn method on top of one. A connection that is
// not from a Listener is secure if it is a *tls.Conn, and not known otherwise. A
// wrapper without NetConn hides the Info: keep the result of [FromConn] when the
// session begins, and call [Info.Secure].
func Secure(c net.Conn) (secure, known bool) {
	conn, onTLS := unwrap(c)
	if conn == nil {
		return onTLS, onTLS
	}
	return conn.info.Secure(onTLS)
}

// Secure is like [Secure] for a caller that has the Info. onTLS is whether TLS was
// negotiated on top of the connection. In an HTTP handler:
//
//	info, ok := proxyproto.FromContext(r.Context())
//	secure, known := info.Secure(r.TLS != nil)
//
// For a nil Info the result is not known, even if onTLS is set, because the TLS may be a
// proxy's own. A handler gets a nil Info if http.Server.ConnContext is not set.
func (i *Info) Secure(onTLS bool) (secure, known bool) {
	switch {
	case i == nil:
		return false, false

	case i.Version == 0: // direct: TLS on top is the client's
		return onTLS, true

	case i.Local || i.unknown: // it is not known whose connection it is
		mine := onTLS && i.path != ReencryptedTLS
		return mine, mine

	case i.TLS != nil && i.TLS.Client: // the header reports TLS
		return true, true

	case onTLS && i.path != ReencryptedTLS: // TLS on top is the client's
		return true, true

	case i.TLS != nil: // the header reports no TLS
		return false, true

	case i.path == TerminatedTLS: // the configuration declares it
		return true, true
	}
	return false, false
}

// unwrap finds the Conn below c, and whether a *tls.Conn is on top of it.
func unwrap(c net.Conn) (conn *Conn, onTLS bool) {
	// A chain of wrappers is short. The limit is for a chain that leads to itself.
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
