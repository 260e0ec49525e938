package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

// ehlo begins a session of SMTP.
func ehlo(t *testing.T, c net.Conn) *script {
	t.Helper()
	s := newScript(t, c)
	s.until("220 ")
	require.Contains(t, s.smtp("EHLO client.example"), "250-Hello client.example")
	return s
}

func TestNoOpenRelayByLOCALHeader(t *testing.T) {
	r := runMailfront(t, map[string]string{"MAILFRONT_RELAY_LOOPBACK": "true"})
	for _, listener := range []string{"smtp", "smtps", "submission", "submissions"} {
		for name, h := range map[string]proxyproto.Header{
			"LOCAL":                 {Local: true},
			"UNKNOWN":               {Version: 1},
			"LOCAL with an address": {Local: true, Source: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, Destination: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}},
			"an unspecified source": {Source: &net.TCPAddr{IP: net.IPv4zero}, Destination: &net.TCPAddr{IP: net.IPv4zero}},
		} {
			t.Run(listener+"/"+name, func(t *testing.T) {
				c := r.proxied(listener, h)
				if strings.HasSuffix(listener, "s") {
					c = onTLS(t, c)
				}
				s := ehlo(t, c)
				require.Regexp(t, "^250 ", s.smtp("MAIL FROM:<a@elsewhere.test>"))
				require.Regexp(t, "^5[35]0 5.7", s.smtp("RCPT TO:<b@elsewhere.test>"))
				require.Regexp(t, "^502 ", s.smtp("DATA"), "there is no recipient")
				require.Contains(t, s.smtp("RCPT TO:<whoami@example.test>"), `"client_known":false`)
			})
		}
	}
}

func TestSubmissionRequiresLogin(t *testing.T) {
	r := runMailfront(t, map[string]string{"MAILFRONT_DOMAINS": "one.test,two.test"})
	s := ehlo(t, r.proxied("submission", header(nil)))
	s.smtp("MAIL FROM:<a@elsewhere.test>")
	require.Regexp(t, "^530 ", s.smtp("RCPT TO:<x@one.test>"))

	s = ehlo(t, r.proxied("smtp", header(nil)))
	s.smtp("MAIL FROM:<>")
	for _, to := range []string{"x@one.test", "y@TWO.test", "postmaster@two.test"} {
		require.Regexp(t, "^250 ", s.smtp("RCPT TO:<%s>", to))
	}
	require.Regexp(t, "^550 ", s.smtp("RCPT TO:<x@three.test>"))
}

func TestAWrongPasswordIsRefused(t *testing.T) {
	r := runMailfront(t, nil)
	for _, credentials := range []string{
		saslPlain(testAccount, "wrong"), saslPlain(testAccount, ""), saslPlain("demo", testPassword), saslPlain("", ""),
		base64.StdEncoding.EncodeToString([]byte("other\x00" + testAccount + "\x00" + testPassword)),
	} {
		s := ehlo(t, onTLS(t, r.direct("submissions")))
		require.Regexp(t, "^535 ", s.smtp("AUTH PLAIN %s", credentials))
		require.Regexp(t, "^504 ", s.smtp("AUTH CRAM-MD5"))
	}
}

func TestReceivedMailInIMAPAndPOP3(t *testing.T) {
	r := runMailfront(t, nil)
	s := ehlo(t, r.direct("smtp"))
	s.smtp("MAIL FROM:<a@elsewhere.test>")
	s.smtp("RCPT TO:<anyone@example.test>")
	require.Regexp(t, "^354 ", s.smtp("DATA"))
	require.Regexp(t, "^250 ", s.smtp("Subject: a greeting\r\n\r\nhello\r\n..dots\r\n."))

	i := newScript(t, onTLS(t, r.direct("imaps")))
	i.line()
	require.Regexp(t, "^i OK", logins["imap"](i))
	i.send("s SELECT INBOX\r\n")
	require.Contains(t, i.until("s "), "* 1 EXISTS")
	i.send("f FETCH 1 BODY[]\r\n")
	require.Contains(t, i.until("f "), "\nSubject: a greeting\n\nhello\n.dots\n")

	p := newScript(t, onTLS(t, r.direct("pop3s")))
	p.line()
	require.Regexp(t, `^\+OK`, logins["pop3"](p))
	p.send("RETR 1\r\n")
	message := p.untilDot()
	require.Regexp(t, `^\+OK \d+ octets\nAuthentication-Results: example.test;\n`, message)
	require.True(t, strings.HasSuffix(message, "\nSubject: a greeting\n\nhello\n..dots\n."), message)
}

