// What to copy: listen, which starts again after a crash. What to change: nothing.

package main

import (
	"errors"
	"net"
	"os"
	"syscall"

	"github.com/seed-94e48765/portico/examples/internal/keepalive"
)

// listen listens on the address. Its error names the setting.
func (a address) listen() (net.Listener, error) {
	l, err := listen(a.network, a.host)
	if err != nil {
		return nil, a.Errorf("cannot listen: %w", err)
	}
	return l, nil
}

// listen is keepalive.Listen. A unix socket that a process which has crashed has left behind is
// removed: no process accepts connections there. One that is in use stays, and so does any
// other file.
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
