package proxyproto

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"

	wire "github.com/pires/go-proxyproto"
)

// A Header describes a connection that a proxy passes on to a server.
// [Info.Header] makes one from a header that was received.
type Header struct {
	// Version is 1 or 2; 0 means 2. Version 1 has the addresses only: TLS and the
	// fields below it are left out.
	Version int

	// Local is set if the connection is the proxy's own, such as a health check.
	// All other fields except Version are left out then.
	Local bool

	// Source is the client's address, Destination the one that it connected to.
	// Both are *net.TCPAddr, or both are nil if they are not known. Without addresses
	// the header is LOCAL in version 2, UNKNOWN in version 1, and has nothing else.
	Source, Destination net.Addr

	TLS        *TLS   // the client's TLS, with TLS.Client set, or &TLS{} for a client without TLS; nil if not known
	ServerName string // AUTHORITY, the client's SNI; "" is left out
	ALPN       string // "" is left out
	UniqueID   []byte // at most 128 bytes; nil is left out

	// Checksum adds the CRC32C of the header (version 2).
	Checksum bool

	// TLVs are added as they are. Types that have a field above are refused.
	TLVs []TLV
}

// WriteHeader writes h to w, in one Write (proxy-protocol.txt section 2 requires that
// the header is sent at once). Call it before anything else is written to a
// connection. If h is not valid, WriteHeader returns an error and writes nothing.
func WriteHeader(w io.Writer, h Header) error {
	b, err := h.format()
	if err != nil {
		return err
	}
	if _, err = w.Write(b); err != nil {
		return fmt.Errorf("proxyproto: cannot send the header: %w", err)
	}
	return nil
}

func (h *Header) format() ([]byte, error) {
	out := wire.Header{Version: 2, Command: wire.LOCAL, TransportProtocol: wire.UNSPEC}
	switch h.Version {
	case 0, 2:
	case 1:
		out.Version = 1
	default:
		return nil, fmt.Errorf("proxyproto: Header.Version is %d: use 1, 2, or 0 for 2", h.Version)
	}
	if h.Local || h.Source == nil && h.Destination == nil {
		return formatted(&out) // UNKNOWN in version 1
	}
	src, err := endpoint("Source", h.Source)
	if err != nil {
		return nil, err
	}
	dst, err := endpoint("Destination", h.Destination)
	if err != nil {
		return nil, err
	}
	if out.Version == 1 {
		return formatV1(src, dst), nil
	}
	// Both addresses have one family: if the other one is IPv6, an IPv4 address is mapped.
	out.Command, out.TransportProtocol = wire.PROXY, wire.TCPv6
	addrSize := v2TCP6Size
	if src.Addr().Is4() && dst.Addr().Is4() {
		out.TransportProtocol, addrSize = wire.TCPv4, v2TCP4Size
	}
	out.SourceAddr, out.DestinationAddr = net.TCPAddrFromAddrPort(src), net.TCPAddrFromAddrPort(dst)
	tlvs, err := h.vector()
	if err != nil {
		return nil, err
	}
	if n := tlvs.size(); n > 65535-addrSize {
		return nil, fmt.Errorf("%w: TLVs of %d bytes do not fit into 65535 bytes with the addresses", ErrTooLarge, n)
	}
	if err := out.SetTLVs(tlvs); err != nil {
		return nil, fmt.Errorf("proxyproto: cannot format the TLVs: %w", err)
	}
	b, err := formatted(&out)
	if err == nil && h.Checksum { // the last TLV, zero so far
		binary.BigEndian.PutUint32(b[len(b)-4:], checksum(b, len(b)-4))
	}
	return b, err
}

// formatV1 returns the line of version 1 for two TCP addresses. The library does not
// always write it: before v0.13 it drops ::ffff: from a mapped address, and an importer
// may have such a version.
func formatV1(src, dst netip.AddrPort) []byte {
	family, s, d := "TCP4", src.Addr(), dst.Addr()
	if s.Is6() || d.Is6() {
		family, s, d = "TCP6", netip.AddrFrom16(s.As16()), netip.AddrFrom16(d.As16())
	}
	return fmt.Appendf(nil, "PROXY %s %v %v %d %d\r\n", family, s, d, src.Port(), dst.Port())
}

func formatted(h *wire.Header) ([]byte, error) {
	b, err := h.Format()
	if err != nil {
		return nil, fmt.Errorf("proxyproto: cannot format the header: %w", err)
	}
	return b, nil
}

