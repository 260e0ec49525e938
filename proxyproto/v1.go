package proxyproto

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
)

// maxV1Line is the longest version 1 line with its CRLF
// (proxy-protocol.txt section 2.1, "worst case").
const maxV1Line = 107

// scanV1 finds the end of a version 1 line. It returns 0 while more bytes are
// needed.
func scanV1(b []byte) (size int, err error) {
	b = b[:min(len(b), maxV1Line)]
	i := bytes.IndexAny(b, "\r\n")
	switch {
	case i < 0 || b[i] == '\r' && i == len(b)-1:
		if len(b) == maxV1Line {
			return 0, fmt.Errorf("%w: %w: no CRLF in the first %d bytes of a version 1 line: %q",
				ErrTooLarge, ErrMalformed, maxV1Line, b)
		}
		return 0, nil
	case b[i] == '\r' && b[i+1] == '\n':
		return i + 2, nil
	}
	// Section 2.1: "The receiver must not tolerate a single CR or LF character
	// to end the line". Nor anywhere before its end, where an UNKNOWN line may
	// hold anything else.
	return 0, fmt.Errorf("%w: a single CR or LF in a version 1 line: %q", ErrMalformed, b[:i+1])
}

// parseV1 reads a complete line, its CRLF included, into f.
func parseV1(b []byte, f *facts) error {
	line := string(b[:len(b)-len("\r\n")])
	proto, rest, _ := strings.Cut(line[len(v1Signature+" "):], " ") // TCP4, TCP6 or UNKNOWN: see matcher
	if proto == "UNKNOWN" {
		// Section 2.1: "the receiver must ignore anything presented before the
		// CRLF is found".
		f.unknown = true
		return nil
	}
	// Exactly one space between the fields: a second one makes a field empty.
	srcIP, rest, _ := strings.Cut(rest, " ")
	dstIP, rest, _ := strings.Cut(rest, " ")
	srcPort, dstPort, _ := strings.Cut(rest, " ")
	var err error
	if f.src, err = v1Endpoint(srcIP, srcPort); err != nil {
		return v1Error(line, "source "+err.Error())
	}
	if isIPv4 := !strings.Contains(srcIP, ":"); isIPv4 != (proto == "TCP4") {
		return v1Error(line, fmt.Sprintf("source address %q is not one of %s", srcIP, proto))
	}
	// The destination may have the other family: NGINX writes "PROXY TCP6
	// 2001:db8::7 127.0.0.1 ..." for an IPv6 client of a chain over an IPv4 socket.
	if f.dst, err = v1Endpoint(dstIP, dstPort); err != nil {
		return v1Error(line, "destination "+err.Error())
	}
	return nil
}

func v1Error(line, what string) error {
	return fmt.Errorf("%w: %s in the version 1 line %q", ErrMalformed, what, line)
}

// v1Endpoint reads an address of either family, and a port.
func v1Endpoint(ip, port string) (netip.AddrPort, error) {
	// ParseAddr refuses leading zeros in IPv4, as section 2.1 requires. HAProxy
	// writes an IPv4 client of an AF_INET6 socket as TCP6 ::ffff:192.0.2.1.
	a, err := netip.ParseAddr(ip)
	if err != nil || a.Zone() != "" {
		return netip.AddrPort{}, fmt.Errorf("address %q is not an IP address", ip)
	}
	p := 0
	for i := range len(port) {
		c := port[i]
		if c < '0' || c > '9' || i == 1 && port[0] == '0' || i > 4 {
			p = -1
			break
		}
		p = p*10 + int(c-'0')
	}
	if port == "" || p < 0 || p > 65535 {
		return netip.AddrPort{}, fmt.Errorf("port %q is not a number from 0 to 65535 without leading zeros", port)
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), nil
}
