package interop

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Unmodified mail clients sign in with a token (OAUTHBEARER or XOAUTH2) through a HAProxy that
// ends their TLS. Each is also run with a wrong token.

// A tokenSite is the server and proxy that the clients connect to.
type tokenSite struct {
	m     *mailfront
	front map[string]string // of the proxy
}

func startTokenSite(t *testing.T) (*tokenSite, string) {
	t.Helper()
	m := startMailfront(t, "PUBLIC_URL=https://"+serverName)
	p := startHAProxy(t, m, "tls-terminated.cfg", nil)
	return &tokenSite{m, p.front}, accessToken(t, p)
}

// accessToken signs in through the proxy, and returns the last access token.
func accessToken(t *testing.T, p *proxy) (token string) {
	t.Helper()
	s := signInThrough(t, p)
	do := s.Do
	s.Do = func(step int, r *http.Request) (*http.Response, error) {
		response, err := do(step, r)
		if err != nil || r.URL.Path != "/auth/token" {
			return response, err
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		response.Body = io.NopCloser(bytes.NewReader(body))
		var answer struct {
			Token string `json:"access_token"`
		}
		if json.Unmarshal(body, &answer) == nil && answer.Token != "" {
			token = answer.Token
		}
		return response, err
	}
	require.NoError(t, s.Run(t.Context()))
	require.NotEmpty(t, token)
	return token
}

// requireCounted waits until the server has counted a wrong token of a listener, from a position
// in the log.
func (s *tokenSite) requireCounted(t *testing.T, from int, listener string) {
	t.Helper()
	s.m.stderr.awaitLine(t, from, "proto="+listener+" ", "event=token_refused")
	s.m.stderr.awaitLine(t, from, "proto="+listener+" ", "event=login_failed")
}

// port returns the port of a door of the proxy.
func (s *tokenSite) port(t *testing.T, door string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(s.front[door])
	require.NoError(t, err)
	return port
}

// deliver puts a message into the mailbox.
func (s *tokenSite) deliver(t *testing.T, subject string) {
	t.Helper()
	c, err := smtp.NewClient(dialFrom(t, clientIP, s.front["smtp"]), serverName)
	require.NoError(t, err)
	require.NoError(t, c.Mail("a@elsewhere.test"))
	require.NoError(t, c.Rcpt(account))
	w, err := c.Data()
	require.NoError(t, err)
	_, err = fmt.Fprintf(w, "Subject: %s\r\n\r\nhello\r\n", subject)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, c.Quit())
}

// clientCommand returns a program that runs in a directory with the file "config".
func clientCommand(t *testing.T, dir, path, config string, args ...string) *exec.Cmd {
	t.Helper()
	require.NoError(t, writeFiles([]byte(config), filepath.Join(dir, "config")))
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir)
	return cmd
}

// A tokenClient is a mail client. run signs in with the token in the file "token" of dir. Its result
// has the data that the client read or sent, and the error of a refused sign-in.
type tokenClient struct {
	name     string
	listener string
	run      func(t *testing.T, s *tokenSite, dir string) string
	runWrong func(t *testing.T, s *tokenSite, dir string) string // replaces run for a wrong token
	accepted string
	refused  string
}

const subject = "read with a token"

func msmtp(mechanism string) tokenClient {
	return tokenClient{
		name: "msmtp " + mechanism, listener: "submission", accepted: "^exit 0\n$", refused: "authentication failed",
		run: func(t *testing.T, s *tokenSite, dir string) string {
			config := "account default\nhost 127.0.0.1\nport " + s.port(t, "submissions") + "\nsource_ip " + clientIP + "\ntls on\ntls_starttls off\n" +
				"tls_trust_file " + testCertificates(t).ca + "\ntls_host_override " + serverName + "\n" +
				"auth " + mechanism + "\nuser " + account + "\npasswordeval cat token\nfrom " + account + "\n"
			cmd := clientCommand(t, dir, binary(t, "msmtp", "PORTICO_MSMTP", "apt-get install msmtp"), config, "-C", "config", account)
			cmd.Stdin = strings.NewReader("Subject: sent\n\nhello\n")
			out, err := cmd.CombinedOutput()
			return fmt.Sprintf("exit %d\n%s", exitCode(t, err), out)
		},
	}
}

func mpop(mechanism string) tokenClient {
	return tokenClient{
		name: "mpop " + mechanism, listener: "pop3", accepted: "Subject: " + subject, refused: "(?i)authentication failed",
		run: func(t *testing.T, s *tokenSite, dir string) string {
			config := "account default\nhost 127.0.0.1\nport " + s.port(t, "pop3s") + "\nsource_ip " + clientIP + "\ntls on\ntls_starttls off\n" +
				"tls_trust_file " + testCertificates(t).ca + "\ntls_host_override " + serverName + "\nkeep on\nuidls_file uidls\n" +
				"auth " + mechanism + "\nuser " + account + "\npasswordeval cat token\ndelivery mbox inbox\n"
			out, err := clientCommand(t, dir, binary(t, "mpop", "PORTICO_MPOP", "apt-get install mpop"), config, "-C", "config").CombinedOutput()
			return fmt.Sprintf("exit %d\n%s", exitCode(t, err), out) + fileIn(t, dir, "inbox")
		},
	}
}

