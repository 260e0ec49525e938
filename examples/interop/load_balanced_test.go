package interop

import (
	"net"
	"net/smtp"
	"net/textproto"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/stretchr/testify/require"
)

func TestBalancedMail(t *testing.T) {
	n := startNodes(t)
	eachMailBalancer(t, func(t *testing.T, b balancer) {
		p := b.run(t, n)
		for _, listener := range []string{"smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s"} {
			t.Run(listener, func(t *testing.T) {
				onTLS := strings.HasSuffix(listener, "s")
				dial := p.client(listener)
				if onTLS {
					dial = withTLS(dial, endedByServer)
				}
				from := n.now()
				var open []net.Conn
				for range nodeCount { // at the same time, so that each goes to a node without sessions
					c := dial(t)
					requireGreeting(t, c, greetings[strings.TrimSuffix(listener, "s")])
					open = append(open, c)
				}
				require.Equal(t, [nodeCount]int{1, 1, 1}, n.requireEvents(t, from, listener, event{"accept", clientIP, onTLS}, nodeCount))
				for _, c := range open {
					c.Close()
				}
				want := whoami{ClientIP: clientIP, TLS: onTLS, Known: true, Version: b.version}
				for range nodeCount {
					if who, ok := whoamiOf(t, listener, dial(t)); ok {
						require.Equal(t, want, who)
					}
				}
			})
		}
	})
}

// whoamiOf returns the client as reported by a mail listener. Without TLS only SMTP answers.
func whoamiOf(t *testing.T, listener string, conn net.Conn) (whoami, bool) {
	t.Helper()
	defer conn.Close()
	switch listener {
	case "smtp", "submission", "submissions":
		c, err := smtp.NewClient(conn, serverName)
		require.NoError(t, err)
		require.NoError(t, c.Hello("client.example.com"))
		return whoamiSMTP(t, c), true
	case "imaps":
		c := imapclient.New(conn, nil)
		defer c.Close()
		return readWhoami(t, imapError(t, c.Login("whoami", "x").Wait()).Text), true
	case "pop3s":
		c := textproto.NewConn(conn)
		require.Regexp(t, `^\+OK`, readPOP3(t, c))
		return readWhoami(t, commandPOP3(t, c, "USER whoami")), true
	}
	return whoami{}, false
}

func TestBalancedRequests(t *testing.T) {
	n := startNodes(t)
	eachBalancer(t, func(t *testing.T, b balancer) {
		p := b.run(t, n)
		for _, v := range webVisitors {
			t.Run(v.name, func(t *testing.T) {
				from := n.now()
				browser := v.browse(t, p)
				const requests = 4 * nodeCount
				for range requests {
					require.Equal(t, proxied(v.ip, v.tls, true), browser.ask(t, everythingForged))
				}
				for i, count := range n.requireEvents(t, from, "http", event{"session", v.ip, v.tls}, requests) {
					require.GreaterOrEqual(t, count, nodeCount, "requests of node %d", i+1)
				}
			})
		}
	})
}

func TestBalancedDocuments(t *testing.T) {
	base := "https://" + serverName
	n := startNodes(t)
	want := fetchDocuments(t, base, directly(n.all[0], "http"), nil)
	requireDocuments(t, base, want)
	for _, m := range n.all[1:] {
		require.Equal(t, want, fetchDocuments(t, base, directly(m, "http"), nil))
	}
	eachBalancer(t, func(t *testing.T, b balancer) {
		p := b.run(t, n)
		for range 2 * nodeCount {
			require.Equal(t, want, fetchDocuments(t, base, withTLS(p.client("https"), endedByProxy), nil))
		}
	})
}
