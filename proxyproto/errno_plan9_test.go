package proxyproto_test

import (
	"os"
	"syscall"
)

// Plan 9 has one error for a connection that the peer has ended.
const (
	errReset = syscall.ErrorString("i/o on hungup channel")
	errPipe  = errReset
)

// temporaryErrors has errors of accept after which a Listener goes on.
var temporaryErrors = map[string]error{
	"EMFILE":    os.NewSyscallError("accept", syscall.EMFILE),
	"EINTR":     syscall.EINTR,
	"temporary": temporaryError{},
}
