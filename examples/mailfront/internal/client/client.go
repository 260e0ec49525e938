// Package client describes the other end of a connection or of an HTTP request: the client's
// address, whether its connection is encrypted, and whether either of them is known.
//
// A server calls [New] once, when a session starts, and keeps the result. A wrapper that is added
// later, such as that of STARTTLS, may hide the facts of package proxyproto. For each request, a
// web server calls [FromProxyHeader] or [FromForwarded], depending on the listener. Its handlers
// call [FromRequest].
//
// Copy with it: nothing.
//
// Change the attributes of the log lines in log.go, and the settings that forwarding.go names.
package client

import (
	"encoding/json"
	"net"
	"net/netip"
	"strings"

	"github.com/seed-94e48765/portico/proxyproto"
)

// A Client has the facts about the other end of a connection or request. The answers to whoami
// contain its JSON form.
type Client struct {
	IP       netip.Addr `json:"client_ip"` // unmapped; the zero Addr if Known is false
	TLS      bool       `json:"tls"`       // the client's own connection is known to be encrypted
	TLSKnown bool       `json:"tls_known"`
	Known    bool       `json:"client_known"`
	Proxy    netip.Addr `json:"proxy,omitzero"`   // the proxy between the client and this server
	Version  int        `json:"version"`          // of the PROXY header, 0 without one
	Reason   string     `json:"reason,omitempty"` // a forwarded.Reason; "" on a PROXY listener
	Listener string     `json:"proto"`            // Name of the Listener
	Last     netip.Addr `json:"last_ip"`          // IP, or the last hop (often the proxy) if Known is false; for logs only

	Info        *proxyproto.Info `json:"-"` // nil on a listener without PROXY protocol
	ForwardedBy string           `json:"-"` // name of a forwarding header in the request, from any peer; may be ""
	Host        string           `json:"-"` // Host of the request; "" outside HTTP

	TrustedSetting string `json:"-"` // TrustedSetting of the Listener
}

// A Listener is what log lines state about a listener.
type Listener struct {
	Name           string // for example imaps
	TrustedSetting string // the setting that lists the trusted proxies of this listener
}

// New returns the client of c, which is a connection of a proxyproto.Listener or a wrapper of one.
// The client is not known if c has no Info. Call New when a session starts.
func New(l Listener, c net.Conn) Client {
	info, _ := proxyproto.FromConn(c)
	cl := FromInfo(l, info)
	cl.setTLS(proxyproto.Secure(c))
	return cl
}

// FromInfo returns the client that info describes, without its TLS. If info is nil, the client is
// not known.
func FromInfo(l Listener, info *proxyproto.Info) Client {
	cl := Client{Listener: l.Name, TrustedSetting: l.TrustedSetting, Info: info}
	if info != nil {
		cl.IP, cl.Last, cl.Known = info.ClientAddr().Addr(), IPOf(info.Client), info.ClientKnown()
		cl.Proxy, cl.Version = IPOf(info.Proxy), info.Version
	}
	return cl
}

// WithTLS returns the client after STARTTLS.
func (cl Client) WithTLS() Client {
	cl.setTLS(cl.Info.Secure(true))
	return cl
}

// setTLS sets TLS if it is certain.
func (cl *Client) setTLS(secure, known bool) {
	cl.TLS, cl.TLSKnown = secure && known, known
}

var localhost4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// IsThisMachine reports whether the client is known and its own address is 127.0.0.1 or ::1 of this
// machine. It is false for a LOCAL or UNKNOWN connection, which has the address of the proxy (often
// 127.0.0.1), and for a 127.0.0.1 in the header of a proxy on another machine, which refers to that
// machine.
//
// IsThisMachine does not identify programs on this machine: behind a proxy on this machine that is
// missing from the list of trusted proxies, every client has this address.
func (cl Client) IsThisMachine() bool {
	onThisMachine := cl.Version == 0 || cl.Proxy.IsLoopback()
	return cl.Known && onThisMachine && (cl.IP == localhost4 || cl.IP == netip.IPv6Loopback())
}

// isDirectLocal reports whether the client is a program on this machine that connected directly,
// such as a browser that opens http://127.0.0.1 for the set-up. Its data passes no network. A proxy
// on this machine that is missing from the list of trusted proxies has the same address, but its
// requests have a forwarding header or the host that its clients use.
func (cl Client) isDirectLocal() bool {
	return cl.IsThisMachine() && cl.IsUntrustedPeer() && cl.ForwardedBy == "" && (cl.Host == "" || isThisHost(cl.Host))
}

// isThisHost reports whether the Host of a request is a name or address by which this machine refers
// to itself (RFC 6761 section 6.3).
func isThisHost(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil { // without a port
		name = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if ip, err := netip.ParseAddr(name); err == nil {
		return ip.Unmap().IsLoopback()
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// IsUntrustedPeer reports whether the client is the peer of the socket and is not on the list of
// trusted proxies.
func (cl Client) IsUntrustedPeer() bool {
	return cl.Known && cl.Version == 0 && !cl.Proxy.IsValid()
}

// IsPlaintext reports whether it is certain that the client's data passes a network unencrypted.
func (cl Client) IsPlaintext() bool { return cl.TLSKnown && !cl.TLS && !cl.isDirectLocal() }

// JSON returns the client as one line of JSON. The line fits into a reply of SMTP, because no member
// contains text of the client.
func (cl Client) JSON() string {
	b, err := json.Marshal(cl)
	if err != nil {
		return "{}" // not reached: every field can be marshaled
	}
	return string(b)
}

// IPOf returns the IP address of a, unmapped and without its zone. For a unix socket it returns the
// zero Addr.
func IPOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok && t != nil {
		return t.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// FromPeer returns the client of a connection that may have no Info. Without Info the client is the
// peer of the socket, which may be a proxy.
func FromPeer(l Listener, c net.Conn) Client {
	cl := New(l, c)
	if cl.Info == nil {
		cl.IP = IPOf(c.RemoteAddr())
		cl.Known = cl.IP.IsValid()
	}
	return cl
}
