//go:build unix

package proxyproto

import (
	"io"
	"os"
	"syscall"
)

// canPoll is true where readReady works.
const canPoll = true

// readReady waits until raw can be read, and allocates a buffer only then. It returns
// io.EOF at the end of the stream, and the error of the read deadline.
func readReady(raw syscall.RawConn) (b *[smallBuffer]byte, n int, err error) {
	var failure error
	err = raw.Read(func(fd uintptr) bool {
		if b == nil {
			b = smallBuffers.Get().(*[smallBuffer]byte)
		}
		for {
			n, failure = syscall.Read(int(fd), b[:])
			if failure != syscall.EINTR {
				break
			}
		}
		if failure == syscall.EAGAIN {
			smallBuffers.Put(b) // while it waits
			b, n = nil, 0
			return false
		}
		return true
	})
	switch {
	case err != nil:
	case failure != nil:
		n, err = 0, os.NewSyscallError("read", failure)
	case n == 0:
		err = io.EOF
	}
	return b, n, err
}
