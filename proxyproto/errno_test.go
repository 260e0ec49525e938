//go:build !plan9

package proxyproto_test

import (
	"net"
	"os"
	"syscall"
)

const (
	errReset = syscall.ECONNRESET
	errPipe  = syscall.EPIPE
)

// temporaryErrors has errors of accept(2) after which a Listener goes on.
var temporaryErrors = map[string]error{
	"EMFILE":       os.NewSyscallError("accept4", syscall.EMFILE),
	"ENFILE":       &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.ENFILE)},
	"ECONNABORTED": syscall.ECONNABORTED,
	"ENOBUFS":      syscall.ENOBUFS,
	"EPERM":        syscall.EPERM,
	"temporary":    temporaryError{},
}
