//go:build !unix && !plan9

package proxyproto

import "syscall"

type errno = syscall.Errno // an error of the system

func isTemporaryErrno(e errno) bool { return e.Temporary() }

// isResetErrno includes the errors of Winsock: WSAECONNABORTED and WSAECONNRESET.
func isResetErrno(e errno) bool {
	return e == syscall.ECONNRESET || e == 10053 || e == 10054
}
