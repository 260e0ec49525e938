package proxyproto

import (
	"net"
	"net/netip"
	"slices"
)

// An Info describes a connection that a [Listener] accepted. It does not change and is safe
// for concurrent use. Do not modify it.
type Info struct {
	// Client is the client's address if ClientKnown. For LOCAL and UNKNOWN it is
	// the socket's peer. If the source in the header is 0.0.0.0 or ::, it is that
	// address. Server is the address that the client connected to, according to
	// the proxy, or for a direct, LOCAL or UNKNOWN connection the socket's own. Both are
	// *net.TCPAddr, unmapped, on a TCP socket and after a PROXY header with
	// addresses.
	Client, Server net.Addr

	// Proxy is the socket's peer that sent the header, nil when the connection
	// is direct.
	Proxy net.Addr

	// Version is that of the header, 1 or 2, and 0 when the connection is direct.
	Version int

	// Local reports the LOCAL command of version 2: the connection is the proxy's own,
	// such as a health check. HAProxy also sends it for clients of a unix socket, with
	// their traffic.
	Local bool

	unknown  bool // PROXY UNKNOWN of version 1
	unmarked bool // the Listener has no trusted and no optional peers, see NewContext
	path     TLSPath

	// TLS is the SSL TLV, or nil if the header has no SSL TLV. [Secure] reports whether
	// the client's connection is encrypted.
	TLS *TLS

	// ServerName is the AUTHORITY TLV, usually the client's SNI; ALPN is the
	// protocol that the client and the proxy agreed on. Both are "" if absent,
	// and are not checked: quote them before they go into a log.
	ServerName, ALPN string

	// UniqueID is the proxy's identifier of the connection, nil if absent, at
	// most 128 bytes.
	UniqueID []byte

	// TLVs contains the entries without a field above, in the order of the header:
	// NOOP, NETNS, unknown and vendors' types.
	TLVs []TLV
}

// ClientKnown reports whether Client is the client: the connection is direct,
// or the PROXY header gave an address. It is false for LOCAL and UNKNOWN, and
// for an unspecified source address (0.0.0.0, ::).
//
// If it is false, Client is usually the proxy's address, often 127.0.0.1,
// which is on most servers' lists of relay clients. Derive no SPF verdict, no
// ban, no relaying and no privilege from it.
func (i *Info) ClientKnown() bool {
	if i == nil || i.Client == nil || i.Local || i.unknown {
		return false
	}
	switch a := i.Client.(type) {
	case *net.TCPAddr:
		return a != nil && len(a.IP) > 0 && !a.IP.IsUnspecified()
	case *net.UDPAddr:
		return a != nil && len(a.IP) > 0 && !a.IP.IsUnspecified()
	}
	return true
}

// ClientAddr returns the client's IP address and port, unmapped and without a zone.
// It returns the zero AddrPort if the client is not known ([Info.ClientKnown]), and if the
// client has no IP address because it is on a unix socket.
func (i *Info) ClientAddr() netip.AddrPort {
	if !i.ClientKnown() {
		return netip.AddrPort{}
	}
	return addrPortOf(i.Client)
}

// TLV returns the value of the first entry of type t in TLVs, and whether there is
// one. The types that have a field of their own (ALPN, AUTHORITY, UNIQUE_ID, SSL) and
// the checksum are not in TLVs.
func (i *Info) TLV(t byte) ([]byte, bool) {
	if i == nil {
		return nil, false
	}
	for _, e := range i.TLVs {
		if e.Type == t {
			return e.Value, true
		}
	}
	return nil, false
}

// Header returns a header that passes on the addresses, TLS facts and TLVs that were
// received, or the addresses of a direct connection. Version is 0, which means 2. Addresses
// that are not known or not TCP are left out, so that the next server does not take a proxy
// for the client.
//
// The slices and TLS may be changed and appended to; the bytes in them are those
// of i. Facts that were not in the header received are not added: a relay that ends
// TLS itself, or is behind a proxy that does (TerminatedTLS), sets Header.TLS; see
// [TLSFromState].
func (i *Info) Header() Header {
	if i == nil {
		return Header{}
	}
	h := Header{
		Local:      i.Local,
		ServerName: i.ServerName,
		ALPN:       i.ALPN,
		UniqueID:   slices.Clip(i.UniqueID),
		TLVs:       slices.Clone(i.TLVs),
	}
	if i.TLS != nil {
		t := *i.TLS
		t.TLVs = slices.Clone(t.TLVs)
		h.TLS = &t
	}
	_, tcpClient := i.Client.(*net.TCPAddr)
	_, tcpServer := i.Server.(*net.TCPAddr)
	if i.ClientKnown() && tcpClient && tcpServer {
		h.Source, h.Destination = i.Client, i.Server
	}
	return h
}

// unmap turns the IPv4-mapped address of a client of an AF_INET6 socket into an IPv4
// address.
func unmap(a net.Addr) net.Addr {
	t, ok := a.(*net.TCPAddr)
	if !ok || t == nil || len(t.IP) != net.IPv6len {
		return a
	}
	if ip4 := t.IP.To4(); ip4 != nil {
		return &net.TCPAddr{IP: ip4, Port: t.Port}
	}
	return a
}

// An unmapper caches the last address that it unmapped, so that all connections to one
// address of a listener on ":25" share their local address.
type unmapper struct{ from, to net.Addr }

func (u *unmapper) unmap(a net.Addr) net.Addr {
	t, ok := a.(*net.TCPAddr)
	if !ok || t == nil {
		return a
	}
	if last, ok := u.from.(*net.TCPAddr); ok && last.Port == t.Port && last.Zone == t.Zone && last.IP.Equal(t.IP) {
		return u.to
	}
	u.from, u.to = a, unmap(a)
	return u.to
}
