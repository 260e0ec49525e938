//go:build unix

package interop

import "syscall"

// ownGroup gives a server a process group of its own. Postfix and Dovecot signal their
// whole group when they end, and the tests must not be in it.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
