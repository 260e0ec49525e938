package client

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"time"
)

// Log writes a line with the client and the name of an event, such as accept or session.
func (cl Client) Log(l *slog.Logger, event string, more ...slog.Attr) {
	level := slog.LevelInfo
	if cl.Info != nil && cl.Info.Local {
		level = slog.LevelDebug // the proxy's own connections, such as health checks
	}
	cl.logAt(l, level, event, more)
}

// Warn is like Log with the level of a warning.
func (cl Client) Warn(l *slog.Logger, event string, more ...slog.Attr) {
	cl.logAt(l, slog.LevelWarn, event, more)
}

// message is the message of every line of a client.
const message = "client"

// logAt and the functions that it calls have small frames if the handler is a TextHandler.
func (cl *Client) logAt(l *slog.Logger, level slog.Level, event string, more []slog.Attr) {
	if !l.Enabled(context.Background(), level) {
		return
	}
	if h, ok := l.Handler().(*TextHandler); ok && h.handle(cl, level, event, more) {
		return
	}
	cl.logRecord(l, level, event, more)
}

// logRecord does not call l.LogAttrs, which looks up the caller for handlers that print it.
//
//go:noinline
func (cl *Client) logRecord(l *slog.Logger, level slog.Level, event string, more []slog.Attr) {
	r := slog.NewRecord(time.Now(), level, message, 0)
	r.AddAttrs(
		slog.String("proto", cl.Listener), slog.String("event", event),
		slog.String("client_ip", cl.LogIP().String()), slog.Bool("tls", cl.TLS),
		slog.Bool("tls_known", cl.TLSKnown), slog.Bool("client_known", cl.Known),
		slog.String("proxy", cl.proxyName()), slog.Int("version", cl.Version))
	r.AddAttrs(more...)
	_ = l.Handler().Handle(context.Background(), r)
}

// LogIP returns the client's address, or that of the last hop if the client is not known. Use it for
// log lines only.
func (cl Client) LogIP() netip.Addr {
	if cl.IP.IsValid() {
		return cl.IP
	}
	return cl.Last
}

// noProxy is the value of proxy for a client that has connected directly.
const noProxy = "none"

func (cl *Client) proxyName() string {
	if !cl.Proxy.IsValid() {
		return noProxy
	}
	return cl.Proxy.String()
}

// Quote replaces every equals sign in a text of a client, so that the text cannot imitate an attribute
// of the log.
func Quote(s string) string { return strings.ReplaceAll(s, "=", "%3D") }

// shortened returns at most the first 64 bytes of a text of a client.
func shortened(s string) string {
	const most = 64 // bytes
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
