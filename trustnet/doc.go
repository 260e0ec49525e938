// Package trustnet answers one question: may this peer speak for a client?
//
// A server behind a reverse proxy learns the client's address from the proxy, in
// a PROXY protocol header or in a forwarding header of HTTP. Anybody can send
// such headers, so they count only when the peer that hands them over is on a list
// of trusted networks. A [Set] is that list. It holds IP addresses, networks, and
// peers on a unix socket; packages proxyproto and forwarded ask it with Contains
// and ContainsAddr.
//
// [Parse] makes a Set of what stands in a configuration or an environment
// variable, [Read] of a file with one item a line, [FromPrefixes] of networks. A
// Set is also a flag (with [flag.TextVar]) and a field of a JSON, YAML or TOML
// document. A list with one bad item is an error and yields no Set.
//
// Trust is given, never assumed. A nil *Set and the zero Set trust nobody, no
// network is in a Set that was not asked for, and the sets of CDNs, which change,
// are not part of this package. List the addresses of the proxies themselves
// rather than whole ranges: every host in a trusted network can pretend to be any
// client. [Set.TrustsAll] tells a set that trusts a whole address family.
//
// To replace the list while the server runs, give it a [Live] and Store the next
// Set there once it has been read without an error.
package trustnet
