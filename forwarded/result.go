package forwarded

import (
	"net/netip"
	"strconv"
)

// A Result says who sent a request, and why that is the answer. The zero Result
// knows nobody and grants nothing.
type Result struct {
	// Client is the address that the walk ended at, unmapped and without a zone.
	// If Complete it is the client. If not, it is the farthest trusted hop that
	// could be read, often one of your own proxies, or for a peer on a unix
	// socket with no such hop the zero Addr: derive no SPF verdict, no ban, no
	// rate limit, no relaying and no privilege from it.
	Client netip.Addr

	// Peer is the address of the connection's peer, in the same form. It is the
	// zero Addr for a peer on a unix socket and when Reason is NoPeer.
	Peer netip.Addr

	// Hops counts the entries of the header that were believed; the last of
	// them is Client. With 0, Client is the peer (or the client that the PROXY
	// protocol named).
	Hops int

	// Reason says why the walk ended at Client.
	Reason Reason

	// Proto is "http" or "https": how the client reached the first proxy, as the
	// trusted peer says. It is "" unless Config.Proto is set, and when the peer
	// is not trusted or does not say it in exactly one valid way.
	Proto string

	known bool // the PROXY protocol named the client
}

// Complete reports whether Client is the client: the address of a peer that is
// not trusted, the first address in the header that is not, or the client of a
// PROXY protocol connection that is direct or has a header with an address. The
// last is not compared with Config.Trusted: a proxy that names itself is Complete.
//
// Only a Complete result may decide anything about the client. All others say
// that a proxy could not or did not tell.
func (r Result) Complete() bool {
	switch r.Reason {
	case UntrustedPeer, UntrustedHop:
		return r.Client.IsValid()
	case ProxyProtocol:
		return r.known
	}
	return false
}

// A Reason says why a walk ended where it did.
type Reason uint8

const (
	// NoPeer: the peer has no address that could be on a list, so it is not
	// trusted and not known: a unix socket without the keyword unix in
	// Config.Trusted, or a RemoteAddr that is not "IP:port". Middleware that
	// copies a client's header into RemoteAddr leaves one without a port.
	// Client and Peer are the zero Addr.
	NoPeer Reason = iota

	// UntrustedPeer: the peer is not on the list, so it is the client, and its
	// headers were not read. Complete.
	UntrustedPeer

	// NoHeader: the peer is trusted but the request has no line of the
	// configured header. A health check of the proxy, or a proxy that does not
	// add the header. Client is the peer.
	NoHeader

	// UntrustedHop: the first address from the right that is not on the list.
	// Complete.
	UntrustedHop

	// AllTrusted: every entry is on the list. Client is the leftmost, a host of
	// your own.
	AllTrusted

	// Malformed: an entry was needed that is empty, too long, without an
	// address, or not what the header's syntax allows. Client is the last hop
	// before it.
	Malformed

	// Obfuscated: an entry was needed that withholds the address: unknown, an
	// identifier such as _hidden (RFC 7239 sections 6.2 and 6.3), or an
	// unspecified address (0.0.0.0, ::). Client is the last hop before it.
	Obfuscated

	// TooManyHops: Config.MaxHops entries were read, all trusted, and there are
	// more. Client is the last one read.
	TooManyHops

	// ProxyProtocol: the connection came through a PROXY protocol listener,
	// which alone says who the client is; no header was read. Complete if it
	// knows the client.
	ProxyProtocol
)

var reasons = [...]string{
	NoPeer:        "NoPeer",
	UntrustedPeer: "UntrustedPeer",
	NoHeader:      "NoHeader",
	UntrustedHop:  "UntrustedHop",
	AllTrusted:    "AllTrusted",
	Malformed:     "Malformed",
	Obfuscated:    "Obfuscated",
	TooManyHops:   "TooManyHops",
	ProxyProtocol: "ProxyProtocol",
}

// String returns the name of the constant.
func (r Reason) String() string {
	if int(r) < len(reasons) {
		return reasons[r]
	}
	return "Reason(" + strconv.Itoa(int(r)) + ")"
}
