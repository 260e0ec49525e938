package proxyproto

import (
	"errors"
	"io"
	"net"
)

// These functions classify an error of a connection or listener below. It may be wrapped.

func isEnd(err error) bool { return errors.Is(err, io.EOF) }

func isReset(err error) bool {
	var e errno
	return errors.As(err, &e) && isResetErrno(e)
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
	var e errno
	return err != nil && !errors.As(err, &e) && isTimeout(err)
}

// isTemporary reports whether Accept may work again later (accept(2), "Error
// handling", and what package net calls temporary).
func isTemporary(err error) bool {
	var e errno
	if errors.As(err, &e) {
		return isTemporaryErrno(e)
	}
	var temp interface{ Temporary() bool }
	return errors.As(err, &temp) && temp.Temporary()
}
