package proxyproto

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

// A Conn is a connection from a [Listener]. Its addresses are the client's and
// the one that the client connected to; do not modify what they point to.
//
// On a connection with a PROXY header, Read begins after the header. On a
// direct connection Read fails with [ErrUntrustedHeader], and the connection is
// closed, when the first bytes are a PROXY header. Under [Ignore] Read begins after that
// header, too.
//
// Conn has no ConnectionState method: net/http would take it for TLS.
type Conn struct {
	conn net.Conn
	// lead handles Read at the beginning of the stream. It is nil after that, so that Read
	// costs no more than on the connection below.
	lead atomic.Pointer[lead]
	info Info
}

// A Conn is allocated together with the values that it needs: a direct one with its lead,
// one with a header with its addresses.
type (
	directConn struct {
		Conn
		first lead
	}
	heldConn struct {
		directConn
		held held
	}
	heldLead struct {
		lead lead
		held held
	}
	proxiedConn4 struct {
		Conn
		client, server net.TCPAddr
		ip             [2][4]byte
	}
	proxiedConn6 struct {
		Conn
		client, server net.TCPAddr
		ip             [2][16]byte
	}
)

// newDirectConn returns a Conn for a direct client that may not send a header, for the
// reason why. If ignore is set, its header is dropped.
func newDirectConn(l *Listener, c net.Conn, server net.Addr, why reason, ignore bool) *Conn {
	var d *directConn
	if ignore {
		h := &heldConn{held: held{state: collecting, ignoring: true}}
		d = &h.directConn
		d.first.held = &h.held
	} else {
		d = new(directConn)
	}
	d.first.l, d.first.why = l, why
	d.lead.Store(&d.first)
	d.setDirect(l, c, server)
	return &d.Conn
}

// newPlainConn returns a Conn for a direct client whose first bytes are b. They are not
// the beginning of a header.
func newPlainConn(l *Listener, c net.Conn, b []byte) *Conn {
	h := &heldConn{held: held{b: bytes.Clone(b)}}
	h.first.held = &h.held
	h.lead.Store(&h.first)
	h.setDirect(l, c, unmap(c.LocalAddr()))
	return &h.Conn
}

// hold keeps the bytes that were read after a header for Read.
func (c *Conn) hold(b []byte) {
	h := &heldLead{held: held{b: bytes.Clone(b)}}
	h.lead.held = &h.held
	c.lead.Store(&h.lead)
}

func (c *Conn) setDirect(l *Listener, conn net.Conn, server net.Addr) {
	c.conn = conn
	if below, _ := unwrap(conn); below != nil { // of another Listener, which may know more
		c.info = below.info
		c.info.unmarked = below.info.unmarked && !l.usesProtocol
		return
	}
	c.info.Client, c.info.Server = unmap(conn.RemoteAddr()), server
	c.info.unmarked = !l.usesProtocol
}

// newHeaderConn returns a Conn for c, whose header has the facts f.
func newHeaderConn(c net.Conn, f *facts) *Conn {
	conn := f.endpoints()
	i := &conn.info
	i.Proxy = unmap(c.RemoteAddr())
	if f.local || f.unknown {
		// "must use the real connection endpoints", section 2.2; "as if there
		// were no PROXY protocol header on the wire", section 2.1.
		i.Client, i.Server = i.Proxy, unmap(c.LocalAddr())
	}
	i.Version, i.Local, i.unknown = f.version, f.local, f.unknown
	i.TLS, i.ServerName, i.ALPN, i.UniqueID, i.TLVs = f.tls, f.serverName, f.alpn, f.uniqueID, f.tlvs
	conn.conn = c
	return conn
}

// endpoints returns a Conn with the addresses of f, if there are any.
func (f *facts) endpoints() *Conn {
	src, dst := f.src.Addr(), f.dst.Addr()
	switch {
	case !src.IsValid():
		return new(Conn)
	case src.Is4() && dst.Is4():
		c := new(proxiedConn4)
		c.ip = [2][4]byte{src.As4(), dst.As4()}
		c.client = net.TCPAddr{IP: c.ip[0][:], Port: int(f.src.Port())}
		c.server = net.TCPAddr{IP: c.ip[1][:], Port: int(f.dst.Port())}
		c.info.Client, c.info.Server = &c.client, &c.server
		return &c.Conn
	}
	c := new(proxiedConn6)
	c.client = net.TCPAddr{IP: putIP(&c.ip[0], src), Port: int(f.src.Port())}
	c.server = net.TCPAddr{IP: putIP(&c.ip[1], dst), Port: int(f.dst.Port())}
	c.info.Client, c.info.Server = &c.client, &c.server
	return &c.Conn
}

