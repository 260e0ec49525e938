package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/proxyproto"
)

// A ClientHello is longer; this is what decides.
const tlsRecord = "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03"

var proxyHeaders = map[string]string{
	"version 1":          "PROXY TCP4 192.0.2.7 192.0.2.1 4567 25\r\n",
	"version 1, IPv6":    "PROXY TCP6 2001:db8::7 2001:db8::1 4567 25\r\n",
	"version 1, UNKNOWN": "PROXY UNKNOWN\r\n",
	"version 2, LOCAL":   "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00",
}

func TestWhatComesFirstOnAConnectionIsClassified(t *testing.T) {
	type table []struct {
		name, first string
		plain, tls  arrival // on a listener without and with TLS
	}
	tests := table{
		{name: "TLS handshake", first: tlsRecord, plain: arrivalTLS, tls: arrivalExpected},
		{name: "TLS alert", first: "\x15\x03\x01\x00\x02\x01\x00", plain: arrivalTLS, tls: arrivalExpected},
		{name: "first byte of a record alone", first: "\x16", plain: arrivalUndecided, tls: arrivalExpected},
		{name: "no TLS version", first: "\x16\x04", plain: arrivalExpected, tls: arrivalExpected},
		{name: "HTTP", first: "GET / HTTP/1.1\r\n", plain: arrivalExpected, tls: arrivalPlain},
		{name: "HTTP/2", first: "PRI * HTTP/2.0\r\n", plain: arrivalExpected, tls: arrivalPlain},
		{name: "SMTP", first: "EHLO x\r\n", plain: arrivalExpected, tls: arrivalPlain},
		{name: "an IMAP command with the tag PROXY", first: "PROXY NOOP\r\n", plain: arrivalExpected, tls: arrivalPlain},
		{name: "PROXY as a command", first: "PROXY\r\n", plain: arrivalExpected, tls: arrivalPlain},
		{name: "PROXY UNKNOWNS", first: "PROXY UNKNOWNS", plain: arrivalExpected, tls: arrivalPlain},
		{name: "an empty line", first: "\r\nQUIT\r\n", plain: arrivalExpected, tls: arrivalPlain},
		{name: "nothing", first: "", plain: arrivalUndecided, tls: arrivalUndecided},
	}
	for name, header := range proxyHeaders {
		tests = append(tests, table{{name: "PROXY header, " + name, first: header, plain: arrivalHeader, tls: arrivalHeader}}...)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, by := range []int{1, 2, 3, 100} { // bytes a segment
				for expectTLS, want := range map[bool]arrival{false: test.plain, true: test.tls} {
					got := arrivalUndecided
					for end := by; got == arrivalUndecided && end < len(test.first)+by; end += by {
						got = classify([]byte(test.first[:min(end, len(test.first))]), expectTLS)
					}
					require.Equal(t, want, got, "by %d, TLS %v", by, expectTLS)
				}
			}
		})
	}
}

func TestWhatAListenerDoesNotExpectIsInTheLogWithTheSetting(t *testing.T) {
	trusting := runMailfront(t, map[string]string{"MAILFRONT_HTTPS_CLIENT": "forwarded"})
	untrusting := runMailfront(t, map[string]string{"MAILFRONT_HTTPS_CLIENT": "forwarded", "MAILFRONT_TRUSTED_PROXIES": " "})
	proxied := runMailfront(t, map[string]string{"MAILFRONT_HTTP_CLIENT": "proxy"})
	type test struct {
		name, listener string
		r              *running
		first          string
		header         bool // a PROXY header comes before
		event, setting string
	}
	tests := []test{
		{name: "PROXY header", listener: "http", r: trusting, first: proxyHeaders["version 1"], event: "proxy_header", setting: "MAILFRONT_HTTP_CLIENT"},
		{name: "PROXY header, version 2", listener: "http", r: untrusting, first: proxyHeaders["version 2, LOCAL"], event: "proxy_header", setting: "MAILFRONT_HTTP_CLIENT"},
		{name: "PROXY header", listener: "https", r: trusting, first: proxyHeaders["version 1"], event: "proxy_header", setting: "MAILFRONT_HTTPS_CLIENT"},
		{name: "PROXY header, version 2", listener: "https", r: untrusting, first: proxyHeaders["version 2, LOCAL"], event: "proxy_header", setting: "MAILFRONT_HTTPS_CLIENT"},
		{name: "TLS, directly", listener: "http", r: untrusting, first: tlsRecord, event: "tls_on_plain_port", setting: "MAILFRONT_LISTEN_HTTPS"},
		{name: "TLS, from the proxy", listener: "http", r: trusting, first: tlsRecord, event: "tls_on_plain_port", setting: "MAILFRONT_LISTEN_HTTPS"},
		{name: "TLS, behind a header", listener: "http", r: proxied, header: true, first: tlsRecord, event: "tls_on_plain_port", setting: "MAILFRONT_LISTEN_HTTPS"},
		{name: "plain text, directly", listener: "https", r: untrusting, first: "GET / HTTP/1.1\r\n\r\n", event: "plain_text_on_tls_port", setting: "MAILFRONT_LISTEN_HTTP"},
		{name: "plain text, behind a header", listener: "https", r: proxied, header: true, first: "GET / HTTP/1.1\r\n\r\n", event: "plain_text_on_tls_port", setting: "MAILFRONT_LISTEN_HTTP"},
		{name: "two headers", listener: "https", r: proxied, header: true, first: proxyHeaders["version 1"], event: "second_proxy_header", setting: "MAILFRONT_LISTEN_HTTPS"},
	}
	for _, listener := range []string{"smtp", "submission", "imap", "pop3"} {
		upper := strings.ToUpper(listener)
		tests = append(tests,
			test{name: "TLS, directly", listener: listener, r: untrusting, first: tlsRecord, event: "tls_on_plain_port", setting: "MAILFRONT_LISTEN_" + upper + "S"},
			test{name: "TLS, behind a header", listener: listener, r: trusting, header: true, first: tlsRecord, event: "tls_on_plain_port", setting: "MAILFRONT_LISTEN_" + upper + "S"},
			test{name: "two headers", listener: listener, r: trusting, header: true, first: proxyHeaders["version 1"], event: "second_proxy_header", setting: "MAILFRONT_LISTEN_" + upper},
			test{name: "plain text, directly", listener: listener + "s", r: untrusting, first: "NOOP\r\n", event: "plain_text_on_tls_port", setting: "MAILFRONT_LISTEN_" + upper},
			test{name: "plain text, behind a header", listener: listener + "s", r: trusting, header: true, first: "NOOP\r\n", event: "plain_text_on_tls_port", setting: "MAILFRONT_LISTEN_" + upper},
		)
	}
	for _, test := range tests {
		t.Run(test.listener+"/"+test.name, func(t *testing.T) {
			r := *test.r
			r.t = t
			line := []string{"level=WARN", "proto=" + test.listener + " event=" + test.event + " peer=" + proxyIP + " ", "arrived=", "setting=" + test.setting + " ", "advice="}
			for range 3 { // one line
				c := r.dial(proxyIP, test.listener)
				if test.header {
					require.NoError(t, proxyproto.WriteHeader(c, header(nil)))
				}
				_, err := c.Write([]byte(test.first))
				require.NoError(t, err)
				r.awaitLog(line...)
				c.Close()
			}
			require.Equal(t, 1, r.logged(line...))
		})
	}
}

