// What to copy: newHeader. What to change: nothing, unless the backend must get less data.

package main

import (
	"crypto/tls"

	"github.com/seed-94e48765/portico/proxyproto"
)

// newHeader returns the header with a client's address and TLS for the backend. state is the
// state of TLS that the relay ended, or nil.
//
// The client's address is passed on as it was received. LOCAL stays LOCAL, so that no
// backend takes a proxy for a client. TLS is passed on as the first proxy reported it.
// If no proxy did, info.Secure reports whether TLS that ended here was the client's own.
func newHeader(info *proxyproto.Info, state *tls.ConnectionState) proxyproto.Header {
	h := info.Header()
	secure, known := info.Secure(state != nil)
	switch {
	case h.TLS != nil && h.TLS.Client: // ended at a proxy, which has more information
	case !known: // not known, so omit it
	case !secure: // report the absence of TLS
		if h.TLS == nil {
			h.TLS = &proxyproto.TLS{Client: false}
		}
	case state != nil: // ended here
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

// maxServerName is the maximal length of a host name. A client can send a name of 64 KiB, and
// backends refuse a header that is too long.
const maxServerName = 253
