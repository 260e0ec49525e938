package proxyproto

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
)

// scan looks for the end of the header at the beginning of b. It returns the
// header's size, which may be more than len(b), or 0 while that is not known.
// It refuses as early as it can.
func scan(b []byte, maxBlock int) (size int, err error) {
	var m matcher
	switch m.feed(b) {
	case undecided:
		return 0, nil
	case noHeader:
		if bytes.HasPrefix(b, []byte(v1Signature)) {
			return 0, fmt.Errorf("%w: %q is none", ErrMalformed, firstWords(b, 2))
		}
		return 0, fmt.Errorf("%w: it begins with %q; tell the proxy to send a header, or do not trust its address",
			ErrNoHeader, firstWords(b, 1))
	}
	if b[0] == v1Signature[0] {
		return scanV1(b)
	}
	return scanV2(b, maxBlock)
}

// firstWords returns what tells a person which protocol began instead of a
// header, and no more: "a LOGIN me secret" fits into 17 bytes.
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

// parse reads a whole header, of the size that scan returned, and makes a Conn
// of it and the connection that it came on.
func parse(b []byte, conn net.Conn) (*Conn, error) {
	var info Info // what the header says beside the addresses
	var src, dst netip.AddrPort
	var err error
	if b[0] == v1Signature[0] {
		info.Version = 1
		src, dst, err = parseV1(b, &info)
	} else {
		info.Version = 2
		src, dst, err = parseV2(b, &info)
	}
	if err != nil {
		return nil, err
	}
	var c *Conn
	info.Proxy = unmap(conn.RemoteAddr())
	if info.Local || info.unknown {
		// "must use the real connection endpoints", section 2.2; "as if there
		// were no PROXY protocol header on the wire", section 2.1.
		c = new(Conn)
		info.Client, info.Server = info.Proxy, unmap(conn.LocalAddr())
	} else {
		c = newProxiedConn(src, dst)
		info.Client, info.Server = c.info.Client, c.info.Server
	}
	c.conn, c.info = conn, info
	return c, nil
}
