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
	DefaultMaxHeaderSize = 4096
	DefaultMaxPending    = 4096
)

// A Policy says what happens to peers that are not trusted.
type Policy uint8

const (
	// ServeDirect serves them as the direct clients they are, at once. A PROXY
	// header from one fails its Read with [ErrUntrustedHeader].
	ServeDirect Policy = iota

	// Refuse closes their connections at once, with [ErrRefused] to
	// Config.OnReject.
	Refuse
)

// A Config configures a [Listener]. The zero value trusts nobody: every
// connection is direct.
type Config struct {
	// Trusted holds the peers that must send a PROXY header. It is asked once
	// for every connection, so that a *trustnet.Live can change it. Nil trusts
	// nobody.
	Trusted trustnet.Source

	// AllowTrustAll makes a Trusted set count that covers all of IPv4 or all of
	// IPv6. Without it such a set trusts nobody, and every connection that meets
	// it is counted in Stats.TrustAll: whoever may send a header may be anyone.
	// Set it where something else keeps all but the proxies away, such as a
	// unix socket or a private network.
	AllowTrustAll bool

	// Untrusted says what happens to all other peers.
	Untrusted Policy

	// TLS says who ends the client's TLS. See [Secure].
	TLS TLSPath

	// HeaderTimeout is the time for the whole header, from the moment that the
	// connection is accepted. 0 means 5 s. proxy-protocol.txt section 2
	// recommends at least 3 s, to survive one lost packet.
	HeaderTimeout time.Duration

	// MaxHeaderSize is how many bytes of addresses and TLVs a version 2 header
	// may announce, 12 to 65535. 0 means 4096, which leaves room for a client
	// certificate. Below 36 no IPv6 client fits. A longer header is refused as
	// soon as it announces itself.
	MaxHeaderSize int

	// MaxPending bounds the connections that wait for their header plus those
	// that wait for Accept. 0 means 4096. At the bound nothing more is accepted,
	// and the kernel's backlog pushes back, until there is room; a peer that waits
	// for its header and has sent nothing for a second is cut off to make some, the
	// oldest first. What waits for Accept is not: a server that stops accepting stops
	// the Listener.
	MaxPending int

	// OnReject is told of every connection that is refused. It may run
	// concurrently, and after Shutdown returned; it must not block, panic or call
	// Shutdown. Health checks that connect and leave without a byte are not
	// reported, nor are connections that Close ended.
	OnReject func(Rejection)
}

// A Rejection describes a connection that was refused and is closed.
type Rejection struct {
	Peer   net.Addr // the socket's peer
	Err    error    // wraps one of the errors of this package
	Prefix []byte   // what the peer sent, its first 64 bytes at most; may hold a password
}

// check refuses nonsense and fills in the defaults.
func (c *Config) check() error {
	switch {
	case c.Untrusted > Refuse:
		return fmt.Errorf("proxyproto: Config.Untrusted is %d: use ServeDirect or Refuse", c.Untrusted)
	case c.TLS > ReencryptedTLS:
		return fmt.Errorf("proxyproto: Config.TLS is %d: use PassthroughTLS, TerminatedTLS or ReencryptedTLS", c.TLS)
	case c.HeaderTimeout < 0:
		return fmt.Errorf("proxyproto: Config.HeaderTimeout is %v: use a positive duration, or 0 for %v", c.HeaderTimeout, DefaultHeaderTimeout)
	case c.MaxHeaderSize != 0 && (c.MaxHeaderSize < v2TCP4Size || c.MaxHeaderSize > 65535):
		return fmt.Errorf("proxyproto: Config.MaxHeaderSize is %d: use %d to 65535, or 0 for %d", c.MaxHeaderSize, v2TCP4Size, DefaultMaxHeaderSize)
	case c.MaxPending < 0:
		return fmt.Errorf("proxyproto: Config.MaxPending is %d: use a positive number, or 0 for %d", c.MaxPending, DefaultMaxPending)
	}
	if c.HeaderTimeout == 0 {
		c.HeaderTimeout = DefaultHeaderTimeout
	}
	if c.MaxHeaderSize == 0 {
		c.MaxHeaderSize = DefaultMaxHeaderSize
	}
	if c.MaxPending == 0 {
		c.MaxPending = DefaultMaxPending
	}
	return nil
}
