package main

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/gate"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/msgauth"
	"github.com/seed-94e48765/portico/proxyproto"
)

// A fakeListener returns the connections of conns, and then err.
type fakeListener struct {
	conns  chan net.Conn
	err    error
	once   sync.Once
	closed chan struct{}
}

func newFakeListener() *fakeListener {
	return &fakeListener{conns: make(chan net.Conn), err: net.ErrClosed, closed: make(chan struct{})}
}

func (l *fakeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, l.err
	}
}

func (l *fakeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *fakeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 25} }

// A readsPlainConn is TLS for proxyproto, and carries plain text.
type readsPlainConn struct {
	tls net.Conn
	net.Conn
}

func (c readsPlainConn) NetConn() net.Conn { return c.tls }

// overPipe serves a listener's protocol on one end of a pipe, as receive and serve
// would, with passwords offered. Use it inside a synctest bubble.
func overPipe(t *testing.T, listener string) (*script, *frontend, *logBuffer) {
	t.Helper()
	cfg, err := parseConfig(nil, lookup(map[string]string{"MAILFRONT_DEMO_PASSWORD": testPassword}), io.Discard)
	require.NoError(t, err)
	b := newLogBuffer()
	log := newLogger(b, slog.LevelDebug)
	f := &frontend{
		cfg: cfg, log: log, ctx: context.Background(), mail: newMailbox(testAccount, testPassword),
		guard: guard.New(guard.DefaultLimits, nil, log), auth: &msgauth.Checker{DNS: txtDNS{}}, limited: client.NewLimitedLog(log),
	}
	f.login = f.newLogin(nil)
	r := &gate.Receiver{Context: f.ctx, Listener: f.cfg.listener(listener), Patience: patienceOf(listener), Sessions: gate.NewSessions(), Guard: f.guard, Log: log}
	here, there := net.Pipe()
	c, _ := r.Receive(there)
	l := newFakeListener()
	var newServer = map[string]func(*frontend, string, gate.Offer) server{
		"smtp": newSMTPServer, "submission": newSMTPServer, "imap": newIMAPServer, "pop3": newPOP3Server,
	}[listener]
	s := newServer(f, listener, gate.Login)
	served := make(chan struct{})
	go func() { s.Serve(l); close(served) }()
	l.conns <- readsPlainConn{tls.Server(c, &tls.Config{}), c}
	t.Cleanup(func() {
		here.Close()
		synctest.Wait()
		l.Close()
		<-served
		require.NoError(t, s.Shutdown(context.Background()))
		require.Zero(t, f.guard.Counts().Connections, "it was released")
	})
	return newScript(t, here), f, b
}

// ask sends commands without effect, by listener, and reads their answers.
var ask = map[string]func(*script) error{
	"smtp":       func(s *script) error { return s.ask("NOOP\r\n", "250 ") },
	"submission": func(s *script) error { return s.ask("NOOP\r\n", "250 ") },
	"imap":       func(s *script) error { return s.ask("x NOOP\r\n", "x ") },
	"pop3":       func(s *script) error { return s.ask("CAPA\r\n", ".") },
}

func (s *script) ask(command, last string) error {
	if _, err := io.WriteString(s.Conn, command); err != nil {
		return err
	}
	for {
		line, err := s.r.ReadString('\n')
		if err != nil || strings.HasPrefix(line, last) {
			return err
		}
	}
}

