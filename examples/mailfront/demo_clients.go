package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// The times at which a server accepts passwords.
const (
	atOnce        = "at once"
	afterStartTLS = "after STARTTLS"
	never         = "never"
)

// A sighting has the facts that the server reports about its client.
type sighting struct {
	Client    netip.Addr `json:"client_ip"`
	TLS       bool       `json:"tls"`
	Passwords string     `json:"-"`
}

func (s sighting) String() string {
	return fmt.Sprintf("client %v, TLS %s, passwords %s", s.Client, yesNo(s.TLS), s.Passwords)
}

// read decodes the JSON in an answer.
func (s *sighting) read(answer string) error {
	i := strings.IndexByte(answer, '{')
	if i < 0 {
		return fmt.Errorf("no answer to whoami: %q", answer)
	}
	return json.Unmarshal([]byte(answer[i:]), s)
}

// passwords returns when a server accepts passwords: before or after STARTTLS, if it offers STARTTLS.
func passwords(before, startTLS, after bool) string {
	switch {
	case before && !startTLS:
		return atOnce
	case !before && startTLS && after:
		return afterStartTLS
	case !before:
		return never
	}
	return "at once, and STARTTLS"
}

func (d *demo) querySMTP(v visit) (s sighting, err error) {
	c, before, startTLS, err := d.dialSMTP(v)
	if err != nil {
		return s, err
	}
	defer func() { c.Close() }()
	after := before
	if v.startTLS && startTLS {
		c.Close()
		conn, err := v.dial()
		if err != nil {
			return s, err
		}
		if c, err = smtp.NewClientStartTLS(conn, d.tls); err != nil {
			return s, err
		}
		after, _ = c.Extension("AUTH")
	}
	s.Passwords = passwords(before, startTLS, after)
	cfg := d.behind.cfg
	if err := c.Auth(sasl.NewPlainClient("", cfg.account(), cfg.password)); err != nil {
		return s, err
	}
	if err := c.Mail("", nil); err != nil {
		return s, err
	}
	var refusal *smtp.SMTPError
	if err := c.Rcpt("whoami@"+cfg.domains[0], nil); !errors.As(err, &refusal) {
		return s, fmt.Errorf("no answer to whoami: %w", err)
	}
	if err := s.read(refusal.Message); err != nil {
		return s, err
	}
	return s, c.Quit()
}

// dialSMTP returns a client after EHLO, and the offers of the server.
func (d *demo) dialSMTP(v visit) (c *smtp.Client, auth, startTLS bool, err error) {
	conn, err := v.dial()
	if err != nil {
		return nil, false, false, err
	}
	c = smtp.NewClient(conn)
	if err := c.Hello("client.example"); err != nil {
		c.Close()
		return nil, false, false, err
	}
	auth, _ = c.Extension("AUTH")
	startTLS, _ = c.Extension("STARTTLS")
	return c, auth, startTLS, nil
}

func (d *demo) queryIMAP(v visit) (s sighting, err error) {
	conn, err := v.dial()
	if err != nil {
		return s, err
	}
	c := imapclient.New(conn, nil)
	defer func() { c.Close() }()
	before, startTLS, err := offerIMAP(c)
	if err != nil {
		return s, err
	}
	after := before
	if v.startTLS && startTLS {
		c.Close()
		if conn, err = v.dial(); err != nil {
			return s, err
		}
		if c, err = imapclient.NewStartTLS(conn, &imapclient.Options{TLSConfig: d.tls}); err != nil {
			return s, err
		}
		if after, _, err = offerIMAP(c); err != nil {
			return s, err
		}
	}
	s.Passwords = passwords(before, startTLS, after)
	var refusal *imap.Error
	if err := c.Login("whoami", "").Wait(); !errors.As(err, &refusal) {
		return s, fmt.Errorf("no answer to whoami: %w", err)
	}
	if err := s.read(refusal.Text); err != nil {
		return s, err
	}
	if err := c.Login(d.behind.cfg.account(), d.behind.cfg.password).Wait(); err != nil {
		return s, err
	}
	return s, c.Logout().Wait()
}

func offerIMAP(c *imapclient.Client) (login, startTLS bool, err error) {
	if err := c.WaitGreeting(); err != nil {
		return false, false, err
	}
	caps := c.Caps()
	return !caps.Has(imap.CapLoginDisabled) && caps.Has(imap.AuthCap("PLAIN")), caps.Has(imap.CapStartTLS), nil
}

func (d *demo) queryPOP3(v visit) (s sighting, err error) {
	conn, err := v.dial()
	if err != nil {
		return s, err
	}
	defer func() { conn.Close() }()
	c := textproto.NewConn(conn)
	if _, err := pop3Answer(c); err != nil {
		return s, err
	}
	before, startTLS, err := offerPOP3(c)
	if err != nil {
		return s, err
	}
	after := before
	if v.startTLS && startTLS {
		if _, err := pop3Command(c, "STLS"); err != nil {
			return s, err
		}
		conn = tls.Client(conn, d.tls)
		c = textproto.NewConn(conn)
		if after, _, err = offerPOP3(c); err != nil {
			return s, err
		}
	}
	s.Passwords = passwords(before, startTLS, after)
	_, err = pop3Command(c, "USER whoami")
	var refusal pop3Error
	if !errors.As(err, &refusal) {
		return s, fmt.Errorf("no answer to whoami: %w", err)
	}
	if err := s.read(string(refusal)); err != nil {
		return s, err
	}
	for _, command := range []string{"USER " + d.behind.cfg.account(), "PASS " + d.behind.cfg.password, "STAT", "QUIT"} {
		if _, err := pop3Command(c, command); err != nil {
			return s, err
		}
	}
	return s, nil
}

// A pop3Error is the text after -ERR.
type pop3Error string

func (e pop3Error) Error() string { return "-ERR " + string(e) }

func pop3Command(c *textproto.Conn, command string) (string, error) {
	if err := c.PrintfLine("%s", command); err != nil {
		return "", err
	}
	return pop3Answer(c)
}

func pop3Answer(c *textproto.Conn) (string, error) {
	line, err := c.ReadLine()
	if err != nil {
		return "", err
	}
	if text, ok := strings.CutPrefix(line, "-ERR "); ok {
		return "", pop3Error(text)
	}
	text, ok := strings.CutPrefix(line, "+OK")
	if !ok {
		return "", fmt.Errorf("neither +OK nor -ERR: %q", line)
	}
	return strings.TrimPrefix(text, " "), nil
}

func offerPOP3(c *textproto.Conn) (login, startTLS bool, err error) {
	if _, err := pop3Command(c, "CAPA"); err != nil {
		return false, false, err
	}
	lines, err := c.ReadDotLines()
	return slices.Contains(lines, "USER"), slices.Contains(lines, "STLS"), err
}

// queryHTTP uses net/http on the connection of the visit. The URL has the scheme http even with TLS,
// because the visit has already made the handshake.
func (d *demo) queryHTTP(v visit) (s sighting, err error) {
	transport := &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return v.dial() },
	}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(d.ctx, http.MethodGet, "http://"+d.behind.cfg.domains[0]+"/whoami", nil)
	if err != nil {
		return s, err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return s, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	if err != nil {
		return s, err
	}
	s.Passwords = "-"
	return s, s.read(string(body))
}
