package proxyproto

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// The types of TLVs of proxy-protocol.txt section 2.2 that have a field in Info or
// are checked. All others are in [Info.TLVs] as received.
const (
	TypeALPN      = 0x01 // section 2.2.1, Info.ALPN
	TypeAuthority = 0x02 // section 2.2.2, Info.ServerName
	TypeCRC32C    = 0x03 // section 2.2.3, verified
	TypeNoop      = 0x04 // section 2.2.4, padding
	TypeUniqueID  = 0x05 // section 2.2.5, Info.UniqueID
	TypeSSL       = 0x20 // section 2.2.6, Info.TLS
	TypeNetNS     = 0x30 // section 2.2.7
)

// The types inside of TypeSSL, section 2.2.6.
const (
	subtypeVersion    = 0x21
	subtypeCN         = 0x22
	subtypeCipher     = 0x23
	subtypeSigAlg     = 0x24
	subtypeKeyAlg     = 0x25
	subtypeGroup      = 0x26
	subtypeSigScheme  = 0x27
	subtypeClientCert = 0x28
)

// The bits of the client field of TypeSSL, section 2.2.6.
const (
	clientSSL      = 0x01
	clientCertConn = 0x02
	clientCertSess = 0x04
)

const maxUniqueID = 128 // section 2.2.5

// A TLV is one entry of the type-length-value vector of a version 2 header.
type TLV struct {
	Type  byte
	Value []byte // at most 65535 bytes together with the rest of the header
}

// TLS describes the client's own TLS connection, as reported by the proxy
// (proxy-protocol.txt section 2.2.6). Its presence does not mean that the client
// uses TLS: HAProxy sends it for plaintext clients, too. Use [Secure].
//
// The strings come from the proxy and the client and are not checked. Quote them in
// logs.
type TLS struct {
	Client  bool   // the client connected to the proxy over TLS; the other fields do not imply it
	Version string // such as "TLSv1.3"
	Cipher  string // such as "TLS_AES_256_GCM_SHA384"
	Group   string // key exchange, such as "secp256r1"

	ClientCert  bool   // the client presented a certificate, on this connection or earlier in its TLS session
	FromSession bool   // ClientCert, but not on this connection: a resumed session
	Verified    bool   // ClientCert, and the proxy verified it successfully; means little without Client
	VerifyError uint32 // the proxy's reason for ClientCert without Verified; else 0
	CommonName  string // of the client certificate
	Certificate []byte // the client certificate, ASN.1 DER, if the proxy sends it

	SigAlg    string // signature algorithm of the proxy's certificate, such as "RSA-SHA256"
	KeyAlg    string // key of the proxy's certificate, such as "RSA2048"
	SigScheme string // signature scheme of the handshake, such as "rsa_pss_rsae_sha256"

	TLVs []TLV // entries of other types
}

// nextTLV cuts the first entry off b.
func nextTLV(b []byte) (t TLV, rest []byte, err error) {
	if len(b) < 3 {
		return t, nil, fmt.Errorf("%w: %d bytes left over where a TLV needs 3", ErrMalformed, len(b))
	}
	n := int(binary.BigEndian.Uint16(b[1:]))
	if len(b)-3 < n {
		return t, nil, fmt.Errorf("%w: TLV %#02x announces %d bytes, %d are left", ErrMalformed, b[0], n, len(b)-3)
	}
	return TLV{Type: b[0], Value: b[3 : 3+n : 3+n]}, b[3+n:], nil
}

