package pop3d

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/gate"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/mailauth"
)

const (
	testUser     = "demo@example.test"
	testPassword = "correct horse"
	testToken    = "dG9rZW4="
	testTimeout  = time.Minute // of steps that are fast unless they hang
)

// A fakeMailbox has the mail of testUser.
type fakeMailbox struct {
	err error // of Messages and Delete

	mu       sync.Mutex
	messages []Message
}

func (m *fakeMailbox) Messages(name string) ([]Message, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if name != testUser {
		panic("messages of " + name)
	}
	return slices.Clone(m.messages), m.err
}

func (m *fakeMailbox) Delete(name string, uids []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if name != testUser {
		panic("messages of " + name)
	}
	if m.err == nil {
		m.messages = slices.DeleteFunc(m.messages, func(msg Message) bool { return slices.Contains(uids, msg.UID) })
	}
	return m.err
}

// mailboxWith has messages with the UIDs START.1 and so on.
func mailboxWith(messages ...string) *fakeMailbox {
	m := new(fakeMailbox)
	for i, text := range messages {
		m.messages = append(m.messages, Message{UID: fmt.Sprintf("START.%d", i+1), Data: []byte(text)})
	}
	return m
}

// A testClient is the other end of a session.
type testClient struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

// serveTest serves POP3 on one end of a pipe, with passwords offered or not.
func serveTest(t *testing.T, mail Mailbox, offersLogin bool) *testClient {
	t.Helper()
	discard := slog.New(slog.DiscardHandler)
	s := &Server{
		Listener: client.Listener{Name: "pop3"},
		Mail:     mail,
		Login: &mailauth.Checker{
			Password: func(name, password string) bool { return name == testUser && password == testPassword },
			Token: func(_ context.Context, token string) (string, error) {
				switch token {
				case testToken:
					return testUser, nil
				case "unchecked":
					return "", discovery.ErrUnavailable
				}
				return "", mailauth.ErrToken
			},
			Scope: "mail", Configuration: func() string { return "https://id.example/c" },
			Guard: guard.New(guard.DefaultLimits, nil, discard), Log: discard, Limited: client.NewLimitedLog(discard),
		},
		InsecureAuth: offersLogin,
		Log:          discard,
		ErrorLog:     log.New(failingWriter{t}, "", 0),
	}
	here, there := net.Pipe()
	// proxyproto reports TLS for this connection, and the server reads plain text, as
	// behind a proxy that ends TLS.
	c := net.Conn(there)
	if offersLogin {
		c = readsPlainConn{tls.Server(there, &tls.Config{}), there}
	}
	s.running.Go(func() { s.serve(c) })
	t.Cleanup(func() {
		here.Close()
		s.running.Wait()
	})
	return &testClient{t, here, bufio.NewReader(here)}
}

func (c *testClient) send(format string, args ...any) {
	c.t.Helper()
	_, err := fmt.Fprintf(c.Conn, format+"\r\n", args...)
	require.NoError(c.t, err)
}

// line returns a line, which must end in CRLF.
func (c *testClient) line() string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	require.NoError(c.t, err, "after %q", line)
	text, ok := strings.CutSuffix(line, "\r\n")
	require.True(c.t, ok, "%q does not end in CRLF", line)
	return text
}

// end returns the bytes until the server closes the connection.
func (c *testClient) end() string {
	c.t.Helper()
	rest, err := io.ReadAll(c.r)
	require.NoError(c.t, err)
	return strings.TrimSpace(string(rest))
}

// logIn begins the TRANSACTION state.
func (c *testClient) logIn() {
	c.t.Helper()
	c.exchange(userCommand)
	c.send("PASS %s", testPassword)
	require.Regexp(c.t, `^\+OK \d messages$`, c.line())
}

// exchange sends each command and expects its answer, which has one line, or several lines if it
// ends in "\n.".
func (c *testClient) exchange(commands ...[2]string) {
	c.t.Helper()
	for _, command := range commands {
		c.send("%s", command[0])
		got := c.line()
		if strings.HasSuffix(command[1], "\n.") {
			for !strings.HasSuffix(got, "\n.") {
				got += "\n" + c.line()
			}
		}
		require.Equal(c.t, command[1], got, "after %q", command[0])
	}
}

// A readsPlainConn is TLS for proxyproto, and carries plain text.
type readsPlainConn struct {
	tls net.Conn
	net.Conn
}

func (c readsPlainConn) NetConn() net.Conn { return c.tls }

