package forwarded

import (
	"encoding/binary"
	"net/netip"
)

// The addresses are parsed here and not by net/netip because its errors are
// allocated, and a client may send as many malformed ones as it likes. What is
// accepted is the same, but for zones with a blank in them; a fuzz target compares the
// two.

// text is a value as it stands in a header, or one whose escapes were removed.
type text interface{ string | []byte }

// parsePeer parses the RemoteAddr of a request, always "IP:port".
func parsePeer(s string) (netip.Addr, bool) {
	if a, n := parse4(s); n > 0 {
		return a, n < len(s) && isPort(s[n:], false)
	}
	if a, n := parseBracketed(s); n > 0 {
		return a, n < len(s) && isPort(s[n:], false)
	}
	return netip.Addr{}, false
}

// parseAddress parses an entry of X-Forwarded-For, which no standard describes:
// an IP address, or v4:port, [v6] or [v6]:port.
func parseAddress(s string) (netip.Addr, fault) {
	if a, n := parse4(s); n > 0 && isPort(s[n:], false) {
		return known(a)
	}
	if a, n := parseBracketed(s); n > 0 && isPort(s[n:], false) {
		return known(a)
	}
	if a, ok := parse6(s); ok {
		return known(a)
	}
	return netip.Addr{}, hidden(s)
}

// parseNode parses a node, RFC 7239 section 6: an IPv4 address, an IPv6 address
// in brackets, unknown or an obfuscated identifier, each with or without a port.
func parseNode[T text](s T) (netip.Addr, fault) {
	if a, n := parse4(s); n > 0 && isPort(s[n:], true) {
		return known(a)
	}
	if a, n := parseBracketed(s); n > 0 && isPort(s[n:], true) {
		return known(a)
	}
	for i := range len(s) {
		if s[i] == ':' && isPort(s[i:], true) {
			s = s[:i]
			break
		}
	}
	return netip.Addr{}, hidden(s)
}

// known refuses the unspecified addresses: they name no host (RFC 1122 section
// 3.2.1.3, RFC 4291 section 2.5.2), and a proxy that writes one does not know
// its client.
func known(a netip.Addr) (netip.Addr, fault) {
	if a.IsUnspecified() {
		return netip.Addr{}, faultUnspecified
	}
	return a, faultNone
}

// hidden tells the names that stand for an address on purpose from garbage:
// "unknown" (RFC 7239 section 6.2; Squid writes it to X-Forwarded-For too) and
// obfuscated identifiers (section 6.3).
func hidden[T text](s T) fault {
	if isObfuscated(s) {
		return faultHidden
	}
	const unknown = "unknown"
	if len(s) != len(unknown) {
		return faultAddress
	}
	for i := range len(unknown) {
		if s[i]|0x20 != unknown[i] { // ABNF strings ignore case
			return faultAddress
		}
	}
	return faultHidden
}

// isObfuscated reports whether s is an obfnode or an obfport, RFC 7239 section 6.
func isObfuscated[T text](s T) bool {
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

// isPort reports whether s, which follows an address, is empty, or a colon and a
// port of at most five digits, or, if obfuscated ports may be, one of these.
func isPort[T text](s T, obfuscated bool) bool {
	if len(s) == 0 {
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

// parse4 parses the IPv4 address that s begins with, and returns its length, 0
// if there is none.
func parse4[T text](s T) (netip.Addr, int) {
	x, n := quad(s)
	if n == 0 {
		return netip.Addr{}, 0
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], x)
	return netip.AddrFrom4(b), n
}

// quad parses four decimal numbers without leading zeros, which some read as
// octal. What follows the last is the caller's business.
func quad[T text](s T) (x uint32, n int) {
	var field uint32
	digits, dots := 0, 0
	for n < len(s) {
		c := s[n]
		if d := uint32(c) - '0'; d <= 9 {
			if field == 0 && digits > 0 {
				return 0, 0
			}
			field = field*10 + d
			if field > 255 {
				return 0, 0
			}
			digits++
		} else if c == '.' && digits > 0 && dots < 3 {
			x = x<<8 | field
			field, digits = 0, 0
			dots++
		} else {
			break
		}
		n++
	}
	if dots != 3 || digits == 0 {
		return 0, 0
	}
	return x<<8 | field, n
}

// parseBracketed parses the IPv6 address in brackets that s begins with, and
// returns the length with its brackets, 0 if there is none.
func parseBracketed[T text](s T) (netip.Addr, int) {
	if len(s) == 0 || s[0] != '[' {
		return netip.Addr{}, 0
	}
	for i := range len(s) {
		if s[i] == ']' {
			if a, ok := parse6(s[1:i]); ok {
				return a, i + 1
			}
			break
		}
	}
	return netip.Addr{}, 0
}

// parse6 parses an IPv6 address, RFC 4291 section 2.2. A zone (RFC 4007 section
// 11) is dropped: it means nothing on another host. An IPv4-mapped address
// becomes the IPv4 address.
func parse6[T text](s T) (netip.Addr, bool) {
	for i := range len(s) {
		if s[i] == '%' {
			if !isZone(s[i+1:]) {
				return netip.Addr{}, false
			}
			s = s[:i]
			break
		}
	}
	var b [16]byte
	gap := -1 // where in b the "::" stands
	if len(s) >= 2 && s[0] == ':' && s[1] == ':' {
		gap = 0
		s = s[2:]
	}
	n := 0 // of b, written
	for len(s) > 0 {
		value, digits := 0, 0
		for digits < len(s) && digits < 5 {
			d := hexDigit[s[digits]]
			if d < 0 {
				break
			}
			value = value<<4 | int(d)
			digits++
		}
		if digits == 0 || digits > 4 || n == 16 {
			return netip.Addr{}, false
		}
		if digits < len(s) && s[digits] == '.' { // the last 32 bits as IPv4
			x, used := quad(s)
			if used != len(s) || n > 12 {
				return netip.Addr{}, false
			}
			binary.BigEndian.PutUint32(b[n:], x)
			n += 4
			break
		}
		b[n], b[n+1] = byte(value>>8), byte(value)
		n += 2
		s = s[digits:]
		if len(s) == 0 {
			break
		}
		if s[0] != ':' || len(s) == 1 {
			return netip.Addr{}, false
		}
		s = s[1:]
		if s[0] == ':' {
			if gap >= 0 {
				return netip.Addr{}, false
			}
			gap = n
			s = s[1:]
		}
	}
	switch {
	case gap >= 0 && n < 16: // "::" stands for at least one group
		copy(b[gap+16-n:], b[gap:n])
		clear(b[gap : gap+16-n])
	case gap >= 0 || n < 16:
		return netip.Addr{}, false
	}
	return netip.AddrFrom16(b).Unmap(), true
}

// isZone reports whether s could be a zone: visible characters, no brackets.
func isZone[T text](s T) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '[' || c == ']' {
			return false
		}
	}
	return len(s) > 0
}

// hexDigit holds the value of a hexadecimal digit, -1 for any other byte.
var hexDigit = func() (t [256]int8) {
	for c := range t {
		switch {
		case '0' <= c && c <= '9':
			t[c] = int8(c - '0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			t[c] = int8(c | 0x20 - 'a' + 10)
		default:
			t[c] = -1
		}
	}
	return t
}()
