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

// OtherSite reports whether a page of another site may have sent a request through the
// browser of its visitor. It is false for programs that are not browsers, if they use the
// server's name or an IP address.
//
// With an absolute base, Host does not make an origin the server's own: a page can rebind
// its own name to the server's address, and then Host and Origin are both that name.
func OtherSite(r *http.Request, base publicurl.Base) bool {
	switch r.Header.Get("Sec-Fetch-Site") { // only sent to https and localhost, which cannot be rebound
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

// isFromOtherSite returns what withSite has added, or false.
func isFromOtherSite(ctx context.Context) bool {
	other, _ := ctx.Value(otherSiteKey{}).(bool)
	return other
}

// ownOrigin reports whether an Origin is that of our own page.
func ownOrigin(text, host string, base publicurl.Base) bool {
	if !base.IsRelative() {
		return base.SameOrigin(text)
	}
	origin, err := url.Parse(text)
	return err == nil && origin.Host != "" && origin.Host == host
}

// ownHost reports whether a page of another site cannot have brought a browser to use
// host for the server. An IP address cannot be rebound.
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

// SameOrigin reports whether a form can be from a page of the server. For a page without TLS
// that is not certain, because browsers send no Sec-Fetch-Site and a proxy may have changed
// Host: the form must have a secret of its own, such as a password or the token of a session.
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
		return true // without Origin it is not a browser, or one from before 2020
	}
	origin, err := url.Parse(text)
	return err == nil && origin.Scheme == "http" && origin.Host != ""
}
