//go:build unix

package proxyproto

import (
	"net"
	"syscall"
)

// hasData reports whether something can be read from c, without reading it: a
// byte, its end or an error. It does not wait, nor for a Read in progress.
func hasData(c net.Conn) bool {
	s, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return true
	}
	var b [1]byte
	if raw.Control(func(fd uintptr) {
		_, _, err = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	}) != nil {
		return true
	}
	return err != syscall.EAGAIN && err != syscall.EWOULDBLOCK
}
