package pop3d

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"runtime/debug"
	"strings"
	"time"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/gate"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/mailauth"
)

const (
	lineLimit    = 255              // bytes of a command, RFC 2449 section 4
	authLimit    = 12288            // bytes of a line of AUTH; the limit of RFC 4954 section 4 for SMTP
	idleTimeout  = 10 * time.Minute // the minimum of RFC 1939 section 3
	loginTimeout = time.Minute      // idle time before the login
	writeTimeout = time.Minute
)

// A session is the session of a connection.
type session struct {
	server *Server
	login  mailauth.Conn
	conn   net.Conn
	r      *bufio.Reader
	w      *bufio.Writer
	wrong  int // number of wrong passwords

	user     string // the argument of USER
	loggedIn bool   // TRANSACTION state, as user
	messages []Message
	deleted  map[string]bool // the keys are UIDs
	quit     bool
}

func (s *Server) serve(c net.Conn) {
	cl := client.New(s.Listener, c)
	p := &session{server: s, login: mailauth.Conn{Checker: s.Login, Client: cl, Gate: gate.SessionOf(c)}, deleted: make(map[string]bool)}
	defer func() {
		if v := recover(); v != nil {
			s.ErrorLog.Printf("panic serving POP3: %v\n%s", v, debug.Stack())
		}
		p.conn.Close()
	}()
	p.setConn(c)
	cl.Log(s.Log, "session")
	p.ok("POP3 server ready")
	for !p.quit && p.w.Flush() == nil {
		line, err := p.readLine()
		if errors.Is(err, bufio.ErrBufferFull) || len(line) > lineLimit-2 && !isAuth(line) {
			p.err("line too long")
			p.w.Flush()
			return
		}
		if err != nil {
			return // section 6: without QUIT no message is deleted
		}
		p.handle(line)
	}
	p.w.Flush()
}

// setConn makes c the connection of the session.
func (p *session) setConn(c net.Conn) {
	p.conn = c
	p.r = bufio.NewReaderSize(c, authLimit)
	p.w = bufio.NewWriter(deadlineWriter{c})
}

// A deadlineWriter sets a deadline for every write. A client that reads slowly is served, and
// the session of a client that does not read ends.
type deadlineWriter struct{ net.Conn }

func (w deadlineWriter) Write(b []byte) (int, error) {
	if err := w.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return w.Conn.Write(b)
}

func (p *session) readLine() (string, error) {
	timeout := loginTimeout
	if p.loggedIn {
		timeout = idleTimeout
	}
	if err := p.conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return "", err
	}
	line, err := p.r.ReadSlice('\n')
	return strings.TrimRight(string(line), "\r\n"), err
}

func (p *session) ok(format string, args ...any) { fmt.Fprintf(p.w, "+OK "+format+"\r\n", args...) }
func (p *session) err(format string, args ...any) {
	fmt.Fprintf(p.w, "-ERR "+format+"\r\n", args...)
}

// multi writes a multi-line response after +OK, with dot stuffing and the final dot (RFC 1939
// section 3).
func (p *session) multi(text string) {
	if text == "" { // a DotWriter would write a blank line
		io.WriteString(p.w, ".\r\n")
		return
	}
	w := textproto.NewWriter(p.w).DotWriter()
	io.WriteString(w, text) // Flush returns the error
	w.Close()
}

func (p *session) handle(line string) {
	command, arg, _ := strings.Cut(line, " ")
	command = strings.ToUpper(command)
	switch {
	case command == "QUIT":
		p.end()
	case command == "CAPA":
		p.ok("capability list follows")
		p.multi(p.capabilities())
	case command == "NOOP" && p.loggedIn:
		p.ok("")
	case !p.loggedIn && command == "STLS" && p.server.TLS != nil && !p.onTLS():
		p.startTLS()
	case !p.loggedIn && (command == "USER" || command == "PASS"):
		p.userPass(command, arg)
	case !p.loggedIn && command == "AUTH":
		p.authenticate(arg)
	case p.loggedIn:
		p.transaction(command, arg)
	case isHTTP(line):
		p.err("this is not a web server")
		p.quit = true
	default:
		p.err("the command is not available in this state: log in first, or see CAPA")
	}
}

// isHTTP reports whether a line is the request line of HTTP (RFC 9112 section 3). A page of another
// site can make the browser of its visitor send a request to a port that browsers do not block. The
// lines of its body would be commands: wrong passwords, which ban the visitor.
func isHTTP(line string) bool {
	_, version, ok := strings.Cut(line, " HTTP/")
	return ok && !strings.Contains(version, " ")
}

// isAuth reports whether a line is AUTH, which may be longer than other commands: many clients send a
// token as the initial response.
func isAuth(line string) bool { return len(line) >= 5 && strings.EqualFold(line[:5], "AUTH ") }
