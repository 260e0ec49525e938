//go:build !linux

package main

import "net"

// listen opens a socket. Package net sets keep-alive of each connection.
func listen(address string) (net.Listener, error) { return net.Listen("tcp", address) }
