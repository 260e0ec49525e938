package proxyproto

import "net"

// ParseHeader lets BenchmarkParse see the parser without a listener around it:
// what a pending connection does with the bytes that it read.
func ParseHeader(b []byte, c net.Conn) (*Conn, error) {
	size, err := scan(b, DefaultMaxHeaderSize)
	if err != nil {
		return nil, err
	}
	f, err := parse(b[:size])
	if err != nil {
		return nil, err
	}
	return newHeaderConn(c, &f), nil
}
