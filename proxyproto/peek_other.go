//go:build !unix

package proxyproto

import "net"

// peek cannot look at the socket without reading on this system.
func peek(net.Conn) (has, known bool, err error) { return false, false, nil }
