package forwarded

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"

	"github.com/seed-94e48765/portico/internal/proxymark"
	"github.com/seed-94e48765/portico/trustnet"
)

// DefaultMaxHops is how many entries of the header are read when Config.MaxHops
// is 0.
const DefaultMaxHops = 32

// A Header names the header that the proxies write.
type Header int

const (
	// XForwardedFor is X-Forwarded-For, a list of addresses. It has no standard;
	// an entry is an IP address, or v4:port, [v6] or [v6]:port. An IPv6 address
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

// A Config configures a [Resolver]. Trusted must be set, everything else has a
// good zero value.
type Config struct {
	// Trusted holds the proxies: the peers whose header counts, and the
	// addresses in the header that are not yet the client. It is asked once for
	// every request, so that a *trustnet.Live can change it. A peer on a unix
	// socket is trusted with the keyword unix.
	Trusted trustnet.Source

	// AllowTrustAll makes a Trusted set count that covers all of IPv4 or all of
	// IPv6. Without it New refuses such a set, and one that turns up later
	// trusts nobody: whoever may write the header may be anyone. Addresses of
	// that family are all trusted then, so none of them is ever a Complete
	// client.
	AllowTrustAll bool

	// Header is the one header that is read. The others never are, not even
	// when it is missing: a proxy passes on those that it does not know.
	Header Header

	// MaxHops is how many entries of the header are read at most. 0 means 32.
	MaxHops int

	// Proto makes Result.Proto say what the trusted peer says: the one value of
	// X-Forwarded-Proto, or with the Forwarded header the proto parameter of
	// the element that names Client. Turn it on only if every trusted proxy
	// sets or deletes X-Forwarded-Proto: HAProxy's option forwardfor and NGINX's
	// proxy_pass do not touch the client's. Values other than http and https
	// (Traefik writes wss for a web socket) leave Result.Proto empty.
	Proto bool

	// Strip makes Handler delete every forwarding header that was not believed
	// before the next handler sees the request. See [Resolver.Handler].
	Strip bool

	// Observe is told of every request that passes Handler, before headers are
	// deleted: for logs and metrics. The Result is in the request's context
	// too. It runs concurrently, must not block and must not modify the
	// request. Nil costs nothing.
	Observe func(*http.Request, Result)
}

// A Resolver finds the client of a request. It is safe for concurrent use. Use
// [New]; the zero Resolver trusts nobody.
type Resolver struct {
	cfg Config
	key string // of the header in an http.Header
}

// New returns a Resolver. The errors are [ErrNoTrusted] for a Trusted set that is
// nil or empty, [ErrTrustsAll] for one that covers an address family while
// AllowTrustAll is not set, and others that name the field. A *trustnet.Live must
// hold its first set before; whatever it holds later is taken as it is, an empty
// set as one that trusts nobody.
func New(c Config) (*Resolver, error) {
	if c.Trusted == nil {
		return nil, fmt.Errorf("%w: Config.Trusted is nil: set it to the addresses of your proxies", ErrNoTrusted)
	}
	set := c.Trusted.Trusted()
	switch {
	case set.IsEmpty():
		return nil, fmt.Errorf("%w: Config.Trusted is empty: set it to the addresses of your proxies", ErrNoTrusted)
	case set.TrustsAll() && !c.AllowTrustAll:
		return nil, fmt.Errorf("%w: Config.Trusted is %.100q: list only your proxies, or set Config.AllowTrustAll if nobody else can connect", ErrTrustsAll, set.String())
	case c.Header != XForwardedFor && c.Header != Forwarded:
		return nil, fmt.Errorf("forwarded: Config.Header is %d: use XForwardedFor or Forwarded", c.Header)
	case c.MaxHops < 0:
		return nil, fmt.Errorf("forwarded: Config.MaxHops is %d: use a positive number, or 0 for %d", c.MaxHops, DefaultMaxHops)
	case c.MaxHops == 0:
		c.MaxHops = DefaultMaxHops
	}
	return &Resolver{cfg: c, key: c.Header.String()}, nil
}

// ResolveRequest finds the client of req. It knows two things more than
// [Resolver.Resolve]: peers on a unix socket, from [http.LocalAddrContextKey], and
// connections that came through a proxyproto.Listener, whose forwarding headers
// are never read, if http.Server.ConnContext is proxyproto.ConnContext. It does
// not allocate.
func (r *Resolver) ResolveRequest(req *http.Request) (res Result) {
	r.resolveRequest(&res, req, nil)
	return res
}

// Resolve finds the client of a request with the header h from the peer
// remoteAddr, which is "IP:port" as net/http writes it; anything else, "@" of a
// unix socket and an address without a port included, is NoPeer. The keys of h are
// canonical, as net/http makes them. Resolve keeps nothing, does not modify h and
// does not allocate.
//
// It cannot know that a connection came through a proxyproto.Listener: where
// that may be, use ResolveRequest.
func (r *Resolver) Resolve(h http.Header, remoteAddr string) (res Result) {
	r.resolve(&res, r.trusted(nil), h, remoteAddr, nil)
	return res
}

// resolveRequest and what it calls fill in the zero Result that res points to.
func (r *Resolver) resolveRequest(res *Result, req *http.Request, t *trace) {
	ctx := req.Context()
	// One listener, one mechanism: this comes first, whatever else is known.
	if m := proxymark.FromContext(ctx); m != nil {
		res.Client, res.Peer = m.Client, m.Peer
		res.Reason = ProxyProtocol
		res.known = m.Known && m.Client.IsValid()
		return
	}
	set := r.trusted(t)
	local, ok := ctx.Value(http.LocalAddrContextKey).(*net.UnixAddr)
	if !ok {
		r.resolve(res, set, req.Header, req.RemoteAddr, t)
		return
	}
	// The name of a unix socket is its owner's choice, and a peer may choose
	// "10.0.0.1:80". An IP address can also come from a layer that speaks the
	// PROXY protocol and is not ours. Neither is the proxy that was meant.
	if _, isIP := parsePeer(req.RemoteAddr); isIP || !set.ContainsAddr(local) {
		res.Reason = NoPeer
		return
	}
	r.walk(res, set, req.Header, t)
}

// resolve is the first step, the peer.
func (r *Resolver) resolve(res *Result, set *trustnet.Set, h http.Header, remoteAddr string, t *trace) {
	peer, ok := parsePeer(remoteAddr)
	if !ok {
		res.Reason = NoPeer
		return
	}
	res.Client, res.Peer = peer, peer
	if !set.Contains(peer) {
		res.Reason = UntrustedPeer
		return
	}
	r.walk(res, set, h, t)
}

// walk goes from the trusted peer to the left, entry by entry: each trusted
// address lets us look one further, and the first that is not ends the walk. So
// does the first entry that cannot be read; none is ever skipped.
func (r *Resolver) walk(res *Result, set *trustnet.Set, h http.Header, t *trace) {
	res.Reason = NoHeader
	for l := newList(h[r.key]); l.more(); {
		if res.Hops == r.cfg.MaxHops {
			res.Reason = TooManyHops
			break
		}
		var before list
		if t != nil {
			before = l
		}
		var a netip.Addr
		var proto string
		var f fault
		if r.cfg.Header == Forwarded {
			a, proto, f = l.element()
		} else {
			a, f = l.address()
		}
		trusted := set.Contains(a)
		if t != nil {
			t.add(before, l, a, trusted, f)
		}
		if f != faultNone {
			res.Reason = f.reason()
			break
		}
		res.Hops++
		res.Client = a
		if r.cfg.Proto {
			res.Proto = proto
		}
		if !trusted {
			res.Reason = UntrustedHop
			break
		}
		res.Reason = AllTrusted
	}
	if r.cfg.Proto && r.cfg.Header == XForwardedFor {
		if lines := h[xForwardedProto]; len(lines) == 1 {
			res.Proto = protoOf(trim(lines[0]))
		}
	}
}

// trusted returns the set that is in force for one decision.
func (r *Resolver) trusted(t *trace) *trustnet.Set {
	if r.cfg.Trusted == nil {
		return nil
	}
	set := r.cfg.Trusted.Trusted()
	if set.TrustsAll() && !r.cfg.AllowTrustAll {
		if t != nil {
			t.trustsAll = true
		}
		return nil
	}
	return set
}
