// Package proxyproto lets a server behind a proxy know its clients. The PROXY
// protocol (HAProxy's doc/proxy-protocol.txt) is a small header that the proxy
// sends in front of the client's bytes, as the first thing on a connection:
//
//   - Version 1 is a line of text: the client's address and port, and those that
//     it connected to.
//   - Version 2 is binary. It can also say whether the client used TLS and how,
//     which server name it asked for, and more, in type-length-value entries.
//   - LOCAL (version 2) and UNKNOWN (version 1) name no client: a health check, a
//     client on a unix socket.
//
// Whoever may send the header decides who the client is. So a [Listener] takes
// it only from the peers in [Config].Trusted, and demands it from them. Every
// other peer is served as the direct client that it is, at once, and is cut off
// if it sends a header. No peer is trusted by default.
//
//	inner, err := net.Listen("tcp", ":25")
//	l, err := proxyproto.New(inner, proxyproto.Config{Trusted: trustnet.MustParse("192.0.2.10")})
//	err = server.Serve(l)
//
// # Ready on Accept
//
// Accept returns a connection that may be served now: its header is read and
// verified. RemoteAddr, Read and Write never wait for one, which SMTP, IMAP and
// other protocols need whose server speaks first. A peer that sends nothing, or
// nonsense, delays nobody and never reaches the application; see
// Config.OnReject and [Listener.Stats].
//
// # What to ask
//
// RemoteAddr is the client's address, if [Info.ClientKnown]. [Secure] says
// whether the client's connection is encrypted. [FromConn] gives everything
// else, through *tls.Conn and every wrapper that has a NetConn method. A wrapper
// that has none hides it, so servers read the Info when the session starts and
// keep it; put limiters such as netutil.LimitListener below a Listener, not on
// top (there a wrapper costs CloseWrite and splice(2), unless it passes them on).
// FromConn returning false means that nothing is known. It does not mean
// that the connection is direct.
//
// For HTTP set http.Server.ConnContext to [ConnContext]. It also tells package
// forwarded that the connection is ours, so that X-Forwarded-For counts for
// nothing there. Without it that exclusivity is lost.
//
// # Addresses grant nothing by themselves
//
// Where ClientKnown is false the address is the proxy's, often 127.0.0.1, which
// stands in everyone's list of hosts that may relay. Real traffic arrives so:
// HAProxy sends LOCAL for clients of a unix socket. Derive no SPF verdict, no
// ban, no relaying and no privilege from such an address.
//
// # Proxies
//
// A [Dialer], or [WriteHeader], sends a header, and [Info.Header] passes on what
// was received. io.Copy between a Conn and a TCP connection uses splice(2).
package proxyproto
