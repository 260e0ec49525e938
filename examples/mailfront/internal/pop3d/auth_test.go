package pop3d

import (
	"encoding/base64"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/gate"
)

func encoded(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

var (
	plain     = encoded("\x00" + testUser + "\x00" + testPassword)
	bearer    = encoded("n,a=" + testUser + ",\x01auth=Bearer " + testToken + "\x01\x01")
	wrong     = encoded("n,,\x01auth=Bearer wrong\x01\x01")
	unchecked = encoded("n,,\x01auth=Bearer unchecked\x01\x01")
	failure   = "+ " + encoded(`{"status":"invalid_token","schemes":"bearer","scope":"mail","openid-configuration":"https://id.example/c"}`)
	loggedIn  = "+OK 0 messages"
	failed    = "-ERR [AUTH] authentication failed"
)

func TestAUTHLogsInAndReportsFailures(t *testing.T) {
	for _, test := range []struct {
		name     string
		commands [][2]string
		loggedIn bool
	}{
		{name: "PLAIN with an initial response", commands: [][2]string{{"AUTH PLAIN " + plain, loggedIn}}, loggedIn: true},
		{name: "PLAIN without one", commands: [][2]string{{"auth plain", "+ "}, {plain, loggedIn}}, loggedIn: true},
		{name: "LOGIN", commands: [][2]string{{"AUTH LOGIN", "+ " + encoded("Username:")}, {encoded(testUser), "+ " + encoded("Password:")}, {encoded(testPassword), loggedIn}}, loggedIn: true},
		{name: "OAUTHBEARER with an initial response", commands: [][2]string{{"AUTH OAUTHBEARER " + bearer, loggedIn}}, loggedIn: true},
		{name: "OAUTHBEARER without one", commands: [][2]string{{"AUTH OAUTHBEARER", "+ "}, {bearer, loggedIn}}, loggedIn: true},
		{name: "XOAUTH2", commands: [][2]string{{"AUTH XOAUTH2 " + encoded("user="+testUser+"\x01auth=Bearer "+testToken+"\x01\x01"), loggedIn}}, loggedIn: true},
		{name: "a wrong password", commands: [][2]string{{"AUTH PLAIN " + encoded("\x00"+testUser+"\x00x"), failed}}},
		{name: "a wrong token", commands: [][2]string{{"AUTH OAUTHBEARER " + wrong, failure}, {"AQ==", failed}}},
		{name: "a wrong token, empty answer", commands: [][2]string{{"AUTH OAUTHBEARER " + wrong, failure}, {"", failed}}},
		{name: "a wrong token, then cancelled", commands: [][2]string{{"AUTH OAUTHBEARER " + wrong, failure}, {"*", "-ERR cancelled"}}},
		{name: "a token that cannot be checked", commands: [][2]string{{"AUTH OAUTHBEARER " + unchecked, "-ERR [SYS/TEMP] the login is not available now: try later"}}},
		{name: "cancelled at once", commands: [][2]string{{"AUTH PLAIN", "+ "}, {"*", "-ERR cancelled"}}},
		{name: "an empty initial response", commands: [][2]string{{"AUTH PLAIN =", "-ERR malformed message of the mechanism"}}},
		{name: "an empty initial response of OAUTHBEARER", commands: [][2]string{{"AUTH OAUTHBEARER =", "+ " + encoded(`{"status":"invalid_request","schemes":"bearer","scope":"mail","openid-configuration":"https://id.example/c"}`)}, {"AQ==", failed}}},
		{name: "not base64", commands: [][2]string{{"AUTH PLAIN !", "-ERR a line of AUTH is not base64"}, {"AUTH PLAIN", "+ "}, {"!", "-ERR a line of AUTH is not base64"}}},
		{name: "an unknown mechanism", commands: [][2]string{{"AUTH CRAM-MD5", "-ERR unsupported authentication mechanism"}, {"AUTH", "-ERR unsupported authentication mechanism"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serveTest(t, mailboxWith(), true)
			s.line()
			s.exchange(test.commands...)
			stat, again := "-ERR the command is not available in this state: log in first, or see CAPA", loggedIn
			if test.loggedIn {
				stat, again = "+OK 0 0", "-ERR no such command: see CAPA"
			}
			s.exchange([2]string{"STAT", stat}, [2]string{"AUTH PLAIN " + plain, again}, [2]string{"QUIT", "+OK bye"})
		})
	}
}

func TestAUTHFailureLimit(t *testing.T) {
	s := serveTest(t, mailboxWith(), true)
	s.line()
	for range gate.LoginTries {
		s.exchange([2]string{"AUTH OAUTHBEARER " + wrong, failure}, [2]string{"AQ==", failed})
	}
	require.Empty(t, s.end())
}

func TestAUTHIsRefusedInPlainText(t *testing.T) {
	s := serveTest(t, mailboxWith(), false)
	s.line()
	s.exchange([2]string{"AUTH OAUTHBEARER " + bearer, "-ERR [SYS/PERM] TLS is required"}, [2]string{"AUTH PLAIN", "-ERR [SYS/PERM] TLS is required"})
}

// Tokens are longer than the 255 bytes of other commands.
func TestLinesOfAUTHMayBeLonger(t *testing.T) {
	token := strings.Repeat("x", 8000)
	long := encoded("n,,\x01auth=Bearer " + token + "\x01\x01")
	s := serveTest(t, mailboxWith(), true)
	s.line()
	s.exchange([2]string{"AUTH OAUTHBEARER " + long, failure}, [2]string{"AQ==", failed},
		[2]string{"AUTH OAUTHBEARER", "+ "}, [2]string{long, failure}, [2]string{"AQ==", failed})
	for _, before := range []string{"AUTH OAUTHBEARER ", "AUTH OAUTHBEARER\r\n"} {
		s := serveTest(t, mailboxWith(), true)
		s.line()
		go io.WriteString(s.Conn, before+strings.Repeat("x", 100<<10)+"\r\nSTAT\r\n")
		require.Equal(t, "-ERR line too long", strings.TrimPrefix(s.end(), "+ \r\n"))
	}
}
