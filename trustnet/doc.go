// Package trustnet implements lists of trusted networks. A peer in such a network may
// state the address of the client on whose behalf it connects.
//
// A server behind a reverse proxy learns the client's address from the proxy, in
// a PROXY protocol header or in an HTTP forwarding header. Every peer can send
// such headers, so they count only if the peer is on a list of trusted networks. A
// [Set] is such a list. It holds IP addresses, networks, and peers on a unix
// socket. Packages proxyproto and forwarded use it.
//
// [Parse] reads the items of a configuration or an environment variable, [Read] a
// file with one item a line, [FromPrefixes] networks of type [net/netip.Prefix]. An
// item with "!" in front is an exclusion. A Set is also a flag (with
// [flag.TextVar]) and a field of a JSON, YAML or TOML document. A list with one
// bad item is an error and yields no Set.
//
// A nil *Set and the zero Set trust no peer. A Set holds only the networks of its
// items. The networks of CDNs change and are not part of this package. List the
// addresses of the proxies rather than whole ranges: every host in a trusted
// network can pretend to be any client. [Set.TrustsAll] reports whether a set trusts half
// of the Internet.
//
// To replace the list while the server runs, give the server a [Live] and call Store with
// the next Set after it has been read without an error. [Names] does that for proxies that
// have a DNS name but no fixed address.
package trustnet
