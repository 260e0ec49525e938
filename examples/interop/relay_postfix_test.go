package interop

import (
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A postfix accepts clients with a PROXY header on two listeners: smtpd, and postscreen in front
// of another smtpd.
type postfix struct {
	*process
	smtpd, postscreen string // addresses
}

// postfixMain is a minimal configuration of Postfix. It refuses every recipient with the address
// of the client in the answer.
const postfixMain = `
compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
daemon_directory = %[2]s
command_directory = /usr/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = /dev/stdout
myhostname = mail.example.com
mydestination =
alias_maps =
local_recipient_maps =
inet_interfaces = all
inet_protocols = ipv4
smtpd_peername_lookup = no
smtpd_recipient_restrictions = reject
smtpd_reject_footer = \c. client=$client_address
postscreen_greet_wait = 1s
postscreen_access_list =
postscreen_cache_map =
`

const postfixMaster = `
127.0.0.1:%s inet n - n - -  smtpd
    -o smtpd_upstream_proxy_protocol=haproxy
127.0.0.1:%s inet n - n - 1  postscreen
    -o postscreen_upstream_proxy_protocol=haproxy
smtpd     pass  - - n - -  smtpd
dnsblog   unix  - - n - 0  dnsblog
tlsproxy  unix  - - n - 0  tlsproxy
anvil     unix  - - n - 1  anvil
rewrite   unix  - - n - -  trivial-rewrite
postlog   unix-dgram n - n - 1  postlogd
`

// startPostfix runs Debian's master with its own configuration and queue.
func startPostfix(t *testing.T) *postfix {
	t.Helper()
	const install = "DEBIAN_FRONTEND=noninteractive apt-get install postfix"
	daemons := "/usr/lib/postfix/sbin"
	master := binary(t, "postfix", "PORTICO_POSTFIX", install)
	if _, err := os.Stat(filepath.Join(daemons, "master")); err != nil {
		unavailable(t, "%s is there, but not Debian's %s/master: %v", master, daemons, err)
	}
	master = filepath.Join(daemons, "master")
	needRoot(t, "Postfix")
	needAddresses(t)
	uid, _ := needUser(t, "postfix")
	for try := 1; ; try++ {
		dir := serverDir(t)
		for _, d := range []string{"etc", "queue", "queue/pid"} {
			require.NoError(t, os.Mkdir(filepath.Join(dir, d), 0o755))
		}
		for _, d := range []string{"data", "queue/active", "queue/bounce", "queue/corrupt", "queue/defer", "queue/deferred",
			"queue/flush", "queue/hold", "queue/incoming", "queue/maildrop", "queue/private", "queue/public", "queue/saved", "queue/trace"} {
			require.NoError(t, os.Mkdir(filepath.Join(dir, d), 0o700))
			require.NoError(t, os.Chown(filepath.Join(dir, d), uid, -1))
		}
		ports := freePorts(t, 2)
		require.NoError(t, writeFiles(fmt.Appendf(nil, postfixMain, dir, daemons), filepath.Join(dir, "etc", "main.cf")))
		require.NoError(t, writeFiles(fmt.Appendf(nil, postfixMaster, ports[0], ports[1]), filepath.Join(dir, "etc", "master.cf")))
		cmd := exec.Command(master, "-c", filepath.Join(dir, "etc"), "-d", "-s") // foreground, log to standard output
		cmd.SysProcAttr = ownGroup()
		p := &postfix{process: startProcess(t, "postfix", cmd),
			smtpd: net.JoinHostPort(proxyIP, ports[0]), postscreen: net.JoinHostPort(proxyIP, ports[1])}
		if awaitPort(t, p.process, p.smtpd) && awaitPort(t, p.process, p.postscreen) {
			return p
		}
		require.Less(t, try, 3, "postfix finds no free ports")
	}
}

// recipient sends RCPT, and returns the answer.
func recipient(t *testing.T, conn net.Conn) *textproto.Error {
	t.Helper()
	c, err := smtp.NewClient(conn, "mail.example.com")
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Hello("client.example.com"))
	require.NoError(t, c.Mail("a@example.net"))
	var refusal *textproto.Error
	require.ErrorAs(t, c.Rcpt("b@example.net"), &refusal)
	return refusal
}

func TestRelayReportsClientToPostfix(t *testing.T) {
	p := startPostfix(t)
	for _, out := range relaySends {
		r := startRelayProcess(t, []string{p.smtpd, p.postscreen}, "SEND="+out.send)
		t.Run(out.send+"/smtpd", func(t *testing.T) {
			from := p.stdout.now()
			refusal := recipient(t, dialFrom(t, clientIP, r.address[0]))
			require.Contains(t, refusal.Msg, "client="+clientIP)
			p.stdout.awaitLine(t, from, "/smtpd[", " connect from ", "["+clientIP+"]")
		})
		t.Run(out.send+"/postscreen", func(t *testing.T) {
			from := p.stdout.now()
			refusal := recipient(t, dialFrom(t, clientIP, r.address[1]))
			require.Contains(t, refusal.Msg, "client="+clientIP)
			p.stdout.awaitLine(t, from, "/postscreen[", "CONNECT from ["+clientIP+"]")
			p.stdout.awaitLine(t, from, "/postscreen[", "PASS NEW ["+clientIP+"]")
			p.stdout.awaitLine(t, from, "/smtpd[", " connect from ", "["+clientIP+"]")
		})
		r.stderr.awaitLine(t, 0, `msg="session ended"`, "client_ip="+clientIP+" ", "backend="+p.smtpd+" ")
	}
}

// The header has no client. With LOCAL Postfix sends its greeting, as a health check needs, and uses
// the address of the connection. This is the relay's own address, which is usually in mynetworks, so
// only health checks may reach Postfix in this way. Postfix does not support unknown clients.
// Version 1 sends UNKNOWN, which Postfix 3.7 refuses.
func TestRelayHealthChecksToPostfix(t *testing.T) {
	p := startPostfix(t)
	for _, out := range relaySends {
		for in := 1; in <= 2; in++ {
			t.Run(fmt.Sprintf("v%d to %s", in, out.send), func(t *testing.T) {
				r := startRelayProcess(t, []string{p.smtpd}, "SEND="+out.send, "LOG=debug")
				from := p.stdout.now()
				c := dialRelayAsProxy(t, r.address[0], in)
				if out.version == 2 {
					requireGreeting(t, c, "220 mail.example.com")
				} else {
					require.Regexp(t, `^(220|421) `, readLine(t, c)) // 3.7 sends 421; later versions may accept
				}
				p.stdout.awaitLine(t, from, "/smtpd[", " connect from ", "["+proxyIP+"]")
				r.stderr.awaitLine(t, 0, `msg="session begins"`, "client_ip="+proxyIP+" ", "client_known=false")
			})
		}
	}
}
