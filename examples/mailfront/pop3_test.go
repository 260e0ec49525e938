package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"log"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
)

// pop3Over serves POP3 on one end of a pipe, with passwords offered or not.
func pop3Over(t *testing.T, mail *mailbox, offersLogin bool) *script {
	t.Helper()
	s := &pop3Server{
		listener:  "pop3",
		mail:      mail,
		guard:     guard.New(guard.DefaultLimits, nil, slog.New(slog.DiscardHandler)),
		plainAuth: offersLogin,
		log:       slog.New(slog.DiscardHandler),
		errorLog:  log.New(failingWriter{t}, "", 0),
	}
	here, there := net.Pipe()
	// On a connection that is TLS to proxyproto: that of no Listener, with a
	// *tls.Conn on top. The server sees none, as behind a proxy that ends TLS.
	c := net.Conn(there)
	if offersLogin {
		c = readsPlainConn{tls.Server(there, &tls.Config{}), there}
	}
	s.running.Go(func() { s.serve(c) })
	t.Cleanup(func() {
		here.Close()
		s.running.Wait()
	})
	return newScript(t, here)
}

// A readsPlainConn is TLS to proxyproto, and speaks plainly.
type readsPlainConn struct {
	tls net.Conn
	net.Conn
}

func (c readsPlainConn) NetConn() net.Conn { return c.tls }

// A failingWriter is an error log that nothing may be written to.
type failingWriter struct{ t *testing.T }

func (w failingWriter) Write(b []byte) (int, error) {
	w.t.Errorf("logged: %s", b)
	return len(b), nil
}

func mailboxWith(t testing.TB, messages ...string) *mailbox {
	m := newMailbox(testAccount, testPassword)
	m.start = "START"
	for _, text := range messages {
		require.NoError(t, m.deliver([]byte(text)))
	}
	return m
}

// exchange sends each command and expects its answer: one line, or when it ends
// in "\n." all of them.
func exchange(t *testing.T, s *script, commands ...[2]string) {
	t.Helper()
	for _, c := range commands {
		s.send("%s\r\n", c[0])
		got := ""
		if strings.HasSuffix(c[1], "\n.") {
			got = s.untilDot()
		} else {
			got = s.line()
		}
		require.Equal(t, c[1], got, "after %q", c[0])
	}
}

var pop3User = [2]string{"USER " + testAccount, "+OK and the password?"}

func TestPOP3(t *testing.T) {
	const first = "Subject: one\r\n\r\nline 1\r\n.line 2\r\nline 3\r\n" // 41 octets
	const second = "Subject: two\r\n\r\n"                               // 16
	tests := []struct {
		name     string
		messages []string
		commands [][2]string
	}{
		{"an empty mailbox", nil, [][2]string{
			{"STAT", "+OK 0 0"},
			{"LIST", "+OK the list\n."},
			{"UIDL", "+OK the list\n."},
			{"RETR 1", "-ERR no such message"},
		}},
		{"LIST, UIDL and STAT", []string{first, second}, [][2]string{
			{"STAT", "+OK 2 57"},
			{"LIST", "+OK the list\n1 41\n2 16\n."},
			{"list 2", "+OK 2 16"},
			{"UIDL", "+OK the list\n1 START.1\n2 START.2\n."},
			{"UIDL 2", "+OK 2 START.2"},
		}},
		{"RETR and TOP stuff dots", []string{first, second}, [][2]string{
			{"RETR 1", "+OK 41 octets\nSubject: one\n\nline 1\n..line 2\nline 3\n."},
			{"TOP 1 2", "+OK the top\nSubject: one\n\nline 1\n..line 2\n."},
			{"TOP 1 0", "+OK the top\nSubject: one\n\n."},
			{"TOP 1 99", "+OK the top\nSubject: one\n\nline 1\n..line 2\nline 3\n."},
			{"RETR 2", "+OK 16 octets\nSubject: two\n\n."},
		}},
		{"a message without a body, and one without lines", []string{"Subject: x", ""}, [][2]string{
			{"TOP 1 1", "+OK the top\nSubject: x\n."},
			{"RETR 2", "+OK 0 octets\n."},
			{"TOP 2 1", "+OK the top\n."},
		}},
		{"bare line feeds become CRLF", []string{"a: b\n\nc\nd"}, [][2]string{
			{"RETR 1", "+OK 14 octets\na: b\n\nc\nd\n."},
		}},
		{"DELE and RSET", []string{first, second}, [][2]string{
			{"DELE 1", "+OK deleted at QUIT"},
			{"DELE 1", "-ERR no such message"},
			{"RETR 1", "-ERR no such message"},
			{"STAT", "+OK 1 16"},
			{"LIST", "+OK the list\n2 16\n."},
			{"RSET", "+OK nothing is deleted"},
			{"STAT", "+OK 2 57"},
		}},
		{"numbers that are none", []string{first}, [][2]string{
			{"RETR", "-ERR no such message"},
			{"RETR 0", "-ERR no such message"},
			{"RETR -1", "-ERR no such message"},
			{"RETR 2", "-ERR no such message"},
			{"DELE 99999999999999999999", "-ERR no such message"},
			{"TOP 1", "-ERR use TOP and two numbers: message, lines"},
			{"TOP 1 -1", "-ERR use TOP and two numbers: message, lines"},
			{"TOP 1 99999999999", "-ERR use TOP and two numbers: message, lines"},
		}},
		{"NOOP, and what is over after login", nil, [][2]string{
			{"NOOP", "+OK "},
			{"USER x", "-ERR no such command: see CAPA"},
			{"STLS", "-ERR no such command: see CAPA"},
			{"CAPA", "+OK what I can do\nTOP\nUIDL\nRESP-CODES\nPIPELINING\nUSER\n."},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := pop3Over(t, mailboxWith(t, test.messages...), true)
			require.Equal(t, "+OK POP3 server ready", s.line())
			exchange(t, s, pop3User)
			s.send("PASS %s\r\n", testPassword)
			require.Regexp(t, `^\+OK \d messages$`, s.line())
			exchange(t, s, test.commands...)
			exchange(t, s, [2]string{"QUIT", "+OK bye"})
			require.Empty(t, s.end())
		})
	}
}

