package main

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

func TestAClientsWordsDoNotLookLikeAReport(t *testing.T) {
	var b bytes.Buffer
	l := newLogger(&b, slog.LevelDebug)
	const words = "panic proto=https event=session client_ip=6.6.6.6 tls=true"
	libraryLog(l, "https").Printf("http: TLS handshake error: [%q]", words)
	logRejection(l, "smtp")(proxyproto.Rejection{Err: errors.New(words), Prefix: []byte("PROXY UNKNOWN " + words + "\r\n")})
	require.NotContains(t, b.String(), "client_ip=6.6.6.6")
	require.NotContains(t, b.String(), "level=ERROR")
	libraryLog(l, "https").Print("http: panic serving 192.0.2.1:1: boom")
	require.Contains(t, b.String(), "level=ERROR")
}
