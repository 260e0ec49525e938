package interop

import (
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The tests of this file are short by default. "make soak" runs them for longer with PORTICO_SOAK.

// soakTime returns the duration of the tests.
func soakTime(t *testing.T) (d time.Duration, long bool) {
	s := os.Getenv("PORTICO_SOAK")
	if s == "" {
		return time.Second, false
	}
	d, err := time.ParseDuration(s)
	require.NoError(t, err, "PORTICO_SOAK is a time such as 60s")
	return d, true
}

// A load is a number of clients that a proxy reports, each with its own address.
type load struct {
	m *mailfront

	ending   atomic.Bool // clients that are not served yet may be turned away
	served   atomic.Int64
	accepted atomic.Int64 // messages
}

// A visit is a session from start to end. begun reports whether the server has sent its greeting.
type visit func(l *load, c *textproto.Conn) (begun bool, err error)

var visits = map[string][]visit{
	"submission": {(*load).sendMail, (*load).leave},
	"imap":       {(*load).emptyINBOX, (*load).leave},
	"pop3":       {(*load).emptyPOP3, (*load).leave},
	"http":       {(*load).getDocument},
	"smtps":      {(*load).garbage},
}

// client visits listeners until the server has ended.
func (l *load) client(until <-chan struct{}) error {
	listeners := []string{"submission", "imap", "pop3", "http", "smtps"}
	for {
		select {
		case <-until:
			return nil
		default:
		}
		listener := listeners[rand.IntN(len(listeners))]
		these := visits[listener]
		ending := l.ending.Load()
		begun, err := l.visit(listener, these[rand.IntN(len(these))])
		switch {
		case err == nil:
			l.served.Add(1)
		case !begun && (ending || l.ending.Load()):
			return nil
		default:
			return fmt.Errorf("%s, greeted: %t, the server is ending: %t: %w", listener, begun, l.ending.Load(), err)
		}
	}
}

func (l *load) visit(listener string, visit visit) (begun bool, err error) {
	c, err := net.DialTimeout("tcp", l.m.address[listener], timeout)
	if err != nil {
		return false, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(timeout))
	if _, err := fmt.Fprintf(c, "PROXY TCP4 203.%d.%d.%d 192.0.2.1 4567 25\r\n", rand.IntN(256), rand.IntN(256), rand.IntN(256)); err != nil {
		return false, err
	}
	return visit(l, textproto.NewConn(c))
}

// greeting reads the first line.
func greeting(c *textproto.Conn) (string, error) {
	line, err := c.ReadLine()
	if err != nil {
		return "", fmt.Errorf("no greeting: %w", err)
	}
	return line, nil
}

func (l *load) sendMail(c *textproto.Conn) (bool, error) {
	if _, err := greeting(c); err != nil {
		return false, err
	}
	for _, step := range []struct {
		command string
		code    int
	}{
		{command: "EHLO client.example", code: 250},
		{command: "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+account+"\x00"+password)), code: 235},
		{command: "MAIL FROM:<" + account + ">", code: 250},
		{command: "RCPT TO:<" + account + ">", code: 250},
		{command: "DATA", code: 354},
		{command: "Subject: soak\r\n\r\nhello\r\n.", code: 250},
	} {
		if err := c.PrintfLine("%s", step.command); err != nil {
			return true, err
		}
		if code, text, err := c.ReadResponse(step.code); err != nil {
			if code == 452 { // the mailbox is full, which is a valid answer
				return true, nil
			}
			return true, fmt.Errorf("%s: %d %s: %w", step.command, code, text, err)
		}
	}
	l.accepted.Add(1)
	c.PrintfLine("QUIT")
	_, _, err := c.ReadResponse(221)
	return true, err
}

// emptyINBOX makes room for more mail.
func (l *load) emptyINBOX(c *textproto.Conn) (bool, error) {
	if _, err := greeting(c); err != nil {
		return false, err
	}
	for _, command := range []string{`LOGIN "` + account + `" "` + password + `"`, "SELECT INBOX", `STORE 1:* +FLAGS.SILENT (\Deleted)`, "EXPUNGE", "LOGOUT"} {
		if err := c.PrintfLine("a %s", command); err != nil {
			return true, err
		}
		for line := ""; !strings.HasPrefix(line, "a OK"); {
			var err error
			if line, err = c.ReadLine(); err != nil || strings.HasPrefix(line, "a NO") || strings.HasPrefix(line, "a BAD") {
				return true, fmt.Errorf("%s: %q, %w", command, line, err)
			}
		}
	}
	return true, nil
}

// emptyPOP3 makes room in the mailbox of POP3, which is separate from that of IMAP.
func (l *load) emptyPOP3(c *textproto.Conn) (bool, error) {
	if _, err := greeting(c); err != nil {
		return false, err
	}
	ask := func(format string, args ...any) (string, error) {
		c.PrintfLine(format, args...)
		line, err := c.ReadLine()
		if err == nil && !strings.HasPrefix(line, "+OK") {
			err = fmt.Errorf("%s: %s", format, line)
		}
		return line, err
	}
	for _, command := range []string{"USER " + account, "PASS " + password} {
		if _, err := ask("%s", command); err != nil {
			return true, err
		}
	}
	line, err := ask("STAT")
	if err != nil {
		return true, err
	}
	n, err := strconv.Atoi(strings.Fields(line)[1])
	if err != nil {
		return true, err
	}
	for i := range n {
		if _, err := ask("DELE %d", i+1); err != nil {
			return true, err
		}
	}
	_, err = ask("QUIT")
	return true, err
}

func (l *load) getDocument(c *textproto.Conn) (bool, error) {
	c.PrintfLine("GET /.well-known/oauth-authorization-server HTTP/1.1\r\nHost: forged.example\r\nConnection: close\r\n")
	status, err := greeting(c)
	if err != nil {
		return false, err
	}
	if status != "HTTP/1.1 200 OK" {
		return true, fmt.Errorf("the answer is %q", status)
	}
	_, err = c.ReadMIMEHeader()
	if err != nil {
		return true, err
	}
	body, err := io.ReadAll(c.R)
	if err == nil && !strings.HasPrefix(string(body), `{"issuer":"https://mail.example.test",`) {
		err = fmt.Errorf("the document is %q", body)
	}
	return true, err
}

// leave is a client whose machine fails after the greeting.
func (l *load) leave(c *textproto.Conn) (bool, error) {
	_, err := greeting(c)
	return err == nil, err
}

// garbage sends clear text to a listener that expects TLS.
func (l *load) garbage(c *textproto.Conn) (bool, error) {
	c.PrintfLine("EHLO client.example")
	_, err := io.Copy(io.Discard, c.R)
	return false, err // closed with an alert
}

// A footprint has the resources of a process.
type footprint struct{ files, kilobytes int }

var resident = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

func (p *process) footprint(t *testing.T) footprint {
	t.Helper()
	proc := fmt.Sprintf("/proc/%d", p.cmd.Process.Pid)
	files, err := os.ReadDir(proc + "/fd")
	if err != nil {
		t.Skipf("no /proc: %v", err)
	}
	status, err := os.ReadFile(proc + "/status")
	require.NoError(t, err)
	match := resident.FindSubmatch(status)
	require.NotNil(t, match, "%s", status)
	kilobytes, err := strconv.Atoi(string(match[1]))
	require.NoError(t, err)
	return footprint{len(files), kilobytes}
}

func (p *process) awaitFiles(t *testing.T, most int) {
	t.Helper()
	require.Eventually(t, func() bool { return p.footprint(t).files <= most }, timeout, 10*time.Millisecond, "it keeps descriptors")
}

// Clients send and read mail, fetch documents, and fail. Meanwhile the trust list is replaced by
// valid and invalid lists, and at last the server gets SIGTERM. Every client that got a greeting is
// served to the end, and accepted mail is delivered.
func TestSoakSignalsUnderLoadLoseNothing(t *testing.T) {
	duration, _ := soakTime(t)
	dir := t.TempDir()
	list := filepath.Join(dir, "trusted")
	write := func(text string) { // atomically, since the server may be reading
		require.NoError(t, os.WriteFile(list+".new", []byte(text), 0o600))
		require.NoError(t, os.Rename(list+".new", list))
	}
	write(proxyIP + "\n")
	m := startMailfront(t, "TRUSTED_PROXIES=", "TRUSTED_PROXIES_FILE="+list, "TLS_TERMINATED=submission,imap,pop3",
		"PUBLIC_URL=https://mail.example.test")
	l := &load{m: m}
	idle := m.footprint(t)
	run := func(until <-chan struct{}) func() {
		var clients sync.WaitGroup
		for range 16 {
			clients.Go(func() {
				if err := l.client(until); err != nil {
					t.Error(err)
				}
			})
		}
		return clients.Wait
	}

	end := make(chan struct{})
	wait := run(end)
	lists := []string{proxyIP + "\n", proxyIP + "\n192.0.2.0/24\n", "no address\n", "127.0.0.0/29 # all\n"}
	hangups, late := 0, time.After(duration)
	for going := true; going; hangups++ {
		write(lists[hangups%len(lists)])
		from := m.stderr.now()
		require.NoError(t, m.cmd.Process.Signal(syscall.SIGHUP))
		m.stderr.awaitLine(t, from, "msg=reload ", "setting=MAILFRONT_TLS_CERT")
		select {
		case <-late:
			going = false
		default:
		}
	}
	close(end)
	wait()
	m.awaitFiles(t, idle.files)
	after := m.footprint(t)
	t.Logf("%d sessions and %d messages in %v, %d times SIGHUP: descriptors %d -> %d, resident memory %d -> %d KiB",
		l.served.Load(), l.accepted.Load(), duration, hangups, idle.files, after.files, idle.kilobytes, after.kilobytes)

	write(proxyIP + "\n")
	wait = run(nil)
	before := l.served.Load()
	require.Eventually(t, func() bool { return l.served.Load() > before+50 }, timeout, time.Millisecond)
	l.ending.Store(true)
	require.NoError(t, m.cmd.Process.Signal(syscall.SIGTERM))
	signalled := time.Now()
	wait()
	<-m.ended
	took := time.Since(signalled)
	require.NoError(t, m.err)
	lines, _ := m.stderr.since(0)
	require.Zero(t, countLines(lines, "sessions cut at shutdown"))
	require.Equal(t, int(l.accepted.Load()), countLines(lines, "event=message "))
	t.Logf("SIGTERM after %d sessions more: all that were greeted ended well, %d messages accepted and delivered, ended in %v", l.served.Load()-before, l.accepted.Load(), took)
}

// Prints the memory of idle clients through HAProxy.
func TestSoakIdleClientsThroughHAProxy(t *testing.T) {
	conns := 200
	if _, long := soakTime(t); long {
		conns = 8000 // HAProxy needs two descriptors for each, and may have 20,000 here
	}
	m := startMailfront(t)
	p := startHAProxy(t, m, "passthrough.cfg", nil)
	greet := func(i int) *textproto.Conn {
		// mailfront permits at most 1,000 for a client.
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%40))}, Timeout: timeout}
		conn, err := d.Dial("tcp", p.front["imap"])
		require.NoError(t, err)
		prepare(t, conn)
		require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
		c := textproto.NewConn(conn)
		line, err := greeting(c)
		require.NoError(t, err)
		require.Contains(t, line, "* OK ")
		return c
	}
	mailfrontIdle, haproxyIdle := m.footprint(t), p.footprint(t)
	all := make([]*textproto.Conn, conns)
	for i := range all {
		all[i] = greet(i)
	}
	mailfront, haproxy := m.footprint(t), p.footprint(t)
	each := func(now, idle footprint) float64 { return float64(now.kilobytes-idle.kilobytes) / float64(conns) }
	t.Logf("%d idle IMAP clients through HAProxy: mailfront %.1f KiB for each, HAProxy %.1f KiB, both of resident memory", conns, each(mailfront, mailfrontIdle), each(haproxy, haproxyIdle))
	require.GreaterOrEqual(t, mailfront.files-mailfrontIdle.files, conns)
	for i, c := range all {
		require.NoError(t, c.PrintfLine("a NOOP"), "client %d", i)
		line, err := c.ReadLine()
		require.NoError(t, err)
		require.Contains(t, line, "a OK", "client %d", i)
		c.Close()
	}
	m.awaitFiles(t, mailfrontIdle.files)
}
