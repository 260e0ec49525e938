//go:build unix

package proxyproto

import "syscall"

type errno = syscall.Errno // an error of the system

// isTemporaryErrno lists the errors of accept(2) for a connection that ended in the backlog,
// and for a lack of resources.
func isTemporaryErrno(e errno) bool {
	switch e {
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.EINTR, syscall.EAGAIN, syscall.ETIMEDOUT,
		syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EPROTO, syscall.EPERM, syscall.ENOPROTOOPT,
		syscall.ENETDOWN, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.EHOSTUNREACH:
		return true
	}
	return false
}

func isResetErrno(e errno) bool {
	return e == syscall.ECONNRESET || e == syscall.ECONNABORTED || e == syscall.EPIPE
}