// A failingWriter is an error log that must remain empty.
type failingWriter struct{ t *testing.T }

func (w failingWriter) Write(b []byte) (int, error) {
	w.t.Errorf("logged: %s", b)
	return len(b), nil
}

var userCommand = [2]string{"USER " + testUser, "+OK send PASS"}

func TestSessions(t *testing.T) {
	const first = "Subject: one\r\n\r\nline 1\r\n.line 2\r\nline 3\r\n" // 41 octets
	const second = "Subject: two\r\n\r\n"                               // 16
	for _, test := range []struct {
		name     string
		messages []string
		commands [][2]string
	}{
		{name: "an empty mailbox", messages: nil, commands: [][2]string{
			{"STAT", "+OK 0 0"},
			{"LIST", "+OK the list\n."},
			{"UIDL", "+OK the list\n."},
			{"RETR 1", "-ERR no such message"},
		}},
		{name: "LIST, UIDL and STAT", messages: []string{first, second}, commands: [][2]string{
			{"STAT", "+OK 2 57"},
			{"LIST", "+OK the list\n1 41\n2 16\n."},
			{"list 2", "+OK 2 16"},
			{"UIDL", "+OK the list\n1 START.1\n2 START.2\n."},
			{"UIDL 2", "+OK 2 START.2"},
		}},
		{name: "RETR and TOP stuff dots", messages: []string{first, second}, commands: [][2]string{
			{"RETR 1", "+OK 41 octets\nSubject: one\n\nline 1\n..line 2\nline 3\n."},
			{"TOP 1 2", "+OK the top\nSubject: one\n\nline 1\n..line 2\n."},
			{"TOP 1 0", "+OK the top\nSubject: one\n\n."},
			{"TOP 1 99", "+OK the top\nSubject: one\n\nline 1\n..line 2\nline 3\n."},
			{"RETR 2", "+OK 16 octets\nSubject: two\n\n."},
		}},
		{name: "a message without a body, and one without lines", messages: []string{"Subject: x\r\n", ""}, commands: [][2]string{
			{"TOP 1 1", "+OK the top\nSubject: x\n."},
			{"RETR 2", "+OK 0 octets\n."},
			{"TOP 2 1", "+OK the top\n."},
		}},
		{name: "DELE and RSET", messages: []string{first, second}, commands: [][2]string{
			{"DELE 1", "+OK deleted at QUIT"},
			{"DELE 1", "-ERR no such message"},
			{"RETR 1", "-ERR no such message"},
			{"STAT", "+OK 1 16"},
			{"LIST", "+OK the list\n2 16\n."},
			{"RSET", "+OK nothing is deleted"},
			{"STAT", "+OK 2 57"},
		}},
		{name: "invalid numbers", messages: []string{first}, commands: [][2]string{
			{"RETR", "-ERR no such message"},
			{"RETR 0", "-ERR no such message"},
			{"RETR -1", "-ERR no such message"},
			{"RETR 2", "-ERR no such message"},
			{"DELE 99999999999999999999", "-ERR no such message"},
			{"TOP 1", "-ERR use TOP and two numbers: message, lines"},
			{"TOP 1 -1", "-ERR use TOP and two numbers: message, lines"},
			{"TOP 1 99999999999", "-ERR use TOP and two numbers: message, lines"},
		}},
		{name: "NOOP, and what is over after login", messages: nil, commands: [][2]string{
			{"NOOP", "+OK "},
			{"USER x", "-ERR no such command: see CAPA"},
			{"STLS", "-ERR no such command: see CAPA"},
			{"CAPA", "+OK capability list follows\nTOP\nUIDL\nRESP-CODES\nPIPELINING\nUSER\nSASL PLAIN LOGIN OAUTHBEARER XOAUTH2\n."},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serveTest(t, mailboxWith(test.messages...), true)
			require.Equal(t, "+OK POP3 server ready", s.line())
			s.logIn()
			s.exchange(test.commands...)
			s.exchange([2]string{"QUIT", "+OK bye"})
			require.Empty(t, s.end())
		})
	}
}

func TestDeleteAtQUIT(t *testing.T) {
	m := mailboxWith("one\r\n", "two\r\n", "three\r\n")
	for _, quits := range []bool{false, true} {
		s := serveTest(t, m, true)
		s.line()
		s.logIn()
		s.exchange([2]string{"DELE 2", "+OK deleted at QUIT"})
		require.Len(t, m.messages, 3)
		if !quits {
			s.Close()
			continue
		}
		m.mu.Lock()
		m.messages = append(m.messages, Message{UID: "START.4", Data: []byte("four\r\n")}) // during the session
		m.mu.Unlock()
		s.exchange([2]string{"STAT", "+OK 2 12"}, [2]string{"QUIT", "+OK bye"})
	}
	var left []string
	for _, msg := range m.messages {
		left = append(left, msg.UID)
	}
	require.Equal(t, []string{"START.1", "START.3", "START.4"}, left)
}

