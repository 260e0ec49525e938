//go:build !unix

package proxyproto

import "net"

// hasData cannot look at the socket without reading on this system.
func hasData(net.Conn) (has, known bool) { return false, false }
