package proxyproto

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// What an error of a connection or listener below means. It may be wrapped.

func isEnd(err error) bool { return errors.Is(err, io.EOF) }

func isReset(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno) && isResetErrno(errno)
}

func isClosed(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe)
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// isDeadline reports whether err of an Accept is a deadline that was set on the
// listener below. ETIMEDOUT, which accept(2) may return for one connection, is not.
func isDeadline(err error) bool {
	var errno syscall.Errno
	return err != nil && !errors.As(err, &errno) && isTimeout(err)
}

// isTemporary reports whether Accept may work again later (accept(2), "Error
// handling", and what package net calls temporary).
func isTemporary(err error) bool {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return isTemporaryErrno(errno)
	}
	var temp interface{ Temporary() bool }
	return errors.As(err, &temp) && temp.Temporary()
}