func TestIdleCommandsDoNotKeepSession(t *testing.T) {
	for _, test := range []struct {
		listener string
		login    bool
		want     time.Duration // 0: it stays
	}{
		{listener: "smtp", login: false, want: mailPatience},
		{listener: "submission", login: false, want: loginPatience},
		{listener: "imap", login: false, want: loginPatience},
		{listener: "pop3", login: false, want: loginPatience},
		{listener: "smtp", login: true, want: 0},
		{listener: "submission", login: true, want: 0},
		{listener: "imap", login: true, want: 0},
		{listener: "pop3", login: true, want: 0},
	} {
		t.Run(test.listener, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _, log := overPipe(t, test.listener)
				began := time.Now()
				s.line()
				protocol := test.listener
				if protocol == "smtp" || protocol == "submission" {
					s.smtp("EHLO client.example")
					protocol = "smtp"
				}
				if test.login {
					require.Regexp(t, loggedIn[protocol], logins[protocol](s))
				}
				var err error
				for err == nil && time.Since(began) < 24*time.Hour {
					time.Sleep(29 * time.Second)
					err = ask[test.listener](s)
				}
				if test.want == 0 {
					require.NoError(t, err)
					require.NotContains(t, log.String(), "event=out_of_patience")
					return
				}
				require.Error(t, err)
				require.WithinDuration(t, began.Add(test.want), time.Now(), 29*time.Second)
				require.Contains(t, log.String(), "event=out_of_patience")
			})
		})
	}
}

func TestAServerThatBringsMailMayStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f, _ := overPipe(t, "smtp")
		s.line()
		s.smtp("EHLO client.example")
		for range 20 {
			time.Sleep(4 * time.Minute)
			for range 6 {
				require.NoError(t, ask["smtp"](s))
				time.Sleep(4 * time.Minute)
			}
			s.smtp("MAIL FROM:<a@elsewhere.test>")
			s.smtp("RCPT TO:<demo@example.test>")
			s.smtp("DATA")
			require.Regexp(t, "^250 ", s.smtp("hello\r\n."))
		}
		require.Len(t, f.mail.messages(), 20)
	})
}

func TestMessageLimit(t *testing.T) {
	f := startLimited(t, nil, func(l *guard.Limits) { l.Rates[guard.Sending] = guard.Rate{Burst: 3, Every: time.Hour} })
	s := ehlo(t, f.proxiedBy(proxyIP, "smtp", header(nil)))
	for range 3 {
		require.Regexp(t, "^250 ", s.smtp("MAIL FROM:<a@elsewhere.test>"))
		s.smtp("RSET")
	}
	require.Regexp(t, "^450 4.7.1 ", s.smtp("MAIL FROM:<a@elsewhere.test>"))
	s = ehlo(t, f.proxiedBy(proxyIP, "submission", header(nil)))
	require.Regexp(t, "^450 4.7.1 ", s.smtp("MAIL FROM:<a@elsewhere.test>"), "on another listener, too")
	other := header(nil)
	other.Source = &net.TCPAddr{IP: net.ParseIP("192.0.2.8"), Port: 1}
	require.Regexp(t, "^250 ", ehlo(t, f.proxiedBy(proxyIP, "smtp", other)).smtp("MAIL FROM:<a@elsewhere.test>"))
}

// A client may send its passwords without waiting for the answers.
func TestPipelinedPasswordsAfterTheLastTry(t *testing.T) {
	for listener, guess := range map[string]string{
		"submission": "AUTH PLAIN " + saslPlain(testAccount, "wrong") + "\r\n",
		"imap":       "a LOGIN " + testAccount + " wrong\r\n",
		"pop3":       "USER " + testAccount + "\r\nPASS wrong\r\n",
	} {
		for name, connect := range map[string]func(*running) net.Conn{
			"TLS here":     func(r *running) net.Conn { return onTLS(t, r.proxied(listener+"s", header(nil))) },
			"TLS in proxy": func(r *running) net.Conn { return r.proxied(listener, header(&proxyproto.TLS{Client: true})) },
		} {
			t.Run(listener+"/"+name, func(t *testing.T) {
				r := runMailfront(t, nil)
				s := newScript(t, connect(r))
				greet(s, listener)
				s.send("%s", strings.Repeat(guess, 9))
				s.end()
				require.NoError(t, r.stop()) // the session has ended
				require.Equal(t, gate.LoginTries, r.logged("event=login_failed"))
			})
		}
	}
}
