package forwarded

import (
	"net/netip"
	"strconv"
)

// A Result is the client of a request, and the reason for the answer. In the zero
// Result the client is not known.
type Result struct {
	// Client is the client's address, unmapped and without a zone, or the zero
	// Addr if the client is not known. It is never the address of a trusted proxy in
	// place of a client that is not known.
	Client netip.Addr

	// Last is the last address that was read, in the same form: Client if that is
	// known, or the last hop, often one of your own proxies. It is for logs: derive
	// no SPF verdict, ban, rate limit or privilege from it. It is the zero Addr if
	// Reason is NoPeer, and for a peer on a unix socket if no entry was read.
	Last netip.Addr

	// Peer is the address of the connection's peer, in the same form. It is the
	// zero Addr for a peer on a unix socket and if Reason is NoPeer.
	Peer netip.Addr

	// Hops is the number of entries of the header that led to Last, which is the
	// last of them. If it is 0, Last is the peer, or the client that the PROXY
	// protocol named.
	Hops int

	// Reason is the reason why the walk ended at Last.
	Reason Reason

	// Proto is "http" or "https", the scheme by which the client reached the
	// first proxy according to the trusted peer. It is "" if Config.Proto is not
	// set, if the peer is not trusted, and if the proxies do not agree on one
	// scheme; see Config.Proto.
	Proto string

	// What Secure returns if Proto is empty.
	secure, secureKnown bool
}

// ClientKnown reports whether Client is known. The Reason is then UntrustedPeer,
// UntrustedHeader, UntrustedHop, CountedHop or ProxyProtocol.
func (r Result) ClientKnown() bool { return r.Client.IsValid() }

// Secure reports whether the client's connection is encrypted, and whether that is
// known. secure is false if known is false. In an HTTP handler use it instead of
// Request.TLS, which behind a proxy describes the proxy's connection:
//
//   - The peer is not trusted: it is the client, and Request.TLS decides.
//   - The peer is trusted: Result.Proto decides. Without one the answer is not
//     known, even if Request.TLS is set.
//   - The connection came through a PROXY protocol listener: the answer is that
//     of proxyproto.Info.Secure.
//
// It is not known if Reason is NoPeer. [Resolver.Resolve] does not see the
// connection, so that the answer for its Results depends on Proto alone.
func (r Result) Secure() (secure, known bool) {
	if r.Proto != "" {
		return r.Proto == "https", true
	}
	return r.secure, r.secureKnown
}

// A Reason is the reason why the walk through the entries ended.
type Reason uint8

const (
	// NoPeer: the peer has no address that could be on a list, so it is neither
	// trusted nor known. It is on a unix socket and Config.Trusted does not have
	// the keyword unix, or RemoteAddr is not "IP:port" or has an unspecified
	// address. Middleware that copies a header of the client into RemoteAddr often
	// leaves an address without a port there; if it leaves a port, the client
	// chooses the peer. Last and Peer are the zero Addr.
	NoPeer Reason = iota

	// UntrustedPeer: the peer is not on the list, so it is the client. The client
	// is known.
	UntrustedPeer

	// UntrustedHeader: as UntrustedPeer, but the request has a forwarding header
	// (see [Resolver.Handler] for the list). Either a client sent it, and it was
	// ignored, or the peer is a proxy that is missing from Config.Trusted. In that
	// case all of its users share one address and one ban: log this Reason, at a
	// limited rate. The client is known. Do not exempt the peer from limits or
	// bans, since every client can send such a header.
	UntrustedHeader

	// NoHeader: the peer is trusted, but the request has no line of the
	// configured header. It is a health check of the proxy, or the proxy does not
	// write the header.
	NoHeader

	// UntrustedHop: the first address from the right that is not on the list is
	// the client. The client is known.
	UntrustedHop

	// CountedHop: the entry at position Config.TrustedHops from the right, or the
	// one address of Config.SingleHeader, is the client. The client is known.
	CountedHop

	// AllTrusted: every entry is on the list. Last is the leftmost one.
	AllTrusted

	// TooFewHops: the header has fewer entries than Config.TrustedHops. The
	// request did not come through all of the proxies, or the number is too
	// large. Last is the leftmost entry.
	TooFewHops

	// Malformed: an entry that was needed is empty, too long, without an
	// address, or not what the syntax of the header allows. Config.SingleHeader
	// has more than one line, or not exactly one address. Or the entry that
	// Config.TrustedHops or Config.SingleHeader selects is a loopback or multicast
	// address. Last is the hop before the entry.
	Malformed

	// Obfuscated: an entry that was needed withholds the address: it is "unknown",
	// an identifier such as _hidden (RFC 7239 sections 6.2 and 6.3), or an
	// unspecified address (0.0.0.0, ::). Last is the hop before it.
	Obfuscated

	// TooManyHops: Config.MaxHops entries were read, all are trusted, and there
	// are more. Last is the last one that was read.
	TooManyHops

	// ProxyProtocol: the connection came through a PROXY protocol listener. The
	// client is the one that the PROXY header named, or the peer of a direct
	// connection; no forwarding header was read. The client is not known if the
	// header has no client address (LOCAL, UNKNOWN), and if the connection is direct
	// and its peer is in Config.Trusted, because the peer is then a proxy that does
	// not send PROXY headers.
	ProxyProtocol
)

var reasons = [...]string{
	NoPeer:          "NoPeer",
	UntrustedPeer:   "UntrustedPeer",
	UntrustedHeader: "UntrustedHeader",
	NoHeader:        "NoHeader",
	UntrustedHop:    "UntrustedHop",
	CountedHop:      "CountedHop",
	AllTrusted:      "AllTrusted",
	TooFewHops:      "TooFewHops",
	Malformed:       "Malformed",
	Obfuscated:      "Obfuscated",
	TooManyHops:     "TooManyHops",
	ProxyProtocol:   "ProxyProtocol",
}

// String returns the name of the constant.
func (r Reason) String() string {
	if int(r) < len(reasons) {
		return reasons[r]
	}
	return "Reason(" + strconv.Itoa(int(r)) + ")"
}
