package interop

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/stretchr/testify/require"
)

// A whoami is the server's answer about a client, in each protocol.
type whoami struct {
	ClientIP string `json:"last_ip"` // of the last hop unless Known
	TLS      bool   `json:"tls"`
	Known    bool   `json:"client_known"`
	Version  int    `json:"version"` // of the PROXY header
}

func readWhoami(t *testing.T, answer string) (w whoami) {
	t.Helper()
	i := strings.IndexByte(answer, '{')
	require.GreaterOrEqual(t, i, 0, "no answer to whoami: %q", answer)
	require.NoError(t, json.Unmarshal([]byte(answer[i:]), &w), answer)
	requireClientOnlyIfKnown(t, []byte(answer[i:]))
	return w
}

// requireClientOnlyIfKnown checks that mailfront does not report a proxy's address as the
// client's.
func requireClientOnlyIfKnown(t *testing.T, answer []byte) {
	t.Helper()
	var w struct {
		Client string `json:"client_ip"`
		Last   string `json:"last_ip"`
		Known  bool   `json:"client_known"`
	}
	require.NoError(t, json.Unmarshal(answer, &w), "%s", answer)
	want := ""
	if w.Known {
		want = w.Last
	}
	require.Equal(t, want, w.Client, "%s", answer)
}

// The time at which passwords are offered.
type offer string

const (
	atOnce        offer = "at once"
	afterStartTLS offer = "after STARTTLS"
	never         offer = "never"
)

// A talk is a session of a client with a listener of mailfront, and its expected results.
type talk struct {
	m        *mailfront
	listener string
	dial     func(t *testing.T) net.Conn // with TLS if the client begins with TLS
	want     whoami                      // before STARTTLS, which sets TLS to true
	offer    offer
}

// run has a session in the listener's protocol, and checks all answers and the log.
func (k talk) run(t *testing.T) {
	t.Helper()
	switch protocol := strings.TrimSuffix(k.listener, "s"); protocol {
	case "smtp", "submission":
		k.smtp(t)
	case "imap":
		k.imap(t)
	case "pop3":
		k.pop3(t)
	case "http":
		k.http(t)
	default:
		require.Fail(t, "no client for "+k.listener)
	}
}

// onTLS returns the expected whoami after STARTTLS.
func (k talk) onTLS() whoami {
	w := k.want
	w.TLS = true
	return w
}

// events returns the expected log lines of one connection.
func (k talk) events(t *testing.T, from int, startTLS bool) {
	t.Helper()
	ip := k.want.ClientIP
	want := []event{{"accept", ip, k.want.TLS}, {"session", ip, k.want.TLS}}
	if startTLS {
		want = append(want, event{"session", ip, true})
	}
	k.m.requireEvents(t, from, k.listener, want...)
}

func (k talk) smtp(t *testing.T) {
	t.Helper()
	from := k.m.stderr.now()
	c, err := smtp.NewClient(k.dial(t), serverName)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Hello("client.example.com"))
	require.Equal(t, k.want, whoamiSMTP(t, c))
	auth, _ := c.Extension("AUTH")
	startTLS, _ := c.Extension("STARTTLS")
	require.Equal(t, k.offer == atOnce, auth, "offers AUTH")
	require.Equal(t, k.offer == afterStartTLS, startTLS, "offers STARTTLS")
	if !auth {
		code, answer := loginSMTP(t, c)
		require.Equal(t, 5, code/100, "AUTH was not offered, and is answered %d %s", code, answer)
	}
	if !startTLS {
		code, answer := commandSMTP(t, c, "STARTTLS")
		require.Equal(t, 5, code/100, "STARTTLS was not offered, and is answered %d %s", code, answer)
	}
	if startTLS {
		require.NoError(t, c.Reset())
		require.NoError(t, c.StartTLS(clientTLS(t)))
		state, _ := c.TLSConnectionState()
		requireEndedBy(t, state, endedByServer)
		auth, _ = c.Extension("AUTH")
		require.True(t, auth, "offers AUTH after STARTTLS")
		startTLS, _ := c.Extension("STARTTLS")
		require.False(t, startTLS, "offers STARTTLS after STARTTLS")
		require.Equal(t, k.onTLS(), whoamiSMTP(t, c))
	}
	if k.offer != never {
		require.NoError(t, c.Reset())
		code, answer := loginSMTP(t, c)
		require.Equal(t, 235, code, answer)
	}
	code, answer := commandSMTP(t, c, "QUIT") // c.Quit requires an open connection
	require.Equal(t, 221, code, answer)
	k.events(t, from, k.offer == afterStartTLS)
}

