package forwarded

import "net/http"

// strip returns h without the forwarding headers that res is not based on. It returns h
// itself if h does not have such headers, and a copy otherwise, because a handler must not
// modify its request (see [http.Handler]).
func (r *Resolver) strip(h http.Header, res *Result) http.Header {
	removes := false
	for name := range h {
		if r.isForwarding(name) && !r.isUsed(name, res) {
			removes = true
			break
		}
	}
	if !removes {
		return h
	}
	kept := make(http.Header, len(h))
	for name, lines := range h {
		if !r.isForwarding(name) || r.isUsed(name, res) {
			kept[name] = lines[:len(lines):len(lines)] // an append must not reach h
		}
	}
	return kept
}

// isUsed reports whether res is based on the header of this name.
func (r *Resolver) isUsed(name string, res *Result) bool {
	return name == r.key && r.usedHops(res) > 0 ||
		name == xForwardedProto && res.Proto != "" && r.readsXForwardedProto()
}
