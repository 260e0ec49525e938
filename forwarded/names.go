package forwarded

import "net/http"

const (
	xForwardedFor   = "X-Forwarded-For"
	xForwardedProto = "X-Forwarded-Proto"
	xForwardedHost  = "X-Forwarded-Host"
)

// forwardingFamilies are names of forwarding headers, alone or followed by a dash and
// other characters. forwardingNames are further names.
var (
	forwardingFamilies = [...]string{"Forwarded", "X-Forwarded"}
	forwardingNames    = [...]string{"X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "CF-Connecting-IPv6", "Fly-Client-IP"}
)

// hasForwarding reports whether h has a forwarding header.
func (r *Resolver) hasForwarding(h http.Header) bool {
	for name, lines := range h {
		if len(lines) > 0 && r.isForwarding(name) {
			return true
		}
	}
	return false
}

// isForwarding reports whether a header of this name describes the client's side of a
// proxy.
func (r *Resolver) isForwarding(name string) bool {
	for _, family := range forwardingFamilies {
		if isFamily(name, family) {
			return true
		}
	}
	for _, want := range forwardingNames {
		if isFold(name, want) {
			return true
		}
	}
	return r.cfg.SingleHeader != "" && isFold(name, r.key)
}

// isFamily reports whether name is family, or family, a dash and more.
func isFamily(name, family string) bool {
	if len(name) > len(family) {
		if c := name[len(family)]; c != '-' && c != '_' {
			return false
		}
		name = name[:len(family)]
	}
	return isFold(name, family)
}

// isFold reports whether name is want in any case. It does not distinguish _ and -,
// because CGI does not.
func isFold(name, want string) bool {
	if len(name) != len(want) {
		return false
	}
	for i := range len(want) {
		if want[i] == '-' || want[i] == '_' { // Config.SingleHeader may have either
			if name[i] != '-' && name[i] != '_' {
				return false
			}
		} else if name[i]|0x20 != want[i]|0x20 {
			return false
		}
	}
	return true
}
