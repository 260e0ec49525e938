package client

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
)

// forwardingHeader returns the name of a header in which a proxy passes on facts about the
// client, and "" without one.
func forwardingHeader(h http.Header) (found string) {
	for name := range h {
		if isForwardingHeader(name) && (found == "" || name < found) {
			found = name
		}
	}
	return found
}

// isForwardingHeader takes the name in any case, with _ for -.
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

// RememberForwarding keeps the name of a forwarding header for Client.ForwardedBy. Put it
// in front of the handler of package forwarded, which strips the header.
func RememberForwarding(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name := forwardingHeader(r.Header); name != "" {
			r = r.WithContext(context.WithValue(r.Context(), forwardingKey{}, name))
		}
		next.ServeHTTP(w, r)
	})
}

// forwardedBy returns the name of a forwarding header that the request had.
func forwardedBy(r *http.Request) string {
	name, _ := r.Context().Value(forwardingKey{}).(string)
	return name
}

// LogForwarding reports a forwarding header of a peer that is not on the list of trusted
// proxies. The header is ignored. If the peer is a proxy, all its clients have its address.
func LogForwarding(log *LimitedLog, cl Client) {
	if cl.ForwardedBy == "" || !cl.IsUntrustedPeer() {
		return
	}
	log.Warn("forwarding header ignored", "untrusted_forwarding_header", cl.Listener,
		slog.String("peer", cl.IP.String()), slog.String("header", shortened(Quote(cl.ForwardedBy))),
		slog.String("reason", "the peer is not on the list of trusted proxies: if it is your proxy, add its address"),
		slog.String("setting", TrustedProxies))
}
