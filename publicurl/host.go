package publicurl

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

const (
	maxName  = 253 // RFC 1035 section 2.3.4: 255 octets on the wire
	maxLabel = 63

	// Every composed character takes up to four bytes of UTF-8 and at least one of
	// an A-label. Longer names are refused because the cost of Punycode is quadratic.
	maxUnicodeName = 4 * maxName
)

// profile maps and validates an internationalised name for lookup: RFC 5891
// section 5 with UTS #46, nontransitional, STD3 rules, hyphens, joiners, Bidi.
var profile = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.VerifyDNSLength(true))

// appendHost appends the canonical form of a host (RFC 3986 section 3.2.2): an IP
// literal in brackets, an IPv4 address or a DNS name. off is its place in the
// input. host is not empty.
func appendHost(dst []byte, host string, off int) ([]byte, *fault) {
	if host[0] == '[' {
		return appendIPv6(dst, host, off)
	}
	if isASCII(host) {
		return appendName(dst, host, off)
	}
	name, ok := toASCII(host)
	if !ok {
		return nil, &fault{ErrHost, off, "this is not a valid internationalised name; write it in its ASCII form (xn--...)"}
	}
	dst, f := appendName(dst, name, off)
	if f != nil {
		f.off = off // an index into name does not help the reader
	}
	return dst, f
}

// appendIPv6 canonicalises "[address]" by RFC 5952, which browsers follow too.
func appendIPv6(dst []byte, host string, off int) ([]byte, *fault) {
	inner, closed := strings.CutSuffix(host[1:], "]")
	a, err := netip.ParseAddr(inner)
	switch {
	case strings.Contains(inner, "%"):
		return nil, &fault{ErrHost, off + 1 + strings.IndexByte(inner, '%'), "remove the zone: it is valid on one machine only"}
	case !closed || err != nil || !a.Is6():
		return nil, &fault{ErrHost, off, "brackets hold an IPv6 address, as in https://[2001:db8::1]"}
	case a.Is4In6():
		// RFC 5952 section 5 and WHATWG URL section 3.6 spell it differently.
		return nil, &fault{ErrHost, off, "write the IPv4 address " + a.Unmap().String() + " itself"}
	}
	if f := checkReachable(a, off); f != nil {
		return nil, f
	}
	return append(a.AppendTo(append(dst, '[')), ']'), nil
}

// isBareIPv6 reports whether host is an IPv6 address without brackets.
func isBareIPv6(s string) bool {
	if strings.Count(s, ":") < 2 {
		return false
	}
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is6()
}

// appendName canonicalises an IPv4 address or a DNS name of LDH labels (RFC 1123
// section 2.1), both in ASCII.
func appendName(dst []byte, name string, off int) ([]byte, *fault) {
	labels := strings.TrimSuffix(name, ".") // RFC 3986 section 3.2.2: the root dot
	if len(labels) > maxName {
		return nil, &fault{ErrHost, off, "a host name has at most 253 characters (RFC 1035 section 2.3.4)"}
	}
	from, at, ace := len(dst), off, false
	var last []byte
	for label := range strings.SplitSeq(labels, ".") {
		if f := checkLabel(label, at); f != nil {
			return nil, f
		}
		start := len(dst)
		dst = appendLower(dst, label)
		last = dst[start:]
		ace = ace || len(last) >= 4 && string(last[:4]) == "xn--"
		dst = append(dst, '.')
		at += len(label) + 1
	}
	dst = dst[:len(dst)-1]
	if isNumber(last) {
		return dst, checkIPv4(name, off)
	}
	if ace && !isCanonicalACE(dst[from:], labels) {
		return nil, &fault{ErrHost, off, "a label that starts with xn-- is not a valid A-label (RFC 5891 section 5.3)"}
	}
	return dst, nil
}

// checkLabel checks one label of a name; at is its place in the input.
func checkLabel(label string, at int) *fault {
	switch {
	case label == "":
		return &fault{ErrHost, at, "a label is empty: remove the extra dot"}
	case len(label) > maxLabel:
		return &fault{ErrHost, at, "a label has at most 63 characters (RFC 1035 section 2.3.4)"}
	}
	for i := range len(label) {
		c := label[i]
		if !isAlphanumeric(c) && (c != '-' || i == 0 || i == len(label)-1) {
			return &fault{ErrHost, at + i, hostHint(c)}
		}
	}
	return nil
}