func TestAnErrorOfTheMailboxIsReported(t *testing.T) {
	const answer = "-ERR [SYS/TEMP] the mailbox is not available: try later"
	t.Run("at the login", func(t *testing.T) {
		m := mailboxWith()
		m.err = errors.New("the disk is broken")
		s := serveTest(t, m, true)
		s.line()
		s.exchange(userCommand, [2]string{"PASS " + testPassword, answer})
		require.Empty(t, s.end())
	})
	t.Run("at QUIT", func(t *testing.T) {
		m := mailboxWith("one\r\n")
		s := serveTest(t, m, true)
		s.line()
		s.logIn()
		s.exchange([2]string{"DELE 1", "+OK deleted at QUIT"})
		m.mu.Lock()
		m.err = errors.New("the disk is broken")
		m.mu.Unlock()
		s.exchange([2]string{"QUIT", answer})
		require.Empty(t, s.end())
		require.Len(t, m.messages, 1)
	})
}

func TestPlaintextLogin(t *testing.T) {
	s := serveTest(t, mailboxWith(), false)
	s.line()
	s.exchange(
		[2]string{"CAPA", "+OK capability list follows\nTOP\nUIDL\nRESP-CODES\nPIPELINING\n."},
		[2]string{"PASS " + testPassword, "-ERR [SYS/PERM] TLS is required"},
		[2]string{"STAT", "-ERR the command is not available in this state: log in first, or see CAPA"},
		[2]string{"USER whoami", "-ERR [SYS/PERM] TLS is required"})
}

// A client may send unknown commands, and a message that it deletes is removed by QUIT. Only wrong
// passwords end a session.
func TestOtherErrorsKeepSession(t *testing.T) {
	for _, test := range []struct {
		name, command, before, after string // the answers before and after the login
	}{
		{name: "a command that POP3 has", command: "APOP x y", before: "-ERR the command is not available in this state: log in first, or see CAPA", after: "-ERR no such command: see CAPA"},
		{name: "a command of another protocol", command: "EHLO x", before: "-ERR the command is not available in this state: log in first, or see CAPA", after: "-ERR no such command: see CAPA"},
		{name: "an empty line", command: "", before: "-ERR the command is not available in this state: log in first, or see CAPA", after: "-ERR no such command: see CAPA"},
		{name: "a password without a name", command: "PASS x", before: "-ERR send USER first", after: "-ERR no such command: see CAPA"},
		{name: "a message that does not exist", command: "RETR 9", before: "-ERR the command is not available in this state: log in first, or see CAPA", after: "-ERR no such message"},
		{name: "arguments that are not numbers", command: "TOP a b", before: "-ERR the command is not available in this state: log in first, or see CAPA", after: "-ERR use TOP and two numbers: message, lines"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := mailboxWith("one\r\n", "two\r\n")
			s := serveTest(t, m, true)
			s.line()
			for range 2 * gate.LoginTries {
				s.exchange([2]string{test.command, test.before})
			}
			s.logIn()
			s.exchange([2]string{"DELE 1", "+OK deleted at QUIT"})
			for range 2 * gate.LoginTries {
				s.exchange([2]string{test.command, test.after})
			}
			s.exchange([2]string{"QUIT", "+OK bye"})
			require.Empty(t, s.end())
			require.Len(t, m.messages, 1)
			require.Equal(t, "two\r\n", string(m.messages[0].Data))
		})
	}
}

func TestBodyOfHTTPRequestHasNoCommands(t *testing.T) {
	for _, request := range []string{"POST / HTTP/1.1", "GET /a?b HTTP/1.0", "PRI * HTTP/2.0"} {
		s := serveTest(t, mailboxWith(), true)
		s.line()
		go io.WriteString(s.Conn, request+"\r\nHost: mail.example\r\n\r\nUSER "+testUser+"\r\nPASS wrong\r\n") // a pipe holds nothing
		require.Equal(t, "-ERR this is not a web server", s.end(), request)
	}
	s := serveTest(t, mailboxWith(), true)
	s.line()
	s.exchange([2]string{"USER a HTTP/1.1", "+OK send PASS"}, userCommand, [2]string{"PASS wrong", "-ERR [AUTH] authentication failed"})
}

