// Package proxyproto gives a server behind a proxy the addresses of its clients. The
// PROXY protocol (HAProxy's doc/proxy-protocol.txt) is a small header that the proxy
// sends in front of the client's bytes, as the first thing on a connection:
//
//   - Version 1 is a line of text: the client's address and port, and those that
//     it connected to.
//   - Version 2 is binary. It can also report the client's TLS, the requested server name
//     (SNI) and more, in type-length-value entries.
//   - LOCAL (version 2) and UNKNOWN (version 1) have no client address. Proxies send them
//     for health checks and for clients on a unix socket.
//
// A peer that may send the header can claim any client address. A [Listener] therefore
// accepts headers only from the peers in [Config].Trusted, which must send one, and in
// [Config].Optional, which may send one. Every other peer is served at once as a direct
// client, and its connection is closed if it sends a header. No peer is trusted by default.
//
//	inner, err := net.Listen("tcp", ":25")
//	l, err := proxyproto.New(inner, proxyproto.Config{Trusted: trustnet.MustParse("192.0.2.10")})
//	err = server.Serve(l)
//
// # Ready on Accept
//
// Accept returns a connection that may be served now: its header has been read and
// verified. RemoteAddr, Read and Write never wait for a header. Protocols in which the
// server sends first, such as SMTP and IMAP, need that. A peer that sends nothing or an
// invalid header delays no other peer and never reaches the application: see
// Config.OnReject and [Listener.Stats].
//
// Nothing is accepted before the first Accept, so a process may open and wrap its
// listeners and let a child process serve them.
//
// # Policies
//
// The first of these lists that contains the peer decides:
//
//	Config.Direct     always a direct client; a header is an error
//	Config.Trusted    must send a header (REQUIRE in go-proxyproto)
//	Config.Optional   may send a header (USE)
//	none of them      Config.Untrusted: ServeDirect (REJECT), Refuse, or Ignore (IGNORE)
//
// A Listener without trusted and optional peers reports PROXY headers that a
// misconfigured proxy sends to the wrong port. Use it below an HTTP server that uses
// package forwarded.
//
// # The client
//
// RemoteAddr is the client's address if [Info.ClientKnown]. [Info.ClientAddr] is the
// same as a netip.AddrPort, and zero if the client is not known. [Secure] reports whether
// the client's connection is encrypted. [Split] is for server packages that look for a
// *tls.Conn instead: one server gets the secure connections, and another one the rest.
//
// [FromConn] returns all facts as an [Info]. It finds the Info through *tls.Conn and
// every other wrapper that has a NetConn method. A wrapper without that method hides the
// Info, so read the Info when the session starts and keep it. Put limiters such as
// netutil.LimitListener below a Listener. CloseWrite and splice(2) work only if no
// wrapper hides the socket, below or on top. If FromConn returns false, nothing is known;
// the connection need not be direct.
//
// For HTTP set http.Server.ConnContext to [ConnContext]. It also makes package
// forwarded ignore X-Forwarded-For on connections of a Listener that has trusted or
// optional peers: a listener uses one mechanism only.
//
// # Connections without a known client
//
// If ClientKnown is false, the address is the proxy's, often 127.0.0.1, which is on
// most servers' lists of hosts that may relay. Such connections are not only health
// checks: HAProxy sends LOCAL for clients of a unix socket. Derive no SPF verdict, no
// ban, no relaying and no privilege from such an address.
//
// # Proxies
//
// A [Dialer], or [WriteHeader], sends a header. [Info.Header] returns the one that
// passes on what was received. [Conn.ReadArrived] returns the bytes that a client has
// sent already, for [Dialer].Payload. [Forward] copies one direction of a session, and
// needs little memory while the session is silent. The example of Forward is a complete
// session. io.Copy between a Conn and a TCP connection works as well, and uses splice(2)
// as Forward does.
package proxyproto
