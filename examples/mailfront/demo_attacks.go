package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/seed-94e48765/portico/proxyproto"
)

// forgedClient is the address in forged headers. No client has it (RFC 5737).
const forgedClient = "203.0.113.99"

// forgeries sends PROXY headers from an address that is not trusted.
func (d *demo) forgeries() {
	d.printf("\n%v is not trusted and sends a forged header with the client address %s. The results:\n", d.client, forgedClient)
	t := tabwriter.NewWriter(d.out, 2, 0, 2, ' ', 0)
	for _, f := range []struct{ name, listener, then string }{
		{"SMTP", "smtp", "EHLO me.example\r\n"},
		{"Submission", "submission", "EHLO me.example\r\n"},
		{"IMAP", "imap", "a CAPABILITY\r\n"},
		{"POP3", "pop3", "CAPA\r\n"},
		{"HTTP", "http", "GET /whoami HTTP/1.0\r\n\r\n"},
	} {
		for version := 1; version <= 2; version++ {
			words, err := d.forge(f.listener, version, f.then)
			d.check(err == nil, "forged header, %s, version %d: %v", f.name, version, err)
			if err != nil {
				words = err.Error()
			}
			if version == 2 {
				f.name = ""
			}
			fmt.Fprintf(t, "  %s\tversion %d\t%s\n", f.name, version, words)
		}
	}
	t.Flush()
	d.check(!strings.Contains(d.log.String(), "client_ip="+forgedClient), "the log names %s as a client", forgedClient)
}

// forge returns the outcome of a forged header as text, or an error if it was not rejected.
func (d *demo) forge(listener string, version int, then string) (string, error) {
	began := time.Now()
	c, err := d.to(d.direct.address(listener))()
	if err != nil {
		return "", err
	}
	defer c.Close()
	r := bufio.NewReader(c)
	words := "closed without an answer"
	if listener != "http" { // the banner of the server does not wait for the header
		if _, err := r.ReadString('\n'); err != nil {
			return "", fmt.Errorf("no banner: %w", err)
		}
		words = fmt.Sprintf("the banner, after %.1f ms; then %s", float64(time.Since(began).Microseconds())/1000, words)
	}
	address := &net.TCPAddr{IP: net.ParseIP(forgedClient), Port: 4321}
	var b bytes.Buffer
	if err := proxyproto.WriteHeader(&b, proxyproto.Header{Version: version, Source: address, Destination: address}); err != nil {
		return "", err
	}
	b.WriteString(then)
	if _, err := c.Write(b.Bytes()); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(r)
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return "", errors.New("the connection stayed open")
	case len(answer) > 0:
		return "", fmt.Errorf("an answer: %q", answer)
	}
	return words, nil // a reset counts as closed
}

// privileges attempts to use the privileges of 127.0.0.1 without having that address.
func (d *demo) privileges() {
	d.printf("\nFrom %s, which is trusted:\n", d.proxy())
	words, err := d.relayAsHealthCheck()
	d.check(err == nil, "relaying behind a LOCAL header: %v", err)
	d.printf("  (MAILFRONT_RELAY_LOOPBACK is on: 127.0.0.1 may send mail to other domains.)")
	d.printf("  A LOCAL header (health check), then mail to elsewhere.test: %s", orError(words, err))

	words, err = d.omitHeader()
	d.check(err == nil, "no header from the proxy: %v", err)
	d.printf("  No header at all: %s", orError(words, err))
}

func orError(words string, err error) string {
	if err != nil {
		return err.Error()
	}
	return words
}

// relayAsHealthCheck sends mail to another domain, which the demo allows to clients on this machine. A
// LOCAL connection has the address 127.0.0.1, but is not such a client.
func (d *demo) relayAsHealthCheck() (string, error) {
	dialer := proxyproto.Dialer{Dial: d.asProxy}
	c, err := dialer.DialContext(d.ctx, "tcp", d.behind.address("smtp"), proxyproto.Header{Local: true})
	if err != nil {
		return "", err
	}
	client := smtp.NewClient(c)
	defer client.Close()
	if err := client.Hello("check.example"); err != nil {
		return "", err
	}
	if err := client.Mail("a@elsewhere.test", nil); err != nil {
		return "", err
	}
	var refusal *smtp.SMTPError
	err = client.Rcpt("b@elsewhere.test", nil)
	if !errors.As(err, &refusal) || refusal.Code/100 != 5 {
		return "", fmt.Errorf("it was not refused: %w", errOrAccepted(err))
	}
	if err := client.Quit(); err != nil {
		return "", err
	}
	return fmt.Sprintf("refused, %d %s.", refusal.Code, refusal.Message), nil
}

func errOrAccepted(err error) error {
	if err == nil {
		return errors.New("accepted")
	}
	return err
}

// omitHeader speaks SMTP on a connection that must begin with a header.
func (d *demo) omitHeader() (string, error) {
	c, err := d.asProxy(d.ctx, "tcp", d.behind.address("smtp"))
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := io.WriteString(c, "EHLO me.example\r\n"); err != nil {
		return "", err
	}
	answer, _ := io.ReadAll(c)
	if len(answer) > 0 {
		return "", fmt.Errorf("it was served: %q", answer)
	}
	// The rejection is logged after the connection is closed.
	if !d.log.await(d.ctx, 1, "event=reject", "no PROXY header from a trusted peer") {
		return "", errors.New("closed, but the reason is not in the log")
	}
	return "closed, with the reason and the setting in the log.", nil
}

// asProxy dials from a trusted peer: 127.0.0.1 or a unix socket.
func (d *demo) asProxy(ctx context.Context, network, address string) (net.Conn, error) {
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}}
	if d.sockets != "" {
		from, network = new(net.Dialer), "unix"
	}
	c, err := from.DialContext(ctx, network, address)
	if err == nil {
		c.SetDeadline(time.Now().Add(demoTimeout / 3))
	}
	return c, err
}
