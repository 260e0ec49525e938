package proxyproto

import (
	"strings"
	"syscall"
)

type errno = syscall.ErrorString // an error of the system: Plan 9 has no numbers

func isTemporaryErrno(e errno) bool { return e.Temporary() }

func isResetErrno(e errno) bool { return strings.Contains(string(e), "hungup") }
