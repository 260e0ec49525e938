//go:build unix

package proxyproto

import (
	"io"
	"net"
	"os"
	"syscall"
)

// canPoll is true where readReady works.
const canPoll = true

// readReady waits until f.raw can be read, and allocates a buffer, f.b, only then. It returns
// io.EOF at the end of the stream, and the error of the read deadline.
func (f *forwarding) readReady() error {
	if f.try == nil {
		f.try = f.tryRead
	}
	err := f.raw.Read(f.try)
	switch {
	case err != nil:
		f.n = 0
	case f.failure != nil:
		f.n, err = 0, socketError(f.src, "read", f.failure)
	case f.n == 0:
		err = io.EOF
	}
	return err
}

// socketError returns the error of a system call that reads from c, as net.Conn's Read does.
// It names both addresses, so that a log line tells which side of a proxy failed.
func socketError(c net.Conn, call string, failure error) error {
	e := &net.OpError{Op: "read", Err: os.NewSyscallError(call, failure)}
	if c != nil {
		e.Source, e.Addr = c.LocalAddr(), c.RemoteAddr()
		e.Net = e.Source.Network()
	}
	return e
}

// tryRead reports false if it has to be called again when there are bytes.
func (f *forwarding) tryRead(fd uintptr) bool {
	if f.b == nil {
		f.b = getBuffer()
	}
	for {
		f.n, f.failure = syscall.Read(int(fd), f.b[:])
		if f.failure != syscall.EINTR {
			break
		}
	}
	if f.failure == syscall.EAGAIN {
		f.release() // while it waits
		return false
	}
	return true
}
