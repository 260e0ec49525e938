//go:build !unix

package proxyproto

import (
	"errors"
	"syscall"
)

// canPoll is false: a socket cannot be read without waiting.
const canPoll = false

func readReady(syscall.RawConn) (*[smallBuffer]byte, int, error) {
	return nil, 0, errors.ErrUnsupported
}
