package proxyproto

import (
	"fmt"
	"net"
	"time"

	"github.com/seed-94e48765/portico/trustnet"
)

// The defaults of [Config].
const (
	DefaultHeaderTimeout = 5 * time.Second
	DefaultOptionalWait  = 300 * time.Millisecond
	DefaultMaxHeaderSize = 4096
	DefaultMaxPending    = 4096
)

// A Policy describes how a [Listener] treats peers that are on none of the lists of its
// [Config].
type Policy uint8

const (
	// ServeDirect serves the peer at once as a direct client. If the peer sends a PROXY
	// header, Read returns [ErrUntrustedHeader] and the connection is closed.
	ServeDirect Policy = iota

	// Refuse closes the connection at once and reports [ErrRefused] to OnReject.
	Refuse

	// Ignore serves the peer at once as a direct client and drops its PROXY header, if it
	// sends one. OnReject reports the header with Rejection.Served set. If the header is
	// malformed, Read returns [ErrUntrustedHeader] and the connection is closed.
	//
	// Read holds bytes back as long as they may become a header, at most MaxHeaderSize
	// bytes and at most HeaderTimeout after the first byte. When that time is over, an
	// incomplete header ends the connection, and bytes that are only the beginning of a
	// signature are delivered. Write never waits.
	Ignore
)

// A Config configures a [Listener]. In the zero value every connection is direct.
//
// The lists are consulted in the order Direct, Trusted, Optional; the first that
// contains the peer decides. Each is read once for every connection, so that a
// *trustnet.Live can replace it while in use.
//
// A Listener whose Trusted and Optional are both nil, or a nil or empty *trustnet.Set,
// does not use the PROXY protocol. It refuses and reports headers, and does not mark its
// connections: see [ConnContext]. Put such a Listener under an HTTP server that uses
// package forwarded, so that a proxy that sends a PROXY header there is reported.
type Config struct {
	// Trusted contains the peers that must send a PROXY header. Nil trusts no peer.
	Trusted trustnet.Source

	// Optional contains the peers that may send a PROXY header. A peer that sends one is
	// treated as a trusted peer. A peer whose first bytes are not a header, or that sends
	// nothing for OptionalWait, is a direct client. Nil means no peer.
	//
	// A proxy that is on this list and does not send headers yet looks like one client
	// that makes all its connections. Do not put a Listener with optional peers on top of
	// a TLS listener: a handshake that takes longer than OptionalWait fails.
	Optional trustnet.Source

	// Direct contains the peers that are always direct clients, even if Untrusted is
	// Refuse or Ignore. A header from such a peer is treated as under ServeDirect. Nil means
	// no peer.
	Direct trustnet.Source

	// AllowTrustAll allows Trusted, Optional or both together to cover half of the IPv4
	// or IPv6 Internet (trustnet.Set.TrustsAll). Without it New returns
	// trustnet.ErrTrustsAll, and a set that grows to it later trusts no peer: each
	// connection that this affects is counted in Stats.TrustAll. Set AllowTrustAll only
	// if other means, such as a unix socket or a private network, restrict who can
	// connect.
	AllowTrustAll bool

	// Untrusted applies to peers on none of the lists. The default is ServeDirect. New
	// refuses Ignore if the Listener does not use the PROXY protocol.
	Untrusted Policy

	// TLS describes where the client's TLS ends. See [Secure]. The default is
	// PassthroughTLS.
	TLS TLSPath

	// HeaderTimeout is the time for the whole header, from the moment the connection is
	// accepted. 0 means 5 s. proxy-protocol.txt section 2 recommends at least 3 s, which
	// allows for one lost packet.
	HeaderTimeout time.Duration

	// OptionalWait is how long a peer on Optional may send nothing before it is served
	// as a direct client. 0 means 300 ms, or HeaderTimeout if that is shorter. It may not
	// be longer than HeaderTimeout. A header that begins later ends the connection.
	//
	// A client that waits for the server to speak first waits for OptionalWait, and a
	// proxy must send the first byte of its header within it.
	OptionalWait time.Duration

	// MaxHeaderSize is the highest number of bytes of addresses and TLVs that a version 2
	// header may announce, 12 to 65535. 0 means 4096, which leaves room for a client
	// certificate. IPv6 addresses need 36. A longer header is refused as soon as its length
	// has arrived.
	MaxHeaderSize int

	// MaxPending limits the connections that wait for their header plus those that wait
	// for Accept. 0 means 4096. At the limit no more connections are accepted, and they
	// queue in the kernel's backlog. To make room, a pending connection that has sent
	// nothing for a second is closed, the oldest first, and an optional peer not before
	// OptionalWait. A connection that waits for Accept is never closed to make room.
	MaxPending int

	// OnReject is called for every connection that is refused, and for every header that
	// is dropped (Ignore). It may run concurrently, and after Shutdown returned. It must
	// not block, panic or call Shutdown. Health checks that connect and leave without a
	// byte are not reported, nor are connections that Close ended.
	OnReject func(Rejection)
}

