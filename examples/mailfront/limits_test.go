package main

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
	"github.com/seed-94e48765/portico/proxyproto"
)

func TestUncomparedPassword(t *testing.T) {
	s := newSite(t, testBase, direct, nil) // from 127.0.0.1, which is not banned
	for i := range 15 {
		response, _ := s.do("PROPFIND", "/dav/cal/", "", "Authorization", basicAuth("wrong"))
		if i < 9 {
			require.Equal(t, http.StatusUnauthorized, response.StatusCode)
			continue
		}
		require.Equal(t, http.StatusTooManyRequests, response.StatusCode)
		require.NotEmpty(t, response.Header.Get("Retry-After"))
		require.Empty(t, response.Header.Values("WWW-Authenticate"))
	}
}

func TestDirectClientConnectionLimit(t *testing.T) {
	for _, listener := range []string{"http", "https"} {
		t.Run(listener, func(t *testing.T) {
			f := startLimited(t, map[string]string{"MAILFRONT_HTTPS_CLIENT": "forwarded"}, func(l *guard.Limits) { l.PerClient, l.Total = 3, 8 })
			connect := func(from string) net.Conn {
				c := f.connect(from, listener)
				if listener == "https" {
					c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
				}
				return c
			}
			ask := func(c net.Conn) error {
				if _, err := io.WriteString(c, "GET /whoami HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
					return err
				}
				_, err := http.ReadResponse(bufio.NewReader(c), nil)
				return err // and the connection stays, idle
			}
			var open []net.Conn
			for range 3 {
				open = append(open, connect(directIP))
				require.NoError(t, ask(open[len(open)-1]))
			}
			for range 20 {
				require.Error(t, ask(connect(directIP)))
			}
			require.Equal(t, 3, f.guard.Counts().Connections)
			require.EqualValues(t, 20, f.guard.Counts().TooManyOpen)
			newScript(t, f.proxiedBy(proxyIP, "smtp", header(nil))).line()
			for range 4 { // a proxy has many clients
				require.NoError(t, ask(connect(proxyIP)))
			}
			for _, c := range open {
				require.NoError(t, c.Close())
			}
			require.Eventually(t, func() bool { return f.guard.Counts().Connections == 5 }, testTimeout, time.Millisecond)
			require.NoError(t, ask(connect(directIP)))
		})
	}
}

func TestBanOnForwardedListener(t *testing.T) {
	f := startWith(t, nil, nil)
	require.ErrorIs(t, f.wrongPasswords(client.Client{IP: netip.MustParseAddr(directIP), Known: true}, 10), guard.ErrBanned)
	require.Empty(t, newScript(t, f.connect(directIP, "http")).end())
}

// Ten wrong passwords lock out clients on some listeners.
func TestBanAcrossProtocols(t *testing.T) {
	r := runMailfront(t, map[string]string{"MAILFRONT_HTTP_CLIENT": "proxy"})
	v6 := func(host string) proxyproto.Header {
		return proxyproto.Header{Source: &net.TCPAddr{IP: net.ParseIP(host), Port: 4567}, Destination: &net.TCPAddr{IP: net.ParseIP("2001:db8:1::1"), Port: 25}}
	}
	connect := func(h *proxyproto.Header) func(string) net.Conn {
		if h == nil {
			return r.direct
		}
		return func(listener string) net.Conn { return r.proxied(listener, *h) }
	}
	proxied, other, local, unknown := header(nil), header(nil), proxyproto.Header{Local: true}, proxyproto.Header{Version: 1}
	other.Source = &net.TCPAddr{IP: net.ParseIP("192.0.2.8"), Port: 1}
	self := header(nil)
	self.Source = &net.TCPAddr{IP: net.ParseIP(proxyIP), Port: 1}
	here, neighbour, there := v6("2001:db8::7"), v6("2001:db8::8"), v6("2001:db8:0:1::7")
	for _, test := range []struct {
		name           string
		attacker       *proxyproto.Header
		ip             string
		banned         bool
		shared, served *proxyproto.Header // other clients that are locked out, or not
	}{
		{name: "a proxied client", attacker: &proxied, ip: clientIP, banned: true, shared: &proxied, served: &other},
		{name: "IPv6", attacker: &here, ip: "2001:db8::7", banned: true, shared: &neighbour, served: &there},
		{name: "LOCAL", attacker: &local, ip: proxyIP, banned: false, shared: nil, served: &local},
		{name: "UNKNOWN", attacker: &unknown, ip: proxyIP, banned: false, shared: nil, served: &unknown},
		{name: "a trusted proxy's own address", attacker: &self, ip: proxyIP, banned: false, shared: nil, served: &self},
		{name: "a direct client", attacker: nil, ip: directIP, banned: true, shared: nil, served: &other},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.ip == directIP {
				needDirect(t)
			}
			guess := func(listener string, command, want string) { // three times
				s := newScript(t, onTLS(t, connect(test.attacker)(listener)))
				s.line()
				if strings.HasPrefix(listener, "s") {
					s.smtp("EHLO client.example")
				}
				for range 3 {
					s.send("%s", command)
					if listener == "pop3s" {
						require.Regexp(t, `^\+OK`, s.line()) // USER
					}
					require.Regexp(t, "^"+want+" ", s.line())
					r.awaitLog("proto=" + listener + " event=login_failed client_ip=" + test.ip)
				}
				require.Empty(t, s.end(), "a connection has three tries on %s", listener)
			}
			guess("submissions", "AUTH PLAIN "+saslPlain(testAccount, "wrong")+"\r\n", "535")
			guess("imaps", "a LOGIN "+testAccount+" wrong\r\n", "a NO")
			guess("pop3s", "USER "+testAccount+"\r\nPASS wrong\r\n", "-ERR")

			s := newScript(t, onTLS(t, connect(test.attacker)("smtps")))
			s.line()
			s.smtp("EHLO client.example")
			answer := s.smtp("AUTH PLAIN %s", saslPlain(testAccount, "wrong"))
			if !test.banned {
				require.Regexp(t, "^535 ", answer)
				r.awaitLog("level=WARN", "event=no_ban client_ip="+test.ip)
				require.Zero(t, r.logged("event=ban", "client_ip="+test.ip))
			} else {
				require.Regexp(t, "^421 ", answer)
				require.Empty(t, s.end())
				r.awaitLog("level=WARN", "event=ban client_ip="+test.ip)
			}
			for i, name := range listenerNames {
				if test.banned {
					for _, h := range []*proxyproto.Header{test.attacker, test.shared} {
						if (h == nil) == (test.attacker == nil) {
							require.Empty(t, newScript(t, connect(h)(name)).end(), name) // no banner, and no alert
						}
					}
					r.awaitLog("level=WARN", "proto="+name+" event=refuse client_ip="+test.ip, "banned")
				}
				c := connect(test.served)(name)
				if strings.HasSuffix(name, "s") {
					c = onTLS(t, c)
				}
				if i < 2 {
					get(t, c, "/whoami", http.Header{})
				} else {
					newScript(t, c).line()
				}
			}
		})
	}
}

