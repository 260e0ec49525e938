// What to copy: refusePlaintext, in front of everything that takes passwords or tokens
// over HTTP. What to change: nothing.

package main

import (
	"log/slog"
	"net/http"
)

const plaintextReason = "the client's connection is not encrypted: let clients use https"

// refusePlaintext answers a request whose password or token passed a network unencrypted,
// and reports whether it has. The mail listeners refuse the same. A client whose TLS is
// not known is not refused.
func (g *guard) refusePlaintext(w http.ResponseWriter, cl client) bool {
	if !cl.isPlaintext() {
		return false
	}
	cl.logPlaintext(g.log)
	noStore(w)
	http.Error(w, "TLS is required: passwords and tokens are not accepted over an unencrypted connection. Use https.", http.StatusForbidden)
	return true
}

// logPlaintext reports a password or token that was refused because of the connection.
func (cl client) logPlaintext(log *slog.Logger) {
	attrs := []slog.Attr{slog.String("reason", plaintextReason)}
	if cl.forwardedBy != "" && cl.isUntrustedPeer() {
		attrs = append(attrs, slog.String("setting", trustedProxies)) // the proxy may have TLS
	}
	cl.warn(log, "plaintext_refused", attrs...)
}