func whoamiSMTP(t *testing.T, c *smtp.Client) whoami {
	t.Helper()
	require.NoError(t, c.Mail("a@example.test"))
	err := c.Rcpt("whoami@example.test")
	var refusal *textproto.Error
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, 550, refusal.Code)
	return readWhoami(t, refusal.Msg)
}

func commandSMTP(t *testing.T, c *smtp.Client, format string, args ...any) (int, string) {
	t.Helper()
	id, err := c.Text.Cmd(format, args...)
	require.NoError(t, err)
	c.Text.StartResponse(id)
	defer c.Text.EndResponse(id)
	code, answer, err := c.Text.ReadResponse(0)
	require.NoError(t, err)
	return code, answer
}

// loginSMTP sends AUTH without checking that it is offered, unlike smtp.PlainAuth.
func loginSMTP(t *testing.T, c *smtp.Client) (int, string) {
	t.Helper()
	return commandSMTP(t, c, "AUTH PLAIN %s",
		base64.StdEncoding.EncodeToString([]byte("\x00"+account+"\x00"+password)))
}

func (k talk) imap(t *testing.T) {
	t.Helper()
	from := k.m.stderr.now()
	c := imapclient.New(k.dial(t), nil)
	defer func() { c.Close() }()
	require.NoError(t, c.WaitGreeting())
	k.requireOfferIMAP(t, c.Caps(), k.offer == atOnce, k.offer == afterStartTLS)
	if k.offer != atOnce {
		err := c.Login(account, password).Wait()
		require.Equal(t, imap.StatusResponseTypeNo, imapError(t, err).Type, "LOGIN was not offered")
		require.NoError(t, c.Logout().Wait())
		k.events(t, from, false)
	}
	if k.offer == afterStartTLS { // go-imap's client needs a new connection for it
		from = k.m.stderr.now()
		var err error
		c, err = imapclient.NewStartTLS(k.dial(t), &imapclient.Options{TLSConfig: clientTLS(t)})
		require.NoError(t, err)
		k.requireOfferIMAP(t, c.Caps(), true, false)
	}
	if k.offer == never {
		return
	}
	w := k.want
	if k.offer == afterStartTLS {
		w = k.onTLS()
	}
	require.Equal(t, w, readWhoami(t, imapError(t, c.Login("whoami", "x").Wait()).Text))
	require.NoError(t, c.Login(account, password).Wait())
	inbox, err := c.Select("INBOX", nil).Wait()
	require.NoError(t, err)
	require.Zero(t, inbox.NumMessages)
	require.NoError(t, c.Logout().Wait())
	k.events(t, from, k.offer == afterStartTLS)
}

func (k talk) requireOfferIMAP(t *testing.T, caps imap.CapSet, login, startTLS bool) {
	t.Helper()
	require.Equal(t, !login, caps.Has(imap.CapLoginDisabled), "LOGINDISABLED in %v", caps)
	require.Equal(t, login, caps.Has(imap.AuthCap("PLAIN")), "AUTH=PLAIN in %v", caps)
	require.Equal(t, startTLS, caps.Has(imap.CapStartTLS), "STARTTLS in %v", caps)
}

func imapError(t *testing.T, err error) *imap.Error {
	t.Helper()
	var e *imap.Error
	require.ErrorAs(t, err, &e)
	return e
}

