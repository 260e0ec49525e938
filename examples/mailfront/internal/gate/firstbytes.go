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

// An arrival is a kind of first bytes on a connection.
type arrival int

const (
	arrivalUndecided arrival = iota // more bytes are needed
	arrivalExpected
	arrivalHeader // a PROXY header that the listener does not expect
	arrivalTLS    // TLS on a listener without TLS
	arrivalPlain  // no TLS on a listener whose clients begin with TLS
)

// maxArrival is the number of bytes that suffices to classify: "PROXY UNKNOWN" and the next byte.
const maxArrival = 14

// proxySignatures are the beginnings of a PROXY header (proxy-protocol.txt sections 2.1 and 2.2). They
// do not match "PROXY NOOP", which is a command of IMAP.
var proxySignatures = [][]byte{
	[]byte("PROXY TCP4 "), []byte("PROXY TCP6 "), []byte("PROXY UNKNOWN "), []byte("PROXY UNKNOWN\r"),
	[]byte("\r\n\r\n\x00\r\nQUIT\n"),
}

// classify returns the kind of the first bytes of a connection. No bytes are undecided, as a prefix of
// every signature.
func classify(first []byte, expectTLS bool) arrival {
	for _, signature := range proxySignatures {
		switch {
		case bytes.HasPrefix(first, signature):
			return arrivalHeader
		case bytes.HasPrefix(signature, first):
			return arrivalUndecided
		}
	}
	// A TLS record begins with alert or handshake and the major version (RFC 8446 section 5.1).
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

// A Listener inspects the first bytes of its connections while a server reads them, and logs
// bytes that the server does not expect, with the setting to change. It delays and rejects
// nothing. Clients of a Listener whose name ends in s begin with TLS.
type Listener struct {
	net.Listener
	Name  string // for example smtp; a part of the names of settings
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

// ReportHeader logs a PROXY header that the listener below has rejected. Use it as
// proxyproto.Config.OnReject of a listener that expects no PROXY header.
func (l *Listener) ReportHeader(peer netip.Addr) { l.report(peer, arrivalHeader) }

// report logs a misconfiguration of a proxy.
func (l *Listener) report(peer netip.Addr, a arrival) {
	other := l.Name + "s"
	if l.expectTLS() {
		other = strings.TrimSuffix(l.Name, "s")
	}
	cause, arrived, setting, advice := "", "", "MAILFRONT_LISTEN_"+strings.ToUpper(other), ""
	switch {
	case a == arrivalHeader && l.Proxy:
		cause, arrived, setting = "second_proxy_header", "a second PROXY header", "MAILFRONT_LISTEN_"+strings.ToUpper(l.Name)
		advice = "let one proxy send the header: a proxy behind another proxy must read the first header and send its own"
	case a == arrivalHeader:
		setting = "MAILFRONT_" + strings.ToUpper(l.Name) + "_CLIENT"
		cause, arrived = "proxy_header", "a PROXY header"
		advice = "set " + setting + " to proxy, or configure the proxy to send X-Forwarded-For instead of a PROXY header"
	case a == arrivalTLS:
		cause, arrived = "tls_on_plain_port", "a TLS handshake"
		advice = "connect to the port of " + setting + ", or end TLS in the proxy and add the listener to MAILFRONT_TLS_TERMINATED"
	default:
		cause, arrived = "plain_text_on_tls_port", "plain text"
		advice = "connect to the port of " + setting + ", or configure the proxy to use TLS to this listener"
	}
	l.Log.Warn("a connection begins with bytes that this listener does not expect", cause, l.Name,
		slog.String("peer", peer.String()), slog.String("arrived", arrived), slog.String("setting", setting), slog.String("advice", advice))
}

// An arrivalConn inspects the first bytes that are read from a connection.
type arrivalConn struct {
	net.Conn
	listener *Listener
	decided  atomic.Bool

	mu    sync.Mutex // guards the fields below
	n     int        // number of bytes in first
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
		peer := client.New(client.Listener{Name: c.listener.Name}, c.Conn).Proxy
		if !peer.IsValid() {
			peer = client.IPOf(c.RemoteAddr())
		}
		c.listener.report(peer, a)
	}
}

// NetConn lets package proxyproto find the connection below.
func (c *arrivalConn) NetConn() net.Conn { return c.Conn }
