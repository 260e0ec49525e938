//go:build !unix

package proxyproto

import "syscall"

func isTemporaryErrno(e syscall.Errno) bool { return e.Temporary() }
