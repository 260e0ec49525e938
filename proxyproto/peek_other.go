//go:build !unix

package proxyproto

import "net"

// hasData cannot look without reading here: a connection is as silent as it
// seems.
func hasData(net.Conn) bool { return false }
