package gate

import (
	"bytes"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
)

// What can come first on a connection.
type arrival int

const (
	arrivalUndecided arrival = iota // more bytes are needed
	arrivalExpected
	arrivalHeader // a PROXY header, where none is expected
	arrivalTLS    // on a listener without
	arrivalPlain  // on a listener whose clients begin with TLS
)

// maxArrival is how many bytes decide: "PROXY UNKNOWN" and what follows.
const maxArrival = 14

// proxySignatures are how a PROXY header begins (proxy-protocol.txt sections 2.1 and 2.2).
// "PROXY NOOP" is a command of IMAP.
var proxySignatures = [][]byte{
	[]byte("PROXY TCP4 "), []byte("PROXY TCP6 "), []byte("PROXY UNKNOWN "), []byte("PROXY UNKNOWN\r"),
	[]byte("\r\n\r\n\x00\r\nQUIT\n"),
}

// classify returns the kind of the first bytes of a connection.
func classify(first []byte, expectTLS bool) arrival {
	if len(first) == 0 {
		return arrivalUndecided
	}
	for _, signature := range proxySignatures {
		switch {
		case bytes.HasPrefix(first, signature):
			return arrivalHeader
		case bytes.HasPrefix(signature, first):
			return arrivalUndecided
		}
	}
	// A TLS record: alert or handshake, and the major version (RFC 8446 section 5.1).
	record := first[0] == 0x15 || first[0] == 0x16
	switch {
	case expectTLS && record:
		return arrivalExpected
	case expectTLS:
		return arrivalPlain
	case !record:
		return arrivalExpected
	case len(first) == 1:
		return arrivalUndecided
	case first[1] == 3:
		return arrivalTLS
	}
	return arrivalExpected
}

// A Listener inspects the first bytes of its connections as a server reads them, and logs
// what the server does not expect, with the setting to change. It holds nothing back and
// refuses nothing. The clients of a Listener begin with TLS if its name ends in s.
type Listener struct {
	net.Listener
	Name  string // smtp, for example: a part of the names of settings
	Proxy bool   // whether the listener below has read a PROXY header
	Log   *client.LimitedLog
}

// Accept returns the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &arrivalConn{Conn: c, listener: l}, nil
}

func (l *Listener) expectTLS() bool { return strings.HasSuffix(l.Name, "s") }

// ReportHeader logs a PROXY header that the listener below has refused. It is for
// proxyproto.Config.OnReject of a listener that expects none.
func (l *Listener) ReportHeader(peer netip.Addr) { l.report(peer, arrivalHeader) }

// report writes the line of a misconfiguration of the proxy peer.
func (l *Listener) report(peer netip.Addr, a arrival) {
	other := l.Name + "s"
	if l.expectTLS() {
		other = strings.TrimSuffix(l.Name, "s")
	}
	cause, arrived, setting, advice := "", "", "MAILFRONT_LISTEN_"+strings.ToUpper(other), ""
	switch {
	case a == arrivalHeader && l.Proxy:
		cause, arrived, setting = "second_proxy_header", "a second PROXY header", "MAILFRONT_LISTEN_"+strings.ToUpper(l.Name)
		advice = "let one proxy send the header: a proxy behind another one has to read the first and to send its own"
	case a == arrivalHeader:
		setting = "MAILFRONT_" + strings.ToUpper(l.Name) + "_CLIENT"
		cause, arrived = "proxy_header", "a PROXY header"
		advice = "set " + setting + " to proxy, or turn off the PROXY header in the proxy and let it set X-Forwarded-For"
	case a == arrivalTLS:
		cause, arrived = "tls_on_plain_port", "a TLS handshake"
		advice = "connect to the port of " + setting + ", or let the proxy end TLS and name the listener in MAILFRONT_TLS_TERMINATED"
	default:
		cause, arrived = "plain_text_on_tls_port", "plain text"
		advice = "connect to the port of " + setting + ", or let the proxy use TLS to this one"
	}
	l.Log.Warn("a connection begins with what this listener does not expect", cause, l.Name,
		slog.String("peer", peer.String()), slog.String("arrived", arrived), slog.String("setting", setting), slog.String("advice", advice))
}

// An arrivalConn looks at the first bytes that are read from it.
type arrivalConn struct {
	net.Conn
	listener *Listener
	decided  atomic.Bool

	mu    sync.Mutex // of what follows
	n     int        // of first
	first [maxArrival]byte
}

func (c *arrivalConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && !c.decided.Load() {
		c.look(b[:n])
	}
	return n, err
}

func (c *arrivalConn) look(b []byte) {
	c.mu.Lock()
	c.n += copy(c.first[c.n:], b)
	a := classify(c.first[:c.n], c.listener.expectTLS())
	first := a != arrivalUndecided && c.decided.CompareAndSwap(false, true)
	c.mu.Unlock()
	if first && a != arrivalExpected {
		peer := client.New(c.listener.Name, c.Conn).Proxy
		if !peer.IsValid() {
			peer = client.IPOf(c.RemoteAddr())
		}
		c.listener.report(peer, a)
	}
}

// NetConn lets proxyproto see what is below.
func (c *arrivalConn) NetConn() net.Conn { return c.Conn }
