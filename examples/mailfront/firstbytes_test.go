package main

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

// The first bytes of a connection.
const (
	headerV1    = "PROXY TCP4 192.0.2.7 192.0.2.1 4567 25\r\n"
	headerLocal = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
	clientHello = "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" // its beginning
)

func TestUnexpectedFirstBytesAreLogged(t *testing.T) {
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
		{name: "PROXY header", listener: "http", r: trusting, first: headerV1, event: "proxy_header", setting: "MAILFRONT_HTTP_CLIENT"},
		{name: "PROXY header, version 2", listener: "http", r: untrusting, first: headerLocal, event: "proxy_header", setting: "MAILFRONT_HTTP_CLIENT"},
		{name: "PROXY header", listener: "https", r: trusting, first: headerV1, event: "proxy_header", setting: "MAILFRONT_HTTPS_CLIENT"},
		{name: "PROXY header, version 2", listener: "https", r: untrusting, first: headerLocal, event: "proxy_header", setting: "MAILFRONT_HTTPS_CLIENT"},
		{name: "TLS, directly", listener: "http", r: untrusting, first: clientHello, event: "tls_on_plain_port", setting: "MAILFRONT_LISTEN_HTTPS"},
		{name: "TLS, from the proxy", listener: "http", r: trusting, first: clientHello, event: "tls_on_plain_port", setting: "MAILFRONT_LISTEN_HTTPS"},
		{name: "TLS, behind a header", listener: "http", r: proxied, header: true, first: clientHello, event: "tls_on_plain_port", setting: "MAILFRONT_LISTEN_HTTPS"},
		{name: "plain text, directly", listener: "https", r: untrusting, first: "GET / HTTP/1.1\r\n\r\n", event: "plain_text_on_tls_port", setting: "MAILFRONT_LISTEN_HTTP"},
		{name: "plain text, behind a header", listener: "https", r: proxied, header: true, first: "GET / HTTP/1.1\r\n\r\n", event: "plain_text_on_tls_port", setting: "MAILFRONT_LISTEN_HTTP"},
		{name: "two headers", listener: "https", r: proxied, header: true, first: headerV1, event: "second_proxy_header", setting: "MAILFRONT_LISTEN_HTTPS"},
	}
	for _, listener := range []string{"smtp", "submission", "imap", "pop3"} {
		upper := strings.ToUpper(listener)
		tests = append(tests,
			test{name: "TLS, directly", listener: listener, r: untrusting, first: clientHello, event: "tls_on_plain_port", setting: "MAILFRONT_LISTEN_" + upper + "S"},
			test{name: "TLS, behind a header", listener: listener, r: trusting, header: true, first: clientHello, event: "tls_on_plain_port", setting: "MAILFRONT_LISTEN_" + upper + "S"},
			test{name: "two headers", listener: listener, r: trusting, header: true, first: headerV1, event: "second_proxy_header", setting: "MAILFRONT_LISTEN_" + upper},
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

func TestExpectedFirstBytes(t *testing.T) {
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

func TestRejectionNamesSetting(t *testing.T) {
	r := runMailfront(t, map[string]string{"MAILFRONT_HTTP_CLIENT": "proxy"})
	for _, test := range []struct{ name, listener, from, first, setting string }{
		{name: "a header of an untrusted peer", listener: "http", from: directIP, first: headerV1, setting: "MAILFRONT_TRUSTED_PROXIES"},
		{name: "no header of a trusted peer, HTTP", listener: "http", from: proxyIP, first: "GET / HTTP/1.1\r\n\r\n", setting: "MAILFRONT_HTTP_CLIENT"},
		{name: "no header of a trusted peer, HTTPS", listener: "https", from: proxyIP, first: clientHello, setting: "MAILFRONT_HTTPS_CLIENT"},
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
