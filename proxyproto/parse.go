package proxyproto

import (
	"bytes"
	"fmt"
	"net/netip"
)

// beginning compares the beginning of a stream with the signatures.
func beginning(b []byte) verdict {
	var m matcher
	return m.feed(b)
}

// scan looks for the end of the header at the beginning of b. It returns the
// header's size, which may be more than len(b), or 0 while that is not known.
// It returns an error as early as possible.
func scan(b []byte, maxBlock int) (size int, err error) {
	switch beginning(b) {
	case undecided:
		return 0, nil
	case noHeader:
		if bytes.HasPrefix(b, []byte(v1Signature)) {
			return 0, fmt.Errorf("%w: unknown protocol: %q", ErrMalformed, firstWords(b, 2))
		}
		if isTLS(b) {
			return 0, fmt.Errorf("%w: it begins with a TLS handshake; configure the proxy to send a header in front of it, or remove its address from the list of trusted proxies",
				ErrNoHeader)
		}
		return 0, fmt.Errorf("%w: it begins with %q; configure the proxy to send a header, or remove its address from the list of trusted proxies",
			ErrNoHeader, firstWords(b, 1))
	}
	if b[0] == v1Signature[0] {
		return scanV1(b)
	}
	return scanV2(b, maxBlock)
}

// isTLS reports whether b is the beginning of a TLS record with a handshake message
// (RFC 8446 section 5.1).
func isTLS(b []byte) bool { return bytes.HasPrefix(b, []byte{0x16, 0x03}) }

// firstWords returns the first words of b, by which a reader recognises the protocol. More
// could contain a password: "a LOGIN me secret" fits into 17 bytes.
func firstWords(b []byte, n int) []byte {
	for i, c := range b {
		if c == ' ' {
			n--
		}
		if n == 0 || i == 12 {
			return b[:i]
		}
	}
	return b
}

// facts has the contents of a header.
type facts struct {
	version  int
	local    bool           // LOCAL of version 2
	unknown  bool           // UNKNOWN of version 1
	src, dst netip.AddrPort // unmapped; invalid if local or unknown

	tls              *TLS
	serverName, alpn string
	uniqueID         []byte
	tlvs             []TLV
}

// parse reads a whole header, of the size that scan returned, into f, which is zero.
func parse(b []byte, f *facts) error {
	if b[0] == v1Signature[0] {
		f.version = 1
		return parseV1(b, f)
	}
	f.version = 2
	return parseV2(b, f)
}
