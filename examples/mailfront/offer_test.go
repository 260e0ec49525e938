package main

import (
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

// An offered has the offers of a server to a client.
type offered struct{ login, startTLS bool }

var (
	offersLogin    = offered{login: true}
	offersStartTLS = offered{startTLS: true}
	offersNeither  = offered{}
)

// A mailClient is a client for a protocol. It returns the offers of the server, and fails if the
// server accepts a command that it did not offer.
var mailClients = map[string]func(*testing.T, *script) offered{
	"smtp": func(t *testing.T, s *script) offered {
		s.until("220 ")
		ehlo := s.smtp("EHLO client.example")
		o := offered{strings.Contains(ehlo, "AUTH PLAIN"), strings.Contains(ehlo, "STARTTLS")}
		if !o.login {
			require.Regexp(t, "^5", s.smtp("AUTH PLAIN %s", saslPlain(testAccount, testPassword)), "AUTH was not offered")
		}
		if !o.startTLS {
			require.Regexp(t, "^502 ", s.smtp("STARTTLS"), "STARTTLS was not offered")
		}
		return o
	},
	"imap": func(t *testing.T, s *script) offered {
		greeting := s.line()
		o := offered{strings.Contains(greeting, "AUTH=PLAIN"), strings.Contains(greeting, "STARTTLS")}
		require.Equal(t, !o.login, strings.Contains(greeting, "LOGINDISABLED"), greeting)
		if !o.login {
			s.send("l LOGIN %s %q\r\n", testAccount, testPassword)
			require.Contains(t, s.until("l "), "l NO [PRIVACYREQUIRED]", "LOGIN was not offered")
			s.send("a AUTHENTICATE PLAIN %s\r\n", saslPlain(testAccount, testPassword))
			require.Contains(t, s.until("a "), "a NO [PRIVACYREQUIRED]", "AUTH was not offered")
		}
		if !o.startTLS {
			s.send("t STARTTLS\r\n")
			require.Regexp(t, "^t (NO|BAD) ", s.until("t "), "STARTTLS was not offered")
		}
		return o
	},
	"pop3": func(t *testing.T, s *script) offered {
		s.line()
		s.send("CAPA\r\n")
		capa := "\n" + s.untilDot() + "\n"
		o := offered{strings.Contains(capa, "\nUSER\n"), strings.Contains(capa, "\nSTLS\n")}
		if !o.login {
			s.send("USER %s\r\n", testAccount)
			require.Regexp(t, "^-ERR ", s.line(), "USER was not offered")
		}
		if !o.startTLS {
			s.send("STLS\r\n")
			require.Regexp(t, "^-ERR ", s.line(), "STLS was not offered")
		}
		return o
	},
}

// startTLSCommands are the commands for a server that offers STARTTLS.
var startTLSCommands = map[string]string{"smtp": "STARTTLS\r\n", "imap": "s STARTTLS\r\n", "pop3": "STLS\r\n"}

// logins log in if the server offers it, and return its answer.
var logins = map[string]func(*script) string{
	"smtp": func(s *script) string { return s.smtp("AUTH PLAIN %s", saslPlain(testAccount, testPassword)) },
	"imap": func(s *script) string {
		s.send("i LOGIN %s %q\r\n", testAccount, testPassword)
		return s.until("i ")
	},
	"pop3": func(s *script) string {
		s.send("USER %s\r\nPASS %s\r\n", testAccount, testPassword)
		s.line()
		return s.line()
	},
}

var loggedIn = map[string]string{"smtp": "^235 ", "imap": "^i OK ", "pop3": `^\+OK `}

func TestPasswordOfferRequiresKnownTLS(t *testing.T) {
	noTLV := header(nil)
	clear := header(&proxyproto.TLS{})
	set := header(&proxyproto.TLS{Client: true, Version: "TLSv1.3"})
	v1 := header(nil)
	v1.Version = 1
	local := proxyproto.Header{Local: true}
	unknown := proxyproto.Header{Version: 1}
	cases := []struct {
		header   *proxyproto.Header // nil: direct
		path     proxyproto.TLSPath
		implicit bool
		want     offered
		tls      bool // in the log
	}{
		// The connection to mailfront is without TLS.
		{header: nil, path: proxyproto.PassthroughTLS, implicit: false, want: offersStartTLS, tls: false},
		{header: nil, path: proxyproto.TerminatedTLS, implicit: false, want: offersStartTLS, tls: false},
		{header: nil, path: proxyproto.ReencryptedTLS, implicit: false, want: offersStartTLS, tls: false},
		{header: &noTLV, path: proxyproto.PassthroughTLS, implicit: false, want: offersStartTLS, tls: false},
		{header: &noTLV, path: proxyproto.TerminatedTLS, implicit: false, want: offersLogin, tls: true},
		{header: &noTLV, path: proxyproto.ReencryptedTLS, implicit: false, want: offersNeither, tls: false},
		{header: &v1, path: proxyproto.PassthroughTLS, implicit: false, want: offersStartTLS, tls: false},
		{header: &v1, path: proxyproto.TerminatedTLS, implicit: false, want: offersLogin, tls: true},
		{header: &v1, path: proxyproto.ReencryptedTLS, implicit: false, want: offersNeither, tls: false},
		{header: &clear, path: proxyproto.PassthroughTLS, implicit: false, want: offersStartTLS, tls: false},
		{header: &clear, path: proxyproto.TerminatedTLS, implicit: false, want: offersStartTLS, tls: false},
		{header: &clear, path: proxyproto.ReencryptedTLS, implicit: false, want: offersNeither, tls: false},
		{header: &set, path: proxyproto.PassthroughTLS, implicit: false, want: offersLogin, tls: true},
		{header: &set, path: proxyproto.TerminatedTLS, implicit: false, want: offersLogin, tls: true},
		{header: &set, path: proxyproto.ReencryptedTLS, implicit: false, want: offersLogin, tls: true},
		{header: &local, path: proxyproto.PassthroughTLS, implicit: false, want: offersStartTLS, tls: false},
		{header: &local, path: proxyproto.TerminatedTLS, implicit: false, want: offersStartTLS, tls: false},
		{header: &local, path: proxyproto.ReencryptedTLS, implicit: false, want: offersNeither, tls: false},
		{header: &unknown, path: proxyproto.PassthroughTLS, implicit: false, want: offersStartTLS, tls: false},
		{header: &unknown, path: proxyproto.TerminatedTLS, implicit: false, want: offersStartTLS, tls: false},
		{header: &unknown, path: proxyproto.ReencryptedTLS, implicit: false, want: offersNeither, tls: false},

		// The connection to mailfront begins with TLS.
		{header: nil, path: proxyproto.PassthroughTLS, implicit: true, want: offersLogin, tls: true},
		{header: nil, path: proxyproto.TerminatedTLS, implicit: true, want: offersLogin, tls: true},
		{header: nil, path: proxyproto.ReencryptedTLS, implicit: true, want: offersLogin, tls: true},
		{header: &noTLV, path: proxyproto.PassthroughTLS, implicit: true, want: offersLogin, tls: true},
		{header: &noTLV, path: proxyproto.TerminatedTLS, implicit: true, want: offersLogin, tls: true},
		{header: &noTLV, path: proxyproto.ReencryptedTLS, implicit: true, want: offersNeither, tls: false},
		{header: &clear, path: proxyproto.PassthroughTLS, implicit: true, want: offersLogin, tls: true},
		{header: &clear, path: proxyproto.TerminatedTLS, implicit: true, want: offersLogin, tls: true},
		{header: &clear, path: proxyproto.ReencryptedTLS, implicit: true, want: offersNeither, tls: false},
		{header: &set, path: proxyproto.ReencryptedTLS, implicit: true, want: offersLogin, tls: true},
		{header: &local, path: proxyproto.PassthroughTLS, implicit: true, want: offersLogin, tls: true},
		{header: &local, path: proxyproto.ReencryptedTLS, implicit: true, want: offersNeither, tls: false},
		{header: &unknown, path: proxyproto.ReencryptedTLS, implicit: true, want: offersNeither, tls: false},
	}
	const mail = "smtp,smtps,imap,imaps,pop3,pop3s"
	servers := map[proxyproto.TLSPath]*running{
		proxyproto.PassthroughTLS: runMailfront(t, nil),
		proxyproto.TerminatedTLS:  runMailfront(t, map[string]string{"MAILFRONT_TLS_TERMINATED": mail}),
		proxyproto.ReencryptedTLS: runMailfront(t, map[string]string{"MAILFRONT_TLS_REENCRYPTED": mail}),
	}
	for _, c := range cases {
		for protocol := range mailClients {
			t.Run(fmt.Sprintf("%s/%s/implicit=%t/%s", protocol, c.path, c.implicit, describeHeader(c.header)), func(t *testing.T) {
				r := *servers[c.path]
				r.t = t
				listener := protocol
				if c.implicit {
					listener += "s"
				}
				conn, ip := r.direct, directIP
				if c.header != nil {
					conn = func(l string) net.Conn { return r.proxied(l, *c.header) }
					ip = clientIP
					if c.header.Source == nil {
						ip = proxyIP
					}
				}
				raw := conn(listener)
				if c.implicit {
					raw = onTLS(t, raw)
				}
				s := newScript(t, raw)
				require.Equal(t, c.want, mailClients[protocol](t, s))
				r.awaitLog("proto=" + listener + " event=accept client_ip=" + ip + fmt.Sprintf(" tls=%t ", c.tls))
				r.awaitLog("proto=" + listener + " event=session client_ip=" + ip + fmt.Sprintf(" tls=%t ", c.tls))

				if c.want.startTLS {
					// A fresh connection: the first may be close to its limit of errors.
					s = newScript(t, conn(listener))
					mailClients[protocol](t, s)
					s.send("%s", startTLSCommands[protocol])
					s.line()
					s = s.startTLS()
					if protocol == "smtp" {
						require.Contains(t, s.smtp("EHLO client.example"), "AUTH PLAIN")
					}
				}
				if c.want != offersNeither {
					require.Regexp(t, loggedIn[protocol], logins[protocol](s))
					r.awaitLog("proto=" + listener + " event=session client_ip=" + ip + " tls=true ")
				}
			})
		}
	}
}

func describeHeader(h *proxyproto.Header) string {
	switch {
	case h == nil:
		return "direct"
	case h.Local:
		return "LOCAL"
	case h.Source == nil:
		return "UNKNOWN"
	case h.Version == 1:
		return "v1"
	case h.TLS == nil:
		return "v2 without SSL TLV"
	}
	return fmt.Sprintf("v2 client=%t", h.TLS.Client)
}

func saslPlain(name, password string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + name + "\x00" + password))
}
