package forwarded

import (
	"cmp"
	"fmt"
	"net/http"

	"github.com/seed-94e48765/portico/trustnet"
)

// DefaultMaxHops is the default of Config.MaxHops.
const DefaultMaxHops = 32

// A Header is a header in which proxies list the clients that they saw.
type Header int

const (
	// XForwardedFor is X-Forwarded-For, a list of addresses without a standard.
	// An entry is an IP address, or v4:port, [v6] or [v6]:port. An IPv6 address
	// without brackets has no port: ::1:80 is the address ::1:80. An entry of
	// more than 128 bytes, blanks included, is malformed.
	XForwardedFor Header = iota

	// Forwarded is the header of RFC 7239, a list of elements such as
	// for=192.0.2.1;proto=https or for="[2001:db8::1]:4711". An element of more
	// than 512 bytes or 16 parameters is malformed.
	Forwarded
)

// String returns the name of the header.
func (h Header) String() string {
	switch h {
	case XForwardedFor:
		return "X-Forwarded-For"
	case Forwarded:
		return "Forwarded"
	}
	return fmt.Sprintf("Header(%d)", int(h))
}

// A Config configures a [Resolver]. The zero Config is valid: no peer is trusted,
// and every peer is the client.
type Config struct {
	// Trusted is the list of the proxies: the peers whose header is read, and the
	// addresses in the header that are not the client yet. It is read once for
	// each request, so that a *trustnet.Live can change it. A peer on a unix
	// socket is trusted if the list has the keyword unix. If Trusted is nil or
	// empty, no peer is trusted.
	Trusted trustnet.Source

	// AllowTrustAll permits a Trusted set for which TrustsAll is true. Without
	// it, New refuses such a set, and no peer is trusted while a Source returns
	// one later. Without TrustedHops and SingleHeader such a set makes the client
	// unknown, because a trusted address is never the client. With one of them every
	// peer can choose its address, so set AllowTrustAll only if no peer except the
	// proxy can connect.
	AllowTrustAll bool

	// Header is the header that is read. The other one is never read, even if this one
	// is missing, because proxies pass on headers that they do not write.
	Header Header

	// SingleHeader is the name of a header with the address of the client, such
	// as CF-Connecting-IP, True-Client-IP, Fly-Client-IP or X-Real-IP. Every
	// trusted peer must write it, replacing the client's. It must have exactly
	// one line with exactly one address. Header is not read then; it only selects
	// what SetHeaders writes. The default is "", to read Header. New refuses the
	// name of a header that clients set themselves, such as Host or Cookie. If
	// Trusted is nil or empty the header is never read: Result.Reason is
	// UntrustedHeader for a request that has it.
	SingleHeader string

	// TrustedHops is the number of entries that trusted proxies append to Header.
	// The entry at that position, counted from the right, is the client, whether
	// its address is trusted or not. It is for load balancers whose addresses
	// cannot be listed, and for those that append their own address (Google and
	// Fly write "client, load balancer", so that it is 2). The peer must be
	// trusted, and fewer entries leave the client unknown. A number that is too
	// large lets clients choose their address. The default 0 compares addresses
	// with Trusted instead. If Trusted is nil or empty no entry is counted:
	// Result.Reason is UntrustedHeader for a request that has Header.
	TrustedHops int

	// MaxHops is the largest number of entries of the header that are read. 0
	// means [DefaultMaxHops].
	MaxHops int

	// Proto sets Result.Proto from X-Forwarded-Proto, or with the Forwarded
	// header from the proto parameter of the element that names Result.Last.
	// X-Forwarded-Proto may have several values if all are equal and there are no
	// more than Result.Hops. Values other than http and https (Traefik writes wss
	// for a web socket) leave Result.Proto empty. Set it only if the first
	// trusted proxy sets or deletes X-Forwarded-Proto: HAProxy's option forwardfor
	// and NGINX's proxy_pass pass on the client's.
	Proto bool

	// Strip makes Handler remove every forwarding header that was not used from
	// the request that the next handler gets. See [Resolver.Handler].
	Strip bool

	// OnResolve, if not nil, is called by Handler for each request, before
	// headers are removed. It is for logs and metrics. The Result is in the
	// request's context too. It may be called concurrently, must not block and
	// must not modify the request.
	OnResolve func(*http.Request, Result)
}

// New returns a Resolver. It returns an error that names the field if a value is not
// valid, and one that wraps [trustnet.ErrTrustsAll] if Trusted covers at least half of
// the Internet and AllowTrustAll is not set.
func New(c Config) (*Resolver, error) {
	if c.Trusted != nil {
		if set := c.Trusted.Trusted(); set.TrustsAll() && !c.AllowTrustAll {
			return nil, fmt.Errorf("forwarded: Config.Trusted is %.100q: %w; list only the addresses of your proxies, or set Config.AllowTrustAll if nothing but the proxy can connect", set.String(), trustnet.ErrTrustsAll)
		}
	}
	switch {
	case c.Header != XForwardedFor && c.Header != Forwarded:
		return nil, fmt.Errorf("forwarded: Config.Header is %d, want XForwardedFor or Forwarded", c.Header)
	case c.MaxHops < 0:
		return nil, fmt.Errorf("forwarded: Config.MaxHops is %d, want a positive number, or 0 for %d", c.MaxHops, DefaultMaxHops)
	case c.MaxHops == 0:
		c.MaxHops = DefaultMaxHops
	}
	switch {
	case c.TrustedHops < 0:
		return nil, fmt.Errorf("forwarded: Config.TrustedHops is %d, want a positive number, or 0 to compare addresses", c.TrustedHops)
	case c.TrustedHops > c.MaxHops:
		return nil, fmt.Errorf("forwarded: Config.TrustedHops is %d, above Config.MaxHops, which is %d", c.TrustedHops, c.MaxHops)
	case c.SingleHeader != "" && c.TrustedHops > 0:
		return nil, fmt.Errorf("forwarded: Config.SingleHeader is %.100q and Config.TrustedHops is %d: set one of them", c.SingleHeader, c.TrustedHops)
	case !isToken(c.SingleHeader):
		return nil, fmt.Errorf("forwarded: Config.SingleHeader is %.100q, want the name of a header, such as CF-Connecting-IP", c.SingleHeader)
	case isClientHeader(c.SingleHeader):
		return nil, fmt.Errorf("forwarded: Config.SingleHeader is %.100q, which clients set themselves: want a header that the proxy writes, such as CF-Connecting-IP, True-Client-IP or X-Real-IP", c.SingleHeader)
	}
	r := &Resolver{cfg: c, name: cmp.Or(c.SingleHeader, c.Header.String())}
	r.key = http.CanonicalHeaderKey(r.name)
	return r, nil
}
