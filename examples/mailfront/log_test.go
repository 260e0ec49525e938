package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/proxyproto"
)

func TestQuotedClientText(t *testing.T) {
	var b bytes.Buffer
	l := newLogger(&b, slog.LevelDebug)
	const words = "panic proto=https event=session client_ip=6.6.6.6 tls=true"
	libraryLog(l, "https").Printf("http: TLS handshake error: [%q]", words)
	logRejection(client.NewLimitedLog(l), "smtp", "MAILFRONT_TRUSTED_PROXIES")(proxyproto.Rejection{Err: errors.New(words), Prefix: []byte("PROXY UNKNOWN " + words + "\r\n")})
	require.NotContains(t, b.String(), "client_ip=6.6.6.6")
	require.NotContains(t, b.String(), "level=ERROR")
	libraryLog(l, "https").Print("http: panic serving 192.0.2.1:1: boom")
	require.Contains(t, b.String(), "level=ERROR")
}

// A flood of forged headers must not hide the line about a proxy that sends none.
func TestRejectionLogIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		buffer := newLogBuffer()
		log := logRejection(client.NewLimitedLog(newLogger(buffer, slog.LevelInfo)), "smtp", "-trusted-proxies-smtp")
		peer := &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 1}
		for range 1000 {
			log(proxyproto.Rejection{Peer: peer, Err: fmt.Errorf("it is forged: %w", proxyproto.ErrUntrustedHeader)})
		}
		log(proxyproto.Rejection{Peer: peer, Err: proxyproto.ErrNoHeader})
		log(proxyproto.Rejection{Peer: peer, Err: io.ErrUnexpectedEOF})
		time.Sleep(time.Minute)
		log(proxyproto.Rejection{Peer: peer, Err: proxyproto.ErrUntrustedHeader})
		log(proxyproto.Rejection{Peer: peer, Err: proxyproto.ErrNoHeader})
		var got []string
		for line := range strings.Lines(buffer.String()) {
			require.Contains(t, line, `level=WARN msg="connection refused" proto=smtp event=reject peer=192.0.2.1 reason=`)
			_, rest, _ := strings.Cut(strings.TrimSpace(line), "setting=")
			got = append(got, rest)
		}
		const setting = "-trusted-proxies-smtp"
		require.Equal(t, []string{setting, setting, setting, setting + " suppressed=999", setting}, got)
	})
}

func TestRequestLogLine(t *testing.T) {
	for _, tc := range []struct {
		name, method, target string
		handle               func(w http.ResponseWriter)
		want                 string
	}{
		{name: "nothing written", target: "/", handle: func(http.ResponseWriter) {}, want: "method=GET path=/ status=200"},
		{name: "a status", target: "/a", handle: func(w http.ResponseWriter) { w.WriteHeader(404) }, want: "method=GET path=/a status=404"},
		{name: "a body", target: "/a", handle: func(w http.ResponseWriter) { io.WriteString(w, "x"); w.WriteHeader(500) }, want: "method=GET path=/a status=200"},
		{name: "an early hint", target: "/a", handle: func(w http.ResponseWriter) { w.WriteHeader(103); w.WriteHeader(302) }, want: "method=GET path=/a status=302"},
		{name: "a flush", target: "/a", handle: func(w http.ResponseWriter) { w.(http.Flusher).Flush() }, want: "method=GET path=/a status=200"},
		{name: "no query", target: "/auth/code?code=secret", handle: func(http.ResponseWriter) {}, want: "method=GET path=/auth/code status=200"},
		{name: "an equals sign", target: "/client_ip=6.6.6.6", handle: func(http.ResponseWriter) {}, want: "method=GET path=/client_ip%3D6.6.6.6 status=200"},
		{name: "a long path", target: "/" + strings.Repeat("a", 1000), handle: func(http.ResponseWriter) {}, want: "method=GET path=/" + strings.Repeat("a", 255) + "… status=200"},
		{name: "a line break", target: "/a%0Ab", handle: func(http.ResponseWriter) {}, want: "method=GET path=/a%0Ab status=200"},
		{name: "another method", method: "PROPFIND", target: "/a", handle: func(w http.ResponseWriter) { w.WriteHeader(207) }, want: "method=PROPFIND path=/a status=207"},
		{name: "a panic", target: "/a", handle: func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, want: "method=GET path=/a status=0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			buffer := newLogBuffer()
			f := &frontend{log: newLogger(buffer, slog.LevelInfo)}
			r := httptest.NewRequest(tc.method, tc.target, nil)
			func() {
				defer func() {
					if tc.name == "a panic" {
						require.Equal(t, http.ErrAbortHandler, recover())
					}
				}()
				w, done := f.logRequest(httptest.NewRecorder(), r, client.Client{Listener: "http", IP: netip.MustParseAddr("192.0.2.7"), Known: true})
				defer done()
				tc.handle(w)
			}()
			require.Equal(t, 1, strings.Count(buffer.String(), "\n"))
			require.True(t, strings.HasSuffix(buffer.String(), " "+tc.want+"\n"), buffer.String())
			require.Contains(t, buffer.String(), "proto=http event=session client_ip=192.0.2.7")
		})
	}
}

// A request for events lasts for hours.
func TestRequestIsLoggedBeforeItEnds(t *testing.T) {
	for name, handle := range map[string]func(w http.ResponseWriter){
		"a status": func(w http.ResponseWriter) { w.WriteHeader(404) },
		"a body":   func(w http.ResponseWriter) { io.WriteString(w, "x") },
		"a flush":  func(w http.ResponseWriter) { require.NoError(t, http.NewResponseController(w).Flush()) },
	} {
		t.Run(name, func(t *testing.T) {
			buffer, below := newLogBuffer(), httptest.NewRecorder()
			f := &frontend{log: newLogger(buffer, slog.LevelInfo)}
			w, done := f.logRequest(below, httptest.NewRequest("GET", "/", nil), client.Client{Listener: "http"})
			handle(w)
			require.Equal(t, 1, strings.Count(buffer.String(), "\n"))
			done()
			require.Equal(t, 1, strings.Count(buffer.String(), "\n"))
			require.Same(t, below, w.(interface{ Unwrap() http.ResponseWriter }).Unwrap(), "for deadlines")
		})
	}
}
