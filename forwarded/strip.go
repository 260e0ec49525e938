package forwarded

import (
	"net/http"
)

const (
	xForwardedProto = "X-Forwarded-Proto"
	xRealIP         = "X-Real-Ip"
)

// strip deletes the forwarding headers of h that res is not based on.
func (r *Resolver) strip(h http.Header, res Result) {
	for name := range h {
		if !isForwarding(name) ||
			name == r.key && res.Hops > 0 ||
			name == xForwardedProto && res.Proto != "" && r.cfg.Header == XForwardedFor {
			continue
		}
		delete(h, name)
	}
}

// isForwarding reports whether a header of this name says something about the
// client's side of a proxy.
func isForwarding(name string) bool {
	return isFamily(name, "Forwarded") || isFamily(name, "X-Forwarded") || isFold(name, xRealIP)
}

// isFamily reports whether name is the given one, or that one, a dash and more.
func isFamily(name, family string) bool {
	if len(name) > len(family) {
		if c := name[len(family)]; c != '-' && c != '_' {
			return false
		}
		name = name[:len(family)]
	}
	return isFold(name, family)
}

// isFold reports whether name is want in any case, with _ for - or without.
func isFold(name, want string) bool {
	if len(name) != len(want) {
		return false
	}
	for i := range len(want) {
		if want[i] == '-' {
			if name[i] != '-' && name[i] != '_' {
				return false
			}
		} else if name[i]|0x20 != want[i]|0x20 {
			return false
		}
	}
	return true
}
