// Package recipes has a short, complete server for each of the libraries that people
// put behind a proxy, as Examples that run with the tests:
//
//   - net/http, with HTTP/1.1 and HTTP/2, in clear text and with TLS on top
//   - net/http/httputil.ReverseProxy, with forwarding headers in and out
//   - emersion/go-smtp, also as two servers behind one listener
//   - emersion/go-imap
//   - crypto/tls, for a protocol of your own
//   - a server that wants a *net.TCPConn
//   - the identifiers that AWS, Azure and Google Cloud send for private links
//
// In all of them 127.0.0.1 is the proxy, and the client that it tells of is at
// 203.0.113.7. What to copy is the part above the line that says so; below it stands
// the proxy that tries it.
package recipes