// mbsync uses the XOAUTH2 mechanism of KDE for Cyrus SASL. It accepts a certificate in its file
// without comparing the name.
var mbsync = tokenClient{
	name: "mbsync", listener: "imap", accepted: "Subject: " + subject, refused: "Error: IMAP wants more steps",
	run: func(t *testing.T, s *tokenSite, dir string) string {
		out, err := mbsyncCommand(t, s, dir).CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out) + filesBelow(t, filepath.Join(dir, "mail", "inbox", "new"))
	},
	// mbsync reports the error message of the mechanism as a failure, and does not answer until
	// the server times out.
	runWrong: func(t *testing.T, s *tokenSite, dir string) string {
		p := startProcess(t, "mbsync", mbsyncCommand(t, s, dir))
		p.stderr.awaitLine(t, 0, "Error: ")
		return p.stderr.String()
	},
}

func mbsyncCommand(t *testing.T, s *tokenSite, dir string) *exec.Cmd {
	t.Helper()
	path := binary(t, "mbsync", "PORTICO_MBSYNC", "apt-get install isync")
	if plugins, err := filepath.Glob("/usr/lib/*/sasl2/libkdexoauth2.so"); err != nil || len(plugins) == 0 {
		unavailable(t, "XOAUTH2 for Cyrus SASL is not installed: apt-get install libsasl2-modules-kdexoauth2")
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "mail"), 0o700))
	config := "IMAPAccount a\nHost 127.0.0.1\nPort " + s.port(t, "imaps") + "\nUser " + account + "\nPassCmd \"cat token\"\nAuthMechs XOAUTH2\n" +
		"SSLType IMAPS\nSystemCertificates no\nCertificateFile " + testCertificates(t).proxyCert + "\n\n" +
		"IMAPStore far\nAccount a\n\nMaildirStore near\nPath mail/\nInbox mail/inbox\n\n" +
		"Channel c\nFar :far:\nNear :near:\nPatterns INBOX\nSync Pull\nCreate Near\nSyncState *\n"
	return clientCommand(t, dir, path, config, "-c", "config", "c")
}

func fromNPM(name, door, listener, accepted, refused string) tokenClient {
	return tokenClient{name: name, listener: listener, accepted: accepted, refused: refused,
		run: func(t *testing.T, s *tokenSite, dir string) string {
			token := strings.TrimSpace(fileIn(t, dir, "token"))
			return runNPMClient(t, installNPMClients(t), name, "https://"+serverName, s.front[door], "HOST="+serverName, "TOKEN="+token)
		}}
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	require.NoError(t, err)
	return 0
}

// fileIn returns a file's content, or "" if the file does not exist.
func fileIn(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if !errors.Is(err, os.ErrNotExist) {
		require.NoError(t, err)
	}
	return string(b)
}

func filesBelow(t *testing.T, dir string) (all string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	for _, file := range files {
		all += fileIn(t, dir, filepath.Base(file))
	}
	return all
}

func TestMailClientsSignInWithToken(t *testing.T) {
	needAddresses(t)
	haproxyBinary(t)
	s, token := startTokenSite(t)
	s.deliver(t, subject)
	for _, c := range []tokenClient{
		msmtp("oauthbearer"), msmtp("xoauth2"), mpop("oauthbearer"), mpop("xoauth2"), mbsync,
		fromNPM("nodemailer", "submissions", "submission", "sent: 250 ", "refused: EAUTH 535 "),
		fromNPM("imapflow", "imaps", "imap", `mailbox: Sent \\Sent [^!]*subject: `+subject, `refused: AUTHENTICATIONFAILED .*"status":"invalid_token".*"https://`+serverName+`/`),
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, writeFiles([]byte(token+"\n"), filepath.Join(dir, "token")))
			from := s.m.stderr.now()
			require.Regexp(t, c.accepted, c.run(t, s, dir))
			s.m.stderr.awaitLine(t, from, "proto="+c.listener+" ", "event=session", "tls=true")
			s.m.fence(t, c.listener)
			lines, _ := s.m.stderr.since(from)
			require.Zero(t, countLines(lines, "event=login_failed"))
		})
		t.Run(c.name+", wrong token", func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, writeFiles([]byte("wrong\n"), filepath.Join(dir, "token")))
			from := s.m.stderr.now()
			run := c.run
			if c.runWrong != nil {
				run = c.runWrong
			}
			require.Regexp(t, c.refused, run(t, s, dir))
			s.requireCounted(t, from, c.listener)
		})
	}
}
