//go:build !unix

package proxyproto

import "syscall"

func passingErrno(e syscall.Errno) bool { return e.Temporary() }