func TestPOP3DeletesAtQUITAndOnlyThen(t *testing.T) {
	m := mailboxWith(t, "one", "two", "three")
	for _, quits := range []bool{false, true} {
		s := pop3Over(t, m, true)
		s.line()
		logins["pop3"](s)
		exchange(t, s, [2]string{"DELE 2", "+OK deleted at QUIT"})
		require.Len(t, m.messages(), 3)
		if quits {
			require.NoError(t, m.deliver([]byte("four"))) // behind the session's back
			exchange(t, s, [2]string{"STAT", "+OK 2 12"}, [2]string{"QUIT", "+OK bye"})
		} else {
			s.Close()
		}
	}
	var left []string
	for _, msg := range m.messages() {
		left = append(left, string(msg.data))
	}
	require.Equal(t, []string{"one\r\n", "three\r\n", "four\r\n"}, left)
	require.Equal(t, []uint64{1, 3, 4}, []uint64{m.messages()[0].id, m.messages()[1].id, m.messages()[2].id})
}

func TestPOP3TakesNoPasswordInPlainText(t *testing.T) {
	s := pop3Over(t, mailboxWith(t), false)
	s.line()
	exchange(t, s,
		[2]string{"CAPA", "+OK what I can do\nTOP\nUIDL\nRESP-CODES\nPIPELINING\n."},
		[2]string{"PASS " + testPassword, "-ERR [SYS/PERM] no passwords on a connection that is not encrypted"},
		[2]string{"STAT", "-ERR not now: log in first, or see CAPA"},
		[2]string{"USER whoami", "-ERR [SYS/PERM] no passwords on a connection that is not encrypted"})
}

// A client may try commands that this server does not have, and what it deleted is gone
// after its QUIT. Only wrong passwords end a session.
func TestPOP3ErrorsOtherThanWrongPasswordsEndNoSession(t *testing.T) {
	for _, test := range []struct {
		name, command, before, after string // the answers before and after the login
	}{
		{name: "a command that POP3 has", command: "APOP x y", before: "-ERR not now: log in first, or see CAPA", after: "-ERR no such command: see CAPA"},
		{name: "a command of another protocol", command: "EHLO x", before: "-ERR not now: log in first, or see CAPA", after: "-ERR no such command: see CAPA"},
		{name: "an empty line", command: "", before: "-ERR not now: log in first, or see CAPA", after: "-ERR no such command: see CAPA"},
		{name: "a password without a name", command: "PASS x", before: "-ERR USER comes first", after: "-ERR no such command: see CAPA"},
		{name: "a message that does not exist", command: "RETR 9", before: "-ERR not now: log in first, or see CAPA", after: "-ERR no such message"},
		{name: "arguments that are no numbers", command: "TOP a b", before: "-ERR not now: log in first, or see CAPA", after: "-ERR use TOP and two numbers: message, lines"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := mailboxWith(t, "one", "two")
			s := pop3Over(t, m, true)
			s.line()
			for range 2 * pop3Tries {
				exchange(t, s, [2]string{test.command, test.before})
			}
			require.Regexp(t, loggedIn["pop3"], logins["pop3"](s))
			exchange(t, s, [2]string{"DELE 1", "+OK deleted at QUIT"})
			for range 2 * pop3Tries {
				exchange(t, s, [2]string{test.command, test.after})
			}
			exchange(t, s, [2]string{"QUIT", "+OK bye"})
			require.Empty(t, s.end())
			require.Len(t, m.messages(), 1)
			require.Equal(t, "two\r\n", string(m.messages()[0].data))
		})
	}
}