func TestRemoteMailIsNotSent(t *testing.T) {
	cfg, err := parseConfig(nil, lookup(map[string]string{"MAILFRONT_DEMO_PASSWORD": testPassword, "MAILFRONT_RELAY_LOOPBACK": "true"}), io.Discard)
	require.NoError(t, err)
	f, err := start(cfg, newLogger(newLogBuffer(), cfg.logLevel))
	require.NoError(t, err)
	c, err := net.Dial("tcp", f.address("submission"))
	require.NoError(t, err)
	s := ehlo(t, c)
	for _, to := range []string{"x@one.test", "y@two.test"} {
		s.smtp("MAIL FROM:<a@example.test>")
		s.smtp("RCPT TO:<%s>", to)
		s.smtp("RCPT TO:<reset@one.test>")
		s.smtp("RSET")
		s.smtp("MAIL FROM:<a@example.test>")
		s.smtp("RCPT TO:<%s>", to)
		s.smtp("DATA")
		require.Regexp(t, "^250 ", s.smtp("hello\r\n."))
	}
	s.smtp("QUIT")
	require.NoError(t, f.shutdown(testTimeout))
	var got [][]string
	for _, e := range f.mail.outbox() {
		got = append(got, append([]string{e.From}, e.To...))
	}
	require.Equal(t, [][]string{{"a@example.test", "x@one.test"}, {"a@example.test", "y@two.test"}}, got)
	require.Empty(t, f.mail.messages())
}

func TestMailboxIsBounded(t *testing.T) {
	m := newMailbox(testAccount, testPassword)
	for i := range maxOutbox + 5 {
		m.relay(envelope{Size: i})
	}
	require.Len(t, m.outbox(), maxOutbox)
	require.Equal(t, 5, m.outbox()[0].Size, "the oldest go first")

	for range maxInboxCount {
		require.NoError(t, m.deliver([]byte("x")))
	}
	require.ErrorIs(t, m.deliver([]byte("x")), errMailboxFull)
	require.Len(t, m.messages(), maxInboxCount)

	m = newMailbox(testAccount, testPassword)
	m.maxSize = 10
	require.NoError(t, m.deliver([]byte("12345678"))) // and CRLF
	require.ErrorIs(t, m.deliver(nil), nil)
	require.ErrorIs(t, m.deliver([]byte("1")), errMailboxFull)
	require.NoError(t, m.imap.Delete("INBOX"))
	require.NoError(t, m.imap.Create("INBOX", nil))
	require.NoError(t, m.deliver([]byte("1")))
	require.Equal(t, "1\r\n", string(m.messages()[len(m.messages())-1].Data), "POP3 forgets the oldest instead")
	require.Len(t, m.messages(), 2)
}

func TestSMTPSessionLogLines(t *testing.T) {
	r := runMailfront(t, nil)
	s := newScript(t, r.proxied("smtp", header(&proxyproto.TLS{})))
	s.until("220 ")
	line := "proto=smtp event=session client_ip=" + clientIP
	require.Zero(t, r.logged(line), "before EHLO")
	s.smtp("EHLO a.example")
	s.smtp("EHLO a.example")
	s.smtp("MAIL FROM:<>")
	require.Contains(t, s.smtp("RCPT TO:<WhoAmI@anything.test>"), `550 5.7.1 {"client_ip":"192.0.2.7","tls":false,`)
	require.Equal(t, 1, r.logged(line))
	require.Equal(t, 1, r.logged(line, "tls=false"))
	s.smtp("STARTTLS")
	s = s.startTLS()
	require.Equal(t, 1, r.logged(line), "after STARTTLS, before EHLO")
	s.smtp("EHLO a.example")
	s.smtp("EHLO a.example")
	s.smtp("MAIL FROM:<>")
	require.Contains(t, s.smtp("RCPT TO:<whoami@example.test>"), `550 5.7.1 {"client_ip":"192.0.2.7","tls":true,`)
	require.Equal(t, 2, r.logged(line))
	require.Equal(t, 1, r.logged(line, "tls=true"))
	require.Equal(t, 1, r.logged("proto=smtp event=accept client_ip="+clientIP))
}

