// Copy smtpServer if your SMTP server is go-smtp, which writes each line of a reply separately: the
// answer to EHLO takes nine packets. No changes are needed.

package main

import (
	"bytes"
	"crypto/tls"
	"net"

	"github.com/emersion/go-smtp"
)

// An smtpServer writes each reply at once where the client's TLS does not end here.
type smtpServer struct{ *smtp.Server }

// Serve may be called several times.
func (s smtpServer) Serve(l net.Listener) error { return s.Server.Serve(replyListener{l}) }

type replyListener struct{ net.Listener }

func (l replyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if _, onTLS := c.(*tls.Conn); err != nil || onTLS { // go-smtp has to get the *tls.Conn itself
		return c, err
	}
	return &replyConn{Conn: c}, nil
}

// A replyConn holds the lines of a reply back until the last one (RFC 5321 section 4.2.1).
type replyConn struct {
	net.Conn
	held []byte
	open bool // the last Write did not end a line
}

// Write must not be called concurrently. After STARTTLS it gets TLS records, which do not begin
// with a digit.
func (c *replyConn) Write(b []byte) (int, error) {
	if !c.open && moreFollows(b) {
		c.held = append(c.held, b...)
		return len(b), nil
	}
	c.open = !bytes.HasSuffix(b, []byte("\n"))
	if len(c.held) == 0 {
		return c.Conn.Write(b)
	}
	reply := append(c.held, b...)
	c.held = nil
	n, err := c.Conn.Write(reply)
	return max(0, n-(len(reply)-len(b))), err
}

// NetConn lets package proxyproto find the connection below.
func (c *replyConn) NetConn() net.Conn { return c.Conn }

// moreFollows reports whether b is a whole line of a reply that is not the last one.
func moreFollows(b []byte) bool {
	isDigit := func(c byte) bool { return '0' <= c && c <= '9' }
	return len(b) > 4 && isDigit(b[0]) && isDigit(b[1]) && isDigit(b[2]) && b[3] == '-' && bytes.HasSuffix(b, []byte("\r\n"))
}
