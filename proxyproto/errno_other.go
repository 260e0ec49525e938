//go:build !unix

package proxyproto

import "syscall"

func isTemporaryErrno(e syscall.Errno) bool { return e.Temporary() }

// isResetErrno also knows Winsock's errors: WSAECONNABORTED and WSAECONNRESET.
func isResetErrno(e syscall.Errno) bool {
	return e == syscall.ECONNRESET || e == 10053 || e == 10054
}
