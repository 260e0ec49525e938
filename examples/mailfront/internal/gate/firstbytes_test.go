package gate

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
)

// A ClientHello is longer; this is what decides.
const tlsRecord = "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03"

var proxyHeaders = map[string]string{
	"version 1":          "PROXY TCP4 192.0.2.7 192.0.2.1 4567 25\r\n",
	"version 1, IPv6":    "PROXY TCP6 2001:db8::7 2001:db8::1 4567 25\r\n",
	"version 1, UNKNOWN": "PROXY UNKNOWN\r\n",
	"version 2, LOCAL":   "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00",
}

func TestClassify(t *testing.T) {
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

func TestFirstBytesLogIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := &Listener{Name: "http", Log: client.NewLimitedLog(slog.New(slog.NewTextHandler(&out, nil)))}
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

// A server may read a few bytes at a time. The report says whether the
// listener has read a header before.
func TestFirstBytesInSmallReads(t *testing.T) {
	for name, header := range proxyHeaders {
		for proxy, event := range map[bool]string{false: "proxy_header", true: "second_proxy_header"} {
			t.Run(name+"/"+event, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var out bytes.Buffer
					l := &Listener{Name: "imap", Proxy: proxy, Log: client.NewLimitedLog(slog.New(slog.NewTextHandler(&out, nil)))}
					here, there := net.Pipe()
					defer here.Close()
					go func() { fmt.Fprint(there, header+header+"x LOGOUT\r\n"); there.Close() }()
					c := &arrivalConn{Conn: here, listener: l}
					require.NoError(t, iotest.TestReader(iotest.OneByteReader(c), []byte(header+header+"x LOGOUT\r\n")))
					require.Equal(t, 1, strings.Count(out.String(), "\n"))
					require.Contains(t, out.String(), "event="+event+" ")
					time.Sleep(time.Minute)
					l.report(netip.Addr{}, arrivalHeader)
					require.NotContains(t, out.String(), "suppressed", "a connection is reported once")
				})
			})
		}
	}
}
