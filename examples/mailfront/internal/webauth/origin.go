package webauth

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/seed-94e48765/portico/publicurl"
)

// OtherSite reports whether a page of another site may have sent a request through the browser
// of its visitor. It is false for programs other than browsers if they use the server's name or
// an IP address.
//
// With an absolute base, OtherSite does not compare the origin with Host: a page can rebind its
// own name to the server's address, and then both Host and Origin have that name.
func OtherSite(r *http.Request, base publicurl.Base) bool {
	switch r.Header.Get("Sec-Fetch-Site") { // browsers send it only to https and localhost, which cannot be rebound
	case "same-origin", "none":
		return false
	case "":
	default:
		return true
	}
	text := r.Header.Get("Origin")
	if text == "" {
		return !ownHost(r.Host, base)
	}
	return !ownOrigin(text, r.Host, base)
}

type otherSiteKey struct{}

// withSite returns the context of a request with the result of OtherSite, for a TokenSource.
func withSite(r *http.Request, base publicurl.Base) context.Context {
	return context.WithValue(r.Context(), otherSiteKey{}, OtherSite(r, base))
}

// isFromOtherSite returns the result that withSite has added, or false.
func isFromOtherSite(ctx context.Context) bool {
	other, _ := ctx.Value(otherSiteKey{}).(bool)
	return other
}

// ownOrigin reports whether an Origin is that of a page of this server.
func ownOrigin(text, host string, base publicurl.Base) bool {
	if !base.IsRelative() {
		return base.SameOrigin(text)
	}
	origin, err := url.Parse(text)
	return err == nil && origin.Host != "" && origin.Host == host
}

// ownHost reports whether a page of another site cannot make a browser use host for the server.
// An IP address cannot be rebound.
func ownHost(host string, base publicurl.Base) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(host, ".")
	if base.IsRelative() || strings.EqualFold(host, base.Hostname()) || strings.EqualFold(host, "localhost") {
		return true
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}

// SameOrigin reports whether a form may be from a page of the server. For a page without TLS
// this is not certain, because browsers send no Sec-Fetch-Site and a proxy may have changed
// Host. The form must therefore have a secret, such as a password or the token of a session.
func SameOrigin(r *http.Request, base publicurl.Base) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
	default:
		return false
	}
	text := r.Header.Get("Origin")
	if text == "" || ownOrigin(text, r.Host, base) {
		return true // without Origin the client is not a browser, or one from before 2020
	}
	origin, err := url.Parse(text)
	return err == nil && origin.Scheme == "http" && origin.Host != ""
}
