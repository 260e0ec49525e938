// What to copy: refusePlaintext, in front of everything that takes passwords or tokens
// over HTTP. What to change: nothing.

package main

import (
	"log/slog"
	"net/http"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
)

const plaintextReason = "the client's connection is not encrypted: let clients use https"

// refusePlaintext answers a request whose password or token passed a network unencrypted,
// and reports whether it has. The mail listeners refuse the same. A client whose TLS is
// not known is not refused.
func refusePlaintext(log *slog.Logger, w http.ResponseWriter, cl client.Client) bool {
	if !cl.IsPlaintext() {
		return false
	}
	logPlaintext(log, cl)
	noStore(w)
	http.Error(w, "TLS is required: passwords and tokens are not accepted over an unencrypted connection. Use https.", http.StatusForbidden)
	return true
}

// logPlaintext reports a password or token that was refused because of the connection.
func logPlaintext(log *slog.Logger, cl client.Client) {
	attrs := []slog.Attr{slog.String("reason", plaintextReason)}
	if cl.ForwardedBy != "" && cl.IsUntrustedPeer() {
		attrs = append(attrs, slog.String("setting", client.TrustedProxies)) // the proxy may have TLS
	}
	cl.Warn(log, "plaintext_refused", attrs...)
}