func TestBanEndsOpenSessions(t *testing.T) {
	f := startWith(t, nil, nil)
	told := header(&proxyproto.TLS{Client: true})
	open := map[string]*script{}
	for _, listener := range []string{"smtp", "imap", "pop3"} {
		open[listener] = newScript(t, f.proxiedBy(proxyIP, listener, told))
		open[listener].line()
	}
	open["smtp"].smtp("EHLO client.example")
	user := newScript(t, f.proxiedBy(proxyIP, "imap", told))
	user.line()
	require.Regexp(t, loggedIn["imap"], logins["imap"](user))

	require.ErrorIs(t, f.wrongPasswords(client.Client{IP: netip.MustParseAddr(clientIP), Known: true, Proxy: netip.MustParseAddr(proxyIP), Version: 2}, 10), guard.ErrBanned)
	for listener, want := range map[string]string{
		"smtp": "^421 4.7.0 Too many logins: try again in 1[45]m", "imap": `^i NO \[UNAVAILABLE\] Too many logins: try again in 1[45]m`, "pop3": `^-ERR \[SYS/TEMP\] too many logins: try again in 1[45]m`,
	} {
		require.Regexp(t, want, logins[listener](open[listener]), "the password is right")
		require.Empty(t, open[listener].end())
	}
	require.NoError(t, ask["imap"](user), "who is logged in stays")
}

func TestMailOverBudgetIsDeferred(t *testing.T) {
	const firstRead = 32 << 10                                                        // bytes: what package guard takes at first
	f := startLimited(t, nil, func(l *guard.Limits) { l.Memory = 3*firstRead*2 - 1 }) // too little for a second read
	s := ehlo(t, f.connect(directIP, "smtp"))
	for _, size := range []int{100, firstRead + 1, 100} {
		s.smtp("MAIL FROM:<a@elsewhere.test>")
		s.smtp("RCPT TO:<demo@example.test>")
		s.smtp("DATA")
		want := "^250 "
		if size > firstRead {
			want = "^452 4.3.1 "
		}
		require.Regexp(t, want, s.smtp("%s.", strings.Repeat(strings.Repeat("x", 48)+"\r\n", size/50+1)))
		require.Zero(t, f.guard.Counts().MemoryInUse)
	}
	require.Len(t, f.mail.messages(), 2)
}

func TestAbortedMessageReleasesMemory(t *testing.T) {
	f := startWith(t, nil, nil)
	s := ehlo(t, f.connect(directIP, "smtp"))
	s.smtp("MAIL FROM:<a@elsewhere.test>")
	s.smtp("RCPT TO:<demo@example.test>")
	s.smtp("DATA")
	s.send("Subject: x\r\n")
	s.Close()
	require.NoError(t, f.frontend.shutdown(testTimeout))
	require.Zero(t, f.guard.Counts().MemoryInUse)
}

// wrongPasswords fails n times and returns the last error.
func (f started) wrongPasswords(cl client.Client, n int) (err error) {
	for range n {
		err = f.guard.LogIn(cl, testAccount, func() (bool, error) { return false, nil })
	}
	return err
}

func TestBanOnWeb(t *testing.T) {
	s := newSite(t, testBase, direct, nil)
	s.comeFromElsewhere()
	action, form := s.Open(s.AuthURL("v"))
	form.Set("username", testAccount)
	stale, err := op.NewAES256GCMCrypto([32]byte{1}, "").Encrypt("of another process")
	require.NoError(t, err)
	for range 20 {
		response, _ := s.do(http.MethodGet, "/jmap/session", "", "Authorization", "Bearer "+stale)
		require.Equal(t, http.StatusUnauthorized, response.StatusCode, "an old token is not a guess")
	}
	for i := range 9 {
		response, _ := s.do(http.MethodGet, "/jmap/session", "", "Authorization", []string{"Bearer guess", basicAuth("guess")}[i%2])
		require.Equal(t, http.StatusUnauthorized, response.StatusCode)
	}
	form.Set("password", "guess")
	response, page := s.Post(action, form)
	require.Equal(t, http.StatusTooManyRequests, response.StatusCode, page)
	response, _ = s.do(http.MethodGet, "/whoami", "")
	require.Equal(t, http.StatusTooManyRequests, response.StatusCode)
	s.awaitLogs(1, "level=WARN", "event=ban ", "client_ip="+directIP)
}
