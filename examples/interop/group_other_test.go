//go:build !unix

package interop

import "syscall"

// ownGroup is not used: the servers that need it run only on Unix.
func ownGroup() *syscall.SysProcAttr { return nil }
