// What to copy: startTLS, which gives what was read too early to the handshake and
// never to the command loop. What to change: nothing, or take a library: this is
// POP3 (RFC 1939) with CAPA (RFC 2449) and STLS (RFC 2595) in one file.

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/textproto"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/gate"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
)

const (
	pop3LineLimit    = 255              // bytes of a command, RFC 2449 section 4
	pop3IdleTimeout  = 10 * time.Minute // RFC 1939 section 3 wants at least that
	pop3LoginTimeout = time.Minute      // before login nobody needs to think for so long
	pop3WriteTimeout = time.Minute
	pop3Tries        = gate.LoginTries // wrong passwords; other errors never end a session
)

// A pop3Server has the two switches of go-smtp and go-imap, and their meaning.
type pop3Server struct {
	listener  string
	mail      *mailbox
	guard     *guard.Guard
	tls       *tls.Config // for STLS; nil: it is not offered
	plainAuth bool        // offers passwords on a connection that is no *tls.Conn
	log       *slog.Logger
	errorLog  *log.Logger
	running   sync.WaitGroup
}

// newPOP3Server returns the server for the connections of a listener that get
// one offer.
func newPOP3Server(f *frontend, listener string, o gate.Offer) server {
	s := &pop3Server{listener: listener, mail: f.mail, guard: f.guard, log: f.log, errorLog: libraryLog(f.log, listener)}
	switch o {
	case gate.StartTLS:
		s.tls = f.tls
	case gate.Login:
		s.plainAuth = true // the client is on TLS, if not with us
	}
	return s
}

// Serve returns the error of l.Accept.
func (s *pop3Server) Serve(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		s.running.Go(func() { s.serve(c) })
	}
}

