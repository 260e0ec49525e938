package forwarded

import "errors"

// The errors of [New], for [errors.Is]. They come wrapped, with what was found
// in the Config.
var (
	// ErrNoTrusted means a Config whose Trusted is nil or trusts nobody, so
	// that no header would ever be read. A server that is reached directly
	// needs no Resolver.
	ErrNoTrusted = errors.New("forwarded: no peer is trusted")

	// ErrTrustsAll means a Config whose Trusted covers the whole of IPv4 or of
	// IPv6, so that every client could name any address as its own.
	ErrTrustsAll = errors.New("forwarded: every peer is trusted")
)
