package pop3d

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/gate"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
)

func (p *session) onTLS() bool {
	_, ok := p.conn.(*tls.Conn)
	return ok
}

// mayLogIn reports whether passwords are offered, by the same rule as in go-smtp and
// go-imap. login also checks that the client is on TLS.
func (p *session) mayLogIn() bool { return p.onTLS() || p.server.InsecureAuth }

func (p *session) capabilities() string {
	lines := []string{"TOP", "UIDL", "RESP-CODES", "PIPELINING"}
	if !p.loggedIn && p.server.TLS != nil && !p.onTLS() {
		lines = append(lines, "STLS")
	}
	if p.loggedIn || p.mayLogIn() {
		lines = append(lines, "USER")
	}
	return strings.Join(lines, "\n") + "\n"
}

// startTLS is STLS. What the client sent along with it came in plain text, where anyone
// could have inserted it. It becomes part of the handshake, which then fails, and is never
// taken for a command (CVE-2011-0411).
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
	p.user = "" // RFC 2595 section 4: back to where the session began
}

// earlyConn reads what was read from the connection before.
type earlyConn struct {
	net.Conn
	r io.Reader
}

func (c earlyConn) Read(b []byte) (int, error) { return c.r.Read(b) }
func (c earlyConn) NetConn() net.Conn          { return c.Conn }

func (p *session) login(command, arg string) {
	if p.onTLS() && !p.client.TLS {
		p.client = p.client.WithTLS()
		p.client.Log(p.server.Log, "session")
	}
	switch {
	case !p.mayLogIn() || !p.client.TLS:
		p.err("[SYS/PERM] no passwords on a connection that is not encrypted")
	case command == "USER" && arg == "whoami":
		p.err("%s", p.client.JSON())
	case command == "USER":
		p.user = arg
		p.ok("and the password?")
	case p.user == "":
		p.err("USER comes first")
	default:
		p.checkPassword(arg)
	}
}

func (p *session) checkPassword(password string) {
	name := p.user
	p.user = ""
	switch err := p.server.Guard.LogIn(p.client, name, func() (bool, error) { return p.server.Mail.Login(name, password), nil }); err {
	case nil:
		p.begin(name)
	case guard.ErrWrongPassword:
		p.err("[AUTH] wrong name or password") // RFC 3206
		p.wrong++
		p.quit = p.wrong >= gate.LoginTries // other errors never end a session
	default:
		p.err("[SYS/TEMP] too many logins: try again in %v", guard.RetryAfter(err))
		p.quit = true
	}
}

// begin begins the TRANSACTION state.
func (p *session) begin(name string) {
	messages, err := p.server.Mail.Messages(name)
	if err != nil {
		p.mailboxError(err)
		p.quit = true
		return
	}
	p.gate.LoggedIn()
	p.user, p.loggedIn, p.messages = name, true, messages
	p.ok("%d messages", len(messages))
}
