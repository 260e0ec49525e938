package main

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"strings"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/proxyproto"
)

// logRejection returns a function for proxyproto.Config.OnReject of a listener. Any client can cause
// rejections, so each kind is logged once a minute, with the number of suppressed lines. trusted is
// the setting that has the list of trusted proxies.
func logRejection(l *client.LimitedLog, listener, trusted string) func(proxyproto.Rejection) {
	return func(r proxyproto.Rejection) {
		l.WarnKind("connection refused", "reject", rejectionKind(r.Err), listener,
			slog.String("peer", client.IPOf(r.Peer).String()), slog.String("reason", client.Quote(r.Err.Error())),
			slog.String("header", headerLine(r.Prefix)), slog.String("setting", rejectionSetting(listener, trusted, r.Err)))
	}
}

// rejectionKind returns the kind of the error of a rejection.
func rejectionKind(err error) string {
	for _, kind := range []error{
		proxyproto.ErrUntrustedHeader, proxyproto.ErrNoHeader, proxyproto.ErrMalformed, proxyproto.ErrUnsupported,
		proxyproto.ErrTimeout, proxyproto.ErrTooLarge, proxyproto.ErrChecksum, proxyproto.ErrRefused,
	} {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	return "" // an I/O error
}

// rejectionSetting returns the setting that may have to change after a rejection.
func rejectionSetting(listener, trusted string, err error) string {
	switch listener {
	case "http", "https": // the proxy should send no header, or the listener should expect one
		if !errors.Is(err, proxyproto.ErrUntrustedHeader) {
			return "MAILFRONT_" + strings.ToUpper(listener) + "_CLIENT"
		}
	}
	return trusted
}

// headerLine returns the version 1 header at the beginning of a connection. It returns "" for any
// other bytes, because they may be a login.
func headerLine(b []byte) string {
	line, _, _ := strings.Cut(string(b), "\r\n")
	if strings.HasPrefix(line, "PROXY TCP") || strings.HasPrefix(line, "PROXY UNKNOWN") {
		return client.Quote(line)
	}
	return "" // "PROXY" may be the tag of an IMAP LOGIN
}

func newLogger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(client.NewTextHandler(w, level))
}

// libraryLog returns the ErrorLog for the server of a library. Most lines are about clients that
// disconnect and have the level debug. A panic has the level error.
func libraryLog(l *slog.Logger, listener string) *log.Logger {
	return log.New(libraryWriter{l, listener}, "", 0)
}

// panicPrefixes are the prefixes with which net/http and go-imap log a panic. Only prefixes count,
// because clients can put the word into other texts, such as an ALPN name.
var panicPrefixes = []string{"http: panic serving", "panic handling command"}

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
	w.log.Log(context.Background(), level, "library", "proto", w.listener, "text", client.Quote(strings.TrimSpace(string(b))))
	return len(b), nil
}
