package mailauth

import (
	"log/slog"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
)

// tlsTerminated is the setting for TLS that a proxy ends, as log lines name it.
const tlsTerminated = "MAILFRONT_TLS_TERMINATED"

// LogPlaintext reports a login that was refused because the client is not known to use TLS, with the
// cause and the setting to change. It writes at most one line a minute for each listener.
func LogPlaintext(log *client.LimitedLog, cl client.Client) {
	reason, setting := plaintextCause(cl)
	attrs := []slog.Attr{
		slog.String("client_ip", cl.LogIP().String()), slog.Bool("tls_known", cl.TLSKnown), slog.Bool("client_known", cl.Known),
		slog.String("reason", reason),
	}
	if setting != "" {
		attrs = append(attrs, slog.String("setting", setting))
	}
	log.Warn("login refused", "plaintext_refused", cl.Listener, attrs...)
}

// plaintextCause returns why a client is not known to use TLS. If a setting can change that, it also
// returns the name of the setting.
func plaintextCause(cl client.Client) (reason, setting string) {
	const useTLS = "the client's connection is not encrypted: let clients use STARTTLS or a listener that begins with TLS"
	switch {
	case cl.TLSKnown && cl.IsUntrustedPeer():
		return useTLS + "; if the peer is a proxy, add it to the trusted proxies", cl.TrustedSetting
	case cl.TLSKnown:
		return useTLS + "; the PROXY header reports no TLS", ""
	case cl.Known:
		return "it is not known whether the client's connection is encrypted: let the proxy send a PROXY header of version 2 with the client's TLS; " +
			"if the proxy ends the TLS of all its clients, add the listener to this setting instead", tlsTerminated
	}
	return "it is not known whether the client's connection is encrypted, because the PROXY header has no client (LOCAL or UNKNOWN): configure the proxy to send the client's address and TLS", ""
}