// putIP writes a into b, as 4 or 16 bytes.
func putIP(b *[16]byte, a netip.Addr) net.IP {
	if a.Is4() {
		ip4 := a.As4()
		return b[:copy(b[:], ip4[:])]
	}
	*b = a.As16()
	return b[:]
}

// Info returns the facts about the connection. It is never nil.
func (c *Conn) Info() *Info { return &c.info }

// NetConn returns the connection below. Its Read would miss the bytes that
// arrived along with the header, and the check of a direct connection.
func (c *Conn) NetConn() net.Conn { return c.conn }

// RemoteAddr returns Info.Client: the client's address, or after LOCAL and UNKNOWN
// the proxy's (see [Info.ClientKnown]).
func (c *Conn) RemoteAddr() net.Addr { return c.info.Client }

// LocalAddr returns the address that the client connected to, Info.Server. If
// the header does not have it (Caddy sends 0.0.0.0:0), it is the socket's own.
func (c *Conn) LocalAddr() net.Addr {
	if a, ok := c.info.Server.(*net.TCPAddr); ok && c.info.Version != 0 && (a.Port == 0 || a.IP.IsUnspecified()) {
		return unmap(c.conn.LocalAddr())
	}
	return c.info.Server
}

// Read reads from the connection. On a direct connection it returns
// [ErrUntrustedHeader] when the client sent a PROXY header, except under [Ignore].
func (c *Conn) Read(b []byte) (int, error) {
	if l := c.lead.Load(); l != nil {
		return l.read(c, b)
	}
	return c.conn.Read(b)
}

// ReadArrived reads bytes that have arrived already. It does not wait: if there are no
// bytes, it returns 0 and no error. At the end of the stream it returns io.EOF, and Read
// returns io.EOF again. ReadArrived returns [ErrUntrustedHeader], a reset and other errors
// as Read does. Bytes and a reset that it returned are not returned again by Read.
//
// It returns 0, although bytes may have arrived, for a connection whose header is dropped
// under [Ignore], until Read has returned the first bytes. If the connection below is not
// of package net, or the system is not Unix, it returns only what arrived along with a
// header. Do not call it while Read waits in another goroutine.
func (c *Conn) ReadArrived(b []byte) (int, error) {
	has, err := c.hasArrived()
	if !has || err != nil {
		return 0, err
	}
	return c.Read(b)
}

func (c *Conn) hasArrived() (bool, error) {
	if l := c.lead.Load(); l != nil {
		if held, waits := l.hasHeld(); held || waits {
			return held, nil
		}
	}
	if below, ok := c.conn.(*Conn); ok {
		return below.hasArrived()
	}
	if !isOfNet(c.conn) {
		return false, nil
	}
	has, known, err := peek(c.conn)
	return has && known, err
}

// Write writes to the connection.
func (c *Conn) Write(b []byte) (int, error) { return c.conn.Write(b) }

// Close closes the connection.
func (c *Conn) Close() error {
	l := c.lead.Load()
	if l != nil && l.readUnread(c) {
		c.lead.Store(nil)
		return nil
	}
	err := c.conn.Close()
	c.lead.Store(nil) // what is held is not read after Close
	return err
}

// CloseWrite shuts down the writing side of a TCP or unix socket. For other connections
// without a CloseWrite method it returns an error that wraps errors.ErrUnsupported.
func (c *Conn) CloseWrite() error {
	if w, ok := c.conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return fmt.Errorf("proxyproto: CloseWrite of a %T: %w", c.conn, errors.ErrUnsupported)
}

// SyscallConn gives access to the socket, for its options. Reads on it lose the
// bytes that arrived along with the header, and skip the check of a direct
// connection.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, fmt.Errorf("proxyproto: SyscallConn of a %T: %w", c.conn, errors.ErrUnsupported)
}

// SetDeadline implements [net.Conn].
func (c *Conn) SetDeadline(t time.Time) error {
	if h := c.ignoring(); h != nil {
		return errors.Join(h.deadline.setApp(c.conn, t), c.conn.SetWriteDeadline(t))
	}
	return c.conn.SetDeadline(t)
}

// SetReadDeadline implements [net.Conn].
func (c *Conn) SetReadDeadline(t time.Time) error {
	if h := c.ignoring(); h != nil {
		return h.deadline.setApp(c.conn, t)
	}
	return c.conn.SetReadDeadline(t)
}

// ignoring returns what is held of a connection whose header is dropped, while it has a
// deadline of its own.
func (c *Conn) ignoring() *held {
	if l := c.lead.Load(); l != nil && l.held != nil && l.held.ignoring {
		return l.held
	}
	return nil
}

// SetWriteDeadline implements [net.Conn].
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.conn.SetWriteDeadline(t) }
