// Copy listen, which can start again after a crash. No changes are needed.

package main

import (
	"errors"
	"net"
	"os"
	"syscall"

	"github.com/seed-94e48765/portico/examples/internal/keepalive"
)

// listen listens on an address. Its error names the setting.
func (a address) listen() (net.Listener, error) {
	l, err := listen(a.network, a.host)
	if err != nil {
		return nil, a.Errorf("cannot listen: %w", err)
	}
	return l, nil
}

// listen is like keepalive.Listen, but removes a unix socket that a crashed process has left behind,
// on which no process accepts connections. A socket in use and any other file are not removed.
func listen(network, address string) (net.Listener, error) {
	l, err := keepalive.Listen(network, address)
	if err == nil || network != "unix" || !errors.Is(err, syscall.EADDRINUSE) || !isStaleSocket(address) {
		return l, err
	}
	if err := os.Remove(address); err != nil {
		return nil, err
	}
	return keepalive.Listen(network, address)
}

func isStaleSocket(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&os.ModeSocket == 0 {
		return false
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