func TestWhatAListenerExpectsIsNotInTheLog(t *testing.T) {
	r := runMailfront(t, nil)
	for _, listener := range listenerNames {
		c := r.direct(listener)
		if strings.HasSuffix(listener, "s") {
			c = onTLS(t, c)
		}
		_, err := io.WriteString(c, "PROXY NOOP\r\n\r\n")
		require.NoError(t, err)
		_, err = c.Read(make([]byte, 1))
		require.NoError(t, err)
	}
	require.Zero(t, r.logged("level=WARN", "setting="))
}

func TestOneLineAMinuteNamesTheNumberOfThoseLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := &arrivalListener{name: "http", log: client.NewLimitedLog(newLogger(&out, slog.LevelInfo))}
		connect := func(first string) {
			here, there := net.Pipe()
			defer here.Close()
			go func() { fmt.Fprint(there, first); there.Close() }()
			c := &arrivalConn{Conn: here, listener: l}
			got, err := io.ReadAll(c)
			require.NoError(t, err)
			require.Equal(t, first, string(got), "nothing is held back")
		}
		for range 1000 {
			connect(proxyHeaders["version 1"])
			connect(tlsRecord)
			connect("GET / HTTP/1.1\r\n\r\n")
		}
		time.Sleep(time.Minute)
		connect(proxyHeaders["version 1"])
		var got []string
		for line := range strings.Lines(out.String()) {
			_, event, _ := strings.Cut(line, "event=")
			event, rest, _ := strings.Cut(event, " ")
			_, suppressed, _ := strings.Cut(strings.TrimSpace(rest), "suppressed=")
			got = append(got, event+" "+suppressed)
		}
		require.Equal(t, []string{"proxy_header ", "tls_on_plain_port ", "proxy_header 999"}, got)
	})
}

func TestARejectionNamesTheSettingToChange(t *testing.T) {
	r := runMailfront(t, map[string]string{"MAILFRONT_HTTP_CLIENT": "proxy"})
	for _, test := range []struct{ name, listener, from, first, setting string }{
		{name: "a header of an untrusted peer", listener: "http", from: directIP, first: proxyHeaders["version 1"], setting: "MAILFRONT_TRUSTED_PROXIES"},
		{name: "no header of a trusted peer, HTTP", listener: "http", from: proxyIP, first: "GET / HTTP/1.1\r\n\r\n", setting: "MAILFRONT_HTTP_CLIENT"},
		{name: "no header of a trusted peer, HTTPS", listener: "https", from: proxyIP, first: tlsRecord, setting: "MAILFRONT_HTTPS_CLIENT"},
		{name: "no header of a trusted peer, IMAP", listener: "imap", from: proxyIP, first: "a NOOP\r\n", setting: "MAILFRONT_TRUSTED_PROXIES"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := *r
			r.t = t
			c := r.dial(test.from, test.listener)
			_, err := io.WriteString(c, test.first)
			require.NoError(t, err)
			r.awaitLog("level=WARN", "proto="+test.listener+" event=reject peer="+test.from+" ", "setting="+test.setting+"\n")
		})
	}
}