func endpoint(field string, a net.Addr) (netip.AddrPort, error) {
	t, ok := a.(*net.TCPAddr)
	if !ok || t == nil {
		return netip.AddrPort{}, fmt.Errorf("%w: Header.%s is %v (%T): use a *net.TCPAddr, or leave both addresses nil", ErrUnsupported, field, a, a)
	}
	ip, ok := netip.AddrFromSlice(t.IP)
	if !ok || t.Port < 0 || t.Port > 65535 {
		return netip.AddrPort{}, fmt.Errorf("%w: Header.%s is %v: not an IP address and a port from 0 to 65535", ErrUnsupported, field, a)
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(t.Port)), nil // a zone has no meaning on another host
}

// vector lists the TLVs of h, in the order in which HAProxy sends them. The
// checksum comes last, as four zero bytes.
func (h *Header) vector() (vector, error) {
	var v vector
	if h.ALPN != "" {
		v.add(TypeALPN, []byte(h.ALPN))
	}
	if h.ServerName != "" {
		v.add(TypeAuthority, []byte(h.ServerName))
	}
	if h.UniqueID != nil {
		if len(h.UniqueID) > maxUniqueID {
			return nil, fmt.Errorf("%w: Header.UniqueID has %d bytes, at most %d are allowed", ErrTooLarge, len(h.UniqueID), maxUniqueID)
		}
		v.add(TypeUniqueID, h.UniqueID)
	}
	if h.TLS != nil {
		value, err := h.TLS.format()
		if err != nil {
			return nil, err
		}
		v.add(TypeSSL, value)
	}
	for _, t := range h.TLVs {
		switch t.Type {
		case TypeALPN, TypeAuthority, TypeCRC32C, TypeUniqueID, TypeSSL:
			return nil, fmt.Errorf("proxyproto: Header.TLVs has an entry of type %#02x: use the field of Header for that type", t.Type)
		}
		v.add(t.Type, t.Value)
	}
	if h.Checksum {
		v.add(TypeCRC32C, make([]byte, 4))
	}
	return v, nil
}

// format returns the value of TypeSSL, proxy-protocol.txt section 2.2.6.
func (t *TLS) format() ([]byte, error) {
	var client byte
	if t.Client {
		client |= clientSSL
	}
	if t.ClientCert {
		client |= clientCertSess
		if !t.FromSession {
			client |= clientCertConn
		}
	} else if t.Verified || t.FromSession {
		return nil, errors.New("proxyproto: TLS.Verified and TLS.FromSession need TLS.ClientCert")
	}
	// "zero if the client presented a certificate and it was successfully
	// verified, and non-zero otherwise"
	verify := t.VerifyError
	if t.Verified && verify != 0 {
		return nil, fmt.Errorf("proxyproto: TLS.Verified contradicts TLS.VerifyError %d", verify)
	}
	if !t.Verified && verify == 0 {
		verify = 1
	}
	var v vector
	for _, s := range []byte{subtypeVersion, subtypeCN, subtypeKeyAlg, subtypeSigAlg, subtypeCipher, subtypeGroup, subtypeSigScheme} {
		if f := t.field(s); *f != "" {
			v.add(s, []byte(*f))
		}
	}
	if t.Certificate != nil {
		v.add(subtypeClientCert, t.Certificate)
	}
	for _, s := range t.TLVs {
		if t.field(s.Type) != nil || s.Type == subtypeClientCert {
			return nil, fmt.Errorf("proxyproto: TLS.TLVs has an entry of type %#02x: use the field of TLS for that type", s.Type)
		}
		v.add(s.Type, s.Value)
	}
	if n := v.size(); n > 65535-5 {
		return nil, fmt.Errorf("%w: Header.TLS takes %d bytes", ErrTooLarge, n)
	}
	sub, err := wire.JoinTLVs(v)
	if err != nil {
		return nil, fmt.Errorf("proxyproto: cannot format the SSL TLV: %w", err)
	}
	return append(binary.BigEndian.AppendUint32([]byte{client}, verify), sub...), nil
}

type vector []wire.TLV

func (v *vector) add(typ byte, value []byte) {
	*v = append(*v, wire.TLV{Type: wire.PP2Type(typ), Value: value})
}

func (v vector) size() int {
	n := 0
	for _, t := range v {
		n += 3 + len(t.Value)
	}
	return n
}
