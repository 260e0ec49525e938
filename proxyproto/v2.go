package proxyproto

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

const (
	v2FixedSize = 16 // signature, version and command, family, length

	v2Local = 0x0
	v2Proxy = 0x1

	v2TCP4 = 0x11
	v2TCP6 = 0x21

	v2TCP4Size = 12 // two addresses, two ports
	v2TCP6Size = 36
)

// scanV2 checks the fixed part of a version 2 header and returns the size of
// the whole, or 0 while the fixed part is not complete. Each byte is checked as soon as it
// has arrived: proxy-protocol.txt section 2.1 recommends to abort as soon as possible.
func scanV2(b []byte, maxBlock int) (size int, err error) {
	if len(b) < 13 {
		return 0, nil
	}
	version, command := b[12]>>4, b[12]&0xf
	switch {
	case version != 2:
		return 0, fmt.Errorf("%w: %w: version %d in a version 2 header", ErrMalformed, ErrUnsupported, version)
	case command != v2Local && command != v2Proxy:
		return 0, fmt.Errorf("%w: %w: command %#x, neither LOCAL nor PROXY", ErrMalformed, ErrUnsupported, command)
	}
	if len(b) < 14 {
		return 0, nil
	}
	addrSize := 0
	if command == v2Proxy { // LOCAL: "the family ... is ignored", section 2.2
		if addrSize, err = v2AddrSize(b[13]); err != nil {
			return 0, err
		}
	}
	return v2Size(b, maxBlock, addrSize)
}

// v2Size returns the size of a header whose address block needs addrSize bytes, or 0
// while its fixed part is not complete.
func v2Size(b []byte, maxBlock, addrSize int) (size int, err error) {
	if len(b) < v2FixedSize {
		return 0, nil
	}
	block := int(binary.BigEndian.Uint16(b[14:]))
	if block > maxBlock {
		return 0, fmt.Errorf("%w: it announces %d bytes, the limit is %d", ErrTooLarge, block, maxBlock)
	}
	if block < addrSize {
		return 0, fmt.Errorf("%w: length %d, the addresses of family %#02x need %d", ErrMalformed, block, b[13], addrSize)
	}
	return v2FixedSize + block, nil
}

// v2AddrSize returns the size of the address block of a PROXY command for TCP,
// and refuses every other family.
func v2AddrSize(family byte) (int, error) {
	switch family {
	case v2TCP4:
		return v2TCP4Size, nil
	case v2TCP6:
		return v2TCP6Size, nil
	}
	// Section 2.2: of UNSPEC "the receiver is free to accept the connection
	// anyway ... or to reject it"; UDP and UNIX name no client of a TCP server.
	if family>>4 <= 3 && family&0xf <= 2 {
		return 0, fmt.Errorf("%w: family and protocol %#02x are not TCP over IPv4 or IPv6", ErrUnsupported, family)
	}
	return 0, fmt.Errorf("%w: %w: family and protocol %#02x are not assigned", ErrMalformed, ErrUnsupported, family)
}

// parseV2 reads a complete header that scanV2 approved into f. The TLVs are in a copy
// of their own.
func parseV2(b []byte, f *facts) error {
	if b[12]&0xf == v2Local {
		// "must use the real connection endpoints and discard the protocol
		// block": HAProxy's check of a TLS server has client = 0x01 in it.
		f.local = true
		return nil
	}
	block := b[v2FixedSize:]
	size := v2TCP4Size
	if b[13] == v2TCP4 {
		f.src = netip.AddrPortFrom(netip.AddrFrom4([4]byte(block)), binary.BigEndian.Uint16(block[8:]))
		f.dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte(block[4:])), binary.BigEndian.Uint16(block[10:]))
	} else {
		size = v2TCP6Size
		f.src = netip.AddrPortFrom(netip.AddrFrom16([16]byte(block)).Unmap(), binary.BigEndian.Uint16(block[32:]))
		f.dst = netip.AddrPortFrom(netip.AddrFrom16([16]byte(block[16:])).Unmap(), binary.BigEndian.Uint16(block[34:]))
	}
	if len(block) > size {
		return parseTLVs(b, v2FixedSize+size, f)
	}
	return nil
}
