package interop

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// SIGHUP reloads the list of trusted proxies and keeps open connections.
func TestHangupReloadsTrustedProxies(t *testing.T) {
	list := filepath.Join(t.TempDir(), "trusted")
	write := func(text string) { require.NoError(t, os.WriteFile(list, []byte(text), 0o600)) }
	write(proxyIP + "\n")
	m := startMailfront(t, "TRUSTED_PROXIES=", "TRUSTED_PROXIES_FILE="+list)
	hangup := func(answers ...string) {
		t.Helper()
		from := m.stderr.now()
		require.NoError(t, m.cmd.Process.Signal(syscall.SIGHUP))
		m.stderr.awaitLine(t, from, answers...)
		m.stderr.awaitLine(t, from, "msg=reload ", "setting=MAILFRONT_TLS_CERT")
	}
	greeted := func(c net.Conn, header string) *bufio.Reader {
		t.Helper()
		fmt.Fprint(c, header)
		r := bufio.NewReader(c)
		line, err := r.ReadString('\n')
		require.NoError(t, err)
		require.Contains(t, line, "220 ")
		return r
	}
	const header = "PROXY TCP4 192.0.2.7 192.0.2.1 4567 25\r\n"
	open := m.dial(t, proxyIP, "smtp")
	answers := greeted(open, header)

	write("10.0.0.1\n10.0.0.0/")
	hangup("level=ERROR", "the old list stays in force", "10.0.0.0/")
	greeted(m.dial(t, proxyIP, "smtp"), header)

	write("192.0.2.1\n")
	hangup("level=INFO", "setting=MAILFRONT_TRUSTED_PROXIES_FILE", "networks=1")
	greeted(m.dial(t, proxyIP, "smtp"), "")

	fmt.Fprint(open, "NOOP\r\n")
	line, err := answers.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "250 ")
}
