package client

import (
	"io"
	"log/slog"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// A TextHandler is a slog.TextHandler that formats most lines of [Client.Log] itself, with the
// same result. Each connection has one or two of these lines. For a line, slog.TextHandler needs
// several KiB of stack, which the goroutine of a session would keep.
type TextHandler struct {
	*slog.TextHandler
	w *lockedWriter
}

// NewTextHandler returns a handler that writes lines of the given level and above to w.
func NewTextHandler(w io.Writer, level slog.Level) *TextHandler {
	locked := &lockedWriter{w: w}
	return &TextHandler{slog.NewTextHandler(locked, &slog.HandlerOptions{Level: level}), locked}
}

// lines has buffers. Each holds one line.
var lines = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}

// handle writes the line of a client. It reports false if it cannot, because a value needs quotes or
// has an unexpected kind.
func (h *TextHandler) handle(cl *Client, level slog.Level, event string, more []slog.Attr) bool {
	ip := cl.LogIP()
	if !isPlain(event) || !isPlain(cl.Listener) || !isPlainAddr(ip) || !isPlainAddr(cl.Proxy) {
		return false
	}
	for i := range more {
		if !isPlainAttr(&more[i]) {
			return false
		}
	}
	line := lines.Get().(*[]byte)
	b := time.Now().AppendFormat(append((*line)[:0], "time="...), "2006-01-02T15:04:05.000Z07:00")
	b = append(append(b, " level="...), level.String()...)
	b = append(append(b, " msg="...), message...)
	b = append(append(b, " proto="...), cl.Listener...)
	b = append(append(b, " event="...), event...)
	b = appendAddr(append(b, " client_ip="...), ip, "\"invalid IP\"")
	b = strconv.AppendBool(append(b, " tls="...), cl.TLS)
	b = strconv.AppendBool(append(b, " tls_known="...), cl.TLSKnown)
	b = strconv.AppendBool(append(b, " client_known="...), cl.Known)
	b = appendAddr(append(b, " proxy="...), cl.Proxy, noProxy)
	b = strconv.AppendInt(append(b, " version="...), int64(cl.Version), 10)
	for i := range more {
		b = appendAttr(b, &more[i])
	}
	b = append(b, '\n')
	_, _ = h.w.Write(b)
	*line = b
	lines.Put(line)
	return true
}

func appendAddr(b []byte, a netip.Addr, invalid string) []byte {
	if !a.IsValid() {
		return append(b, invalid...)
	}
	return a.AppendTo(b)
}

func appendAttr(b []byte, a *slog.Attr) []byte {
	b = append(append(append(b, ' '), a.Key...), '=')
	if a.Value.Kind() == slog.KindInt64 {
		return strconv.AppendInt(b, a.Value.Int64(), 10)
	}
	return append(b, a.Value.String()...)
}

func isPlainAttr(a *slog.Attr) bool {
	switch a.Value.Kind() {
	case slog.KindInt64:
		return isPlain(a.Key)
	case slog.KindString:
		return isPlain(a.Key) && isPlain(a.Value.String())
	}
	return false
}

// isPlainAddr reports whether the zone of a, if there is one, needs no quotes: it may be any text.
func isPlainAddr(a netip.Addr) bool { return a.Zone() == "" || isPlain(a.Zone()) }

// isPlain reports whether slog.TextHandler certainly writes s without quotes.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\' {
			return false
		}
	}
	return s != ""
}

// A lockedWriter serializes writes.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (w *lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.Write(b)
}