// parseTLVs reads the vector that starts at off in the header b into f.
func parseTLVs(b []byte, off int, f *facts) error {
	var seen [TypeSSL + 1]bool
	// b is a buffer that is used again, so the bytes that f keeps are copied, once.
	for rest := bytes.Clone(b[off:]); len(rest) > 0; {
		var t TLV
		var err error
		at := len(b) - len(rest)
		if t, rest, err = nextTLV(rest); err != nil {
			return err
		}
		switch t.Type {
		case TypeALPN, TypeAuthority, TypeCRC32C, TypeUniqueID, TypeSSL:
			// If there are two, neither can be trusted.
			if seen[t.Type] {
				return fmt.Errorf("%w: duplicate TLV of type %#02x", ErrMalformed, t.Type)
			}
			seen[t.Type] = true
		}
		switch t.Type {
		case TypeALPN:
			f.alpn = string(t.Value)
		case TypeAuthority:
			f.serverName = string(t.Value)
		case TypeCRC32C:
			if len(t.Value) != 4 {
				return fmt.Errorf("%w: CRC32C of %d bytes, not 4", ErrMalformed, len(t.Value))
			}
			got, want := binary.BigEndian.Uint32(t.Value), checksum(b, at+3)
			if got != want {
				return fmt.Errorf("%w: got %08x, the header requires %08x: something between proxy and server changed the header",
					ErrChecksum, got, want)
			}
		case TypeUniqueID:
			if len(t.Value) > maxUniqueID {
				return fmt.Errorf("%w: unique ID of %d bytes, more than %d", ErrMalformed, len(t.Value), maxUniqueID)
			}
			f.uniqueID = t.Value
		case TypeSSL:
			if f.tls, err = parseTLS(t.Value); err != nil {
				return err
			}
		default:
			f.tlvs = append(f.tlvs, t)
		}
	}
	return nil
}

// parseTLS reads the value of TypeSSL.
func parseTLS(b []byte) (*TLS, error) {
	if len(b) < 5 {
		return nil, fmt.Errorf("%w: SSL TLV of %d bytes, fewer than 5", ErrMalformed, len(b))
	}
	client, verify := b[0], binary.BigEndian.Uint32(b[1:])
	t := &TLS{
		Client:     client&clientSSL != 0,
		ClientCert: client&(clientCertConn|clientCertSess) != 0,
	}
	if t.ClientCert {
		t.FromSession = client&clientCertConn == 0
		// verify is also 0 if no certificate was requested, so the bits decide.
		t.Verified = verify == 0
		t.VerifyError = verify
	}
	var seen [256]bool
	for rest := b[5:]; len(rest) > 0; {
		var sub TLV
		var err error
		if sub, rest, err = nextTLV(rest); err != nil {
			return nil, fmt.Errorf("%w, inside the SSL TLV", err)
		}
		s := t.field(sub.Type)
		if (s != nil || sub.Type == subtypeClientCert) && seen[sub.Type] {
			return nil, fmt.Errorf("%w: duplicate type %#02x in the SSL TLV", ErrMalformed, sub.Type)
		}
		seen[sub.Type] = true
		if s != nil {
			*s = string(sub.Value)
		} else if sub.Type == subtypeClientCert {
			t.Certificate = sub.Value
		} else {
			t.TLVs = append(t.TLVs, sub)
		}
	}
	return t, nil
}

// field returns the field of t for a subtype, nil for an unknown one.
func (t *TLS) field(subtype byte) *string {
	switch subtype {
	case subtypeVersion:
		return &t.Version
	case subtypeCN:
		return &t.CommonName
	case subtypeCipher:
		return &t.Cipher
	case subtypeSigAlg:
		return &t.SigAlg
	case subtypeKeyAlg:
		return &t.KeyAlg
	case subtypeGroup:
		return &t.Group
	case subtypeSigScheme:
		return &t.SigScheme
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is the CRC32C of header with the four bytes at off taken as zero
// (proxy-protocol.txt section 2.2.3, RFC 4960 appendix B).
func checksum(header []byte, off int) uint32 {
	sum := crc32.Update(0, castagnoli, header[:off])
	sum = crc32.Update(sum, castagnoli, []byte{0, 0, 0, 0})
	return crc32.Update(sum, castagnoli, header[off+4:])
}
