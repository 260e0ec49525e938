//go:build !linux

// Package keepalive opens listening sockets whose connections have keep-alive.
package keepalive

import "net"

// Listen calls net.Listen, which sets keep-alive of each connection.
func Listen(network, address string) (net.Listener, error) { return net.Listen(network, address) }
