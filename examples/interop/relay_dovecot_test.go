package interop

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/stretchr/testify/require"
)

// dovecotConfig configures Debian's Dovecot 2.3 with one account and accepts passwords only from
// clients on TLS.
const dovecotConfig = `
base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = /dev/stderr
protocols = imap
listen = 127.0.0.1
haproxy_trusted_networks = 127.0.0.1
ssl = yes
ssl_cert = <%[2]s
ssl_key = <%[3]s
disable_plaintext_auth = yes
first_valid_uid = 1
mail_location = maildir:%[1]s/mail
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=%[4]d gid=%[5]d home=%[1]s/mail
}
service imap-login {
  chroot =
  inet_listener imap {
    port = %[6]s
    haproxy = yes
  }
  inet_listener imaps {
    port = 0
  }
}
service anvil {
  chroot =
}
`

// startDovecot returns the process and the address of its listener.
func startDovecot(t *testing.T) (*process, string) {
	t.Helper()
	path := binary(t, "dovecot", "PORTICO_DOVECOT", "apt-get install dovecot-imapd")
	needRoot(t, "Dovecot")
	needAddresses(t)
	uid, gid := needUser(t, "nobody")
	certs := testCertificates(t)
	for try := 1; ; try++ {
		dir := serverDir(t)
		mail := filepath.Join(dir, "mail")
		require.NoError(t, os.Mkdir(mail, 0o700))
		require.NoError(t, os.Chown(mail, uid, gid))
		port := freePorts(t, 1)[0]
		config := filepath.Join(dir, "dovecot.conf")
		require.NoError(t, writeFiles(fmt.Appendf(nil, dovecotConfig, dir, certs.serverCert, certs.serverKey, uid, gid, port), config))
		cmd := exec.Command(path, "-F", "-c", config)
		cmd.SysProcAttr = ownGroup()
		p := startProcess(t, "dovecot", cmd)
		if address := net.JoinHostPort(proxyIP, port); awaitPort(t, p, address) {
			return p, address
		}
		require.Less(t, try, 3, "dovecot finds no free port")
	}
}

// The client uses no TLS, or TLS to the relay, and the header reports it. Dovecot accepts a
// password only in the second case.
func TestRelayReportsClientToDovecot(t *testing.T) {
	p, address := startDovecot(t)
	certs := testCertificates(t)
	for _, out := range relaySends {
		plain := startRelayProcess(t, []string{address}, "SEND="+out.send)
		onTLSToo := startRelayProcess(t, []string{address}, "SEND="+out.send, "TLS_CERT="+certs.proxyCert, "TLS_KEY="+certs.proxyKey)
		for name, c := range map[string]struct {
			dial    func() net.Conn
			secured bool
		}{
			"plain": {dial: func() net.Conn { return dialFrom(t, clientIP, plain.address[0]) }, secured: false},
			"TLS ended at the relay": {
				dial:    func() net.Conn { return onTLS(t, dialFrom(t, clientIP, onTLSToo.address[0]), endedByProxy) },
				secured: out.version == 2, // version 1 cannot report TLS
			},
		} {
			t.Run(out.send+"/"+name, func(t *testing.T) {
				from := p.stderr.now()
				client := imapclient.New(c.dial(), nil)
				defer client.Close()
				require.NoError(t, client.WaitGreeting())
				require.Equal(t, !c.secured, client.Caps().Has(imap.CapLoginDisabled), "LOGINDISABLED in %v", client.Caps())
				require.Equal(t, c.secured, client.Caps().Has(imap.AuthCap("PLAIN")), "AUTH=PLAIN in %v", client.Caps())
				err := client.Login("demo", "secret").Wait()
				if c.secured {
					require.NoError(t, err)
					p.stderr.awaitLine(t, from, "Login: user=<demo>", "rip="+clientIP+",", "secured")
				} else {
					require.Equal(t, imap.ResponseCodePrivacyRequired, imapError(t, err).Code)
				}
				require.NoError(t, client.Logout().Wait())
				if !c.secured {
					p.stderr.awaitLine(t, from, "imap-login", "rip="+clientIP+",")
				}
			})
		}
	}
}

// A relay that passes bytes on passes STARTTLS on, and Dovecot ends the TLS.
func TestRelaySTARTTLSToDovecot(t *testing.T) {
	p, address := startDovecot(t)
	r := startRelayProcess(t, []string{address})
	from := p.stderr.now()
	client, err := imapclient.NewStartTLS(dialFrom(t, clientIP, r.address[0]), &imapclient.Options{TLSConfig: clientTLS(t)})
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, client.Login("demo", "secret").Wait())
	p.stderr.awaitLine(t, from, "Login: user=<demo>", "rip="+clientIP+",", "TLS")
	require.NoError(t, client.Logout().Wait())
}

func TestRelayHealthChecksToDovecot(t *testing.T) {
	p, address := startDovecot(t)
	for _, out := range relaySends {
		for in := 1; in <= 2; in++ {
			t.Run(fmt.Sprintf("v%d to %s", in, out.send), func(t *testing.T) {
				r := startRelayProcess(t, []string{address}, "SEND="+out.send)
				from := p.stderr.now()
				c := dialRelayAsProxy(t, r.address[0], in)
				requireGreeting(t, c, "* OK ")
				c.Close()
				p.stderr.awaitLine(t, from, "imap-login", "rip="+proxyIP+",")
			})
		}
	}
}
