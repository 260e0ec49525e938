//go:build !unix

package proxyproto

import "net"

// hasData cannot look without reading here.
func hasData(net.Conn) (has, known bool) { return false, false }
