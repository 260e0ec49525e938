package main

import (
	"bufio"
	"crypto/tls"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

// A pipelining conn sends a command together with the first bytes that are written, and removes
// the answer from the bytes that are read.
type pipeliningConn struct {
	net.Conn
	command string
	answer  string
	r       *bufio.Reader
}

func (c *pipeliningConn) Write(b []byte) (int, error) {
	command := c.command
	c.command = ""
	n, err := c.Conn.Write([]byte(command + string(b)))
	return n - len(command), err
}

func (c *pipeliningConn) Read(b []byte) (int, error) {
	if c.answer == "" {
		var err error
		if c.answer, err = c.r.ReadString('\n'); err != nil {
			return 0, err
		}
	}
	return c.r.Read(b)
}

// In this case go-imap wraps the connection without a NetConn method, which hides the Info from
// proxyproto.FromConn. pop3d has the same case.
func TestPipelinedClientHello(t *testing.T) {
	r := runMailfront(t, nil)
	for listener, command := range map[string]string{"imap": "s STARTTLS\r\n", "pop3": "STLS\r\n"} {
		t.Run(listener, func(t *testing.T) {
			raw := r.proxied(listener, header(&proxyproto.TLS{}))
			greeting := newScript(t, raw)
			greeting.line()
			line := "proto=" + listener + " event=session client_ip=" + clientIP
			r.awaitLog(line, "tls=false")
			c := &pipeliningConn{Conn: raw, command: command, r: greeting.r}
			tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
			require.NoError(t, tc.Handshake())
			require.Regexp(t, `^(s OK|\+OK) `, c.answer)
			require.Equal(t, 1, r.logged(line), "before the login")

			s := newScript(t, tc)
			answer := ""
			if listener == "imap" {
				s.send("w LOGIN whoami x\r\n")
				answer = s.until("w ")
			} else {
				s.send("USER whoami\r\n")
				answer = s.line()
			}
			require.Contains(t, answer, `{"client_ip":"192.0.2.7","tls":true,"tls_known":true,"client_known":true,"proxy":"127.0.0.1"`)
			require.Regexp(t, loggedIn[listener], logins[listener](s))
			require.Equal(t, 2, r.logged(line))
			require.Equal(t, 1, r.logged(line, "tls=true"), "once, at the first login")
		})
	}
}

func TestIMAPWhoami(t *testing.T) {
	r := runMailfront(t, nil)
	s := newScript(t, r.proxied("imap", header(&proxyproto.TLS{})))
	s.line()
	s.send("w LOGIN whoami x\r\n")
	require.Contains(t, s.until("w "), "w NO [PRIVACYREQUIRED]")

	s = newScript(t, r.proxied("imap", header(&proxyproto.TLS{Client: true})))
	s.line()
	s.send("w LOGIN whoami x\r\n")
	require.Contains(t, s.until("w "), `w NO {"client_ip":"192.0.2.7","tls":true,`)
	s.send("w AUTHENTICATE PLAIN %s\r\n", saslPlain("whoami", "x"))
	require.Contains(t, s.until("w "), `w NO {"client_ip":"192.0.2.7","tls":true,`)
	s.send("l LOGIN %s wrong\r\n", testAccount)
	require.Contains(t, s.until("l "), "l NO [AUTHENTICATIONFAILED]")
	require.Equal(t, 1, r.logged("proto=imap event=session", "tls=true"), "no second line without STARTTLS")
}

func TestIMAPBoundsWhatIsAppended(t *testing.T) {
	r := runMailfront(t, nil)
	s := newScript(t, onTLS(t, r.direct("imaps")))
	s.line()
	answer := logins["imap"](s)
	require.Contains(t, answer, "APPENDLIMIT=10485760")
	s.send("a APPEND INBOX {10485761}\r\n")
	require.True(t, strings.HasPrefix(s.until("a "), "a NO "))
}

func TestINBOXCannotBeDeletedOrRenamed(t *testing.T) {
	r := runMailfront(t, nil)
	s := newScript(t, onTLS(t, r.direct("imaps")))
	s.line()
	logins["imap"](s)
	for _, command := range []string{"DELETE inbox", "RENAME Inbox Old"} {
		s.send("d %s\r\n", command)
		require.Contains(t, s.until("d "), "d NO INBOX cannot be deleted")
	}
	s.send("d DELETE Trash\r\n")
	require.Contains(t, s.until("d "), "d OK")
}

func TestIMAPSpecialUse(t *testing.T) {
	r := runMailfront(t, nil)
	s := newScript(t, onTLS(t, r.direct("imaps")))
	s.line()
	require.Contains(t, logins["imap"](s), " SPECIAL-USE ")
	for _, test := range []struct {
		command string
		want    []string // lines before the last
		last    string
	}{
		{command: `LIST "" "*"`, want: []string{`(\Subscribed \Drafts) "/" "Drafts"`, `(\Subscribed) "/" INBOX`, `(\Subscribed \Sent) "/" "Sent"`, `(\Subscribed \Trash) "/" "Trash"`}},
		{command: `LIST (SPECIAL-USE) "" "*" RETURN (SPECIAL-USE)`, want: []string{`(\Subscribed \Drafts) "/" "Drafts"`, `(\Subscribed \Sent) "/" "Sent"`, `(\Subscribed \Trash) "/" "Trash"`}},
		{command: `RENAME Sent Old`},
		{command: `DELETE Trash`},
		{command: `CREATE Sent`},
		{command: `CREATE Trash`},
		{command: `CREATE Junk (USE (\Junk))`, last: `l NO [USEATTR] `},
		{command: `LIST (SPECIAL-USE) "" "*"`, want: []string{`(\Subscribed \Drafts) "/" "Drafts"`, `(\Subscribed \Sent) "/" "Old"`}},
	} {
		s.send("l %s\r\n", test.command)
		lines := strings.Split(s.until("l "), "\n")
		if test.last == "" {
			test.last = "l OK "
		}
		require.Contains(t, lines[len(lines)-1], test.last, test.command)
		var got []string
		for _, line := range lines[:len(lines)-1] {
			got = append(got, strings.TrimPrefix(line, "* LIST "))
		}
		require.Equal(t, test.want, got, test.command)
	}
}
