package proxyproto

import (
	"encoding/hex"
	"errors"
	"log/slog"
)

// maxLoggedName is the longest server name that is logged, in bytes. A DNS name has at
// most 253 characters (RFC 1035 section 2.3.4).
const maxLoggedName = 255

// LogValue implements [slog.LogValuer]. The value is a group with the keys
//
//	client        the client's address, only if ClientKnown
//	client_known  true or false
//	proxy         the peer that sent the header, only if there was one
//	server        the address that the client connected to
//	version       of the header; 0 if the connection is direct
//	local         true, only for the LOCAL command
//	tls           whether the client used TLS, only if the header reports it
//	tls_version   such as TLSv1.3, only if the header reports it
//	server_name   AUTHORITY, only if present; at most 255 bytes
//	unique_id     only if present; in hexadecimal after 0x unless it is printable ASCII
//
// Certificates and the entries of TLVs are not logged. A nil Info is an empty group.
func (i *Info) LogValue() slog.Value {
	if i == nil {
		return slog.GroupValue()
	}
	attrs := make([]slog.Attr, 0, 10)
	known := i.ClientKnown()
	if known {
		attrs = append(attrs, slog.String("client", i.Client.String()))
	}
	attrs = append(attrs, slog.Bool("client_known", known))
	if i.Proxy != nil {
		attrs = append(attrs, slog.String("proxy", i.Proxy.String()))
	}
	if i.Server != nil {
		attrs = append(attrs, slog.String("server", i.Server.String()))
	}
	attrs = append(attrs, slog.Int("version", i.Version))
	if i.Local {
		attrs = append(attrs, slog.Bool("local", true))
	}
	if i.TLS != nil {
		attrs = append(attrs, slog.Bool("tls", i.TLS.Client))
		if i.TLS.Version != "" {
			attrs = append(attrs, slog.String("tls_version", shortened(i.TLS.Version)))
		}
	}
	if i.ServerName != "" {
		attrs = append(attrs, slog.String("server_name", shortened(i.ServerName)))
	}
	if len(i.UniqueID) > 0 {
		attrs = append(attrs, slog.String("unique_id", printable(i.UniqueID)))
	}
	return slog.GroupValue(attrs...)
}

// LogValue implements [slog.LogValuer]. The value is a group with the keys
//
//	peer    the address of the socket's peer
//	reason  no_header, malformed, unsupported, timeout, too_large, checksum,
//	        untrusted_header, refused, or read for any other error
//	error   the text of Err
//	served  true, if the connection is still served (Ignore)
//
// Prefix is not logged, because it may contain a password.
func (r Rejection) LogValue() slog.Value {
	attrs := make([]slog.Attr, 0, 4)
	if r.Peer != nil {
		attrs = append(attrs, slog.String("peer", r.Peer.String()))
	}
	attrs = append(attrs, slog.String("reason", r.reason()))
	if r.Err != nil {
		attrs = append(attrs, slog.String("error", r.Err.Error()))
	}
	if r.Served {
		attrs = append(attrs, slog.Bool("served", true))
	}
	return slog.GroupValue(attrs...)
}

// reason names the error that Err wraps. An error that wraps two of them, such as an
// unknown version (ErrUnsupported and ErrMalformed), has the more specific name.
func (r Rejection) reason() string {
	for _, known := range []struct {
		err  error
		name string
	}{
		{ErrUntrustedHeader, "untrusted_header"},
		{ErrRefused, "refused"},
		{ErrNoHeader, "no_header"},
		{ErrTimeout, "timeout"},
		{ErrTooLarge, "too_large"},
		{ErrChecksum, "checksum"},
		{ErrUnsupported, "unsupported"},
		{ErrMalformed, "malformed"},
	} {
		if errors.Is(r.Err, known.err) {
			return known.name
		}
	}
	return "read"
}

func shortened(s string) string { return s[:min(len(s), maxLoggedName)] }

// printable returns b itself if it is printable ASCII without spaces, and b in
// hexadecimal otherwise.
func printable(b []byte) string {
	for _, c := range b {
		if c <= ' ' || c > '~' {
			return "0x" + hex.EncodeToString(b)
		}
	}
	return string(b)
}
