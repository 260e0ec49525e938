//go:build unix

package interop

import "syscall"

// ownGroup starts a server in a new process group. Postfix and Dovecot signal their whole
// group when they end, which must not include the tests.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
