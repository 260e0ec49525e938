//go:build !unix

package proxyproto

import "errors"

// canPoll is false: a socket cannot be read without waiting.
const canPoll = false

func (f *forwarding) readReady() error { return errors.ErrUnsupported }
