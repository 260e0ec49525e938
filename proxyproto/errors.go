package proxyproto

import "errors"

// The reasons why a header, or a connection, is refused. What is refused wraps one
// of them and adds what was seen; test with errors.Is.
//
// ErrUntrustedHeader is what Read of a direct connection returns, and OnReject is told.
// The others reach [Config.OnReject] alone: a connection that they refuse never comes
// out of Accept.
// [WriteHeader] and [Dialer.DialContext] return ErrUnsupported and ErrTooLarge for a
// Header that cannot be sent.
var (
	// ErrNoHeader: a trusted peer sent something that is not a PROXY header.
	// Either the proxy is not told to send one (HAProxy: send-proxy-v2, NGINX:
	// proxy_protocol on), or the peer is no proxy and should not be trusted.
	ErrNoHeader = errors.New("proxyproto: no PROXY header from a trusted peer")

	// ErrMalformed: the header breaks a rule of the specification, or ends early.
	ErrMalformed = errors.New("proxyproto: malformed PROXY header")

	// ErrUnsupported: a header that does not describe a TCP connection, which
	// proxy-protocol.txt section 2.2 lets a receiver refuse. Versions, commands
	// and families that nobody assigned are ErrMalformed as well.
	ErrUnsupported = errors.New("proxyproto: unsupported PROXY header")

	// ErrTimeout: the header was not complete within Config.HeaderTimeout, or a
	// silent peer had to make room (Config.MaxPending), or the connection takes no
	// read deadline.
	ErrTimeout = errors.New("proxyproto: PROXY header did not arrive in time")

	// ErrTooLarge: the header announces more than Config.MaxHeaderSize bytes, or
	// a version 1 line is longer than 107 bytes (which is ErrMalformed, too).
	ErrTooLarge = errors.New("proxyproto: PROXY header too large")

	// ErrChecksum: the CRC32C of the header is wrong.
	ErrChecksum = errors.New("proxyproto: PROXY header checksum is wrong")

	// ErrUntrustedHeader: a peer that is not trusted sent a PROXY header.
	ErrUntrustedHeader = errors.New("proxyproto: PROXY header from an untrusted peer")

	// ErrRefused: the peer is not trusted and Config.Untrusted is Refuse.
	ErrRefused = errors.New("proxyproto: connection from an untrusted peer refused")
)
