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

// logRejection is for proxyproto.Config.OnReject of a listener. Any client can cause it: one line
// a minute of each kind has the number of those that were left out. trusted is the setting with
// the list of trusted proxies.
func logRejection(l *client.LimitedLog, listener, trusted string) func(proxyproto.Rejection) {
	return func(r proxyproto.Rejection) {
		l.WarnKind("connection refused", "reject", rejectionKind(r.Err), listener,
			slog.String("peer", client.IPOf(r.Peer).String()), slog.String("reason", client.Quote(r.Err.Error())),
			slog.String("header", headerLine(r.Prefix)), slog.String("setting", rejectionSetting(listener, trusted, r.Err)))
	}
}

// rejectionKind returns what kind of error a rejection has.
func rejectionKind(err error) string {
	for _, kind := range []error{
		proxyproto.ErrUntrustedHeader, proxyproto.ErrNoHeader, proxyproto.ErrMalformed, proxyproto.ErrUnsupported,
		proxyproto.ErrTimeout, proxyproto.ErrTooLarge, proxyproto.ErrChecksum, proxyproto.ErrRefused,
	} {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	return "" // an error of the connection
}

// rejectionSetting returns the setting to look at after a rejection.
func rejectionSetting(listener, trusted string, err error) string {
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
		return client.Quote(line)
	}
	return "" // PROXY can be the tag of an IMAP LOGIN
}

func newLogger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(client.NewTextHandler(w, level))
}

// libraryLog is the ErrorLog of a library's server. Most of what they log are
// clients that leave in the middle of something; a panic is not.
func libraryLog(l *slog.Logger, listener string) *log.Logger {
	return log.New(libraryWriter{l, listener}, "", 0)
}

// What net/http and go-imap say of a panic. A client can put the word into other
// texts, in an ALPN name for one.
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
