package forwarded

import (
	"context"
	"net"
	"net/http"

	"github.com/seed-94e48765/portico/internal/proxymark"
	"github.com/seed-94e48765/portico/trustnet"
)

// A Resolver finds the client of a request. It is safe for concurrent use. Use
// [New] to make one. The zero Resolver trusts no peer, so that every peer is the
// client.
type Resolver struct {
	cfg  Config
	name string // of the header that is read, as configured
	key  string // the same in the form of the keys of an http.Header
}

// ResolveRequest returns the client of req. It uses three facts that
// [Resolver.Resolve] cannot see: whether the peer is on a unix socket (from
// [http.LocalAddrContextKey]), whether the connection came through a
// proxyproto.Listener (if http.Server.ConnContext is proxyproto.ConnContext), and
// whether the request came over TLS (for [Result.Secure]). It does not allocate for
// valid headers, and at most once for a malformed one.
func (r *Resolver) ResolveRequest(req *http.Request) (res Result) {
	r.resolveRequest(&res, req, nil)
	return res
}

// Resolve returns the client of a request with the header h from the peer
// remoteAddr, which is "IP:port" as net/http writes it. For anything else the Reason
// is NoPeer: "@" of a unix socket, an address without a port, an unspecified
// address. The keys of h must be canonical, as net/http makes them. Resolve does not
// modify h.
//
// Resolve cannot see that a connection came through a proxyproto.Listener, nor
// whether it is a TLS connection. Servers should call ResolveRequest.
func (r *Resolver) Resolve(h http.Header, remoteAddr string) (res Result) {
	r.resolve(&res, r.trusted(nil), h, remoteAddr, nil)
	return res
}

// resolveRequest and the methods that it calls fill in the zero Result that res
// points to.
func (r *Resolver) resolveRequest(res *Result, req *http.Request, t *trace) {
	ctx := req.Context()
	set := r.trusted(t)
	// A listener uses one mechanism: the mark comes before everything else.
	if m := proxymark.FromContext(ctx); m != nil {
		resolveMark(res, set, m, req.TLS != nil, t)
		return
	}
	if local := unixSocket(ctx); local == nil {
		r.resolve(res, set, req.Header, req.RemoteAddr, t)
	} else if _, isIP := parsePeer(req.RemoteAddr); isIP || !set.ContainsAddr(local) {
		// A peer chooses the name of its own unix socket, and may choose
		// "10.0.0.1:80". An IP address can also come from another layer that
		// reads the PROXY protocol. Neither is the proxy that Trusted means.
		res.Reason = NoPeer
	} else {
		r.readHeader(res, set, req.Header, t)
	}
	if res.Reason == UntrustedPeer || res.Reason == UntrustedHeader {
		res.secure, res.secureKnown = req.TLS != nil, true
	}
}

// unixSocket returns the address of the unix socket that a request came in on, or
// nil.
func unixSocket(ctx context.Context) net.Addr {
	if local, ok := ctx.Value(http.LocalAddrContextKey).(*net.UnixAddr); ok {
		return local
	}
	return nil
}

// resolveMark takes the client from the PROXY protocol.
func resolveMark(res *Result, set *trustnet.Set, m *proxymark.Mark, onTLS bool, t *trace) {
	res.Reason = ProxyProtocol
	res.Peer, res.Last = m.Peer, m.Peer
	if m.Direct && (set.Contains(m.Peer) || !m.Peer.IsValid() && set.Unix()) {
		// A proxy that does not send PROXY headers yet would look like one client.
		if t != nil {
			t.directProxy = true
		}
		return
	}
	if m.Info != nil {
		res.secure, res.secureKnown = m.Info.Secure(onTLS)
	}
	if m.Known && m.Client.IsValid() {
		res.Client, res.Last = m.Client, m.Client
	}
}

// resolve decides whether the peer is the client, or its header is read.
func (r *Resolver) resolve(res *Result, set *trustnet.Set, h http.Header, remoteAddr string, t *trace) {
	peer, ok := parsePeer(remoteAddr)
	if !ok || peer.IsUnspecified() {
		res.Reason = NoPeer
		return
	}
	res.Peer = peer
	if set.Contains(peer) {
		r.readHeader(res, set, h, t)
		return
	}
	res.Client, res.Last = peer, peer
	res.Reason = UntrustedPeer
	if r.hasForwarding(h) {
		res.Reason = UntrustedHeader
	}
}

// readHeader takes the client and the scheme from the header of a trusted peer.
func (r *Resolver) readHeader(res *Result, set *trustnet.Set, h http.Header, t *trace) {
	if r.cfg.SingleHeader != "" {
		r.single(res, set, h, t)
	} else {
		r.walk(res, set, h, t)
	}
	if r.cfg.Proto && r.readsXForwardedProto() {
		res.Proto, _ = listedProto(h[xForwardedProto], r.usedHops(res))
	}
}

// trusted returns the set to use for one decision.
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