func TestPOP3EndsAfterThreeWrongPasswords(t *testing.T) {
	s := pop3Over(t, mailboxWith(t), true)
	s.line()
	for range 3 {
		exchange(t, s, pop3User, [2]string{"PASS wrong", "-ERR [AUTH] wrong name or password"})
	}
	require.Empty(t, s.end())
}

func TestPOP3ForgetsUSERAfterAWrongPassword(t *testing.T) {
	s := pop3Over(t, mailboxWith(t), true)
	s.line()
	exchange(t, s, pop3User,
		[2]string{"PASS wrong", "-ERR [AUTH] wrong name or password"},
		[2]string{"PASS " + testPassword, "-ERR USER comes first"})
}

func TestPOP3RefusesALineThatIsTooLong(t *testing.T) {
	for _, length := range []int{pop3LineLimit - 2, pop3LineLimit + 1} {
		s := pop3Over(t, mailboxWith(t), true)
		s.line()
		go io.WriteString(s.Conn, strings.Repeat("x", length)+"\r\n") // a pipe holds nothing
		if length < pop3LineLimit {
			require.Regexp(t, "^-ERR not now", s.line(), length)
			continue
		}
		require.Equal(t, "-ERR line too long", s.end())
	}
}

func TestPOP3EndsASilentSessionOneMinuteBeforeLoginAndTenAfter(t *testing.T) {
	for _, test := range []struct {
		login bool
		want  time.Duration
	}{{false, pop3LoginTimeout}, {true, pop3IdleTimeout}} {
		synctest.Test(t, func(t *testing.T) {
			s := pop3Over(t, mailboxWith(t), true)
			s.line()
			if test.login {
				require.Regexp(t, loggedIn["pop3"], logins["pop3"](s))
			}
			began := time.Now()
			require.Empty(t, s.end())
			require.Equal(t, test.want, time.Since(began))
		})
	}
}

func TestPOP3EndsAClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pop3Over(t, mailboxWith(t, strings.Repeat("x", 1<<20)), true)
		s.line()
		logins["pop3"](s)
		s.send("RETR 1\r\n")
		began := time.Now()
		_, err := s.Conn.Write([]byte("NOOP\r\n")) // nobody reads it before RETR is through
		require.Error(t, err)
		require.Equal(t, pop3WriteTimeout, time.Since(began))
	})
}

// Whatever a client sends, it reads no mail without the password, and the server
// neither panics nor hangs.
func FuzzPOP3ShowsNoMailWithoutThePassword(f *testing.F) {
	f.Add(false, []byte("CAPA\r\nUSER demo@example.test\r\nPASS x\r\nRETR 1\r\n"))
	f.Add(true, []byte("USER demo@example.test\r\nPASS x\r\nLIST\r\nTOP 1 1\r\nQUIT\r\n"))
	f.Add(true, []byte("USER whoami\r\nSTLS\r\n\x16\x03\x01"))
	f.Add(false, bytes.Repeat([]byte("A"), 300))
	f.Fuzz(func(t *testing.T, offersLogin bool, input []byte) {
		if bytes.Contains(input, []byte(testPassword)) {
			t.Skip("it has the password")
		}
		s := pop3Over(t, mailboxWith(t, "Subject: secret letter\r\n\r\n"), offersLogin)
		s.SetDeadline(time.Now().Add(testTimeout))
		go func() {
			s.Conn.Write(input)
			s.Conn.Write([]byte("\r\nQUIT\r\n"))
		}()
		said, err := io.ReadAll(bufio.NewReader(s.Conn))
		require.NoError(t, err)
		require.NotContains(t, string(said), "secret")
		require.True(t, strings.HasPrefix(string(said), "+OK POP3 server ready\r\n"))
		require.True(t, strings.HasSuffix(string(said), "\r\n"))
	})
}
