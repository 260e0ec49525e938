//go:build unix

package proxyproto

import (
	"net"
	"syscall"
)

// hasData reports whether a byte, the end or an error can be read from c, without reading
// it. It does not wait. known is false if c does not allow that.
func hasData(c net.Conn) (has, known bool) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return false, false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false, false
	}
	var b [1]byte
	var n error
	if raw.Control(func(fd uintptr) {
		_, _, n = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	}) != nil {
		return true, true // closed: Read returns the error
	}
	return n != syscall.EAGAIN && n != syscall.EWOULDBLOCK, true
}
