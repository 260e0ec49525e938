package webauth

import (
	"log/slog"
	"net/http"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
)

// PlaintextCause returns the attributes of a log line about a password or token that passed a
// network unencrypted: the reason, and the setting to change if the peer is a proxy that is
// missing from the list of trusted proxies.
func PlaintextCause(cl client.Client) []slog.Attr {
	attrs := []slog.Attr{slog.String("reason", "the client's connection is not encrypted: let clients use https")}
	if cl.IsUntrustedPeer() && (cl.ForwardedBy != "" || cl.IsThisMachine()) { // the client may use TLS
		attrs = append(attrs, slog.String("setting", cl.TrustedSetting))
	}
	return attrs
}

// RefusePlaintext answers and logs a request of cl with a password or token that is known to
// have passed a network unencrypted, and reports whether it did. Call it for every request with
// the header Authorization. It does not refuse a client whose TLS is not known, or a program on
// this machine whose request is for this machine, such as http://127.0.0.1.
func (a *Auth) RefusePlaintext(w http.ResponseWriter, cl client.Client) bool {
	if !cl.IsPlaintext() {
		return false
	}
	logPlaintext(a.Log, cl)
	NoStore(w)
	http.Error(w, "TLS is required: passwords and tokens are not accepted over an unencrypted connection. Use https.", http.StatusForbidden)
	return true
}

// IsPlaintext is like RefusePlaintext for a handler that writes the answer itself: it reports
// and logs that a password or token in the request passed a network unencrypted.
func (a *Auth) IsPlaintext(r *http.Request) bool {
	cl := client.FromRequest(r)
	if cl.IsPlaintext() {
		logPlaintext(a.Log, cl)
	}
	return cl.IsPlaintext()
}

// logPlaintext logs a password or token that was refused because of the connection.
func logPlaintext(log *slog.Logger, cl client.Client) {
	cl.Warn(log, "plaintext_refused", PlaintextCause(cl)...)
}
