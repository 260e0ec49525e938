package forwarded

import (
	"net/netip"
	"strings"
)

// parsePeer parses the RemoteAddr of a request, always "IP:port".
func parsePeer(s string) (netip.Addr, bool) {
	if s == "" || s[0] != '[' && (s[0] < '0' || s[0] > '9') {
		return netip.Addr{}, false // no error of net/netip for "@", a peer on a unix socket
	}
	a, port, ok := parseHost(s)
	return a.Unmap(), ok && port != "" && isPort(port, false)
}

// parseAddress parses an entry of X-Forwarded-For, which has no standard: an IP
// address, or v4:port, [v6] or [v6]:port. s is not empty.
func parseAddress(s string) (netip.Addr, fault) {
	colon := strings.IndexByte(s, ':')
	if colon < 0 && s[0] <= '9' && s != "0.0.0.0" { // IPv4 without a port, the usual case
		a, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Addr{}, faultAddress
		}
		return a, faultNone
	}
	if isHidden(s) {
		return netip.Addr{}, faultHidden
	}
	var a netip.Addr
	var port string
	var ok bool
	if colon >= 0 && s[0] != '[' && strings.IndexByte(s[colon+1:], ':') >= 0 {
		a, ok = parseIP(s)
	} else {
		a, port, ok = parseHost(s)
	}
	if !ok || !isPort(port, false) {
		return netip.Addr{}, faultAddress
	}
	return specified(a)
}

// parseNode parses a node, RFC 7239 section 6: an IPv4 address, an IPv6 address in
// brackets, unknown or an obfuscated identifier, each with or without a port.
func parseNode(s string) (netip.Addr, fault) {
	name := s
	if i := strings.IndexByte(s, ':'); i >= 0 && isPort(s[i:], true) {
		name = s[:i]
	}
	if isHidden(name) {
		return netip.Addr{}, faultHidden
	}
	a, port, ok := parseHost(s)
	if !ok || !isPort(port, true) {
		return netip.Addr{}, faultAddress
	}
	return specified(a)
}

// parseHost parses an IPv4 address, or an IPv6 address in brackets, and returns what
// follows it: nothing, or a colon and what should be a port.
func parseHost(s string) (a netip.Addr, port string, ok bool) {
	if s == "" || s[0] != '[' {
		if i := strings.IndexByte(s, ':'); i >= 0 {
			s, port = s[:i], s[i:]
		}
		a, err := netip.ParseAddr(s) // without a colon there is no IPv6 and no zone
		return a, port, err == nil
	}
	i := strings.IndexByte(s, ']')
	if i < 0 {
		return a, "", false
	}
	a, ok = parseIP(s[1:i])
	return a.Unmap(), s[i+1:], ok && a.Is6()
}

// parseIP parses an IP address. A zone (RFC 4007 section 11) has no meaning on another
// host and is dropped; net/netip would allocate for it. The error of net/netip is the
// one allocation that a malformed entry costs.
func parseIP(s string) (netip.Addr, bool) {
	zone := strings.IndexByte(s, '%')
	if zone >= 0 {
		if !isZone(s[zone+1:]) {
			return netip.Addr{}, false
		}
		s = s[:zone]
	}
	a, err := netip.ParseAddr(s)
	return a, err == nil && (zone < 0 || a.Is6())
}

// specified refuses the unspecified addresses. They identify no host (RFC 1122 section
// 3.2.1.3, RFC 4291 section 2.5.2), and a proxy that writes one does not know its
// client.
func specified(a netip.Addr) (netip.Addr, fault) {
	if a.Is4In6() {
		a = a.Unmap()
	}
	if a.IsUnspecified() {
		return netip.Addr{}, faultUnspecified
	}
	return a, faultNone
}

// isHidden reports whether s withholds an address: "unknown" in any case (RFC 7239
// section 6.2; Squid writes it to X-Forwarded-For too), or an obfuscated identifier
// (section 6.3).
func isHidden(s string) bool {
	const unknown = "unknown"
	if s == "" || s[0] < 'A' { // a digit, in most addresses
		return false
	}
	if len(s) != len(unknown) || s[0] == '_' {
		return isObfuscated(s)
	}
	for i := range len(unknown) {
		if s[i]|0x20 != unknown[i] {
			return false
		}
	}
	return true
}

// isObfuscated reports whether s is an obfnode or an obfport, RFC 7239 section 6.
func isObfuscated(s string) bool {
	if len(s) < 2 || s[0] != '_' {
		return false
	}
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case '0' <= c && c <= '9', 'a' <= c|0x20 && c|0x20 <= 'z', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// isPort reports whether s, which follows an address, is empty, or a colon and a port
// of at most five digits or, if obfuscated, an obfuscated port.
func isPort(s string, obfuscated bool) bool {
	if s == "" {
		return true
	}
	if s[0] != ':' || len(s) < 2 {
		return false
	}
	s = s[1:]
	if obfuscated && s[0] == '_' {
		return isObfuscated(s)
	}
	if len(s) > 5 {
		return false
	}
	port := 0
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return false
		}
		port = port*10 + int(c-'0')
	}
	return port <= 65535
}

// isZone reports whether s could be a zone: visible characters without brackets.
func isZone(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '[' || c == ']' {
			return false
		}
	}
	return s != ""
}