func appendLower(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

func hostHint(c byte) string {
	switch c {
	case '_':
		return "a host name has no underscore (RFC 1123 section 2.1)"
	case '*':
		return "a wildcard is not a host; write the one name that clients use"
	case '-':
		return "a label neither starts nor ends with a hyphen (RFC 1123 section 2.1)"
	case '%':
		return "write the host name itself, without percent escapes"
	default:
		return "a host name has only letters, digits, hyphens and dots"
	}
}

// isNumber reports whether browsers interpret a name with this last label as an IPv4
// address: it is decimal, or 0x and hexadecimal (WHATWG URL section 3.5,
// ends-in-a-number). label is in lower case.
func isNumber(label []byte) bool {
	digits, hex := label, false
	if len(label) >= 2 && label[0] == '0' && label[1] == 'x' {
		digits, hex = label[2:], true
	}
	for _, c := range digits {
		if (c < '0' || c > '9') && !(hex && 'a' <= c && c <= 'f') {
			return false
		}
	}
	return true
}

// checkIPv4 accepts only four decimal numbers with dots. Browsers read 127.1, 0x7f.1,
// 017700000001 and 2130706433 as addresses; other clients look them up in the DNS.
func checkIPv4(s string, off int) *fault {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() {
		return &fault{ErrHost, off, "a host that ends in a number is an IPv4 address of four decimal numbers, as in 192.0.2.1"}
	}
	return checkReachable(a, off)
}

func checkReachable(a netip.Addr, off int) *fault {
	if a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return &fault{ErrHost, off, "no client can connect to this address; write the name or address that clients use"}
	}
	return nil
}

// toASCII converts a name with characters beyond ASCII to A-labels. Each label
// is converted alone, so that no mapping can add or lose a label; appendName
// then validates the whole.
func toASCII(name string) (string, bool) {
	// A capital sharp s is "ss" or "ß", depending on the Unicode version of the browser.
	if len(name) > maxUnicodeName || strings.Contains(name, "\u1e9e") {
		return "", false
	}
	for _, dot := range dots[1:] {
		name = strings.ReplaceAll(name, string(dot), ".")
	}
	labels := strings.Split(name, ".")
	for i, label := range labels {
		if isASCII(label) {
			continue
		}
		// The Punycode decoder lets characters beyond ASCII pass (Go issue 81116):
		// no label may turn into an A-label by mapping. The letter in front keeps
		// the mapped text from being decoded.
		if mapped, _ := profile.ToUnicode("a" + label); strings.HasPrefix(mapped, "axn--") {
			return "", false
		}
		a, err := profile.ToASCII(label)
		if err != nil || strings.Contains(a, ".") {
			return "", false
		}
		labels[i] = a
	}
	return strings.Join(labels, "."), true
}

// dots are the label separators of RFC 3490 section 3.1, which UTS #46 keeps.
const dots = ".\u3002\uff0e\uff61"

// isCanonicalACE reports whether every A-label of a name in lower case is valid.
// The conversion alone is not a check: it drops the label "xn--" and decodes
// A-labels that no encoder writes (Go issues 78760 and 81549). A valid name
// comes out as it went in (RFC 5891 section 5.3). typed is the name as it was
// given, which mostly saves a copy.
func isCanonicalACE(lower []byte, typed string) bool {
	if string(lower) != typed {
		typed = string(lower)
	}
	a, err := profile.ToASCII(typed)
	return err == nil && a == typed
}

// isLoopback reports whether a canonical host is on the same machine: RFC 6761 section
// 6.3 and W3C Secure Contexts section 3.1.
func isLoopback(name string) bool {
	if name == "localhost" || strings.HasSuffix(name, ".localhost") || name == "[::1]" {
		return true
	}
	if !strings.HasPrefix(name, "127.") {
		return false
	}
	a, err := netip.ParseAddr(name) // 127.example.com is a name
	return err == nil && a.IsLoopback()
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