func (k talk) pop3(t *testing.T) {
	t.Helper()
	from := k.m.stderr.now()
	conn := k.dial(t)
	c := textproto.NewConn(conn)
	defer c.Close()
	require.Regexp(t, `^\+OK`, readPOP3(t, c))
	k.requireOfferPOP3(t, c, k.offer == atOnce, k.offer == afterStartTLS)
	if k.offer != atOnce {
		require.Regexp(t, `^-ERR`, commandPOP3(t, c, "USER "+account), "USER was not offered")
	}
	if k.offer != afterStartTLS {
		require.Regexp(t, `^-ERR`, commandPOP3(t, c, "STLS"), "STLS was not offered")
	}
	w := k.want
	if k.offer == afterStartTLS {
		require.Regexp(t, `^\+OK`, commandPOP3(t, c, "STLS"))
		c = textproto.NewConn(onTLS(t, conn, endedByServer))
		k.requireOfferPOP3(t, c, true, false)
		w = k.onTLS()
	}
	if k.offer != never {
		answer := commandPOP3(t, c, "USER whoami")
		require.Regexp(t, `^-ERR`, answer)
		require.Equal(t, w, readWhoami(t, answer))
		require.Regexp(t, `^\+OK`, commandPOP3(t, c, "USER "+account))
		require.Regexp(t, `^\+OK`, commandPOP3(t, c, "PASS "+password))
		require.Equal(t, "+OK 0 0", commandPOP3(t, c, "STAT"))
	}
	require.Regexp(t, `^\+OK`, commandPOP3(t, c, "QUIT"))
	k.events(t, from, k.offer == afterStartTLS)
}

func (k talk) requireOfferPOP3(t *testing.T, c *textproto.Conn, login, startTLS bool) {
	t.Helper()
	require.Regexp(t, `^\+OK`, commandPOP3(t, c, "CAPA"))
	capabilities, err := c.ReadDotLines()
	require.NoError(t, err)
	require.Equal(t, login, slices.Contains(capabilities, "USER"), "USER in %q", capabilities)
	require.Equal(t, startTLS, slices.Contains(capabilities, "STLS"), "STLS in %q", capabilities)
}

func commandPOP3(t *testing.T, c *textproto.Conn, command string) string {
	t.Helper()
	require.NoError(t, c.PrintfLine("%s", command))
	return readPOP3(t, c)
}

func readPOP3(t *testing.T, c *textproto.Conn) string {
	t.Helper()
	line, err := c.ReadLine()
	require.NoError(t, err)
	return line
}

// http makes two requests on a connection. Each is a session.
func (k talk) http(t *testing.T) {
	t.Helper()
	from := k.m.stderr.now()
	c := k.dial(t)
	defer c.Close()
	client := httpClient(t, c)
	session := event{"session", k.want.ClientIP, k.want.TLS}
	require.Equal(t, k.want, getWhoami(t, client, false))
	require.Equal(t, k.want, getWhoami(t, client, true))
	k.m.requireEvents(t, from, k.listener, session, session)
}

// httpClient returns a client on c, which has done its TLS handshake if it uses TLS.
func httpClient(t *testing.T, c net.Conn) *http.Client {
	t.Helper()
	return &http.Client{Transport: &keptConn{c, bufio.NewReader(c)}}
}

// A keptConn uses one connection for all requests. An http.Transport may drop usable
// connections on a busy machine.
type keptConn struct {
	net.Conn
	answers *bufio.Reader
}

func (c *keptConn) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Write(c); err != nil {
		return nil, err
	}
	return http.ReadResponse(c.answers, r)
}

// getWhoami requests the whoami. If forged is set, the request has HTTP headers with another
// client, which a listener with PROXY protocol ignores.
func getWhoami(t *testing.T, client *http.Client, forged bool) whoami {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, "http://"+serverName+"/whoami", nil)
	require.NoError(t, err)
	if forged {
		request.Header.Set("X-Forwarded-For", "203.0.113.9")
		request.Header.Set("Forwarded", "for=203.0.113.9;proto=https")
		request.Header.Set("X-Forwarded-Proto", "https")
	}
	response, err := client.Do(request)
	require.NoError(t, err)
	return readResponse(t, response)
}

func readResponse(t *testing.T, response *http.Response) whoami {
	t.Helper()
	defer response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return readWhoami(t, string(body))
}

// dialFrom connects from an address of this machine. The connection has a deadline.
func dialFrom(t *testing.T, from, address string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: timeout}
	c, err := d.Dial("tcp", address)
	require.NoError(t, err)
	return prepare(t, c)
}

func prepare(t *testing.T, c net.Conn) net.Conn {
	t.Helper()
	require.NoError(t, c.SetDeadline(time.Now().Add(timeout)))
	t.Cleanup(func() { c.Close() })
	return c
}
