// What to copy: all of it. What to change: nothing, unless the backend must get less.

package main

import (
	"crypto/tls"

	"github.com/seed-94e48765/portico/proxyproto"
)

// newHeader returns the header about a client for the backend. state is that of the TLS
// that the relay ended, nil if it ended none.
//
// The client's address is passed on as it was received. LOCAL stays LOCAL, so that no
// backend takes a proxy for a client. TLS is passed on as the first proxy reported it.
// If no proxy did, info.Secure reports whether TLS that ended here was the client's own.
func newHeader(info *proxyproto.Info, state *tls.ConnectionState) proxyproto.Header {
	h := info.Header()
	secure, known := info.Secure(state != nil)
	switch {
	case h.TLS != nil && h.TLS.Client: // a proxy ended it, and saw more of it than we did
	case !known: // not known, so it is left out
	case !secure: // the backend shall not take silence for TLS
		if h.TLS == nil {
			h.TLS = &proxyproto.TLS{Client: false}
		}
	case state != nil: // we ended it
		h.TLS = proxyproto.TLSFromState(*state)
		h.ServerName, h.ALPN = "", state.NegotiatedProtocol
		if len(state.ServerName) <= maxServerName {
			h.ServerName = state.ServerName
		}
	default: // RELAY_TLS_TERMINATED: a proxy ended it, and does not report it
		h.TLS = &proxyproto.TLS{Client: true}
	}
	return h
}

// maxServerName is the length of the longest host name. A client may send 64 KiB
// for one, and backends refuse a header that is too long.
const maxServerName = 253