func TestWrongPasswordLimit(t *testing.T) {
	s := serveTest(t, mailboxWith(), true)
	s.line()
	for range 3 {
		s.exchange(userCommand, [2]string{"PASS wrong", "-ERR [AUTH] authentication failed"})
	}
	require.Empty(t, s.end())
}

func TestWrongPasswordForgetsUSER(t *testing.T) {
	s := serveTest(t, mailboxWith(), true)
	s.line()
	s.exchange(userCommand,
		[2]string{"PASS wrong", "-ERR [AUTH] authentication failed"},
		[2]string{"PASS " + testPassword, "-ERR send USER first"})
}

func TestALineThatIsTooLongIsRefused(t *testing.T) {
	for _, length := range []int{lineLimit - 2, lineLimit + 1} {
		s := serveTest(t, mailboxWith(), true)
		s.line()
		go io.WriteString(s.Conn, strings.Repeat("x", length)+"\r\n") // a pipe holds nothing
		if length < lineLimit {
			require.Regexp(t, "^-ERR the command is not available", s.line(), length)
			continue
		}
		require.Equal(t, "-ERR line too long", s.end())
	}
}

func TestSilentSessionTimeouts(t *testing.T) {
	for _, test := range []struct {
		login bool
		want  time.Duration
	}{{login: false, want: loginTimeout}, {login: true, want: idleTimeout}} {
		synctest.Test(t, func(t *testing.T) {
			s := serveTest(t, mailboxWith(), true)
			s.line()
			if test.login {
				s.logIn()
			}
			began := time.Now()
			require.Empty(t, s.end())
			require.Equal(t, test.want, time.Since(began))
		})
	}
}

func TestStalledReaderIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveTest(t, mailboxWith(strings.Repeat("x", 1<<20)), true)
		s.line()
		s.logIn()
		s.send("RETR 1")
		began := time.Now()
		_, err := s.Conn.Write([]byte("NOOP\r\n")) // it is not read before RETR has ended
		require.Error(t, err)
		require.Equal(t, writeTimeout, time.Since(began))
	})
}

// No input of a client reads mail without the password, and none makes the server panic or hang.
func FuzzNoMailIsShownWithoutThePassword(f *testing.F) {
	f.Add(false, []byte("CAPA\r\nUSER demo@example.test\r\nPASS x\r\nRETR 1\r\n"))
	f.Add(true, []byte("USER demo@example.test\r\nPASS x\r\nLIST\r\nTOP 1 1\r\nQUIT\r\n"))
	f.Add(true, []byte("AUTH PLAIN\r\n*\r\nAUTH LOGIN =\r\n=\r\nSTAT\r\n"))
	f.Add(true, []byte("AUTH OAUTHBEARER bixhPWRlbW8sAWF1dGg9QmVhcmVyIHgBAQ==\r\nAQ==\r\nRETR 1\r\n"))
	f.Add(true, []byte("AUTH XOAUTH2 dXNlcj1kZW1vAWF1dGg9QmVhcmVyIHgBAQ==\r\n\r\nRETR 1\r\n"))
	f.Add(true, []byte("USER whoami\r\nSTLS\r\n\x16\x03\x01"))
	f.Add(false, bytes.Repeat([]byte("A"), 300))
	f.Fuzz(func(t *testing.T, offersLogin bool, input []byte) {
		for _, secret := range []string{testPassword, testToken} {
			encoded := base64.StdEncoding.EncodeToString([]byte(secret))
			if bytes.Contains(input, []byte(secret)) || bytes.Contains(input, []byte(strings.TrimRight(encoded, "="))) {
				t.Skip("it has the password or the token")
			}
		}
		s := serveTest(t, mailboxWith("Subject: secret letter\r\n\r\n"), offersLogin)
		s.SetDeadline(time.Now().Add(testTimeout))
		go func() {
			s.Conn.Write(input)
			s.Conn.Write([]byte("\r\n*\r\nQUIT\r\n")) // the asterisk ends an AUTH
		}()
		said, err := io.ReadAll(bufio.NewReader(s.Conn))
		require.NoError(t, err)
		require.NotContains(t, string(said), "secret")
		require.True(t, strings.HasPrefix(string(said), "+OK POP3 server ready\r\n"))
		require.True(t, strings.HasSuffix(string(said), "\r\n"))
	})
}
