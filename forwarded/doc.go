// Package forwarded finds the address of the client of an HTTP request that came
// through reverse proxies, in X-Forwarded-For, in Forwarded (RFC 7239), or in a header
// of one vendor. It also writes these headers for the next server.
//
// # Which entry is the client
//
// Every client can send these headers. A proxy adds the address that it sees to the
// right end of the list and passes on what was there. If the proxy 10.0.0.1 sends
//
//	X-Forwarded-For: 127.0.0.1, 198.51.100.9, 10.0.0.2
//
// then only one fact is certain: 10.0.0.2 connected to 10.0.0.1. If 10.0.0.2 is a
// trusted proxy too, then 198.51.100.9 connected to it. That address is not trusted, so
// it is the client, and the entry to the left of it is the client's own text. So a
// [Resolver] begins with the peer of the connection and reads entries from right to left
// as long as the addresses are in Config.Trusted. The first address that is not in
// Config.Trusted is the client. An entry that cannot be read ends the walk. If the peer is
// not trusted, the peer is the client, and its headers are ignored.
//
// Two kinds of deployment need another rule. Config.TrustedHops counts entries, for load
// balancers whose addresses cannot be listed and for those that append their own
// address. Config.SingleHeader reads a header with one address, such as
// CF-Connecting-IP.
//
// [Result.Client] is the client, or the zero Addr if the client is not known.
// [Result.Last] is the last address that was read, for logs. [Resolver.Explain] shows
// hop by hop how the client was found. [Result.Secure] reports whether the client's
// connection is encrypted.
//
// # What proxies send
//
// A Resolver reads one header and has no fallback, because a proxy passes on the headers
// that it does not write, with the client's text in them.
//
//   - HAProxy's option forwardfor adds a line of X-Forwarded-For below the client's, and
//     no X-Forwarded-Proto. It adds nothing for clients in its except network or on a
//     unix socket, nor, with if-none, for clients that sent the header: such clients can
//     choose their address. http-request set-header X-Forwarded-For %[src] replaces
//     the header. X-Forwarded-Proto needs two such rules, one with if { ssl_fc } and one
//     with unless.
//   - NGINX's proxy_pass alone passes on the client's headers. With proxy_set_header
//     X-Forwarded-For, $proxy_add_x_forwarded_for appends to the client's value, and
//     $remote_addr replaces it; both are correct here. X-Forwarded-Proto needs a
//     proxy_set_header of its own, with $scheme.
//   - Caddy and Traefik replace X-Forwarded-For and X-Forwarded-Proto of clients that
//     they do not trust, and pass on the client's Forwarded. Do not choose [Forwarded]
//     behind them.
//   - A configuration that copies Host into Forwarded must escape quotes and backslashes
//     in it. Otherwise the client can write the proxy's element. It must also limit the
//     length: an element of more than 512 bytes is malformed, so that the client is not
//     known.
//
// If Config.Strip is set, the next handler gets a request without the forwarding headers
// that were not used. Trailers are neither read nor removed.
//
// # One listener, one mechanism
//
// If a connection came through a proxyproto.Listener that uses the PROXY protocol,
// the client is the one that the listener reports. No forwarding header on it is read,
// even if the client's address is in Config.Trusted. For that the server must mark its
// connections:
//
//	srv := &http.Server{Handler: resolver.Handler(mux), ConnContext: proxyproto.ConnContext}
//
// Without http.Server.ConnContext a client with an address in Config.Trusted could name
// another one. The mark is in the request's context: [Resolver.Resolve] does not see it,
// and middleware must not replace the context. A wrapper around the connections of the
// listener needs a method NetConn() net.Conn, or it hides the mark.
//
// RemoteAddr must be the peer's address. Middleware that copies a client's header into
// it must not run before a Resolver: with such middleware a direct client that sends
//
//	X-Forwarded-For: 10.0.0.1:1, 198.51.100.66
//
// appears as the proxy 10.0.0.1, and its second entry as the client.
package forwarded