// Shutdown waits until the sessions have ended. Call it after Serve returned.
func (s *pop3Server) Shutdown(ctx context.Context) error {
	ended := make(chan struct{})
	go func() { s.running.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A pop3Session is one connection.
type pop3Session struct {
	server *pop3Server
	client client.Client
	below  *gate.Session
	conn   net.Conn
	r      *bufio.Reader
	w      *bufio.Writer
	wrong  int // passwords

	user     string // of USER
	loggedIn bool   // TRANSACTION state
	messages []message
	deleted  map[uint64]bool
	quit     bool
}

func (s *pop3Server) serve(c net.Conn) {
	p := &pop3Session{server: s, client: client.New(s.listener, c), below: gate.SessionOf(c), deleted: make(map[uint64]bool)}
	defer func() {
		if v := recover(); v != nil {
			s.errorLog.Printf("panic serving POP3: %v\n%s", v, debug.Stack())
		}
		p.conn.Close()
	}()
	p.setConn(c)
	p.client.Log(s.log, "session")
	p.ok("POP3 server ready")
	for !p.quit && p.w.Flush() == nil {
		line, err := p.readLine()
		if errors.Is(err, bufio.ErrBufferFull) {
			p.err("line too long")
			p.w.Flush()
			return
		}
		if err != nil {
			return // without QUIT nothing is deleted, section 6
		}
		p.handle(line)
	}
	p.w.Flush()
}

// setConn makes c the connection that is spoken on.
func (p *pop3Session) setConn(c net.Conn) {
	p.conn = c
	p.r = bufio.NewReaderSize(c, pop3LineLimit)
	p.w = bufio.NewWriter(deadlineWriter{c})
}

// A deadlineWriter gives every write its time, so that a client that reads slowly
// may, and one that does not read at all ends.
type deadlineWriter struct{ net.Conn }

func (w deadlineWriter) Write(b []byte) (int, error) {
	if err := w.SetWriteDeadline(time.Now().Add(pop3WriteTimeout)); err != nil {
		return 0, err
	}
	return w.Conn.Write(b)
}

func (p *pop3Session) readLine() (string, error) {
	timeout := pop3LoginTimeout
	if p.loggedIn {
		timeout = pop3IdleTimeout
	}
	if err := p.conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return "", err
	}
	line, err := p.r.ReadSlice('\n')
	return strings.TrimRight(string(line), "\r\n"), err
}

func (p *pop3Session) ok(format string, args ...any) { fmt.Fprintf(p.w, "+OK "+format+"\r\n", args...) }
func (p *pop3Session) err(format string, args ...any) {
	fmt.Fprintf(p.w, "-ERR "+format+"\r\n", args...)
}

// multi writes the lines after a +OK: dots stuffed, and the last one added
// (RFC 1939 section 3).
func (p *pop3Session) multi(text string) {
	if text == "" { // a DotWriter would make a blank line of it
		io.WriteString(p.w, ".\r\n")
		return
	}
	w := textproto.NewWriter(p.w).DotWriter()
	io.WriteString(w, text) // an error stays in p.w until Flush
	w.Close()
}

func (p *pop3Session) handle(line string) {
	command, arg, _ := strings.Cut(line, " ")
	command = strings.ToUpper(command)
	switch {
	case command == "QUIT":
		p.end()
	case command == "CAPA":
		p.ok("what I can do")
		p.multi(p.capabilities())
	case command == "NOOP" && p.loggedIn:
		p.ok("")
	case !p.loggedIn && command == "STLS" && p.server.tls != nil && !p.onTLS():
		p.startTLS()
	case !p.loggedIn && (command == "USER" || command == "PASS"):
		p.login(command, arg)
	case p.loggedIn:
		p.transaction(command, arg)
	default:
		p.err("not now: log in first, or see CAPA")
	}
}

func (p *pop3Session) onTLS() bool {
	_, ok := p.conn.(*tls.Conn)
	return ok
}

// mayLogIn is what go-smtp and go-imap ask, too; login asks once more.
func (p *pop3Session) mayLogIn() bool { return p.onTLS() || p.server.plainAuth }

func (p *pop3Session) capabilities() string {
	lines := []string{"TOP", "UIDL", "RESP-CODES", "PIPELINING"}
	if !p.loggedIn && p.server.tls != nil && !p.onTLS() {
		lines = append(lines, "STLS")
	}
	if p.loggedIn || p.mayLogIn() {
		lines = append(lines, "USER")
	}
	return strings.Join(lines, "\n") + "\n"
}

// startTLS is STLS. What the client sent along with it came in plain text, where
// anyone could have put it: it becomes part of the handshake, which it breaks
// unless it is one, and is never taken for a command (CVE-2011-0411).
func (p *pop3Session) startTLS() {
	early := io.LimitReader(p.r, int64(p.r.Buffered()))
	p.ok("begin TLS")
	if p.w.Flush() != nil {
		p.quit = true
		return
	}
	tc := tls.Server(earlyConn{p.conn, io.MultiReader(early, p.conn)}, p.server.tls)
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

func (p *pop3Session) login(command, arg string) {
	if p.onTLS() && !p.client.TLS {
		p.client = p.client.WithTLS()
		p.client.Log(p.server.log, "session")
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

func (p *pop3Session) checkPassword(password string) {
	name := p.user
	p.user = ""
	switch err := p.server.guard.LogIn(p.client, func() bool { return p.server.mail.login(name, password) }); err {
	case nil:
		p.below.LoggedIn()
		p.loggedIn, p.messages = true, p.server.mail.messages()
		p.ok("%d messages", len(p.messages))
	case guard.ErrWrongPassword:
		p.err("[AUTH] wrong name or password") // RFC 3206
		p.wrong++
		p.quit = p.wrong >= pop3Tries
	default:
		p.err("[SYS/TEMP] too many logins: try later")
		p.quit = true
	}
}

// end is QUIT: after login it is the UPDATE state.
func (p *pop3Session) end() {
	if p.loggedIn {
		p.server.mail.remove(p.deleted)
	}
	p.quit = true
	p.ok("bye")
}

func (p *pop3Session) transaction(command, arg string) {
	switch command {
	case "STAT":
		n, size := 0, 0
		for _, m := range p.messages {
			if !p.deleted[m.id] {
				n, size = n+1, size+len(m.data)
			}
		}
		p.ok("%d %d", n, size)
	case "LIST":
		p.list(arg, func(m message) string { return strconv.Itoa(len(m.data)) })
	case "UIDL":
		p.list(arg, func(m message) string { return m.uid })
	case "RETR":
		if m := p.message(arg); m != nil {
			p.ok("%d octets", len(m.data))
			p.multi(string(m.data))
		}
	case "TOP":
		number, lines, _ := strings.Cut(arg, " ")
		n, err := strconv.ParseUint(lines, 10, 31)
		if err != nil {
			p.err("use TOP and two numbers: message, lines")
		} else if m := p.message(number); m != nil {
			p.ok("the top")
			p.multi(top(string(m.data), int(n)))
		}
	case "DELE":
		if m := p.message(arg); m != nil {
			p.deleted[m.id] = true
			p.ok("deleted at QUIT")
		}
	case "RSET":
		clear(p.deleted)
		p.ok("nothing is deleted")
	default:
		p.err("no such command: see CAPA")
	}
}

// message returns the one that arg numbers, or answers why not.
func (p *pop3Session) message(arg string) *message {
	n, err := strconv.ParseUint(arg, 10, 31)
	if err != nil || n < 1 || n > uint64(len(p.messages)) || p.deleted[p.messages[n-1].id] {
		p.err("no such message")
		return nil
	}
	return &p.messages[n-1]
}

func (p *pop3Session) list(arg string, what func(message) string) {
	if arg != "" {
		if m := p.message(arg); m != nil {
			p.ok("%s %s", arg, what(*m))
		}
		return
	}
	p.ok("the list")
	var b strings.Builder
	for i, m := range p.messages {
		if !p.deleted[m.id] {
			fmt.Fprintf(&b, "%d %s\n", i+1, what(m))
		}
	}
	p.multi(b.String())
}

// top returns the header of a message and n lines of its body.
func top(text string, n int) string {
	header, body, found := strings.Cut(text, "\r\n\r\n")
	if !found {
		return text
	}
	rest := body
	for ; n > 0 && rest != ""; n-- {
		_, rest, _ = strings.Cut(rest, "\n")
	}
	return header + "\r\n\r\n" + body[:len(body)-len(rest)]
}
