package pop3d

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/gate"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/mailauth"
)

func (p *session) onTLS() bool {
	_, ok := p.conn.(*tls.Conn)
	return ok
}

// mayLogIn reports whether a login is offered, by the same rule as in go-imap. Package mailauth also
// checks that the client uses TLS.
func (p *session) mayLogIn() bool { return p.onTLS() || p.server.InsecureAuth }

func (p *session) capabilities() string {
	lines := []string{"TOP", "UIDL", "RESP-CODES", "PIPELINING"}
	if !p.loggedIn && p.server.TLS != nil && !p.onTLS() {
		lines = append(lines, "STLS")
	}
	if p.loggedIn || p.mayLogIn() {
		lines = append(lines, "USER", "SASL "+strings.Join(p.server.Login.Mechanisms(), " "))
	}
	return strings.Join(lines, "\n") + "\n"
}

// startTLS handles STLS. Bytes that the client sent along with the command came in plain text, where
// an attacker could have inserted them. They become part of the handshake, which then fails, and are
// never interpreted as a command (CVE-2011-0411).
func (p *session) startTLS() {
	early := io.LimitReader(p.r, int64(p.r.Buffered()))
	p.ok("begin TLS")
	if p.w.Flush() != nil {
		p.quit = true
		return
	}
	tc := tls.Server(earlyConn{p.conn, io.MultiReader(early, p.conn)}, p.server.TLS)
	ctx, cancel := context.WithTimeout(context.Background(), gate.HandshakeTimeout)
	defer cancel()
	p.quit = tc.HandshakeContext(ctx) != nil
	p.setConn(tc)
	p.user = "" // RFC 2595 section 4: the session returns to its initial state
}

// An earlyConn returns the bytes that were already read from the connection first.
type earlyConn struct {
	net.Conn
	r io.Reader
}

func (c earlyConn) Read(b []byte) (int, error) { return c.r.Read(b) }
func (c earlyConn) NetConn() net.Conn          { return c.Conn }

// checkTLS updates the client after STLS.
func (p *session) checkTLS() {
	if p.onTLS() && !p.login.Client.TLS {
		p.login.Client = p.login.Client.WithTLS()
		p.login.Client.Log(p.server.Log, "session")
	}
}

// userPass handles USER and PASS.
func (p *session) userPass(command, arg string) {
	p.checkTLS()
	switch {
	case command == "USER" && !p.login.Client.TLS:
		p.refuse(p.login.LogIn(arg, "")) // returns ErrPlaintext without a comparison
	case command == "USER" && arg == "whoami":
		p.err("%s", p.login.Client.JSON())
	case command == "USER":
		p.user = arg
		p.ok("send PASS")
	case p.user == "" && p.login.Client.TLS:
		p.err("send USER first")
	default:
		name := p.user
		p.user = ""
		if err := p.login.LogIn(name, arg); err != nil {
			p.refuse(err)
			return
		}
		p.begin(name)
	}
}

// authenticate handles AUTH (RFC 5034 section 4).
func (p *session) authenticate(arg string) {
	p.checkTLS()
	mechanism, initial, hasInitial := strings.Cut(arg, " ")
	server, err := p.login.Begin(mechanism, func(account string, err error) error {
		if err == nil {
			p.begin(account)
		}
		return err
	})
	if err != nil {
		p.refuse(err)
		return
	}
	var response []byte // nil if there is no initial response
	if hasInitial {
		response, err = decodeSASL(initial)
	}
	for err == nil {
		var challenge []byte
		var done bool
		challenge, done, err = server.Next(response)
		switch {
		case err != nil:
			p.refuse(err)
			return
		case done:
			return
		}
		response, err = p.challenge(challenge)
	}
	if !p.quit {
		p.err("%s", err)
	}
}

var (
	errBase64    = errors.New("a line of AUTH is not base64")
	errCancelled = errors.New("cancelled")
)

// challenge sends a challenge and returns the client's response. If the session has to end, it
// sets p.quit.
func (p *session) challenge(challenge []byte) ([]byte, error) {
	fmt.Fprintf(p.w, "+ %s\r\n", base64.StdEncoding.EncodeToString(challenge))
	if err := p.w.Flush(); err != nil {
		p.quit = true
		return nil, err
	}
	line, err := p.readLine()
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		p.err("line too long")
		p.quit = true
		return nil, err
	case err != nil:
		p.quit = true
		return nil, err
	case line == "*":
		return nil, errCancelled
	}
	return decodeSASL(line)
}

// decodeSASL decodes a response. The result is not nil. "=" is an empty response.
func decodeSASL(line string) ([]byte, error) {
	if line == "=" {
		return []byte{}, nil
	}
	b, err := base64.StdEncoding.DecodeString(line)
	if err != nil {
		return nil, errBase64
	}
	return b, nil
}

// refuse answers an error of a login.
func (p *session) refuse(err error) {
	a := mailauth.AnswerTo(err)
	text := a.Text
	if !strings.HasPrefix(text, "TLS") {
		text = strings.ToLower(text[:1]) + text[1:] // like all texts of this server
	}
	if a.POP3 != "" {
		text = "[" + a.POP3 + "] " + text
	}
	p.err("%s", text)
	switch {
	case errors.Is(err, guard.ErrWrongPassword), errors.Is(err, mailauth.ErrSyntax):
		p.wrong++
		p.quit = p.quit || p.wrong >= gate.LoginTries
	case errors.Is(err, guard.ErrBanned), errors.Is(err, guard.ErrTooFast), errors.Is(err, guard.ErrBusy):
		p.quit = true
	}
}

// begin enters the TRANSACTION state.
func (p *session) begin(name string) {
	messages, err := p.server.Mail.Messages(name)
	if err != nil {
		p.mailboxError(err)
		p.quit = true
		return
	}
	p.user, p.loggedIn, p.messages = name, true, messages
	p.ok("%d messages", len(messages))
}
