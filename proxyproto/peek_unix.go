//go:build unix

package proxyproto

import (
	"net"
	"syscall"
)

// peek reports whether a byte, the end or an error can be read from c. It does not read, and
// does not wait. known is false if c does not allow that. A Read that follows does not return
// the error of the socket, such as a reset: the system reports it once, and peek returns it.
func peek(c net.Conn) (has, known bool, err error) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return false, false, nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false, false, nil
	}
	var b [1]byte
	var failure error
	if raw.Control(func(fd uintptr) {
		_, _, failure = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	}) != nil {
		return true, true, nil // closed: Read returns the error
	}
	if failure == nil {
		return true, true, nil
	}
	if failure == syscall.EAGAIN || failure == syscall.EWOULDBLOCK {
		return false, true, nil
	}
	return true, true, socketError(c, "recvfrom", failure)
}
