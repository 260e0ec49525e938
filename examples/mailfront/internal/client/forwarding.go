package client

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/seed-94e48765/portico/forwarded"
)

// forwardingHeader returns the name of a header in which a proxy passes on facts about the client. It
// returns "" without such a header.
func forwardingHeader(h http.Header) (found string) {
	for name := range h {
		if isForwardingHeader(name) && (found == "" || name < found) {
			found = name
		}
	}
	return found
}

// isForwardingHeader reports whether name is a forwarding header, in any case and with _ for -.
func isForwardingHeader(name string) bool {
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	switch name {
	case "x-real-ip", "x-client-ip", "x-cluster-client-ip", "cf-connecting-ip", "cf-connecting-ipv6", "true-client-ip",
		"fly-client-ip", "x-original-forwarded-for", "x-envoy-external-address", "x-azure-clientip", "via":
		return true
	}
	for _, family := range []string{"forwarded", "x-forwarded"} {
		if name == family || strings.HasPrefix(name, family+"-") {
			return true
		}
	}
	return false
}

type forwardingKey struct{}

// RememberForwarding stores the name of a forwarding header for Client.ForwardedBy. It must run
// before the handler of package forwarded, which removes the header.
func RememberForwarding(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name := forwardingHeader(r.Header); name != "" {
			r = r.WithContext(context.WithValue(r.Context(), forwardingKey{}, name))
		}
		next.ServeHTTP(w, r)
	})
}

// forwardedBy returns the name of a forwarding header that the request had, or "".
func forwardedBy(r *http.Request) string {
	name, _ := r.Context().Value(forwardingKey{}).(string)
	return name
}

// LogForwarding reports a forwarding header of a peer that is not on the list of trusted proxies. The
// header is ignored. If the peer is a proxy, all its clients appear with its address.
//
// LogForwarding also reports a trusted proxy that sends no header of the configured name, or a
// malformed one, so that no client of that proxy is known. It does not report a request of a proxy
// without any forwarding header, because the request may be a health check.
//
// A peer on this machine without a forwarding header is reported if its requests have another host. It
// may be a proxy that passes bytes on, and all its clients then have the address 127.0.0.1.
func LogForwarding(log *LimitedLog, cl Client) {
	if cl.ForwardedBy == "" {
		if cl.IsThisMachine() && cl.IsUntrustedPeer() && !isThisHost(cl.Host) {
			log.Warn("a request from this machine has another host", "local_peer", cl.Listener,
				slog.String("peer", cl.IP.String()), slog.String("host", shortened(Quote(cl.Host))),
				slog.String("reason", "if the peer is a proxy on this machine, its clients are not known: configure it to send the client's address, and add it to the list of trusted proxies"),
				slog.String("setting", cl.TrustedSetting))
		}
		return
	}
	if setting := forwardingSetting(cl.Reason); setting != "" {
		log.Warn("client not known", "unknown_client", cl.Listener,
			slog.String("peer", cl.Proxy.String()), slog.String("header", shortened(Quote(cl.ForwardedBy))),
			slog.String("reason", cl.Reason), slog.String("setting", setting))
	}
	if !cl.IsUntrustedPeer() {
		return
	}
	log.Warn("forwarding header ignored", "untrusted_forwarding_header", cl.Listener,
		slog.String("peer", cl.IP.String()), slog.String("header", shortened(Quote(cl.ForwardedBy))),
		slog.String("reason", "the peer is not on the list of trusted proxies: if it is your proxy, add its address"),
		slog.String("setting", cl.TrustedSetting))
}

// forwardingSetting returns the setting to correct if package forwarded returns this reason for a
// request with a forwarding header. It returns "" if the reason may be legitimate.
func forwardingSetting(reason string) string {
	switch reason {
	case forwarded.NoHeader.String(), forwarded.Malformed.String():
		return "MAILFRONT_FORWARDED_HEADER"
	case forwarded.TooFewHops.String():
		return "MAILFRONT_FORWARDED_HOPS"
	}
	return ""
}
