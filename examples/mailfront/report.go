// What to copy: newClient, withTLS and their one rule: Info is read when a session
// starts and is kept, because a wrapper that comes later may hide it, and "is it
// encrypted" is answered by proxyproto alone. What to change: the log and whoami.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"strings"

	"github.com/seed-94e48765/portico/proxyproto"
)

// A client is what is known of the other end of a connection or request.
type client struct {
	IP       netip.Addr `json:"client_ip"` // unmapped; the zero Addr if not Known
	TLS      bool       `json:"tls"`       // known to be encrypted, from the client on
	TLSKnown bool       `json:"tls_known"`
	Known    bool       `json:"client_known"`
	Proxy    netip.Addr `json:"proxy,omitzero"`   // who told of the client
	Version  int        `json:"version"`          // of the PROXY header, 0 without one
	Reason   string     `json:"reason,omitempty"` // how package forwarded came to it
	Listener string     `json:"proto"`
	Last     netip.Addr `json:"last_ip"` // IP, or if not Known the last hop, which is often the proxy: for logs only

	info        *proxyproto.Info // nil on a listener without PROXY protocol
	forwardedBy string           // a forwarding header of the request, from any peer; "" without one
}

// newClient reads what is known of c. Call it when a session starts.
func newClient(listener string, c net.Conn) client {
	info, _ := proxyproto.FromConn(c)
	cl := clientFromInfo(listener, info)
	cl.setTLS(proxyproto.Secure(c))
	return cl
}

// clientFromInfo knows nobody if there is no Info.
func clientFromInfo(listener string, info *proxyproto.Info) client {
	cl := client{Listener: listener, info: info}
	if info != nil {
		cl.IP, cl.Last, cl.Known = info.ClientAddr().Addr(), ipOf(info.Client), info.ClientKnown()
		cl.Proxy, cl.Version = ipOf(info.Proxy), info.Version
	}
	return cl
}

// withTLS is the same client after STARTTLS.
func (cl client) withTLS() client {
	cl.setTLS(cl.info.Secure(true))
	return cl
}

// setTLS is the one place that says tls: what is only a guess is no.
func (cl *client) setTLS(secure, known bool) {
	cl.TLS, cl.TLSKnown = secure && known, known
}

var localhost4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// mayRelayByAddress reports whether the client's address is a reason to send mail
// anywhere for it: only this machine's own, 127.0.0.1 and ::1 and not all of
// loopback, and only where it is the client's. A
// LOCAL or UNKNOWN connection has the proxy's address, which often is 127.0.0.1;
// and the 127.0.0.1 that a proxy elsewhere tells of is not ours.
func (cl client) mayRelayByAddress() bool {
	onThisMachine := cl.Version == 0 || cl.Proxy.IsLoopback()
	return cl.Known && onThisMachine && (cl.IP == localhost4 || cl.IP == netip.IPv6Loopback())
}

// isDirectLocal reports whether the client is a program on this machine that connected
// itself. A proxy on this machine that is not on the list of trusted proxies looks the
// same, unless its requests have a forwarding header.
func (cl client) isDirectLocal() bool {
	return cl.mayRelayByAddress() && cl.isUntrustedPeer() && cl.forwardedBy == ""
}

// isUntrustedPeer reports whether the client is the socket's peer, and not on the list of
// trusted proxies.
func (cl client) isUntrustedPeer() bool {
	return cl.Known && cl.Version == 0 && !cl.Proxy.IsValid()
}

// isPlaintext reports whether what the client sends is known to pass a network
// unencrypted.
func (cl client) isPlaintext() bool { return cl.TLSKnown && !cl.TLS && !cl.isDirectLocal() }

// whoami is the client as one line of JSON, short enough for a line of SMTP: it
// holds nothing that a client can make long.
func (cl client) whoami() string {
	b, err := json.Marshal(cl)
	if err != nil {
		return "{}" // not reached: there is nothing in it that cannot be marshalled
	}
	return string(b)
}

