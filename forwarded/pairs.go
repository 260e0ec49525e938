package forwarded

import (
	"net/netip"
	"strings"
)

// pairs collects the parameters of an element, RFC 7239 section 5.
type pairs struct {
	seen     parameter
	count    int
	forValue string
	proto    string
}

// parameter is a set of the registered parameters, RFC 7239 section 9.
type parameter uint8

const (
	paramFor parameter = 1 << iota
	paramBy
	paramHost
	paramProto
)

// parameterOf returns the parameter with the given name, 0 for an extension.
func parameterOf(name string) parameter {
	switch len(name) {
	case 2:
		if strings.EqualFold(name, "by") {
			return paramBy
		}
	case 3:
		if strings.EqualFold(name, "for") {
			return paramFor
		}
	case 4:
		if strings.EqualFold(name, "host") {
			return paramHost
		}
	case 5:
		if strings.EqualFold(name, "proto") {
			return paramProto
		}
	}
	return 0
}

func (e *pairs) add(name, value string) fault {
	e.count++
	p := parameterOf(name)
	if e.seen&p != 0 {
		return faultTwice
	}
	e.seen |= p
	switch p {
	case paramFor:
		e.forValue = value
	case paramProto:
		e.proto = value
	}
	return faultNone
}

// node returns the address and the scheme in the element.
func (e *pairs) node() (a netip.Addr, proto string, f fault) {
	switch {
	case e.count == 0:
		return a, "", faultEmpty
	case e.seen&paramFor == 0:
		return a, "", faultNoFor
	}
	if hasEscape(e.forValue) {
		a, f = escapedNode(e.forValue)
	} else {
		a, f = parseNode(e.forValue)
	}
	if hasEscape(e.proto) {
		return a, escapedProto(e.proto), f
	}
	return a, protoOf(e.proto), f
}

// Values with quoted-pairs represent the characters behind the backslashes (RFC 9110
// section 5.6.4). Proxies do not write them in an address or a scheme, but a recipient
// must understand them. The functions for them are not inlined, to keep their buffers
// out of the usual stack frame. An address with quoted-pairs costs an allocation.

func hasEscape(s string) bool { return strings.IndexByte(s, '\\') >= 0 }

//go:noinline
func escapedNode(s string) (netip.Addr, fault) {
	var buf [maxToken]byte
	if len(s) > len(buf) {
		return netip.Addr{}, faultAddress
	}
	return parseNode(string(unescape(buf[:0], s)))
}

//go:noinline
func escapedProto(s string) string {
	var buf [2 * len("https")]byte
	if len(s) > len(buf) {
		return ""
	}
	return protoOf(string(unescape(buf[:0], s)))
}

// unescape appends the text that s represents between its quotes to b. A backslash is
// never the last byte of s, because it would have escaped the quote.
func unescape(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++
		}
		b = append(b, s[i])
	}
	return b
}
