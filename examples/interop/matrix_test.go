package interop

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// A way leads from a door of a proxy to a listener of mailfront, and has the expected results for
// every client.
type way struct {
	door, listener string
	tls            bool   // the client begins with TLS
	endedBy        string // where this TLS ends
	seenTLS        bool   // expected report of mailfront about it
	offer          offer
}

// plainPassed and tlsPassed return ways through a proxy that passes bytes on.
var (
	plainPassed = func(listener string) way {
		return way{door: listener, listener: listener, offer: afterStartTLS}
	}
	tlsPassed = func(listener string) way {
		return way{door: listener, listener: listener, tls: true, endedBy: endedByServer, seenTLS: true, offer: atOnce}
	}
)

var passed = []way{
	plainPassed("smtp"), plainPassed("submission"), plainPassed("imap"), plainPassed("pop3"),
	tlsPassed("submissions"), tlsPassed("imaps"), tlsPassed("pop3s"), tlsPassed("https"),
}

// A visitor is a kind of client.
type visitor struct {
	name, ip string
	dial     func(p *proxy, door string) func(*testing.T) net.Conn
}

var (
	ipv4 = visitor{"IPv4", clientIP, (*proxy).client}
	ipv6 = visitor{"IPv6", client6IP, (*proxy).client6}

	// ipv4OnIPv6 connects to a door that is an IPv6 socket.
	ipv4OnIPv6 = visitor{"IPv4 on IPv6", clientIP, (*proxy).client}

	// unixSocket has no address. Mailfront sees the proxy's address.
	unixSocket = visitor{"unix socket", proxyIP, (*proxy).local}
)

// tryWays connects every visitor on every way through a proxy. header describes the header that
// the proxy sends, and version is its version.
func tryWays(t *testing.T, p *proxy, header string, version int, ways []way, visitors ...visitor) {
	t.Helper()
	for _, w := range ways {
		for _, v := range visitors {
			t.Run(fmt.Sprintf("%s/%s/%s", header, w.door, v.name), func(t *testing.T) {
				dial := v.dial(p, w.door)
				if w.tls {
					dial = withTLS(dial, w.endedBy)
				}
				k := talk{
					m:        p.m,
					listener: w.listener,
					dial:     dial,
					want:     whoami{ClientIP: v.ip, TLS: w.seenTLS, Known: v.ip != proxyIP, Version: version},
					offer:    w.offer,
				}
				if strings.HasPrefix(w.listener, "http") {
					k.offer = ""
				}
				report.add(t, row{product: p.product, file: p.file, header: header, way: w.describe(), client: v.name, talk: k})
				k.run(t)
			})
		}
	}
}

func (w way) describe() string {
	if w.door == w.listener {
		return w.door
	}
	return w.door + " > " + w.listener
}