// log writes the line of an event, such as accept or session.
func (cl client) log(l *slog.Logger, event string, more ...slog.Attr) {
	level := slog.LevelInfo
	if cl.info != nil && cl.info.Local {
		level = slog.LevelDebug // the proxy's own connections, such as health checks
	}
	cl.logAt(l, level, event, more)
}

// warn writes the line of an event that somebody should look at.
func (cl client) warn(l *slog.Logger, event string, more ...slog.Attr) {
	cl.logAt(l, slog.LevelWarn, event, more)
}

func (cl client) logAt(l *slog.Logger, level slog.Level, event string, more []slog.Attr) {
	l.LogAttrs(context.Background(), level, "client", append([]slog.Attr{
		slog.String("proto", cl.Listener), slog.String("event", event),
		slog.String("client_ip", cl.anyIP().String()), slog.Bool("tls", cl.TLS),
		slog.Bool("tls_known", cl.TLSKnown), slog.Bool("client_known", cl.Known),
		slog.String("proxy", cl.proxyName()), slog.Int("version", cl.Version)}, more...)...)
}

// anyIP is the client's address, or that of the last hop beside client_known=false. It is
// for lines in a log only.
func (cl client) anyIP() netip.Addr {
	if cl.IP.IsValid() {
		return cl.IP
	}
	return cl.Last
}

func (cl client) proxyName() string {
	if !cl.Proxy.IsValid() {
		return "none"
	}
	return cl.Proxy.String()
}

// logRejection is for proxyproto.Config.OnReject.
func logRejection(l *slog.Logger, listener string) func(proxyproto.Rejection) {
	return func(r proxyproto.Rejection) {
		l.Warn("connection refused", "proto", listener, "event", "reject",
			"peer", ipOf(r.Peer).String(), "reason", noReport(r.Err.Error()), "header", headerLine(r.Prefix),
			"setting", rejectionSetting(listener, r.Err))
	}
}

// rejectionSetting returns the setting to look at after a rejection.
func rejectionSetting(listener string, err error) string {
	trusted := "MAILFRONT_TRUSTED_PROXIES"
	switch listener {
	case "http", "https": // or the header is not meant to be sent, or expected
		if !errors.Is(err, proxyproto.ErrUntrustedHeader) {
			return "MAILFRONT_" + strings.ToUpper(listener) + "_CLIENT"
		}
	}
	return trusted
}

// headerLine is the version 1 header in the first bytes of a connection, and ""
// for anything else, which may be a login.
func headerLine(b []byte) string {
	line, _, _ := strings.Cut(string(b), "\r\n")
	if strings.HasPrefix(line, "PROXY TCP") || strings.HasPrefix(line, "PROXY UNKNOWN") {
		return noReport(line)
	}
	return "" // PROXY can be the tag of an IMAP LOGIN
}

// ipOf returns the IP address in a: unmapped, without zone and port. It is not
// valid for a unix socket.
func ipOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok && t != nil {
		return t.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

func newLogger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// libraryLog is the ErrorLog of a library's server. Most of what they log are
// clients that leave in the middle of something; a panic is not.
func libraryLog(l *slog.Logger, listener string) *log.Logger {
	return log.New(libraryWriter{l, listener}, "", 0)
}

// What net/http and go-imap say of a panic. A client can put the word into other
// texts, in an ALPN name for one.
var panicPrefixes = []string{"http: panic serving", "panic handling command"}

// noReport keeps a client's words, quoted in another line, from looking like the
// fields of a report to whoever searches the log.
func noReport(s string) string { return strings.ReplaceAll(s, "=", "%3D") }

type libraryWriter struct {
	log      *slog.Logger
	listener string
}

func (w libraryWriter) Write(b []byte) (int, error) {
	level := slog.LevelDebug
	for _, prefix := range panicPrefixes {
		if strings.HasPrefix(string(b), prefix) {
			level = slog.LevelError
		}
	}
	w.log.Log(context.Background(), level, "library", "proto", w.listener, "text", noReport(strings.TrimSpace(string(b))))
	return len(b), nil
}
