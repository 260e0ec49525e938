package proxyproto

import "errors"

// The reasons why a header or a connection is refused. An error wraps one of them and
// adds what was received; test with errors.Is.
//
// Read of a direct connection returns ErrUntrustedHeader. The others are reported to
// [Config].OnReject only: Accept does not return a connection that they refuse.
// [WriteHeader] and [Dialer.DialContext] return ErrUnsupported and ErrTooLarge for a
// Header that cannot be sent.
var (
	// ErrNoHeader is reported when a trusted peer sent something that is not a PROXY
	// header, or when reading from it failed. Either the proxy is not configured to send
	// one (HAProxy: send-proxy-v2, NGINX: proxy_protocol on), or the peer is not a proxy
	// and should not be trusted, or another layer such as TLS is below the Listener.
	ErrNoHeader = errors.New("proxyproto: no PROXY header from a trusted peer")

	// ErrMalformed is reported when the header breaks a rule of the specification, or
	// ends early.
	ErrMalformed = errors.New("proxyproto: malformed PROXY header")

	// ErrUnsupported is reported when the header does not describe a TCP connection,
	// which proxy-protocol.txt section 2.2 lets a receiver refuse. Versions, commands
	// and families that are not assigned are ErrMalformed as well.
	ErrUnsupported = errors.New("proxyproto: unsupported PROXY header")

	// ErrTimeout is reported when the header was not complete within
	// Config.HeaderTimeout, when a silent peer had to make room (Config.MaxPending),
	// when the header of an optional peer began after Config.OptionalWait, and when the
	// connection does not support read deadlines.
	ErrTimeout = errors.New("proxyproto: PROXY header did not arrive in time")

	// ErrTooLarge is reported when the header announces more than Config.MaxHeaderSize
	// bytes, or when a version 1 line is longer than 107 bytes (which is ErrMalformed,
	// too).
	ErrTooLarge = errors.New("proxyproto: PROXY header too large")

	// ErrChecksum is reported when the CRC32C of the header is wrong.
	ErrChecksum = errors.New("proxyproto: PROXY header checksum is wrong")

	// ErrUntrustedHeader is reported, and returned by Read, when a peer that may not send
	// a PROXY header sent one. Under Ignore, Read continues after a header that could be
	// dropped. If it could not be dropped, the error also wraps the reason.
	ErrUntrustedHeader = errors.New("proxyproto: PROXY header from an untrusted peer")

	// ErrRefused is reported when the peer is on none of the lists and Config.Untrusted is
	// Refuse.
	ErrRefused = errors.New("proxyproto: connection from an untrusted peer refused")
)
