package proxyproto

import "net"

// ParseHeader does what a pending connection does with the bytes that it has read. It is for
// BenchmarkParse.
func ParseHeader(b []byte, c net.Conn) (*Conn, error) {
	size, err := scan(b, DefaultMaxHeaderSize)
	if err != nil {
		return nil, err
	}
	var f facts
	err = parse(b[:size], &f)
	if err != nil {
		return nil, err
	}
	return newHeaderConn(c, &f), nil
}