// A Rejection describes a connection that was refused, or a header that was dropped.
type Rejection struct {
	Peer   net.Addr // the socket's peer
	Err    error    // wraps one of the errors of this package
	Prefix []byte   // the first bytes that the peer sent, at most 64; may contain a password

	// Served reports that the connection is still served, because its header was dropped
	// (Ignore). Otherwise the connection is closed.
	Served bool
}

// check refuses an invalid configuration and fills in the defaults.
func (c *Config) check() error {
	switch {
	case c.Untrusted > Ignore:
		return fmt.Errorf("proxyproto: Config.Untrusted is %d: use ServeDirect, Refuse or Ignore", c.Untrusted)
	case c.Untrusted == Ignore && !c.usesProtocol():
		return fmt.Errorf("proxyproto: Config.Untrusted is Ignore, but no peer is trusted or optional: use ServeDirect, which reports headers, or a *trustnet.Live if the list may be empty for a time")
	case c.TLS > ReencryptedTLS:
		return fmt.Errorf("proxyproto: Config.TLS is %d: use PassthroughTLS, TerminatedTLS or ReencryptedTLS", c.TLS)
	case c.HeaderTimeout < 0:
		return fmt.Errorf("proxyproto: Config.HeaderTimeout is %v: use a positive duration, or 0 for %v", c.HeaderTimeout, DefaultHeaderTimeout)
	case c.OptionalWait < 0:
		return fmt.Errorf("proxyproto: Config.OptionalWait is %v: use a positive duration, or 0 for %v", c.OptionalWait, DefaultOptionalWait)
	case c.MaxHeaderSize != 0 && (c.MaxHeaderSize < v2TCP4Size || c.MaxHeaderSize > 65535):
		return fmt.Errorf("proxyproto: Config.MaxHeaderSize is %d: use %d to 65535, or 0 for %d", c.MaxHeaderSize, v2TCP4Size, DefaultMaxHeaderSize)
	case c.MaxPending < 0:
		return fmt.Errorf("proxyproto: Config.MaxPending is %d: use a positive number, or 0 for %d", c.MaxPending, DefaultMaxPending)
	}
	if c.HeaderTimeout == 0 {
		c.HeaderTimeout = DefaultHeaderTimeout
	}
	if c.OptionalWait > c.HeaderTimeout {
		return fmt.Errorf("proxyproto: Config.OptionalWait is %v, longer than HeaderTimeout, %v: use a shorter one", c.OptionalWait, c.HeaderTimeout)
	}
	if c.OptionalWait == 0 {
		c.OptionalWait = min(DefaultOptionalWait, c.HeaderTimeout)
	}
	if c.MaxHeaderSize == 0 {
		c.MaxHeaderSize = DefaultMaxHeaderSize
	}
	if c.MaxPending == 0 {
		c.MaxPending = DefaultMaxPending
	}
	return nil
}

// usesProtocol reports whether a peer can ever be trusted or optional.
func (c *Config) usesProtocol() bool { return !neverContains(c.Trusted) || !neverContains(c.Optional) }

// neverContains reports whether src is empty and cannot change, as a *trustnet.Set cannot.
func neverContains(src trustnet.Source) bool {
	if src == nil {
		return true
	}
	set, fixed := src.(*trustnet.Set)
	return fixed && set.IsEmpty()
}
