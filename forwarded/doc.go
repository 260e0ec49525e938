// Package forwarded finds the address of the client of an HTTP request that came
// through reverse proxies, in X-Forwarded-For or Forwarded (RFC 7239).
//
// # Whom to believe
//
// Anyone can send these headers. A proxy adds the address that it sees to the
// right end of the list and passes on what was there, so in
//
//	X-Forwarded-For: 127.0.0.1, 198.51.100.9, 10.0.0.2
//
// sent by the proxy 10.0.0.1, the only thing known is that 10.0.0.1 was asked by
// 10.0.0.2. If 10.0.0.2 is a proxy of ours too, then it was asked by
// 198.51.100.9, a stranger: the client. What stands left of a stranger is that
// stranger's own text, here the claim to be localhost. So a [Resolver] starts at
// the connection's peer and goes from right to left as long as the addresses are
// in Config.Trusted. It stops at the first that is not, and at the first entry
// that cannot be read; it never skips one and never looks left of the answer. If
// the peer is not trusted, it is the client, and its headers are noise.
//
// [Result.Complete] tells whether the walk ended at a client. When it is false,
// Result.Client is one of your own hosts: grant it nothing, ban nobody for it.
// [Resolver.Explain] answers "why this address?" hop by hop.
//
// # What proxies really send
//
// One header is read, Config.Header, and there is no second choice: a proxy passes
// on the headers that it does not write itself, with the client's words in them.
//
//   - HAProxy's option forwardfor adds X-Forwarded-For in a line of its own below
//     the client's, and no X-Forwarded-Proto. It adds nothing for clients in its
//     except network or on a unix socket, nor, with if-none, for those that sent
//     the header: they name any address they like. http-request set-header
//     X-Forwarded-For %[src] replaces it, and X-Forwarded-Proto takes two such
//     rules, one if { ssl_fc } and one unless.
//   - NGINX's proxy_pass alone forwards the client's headers untouched.
//     proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for appends to the
//     client's value, which is fine here; $remote_addr replaces it.
//     X-Forwarded-Proto needs a proxy_set_header of its own, with $scheme.
//   - Caddy and Traefik replace X-Forwarded-For and X-Forwarded-Proto of clients
//     that they do not trust, and pass on a client's Forwarded as it is. Do not
//     choose [Forwarded] behind them.
//   - A configuration that copies Host into Forwarded must escape quotes and
//     backslashes in it, or the client writes the proxy's element, and bound its length:
//     an element of more than 512 bytes is malformed, and leaves the client unknown.
//
// Config.Strip keeps what was not believed from the handlers behind. Trailers are not
// looked at: they come after the decision.
//
// # One listener, one mechanism
//
// A connection that came through a proxyproto.Listener has told its client's
// address already, and no forwarding header on it is believed, even when that
// address is in Config.Trusted, and when the connection is direct. For that the
// server must mark its connections:
//
//	srv := &http.Server{Handler: resolver.Handler(mux), ConnContext: proxyproto.ConnContext}
//
// Without http.Server.ConnContext this package cannot tell such a connection from
// any other, and a client whose address is in Config.Trusted could name another.
// The mark is in the request's context: [Resolver.Resolve] does not see it.
package forwarded