func TestWhoamiFitsSMTPLine(t *testing.T) {
	r := runMailfront(t, nil)
	h := header(&proxyproto.TLS{Client: true, CommonName: strings.Repeat("n", 300)})
	h.Source = &net.TCPAddr{IP: net.ParseIP("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"), Port: 1}
	h.Destination = &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 25}
	h.ServerName = strings.Repeat("s", 255)
	s := ehlo(t, r.proxied("submission", h))
	s.smtp("MAIL FROM:<>")
	answer := s.smtp("RCPT TO:<whoami@example.test>")
	require.Contains(t, answer, `{"client_ip":"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff","tls":true,`)
	require.Less(t, len(answer), 510) // RFC 5321 section 4.5.3.1.5, less CRLF
}

// Bytes that arrive together with STARTTLS are plain text, which an attacker could have inserted.
// They are not executed inside TLS (RFC 3207 section 4.2).
func TestPlaintextAfterSTARTTLSIsDiscarded(t *testing.T) {
	needDirect(t)
	r := runMailfront(t, nil)
	t.Run("smtp", func(t *testing.T) {
		s := ehlo(t, r.direct("smtp"))
		require.Regexp(t, "^220 ", s.smtp("STARTTLS\r\nEHLO evil.example\r\nNOOP"))
		s = s.startTLS() // go-smtp discards the bytes that it has read
		require.Contains(t, s.smtp("EHLO good.example"), "250-Hello good.example")
	})
	for listener, commands := range map[string]string{
		"imap": "s STARTTLS\r\nx CAPABILITY\r\nx NOOP\r\n",
		"pop3": "STLS\r\nCAPA\r\nUSER evil\r\n",
	} {
		t.Run(listener, func(t *testing.T) {
			s := newScript(t, r.direct(listener))
			s.line()
			s.send("%s", commands)
			require.Regexp(t, `^(s OK|\+OK) `, s.line())
			// The handshake reads the bytes and fails with an alert.
			rest := s.end()
			require.NotContains(t, rest, "OK")
			require.NotContains(t, rest, "CAPABILITY")
			require.Zero(t, r.logged(fmt.Sprintf("proto=%s event=session", listener), "tls=true"))
		})
	}
}

// outbox returns the last envelopes that relay received.
func (m *mailbox) outbox() []envelope {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.sent)
}

func TestMalformedMessageIsRefused(t *testing.T) {
	f := startWith(t, nil, nil)
	for name, c := range map[string]struct{ message, want string }{
		"begins with a blank": {message: " (authenticated as ceo@example.test)\r\nSubject: x\r\n\r\n.", want: "^550 5.6.0 "},
		"begins with a tab":   {message: "\t; Thu, 01 Jan 1970\r\n\r\n.", want: "^550 5.6.0 "},
		"has a bare CR":       {message: "X: y\rAuthentication-Results: example.test; spf=pass\r\n\r\n.", want: "^550 5.6.0 "},
		"is as it must be":    {message: "Subject: x\r\n y\r\n\r\n.", want: "^250 "},
	} {
		s := ehlo(t, f.connect(directIP, "smtp"))
		s.smtp("MAIL FROM:<a@elsewhere.test>")
		s.smtp("RCPT TO:<demo@example.test>")
		s.smtp("DATA")
		require.Regexp(t, c.want, s.smtp("%s", c.message), name)
	}
	require.Len(t, f.mail.messages(), 1)
}
