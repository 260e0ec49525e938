package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/seed-94e48765/portico/proxyproto"
)

const demoURL = "https://mail.example.test/mail"

// documents prints the documents that clients find before and after the set-up.
func (d *demo) documents() {
	d.printf("\nClients find the sign-in by a document. Without a public URL, the document contains paths:\n")
	var before struct {
		Issuer    string `json:"issuer"`
		Authorize string `json:"authorization_endpoint"`
	}
	v, end := directly(d, "http")
	body, err := d.getDocument(v)
	end()
	if err == nil {
		err = json.Unmarshal(body, &before)
	}
	ok := d.check(err == nil && before.Issuer == "" && before.Authorize == "/login", "the document in bootstrap: %q (error %v)", body, err)
	d.printf("  issuer %q, authorization_endpoint %q", before.Issuer, before.Authorize)
	for _, f := range d.frontends() {
		err := d.setUp(f)
		ok = d.check(err == nil, "the set-up: %v", err) && ok
	}
	if !ok || !d.check(d.trust() == nil, "the certificate for the new name") {
		return
	}
	d.printf("\nAfter the set-up at /admin it contains the public URL, regardless of Host and X-Forwarded-Host:\n")
	var first []byte
	ways := 0
	for _, r := range d.rows() {
		if !strings.HasPrefix(r.protocol, "HTTP") {
			continue
		}
		v, end := r.through(d, r.listener)
		body, err := d.getDocument(v)
		end()
		if ways++; first == nil {
			first = body
		}
		d.check(err == nil && bytes.Equal(body, first) && bytes.Contains(body, []byte(demoURL)), "the document, %s, %s: %q (error %v)", r.protocol, r.path, body, err)
	}
	after := before
	if json.Unmarshal(first, &after) == nil {
		d.printf("  issuer %q,\n  authorization_endpoint %q:", after.Issuer, after.Authorize)
	}
	d.printf("  the same %d bytes on %d paths to the server.", len(first), ways)
}

// frontends returns the running servers: one, or two if the proxy connects through unix sockets.
func (d *demo) frontends() []*frontend {
	if d.direct == d.behind {
		return []*frontend{d.behind}
	}
	return []*frontend{d.behind, d.direct}
}

// getDocument requests the OpenID configuration with forged header fields.
func (d *demo) getDocument(v visit) ([]byte, error) {
	client := d.httpClient(v)
	defer client.CloseIdleConnections()
	r, err := http.NewRequestWithContext(d.ctx, http.MethodGet, "http://forged.example/.well-known/openid-configuration", nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("X-Forwarded-Host", "forged.example")
	r.Header.Set("X-Forwarded-Proto", "http")
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", answer.StatusCode)
	}
	return body, err
}

func (d *demo) httpClient(v visit) *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return v.dial() }},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// setUp submits the set-up form with the token, as a browser does.
func (d *demo) setUp(f *frontend) error {
	client := d.httpClient(visit{dial: func() (net.Conn, error) { return d.to(f.address("http"))() }})
	if f != d.direct {
		v, end := throughPlain(d, "http")
		defer end()
		client = d.httpClient(v)
	}
	defer client.CloseIdleConnections()
	form := url.Values{
		"token": {f.admin.now.Load().token}, "public_url": {demoURL},
		"password": {"a password of the demo"}, "password_again": {"a password of the demo"},
	}
	r, err := http.NewRequestWithContext(d.ctx, http.MethodPost, "http://127.0.0.1/admin/setup", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusSeeOther {
		return fmt.Errorf("status %d", answer.StatusCode)
	}
	return nil
}

// ban sends wrong passwords through the proxy, and checks which clients are banned.
func (d *demo) ban() {
	const guesser, other = "198.51.100.7", "198.51.100.8" // RFC 5737: no client has them
	d.printf("\nBehind the proxy %s tries ten wrong passwords over POP3:\n", guesser)
	err := d.guess(guesser, 10)
	d.check(err == nil, "wrong passwords: %v", err)
	_, err = d.pop3As(guesser)
	d.check(errors.Is(err, io.EOF), "a banned client: %v", err)
	d.printf("  %s is banned on every protocol.", guesser)
	c, err := d.pop3As(other)
	if d.check(err == nil, "another client of the same proxy: %v", err) {
		c.Close()
	}
	d.printf("  %s, through the same proxy, is served.", other)
}

// guess sends wrong passwords, several on each connection.
func (d *demo) guess(ip string, n int) error {
	for n > 0 {
		c, err := d.pop3As(ip)
		if err != nil {
			return err
		}
		r := bufio.NewReader(c)
		for ; n > 0; n-- {
			if _, err = fmt.Fprintf(c, "USER %s\r\nPASS wrong\r\n", d.behind.cfg.account()); err != nil {
				break
			}
			if _, err = r.ReadString('\n'); err != nil {
				break
			}
			if _, err = r.ReadString('\n'); err != nil {
				break
			}
		}
		c.Close()
	}
	return nil
}

// pop3As connects as the proxy of a client on TLS, and reads the greeting.
func (d *demo) pop3As(ip string) (net.Conn, error) {
	dialer := proxyproto.Dialer{Dial: d.asProxy}
	c, err := dialer.DialContext(d.ctx, "tcp", d.behind.address("pop3"), proxyproto.Header{
		Source:      &net.TCPAddr{IP: net.ParseIP(ip), Port: 4321},
		Destination: &net.TCPAddr{IP: net.IPv4(203, 0, 113, 1), Port: 110},
		TLS:         &proxyproto.TLS{Client: true, Version: "TLSv1.3"},
	})
	if err != nil {
		return nil, err
	}
	var one [1]byte
	for one[0] != '\n' { // read no further: the caller reads the rest
		if _, err := io.ReadFull(c, one[:]); err != nil {
			c.Close()
			if errors.Is(err, io.ErrUnexpectedEOF) || isReset(err) {
				err = io.EOF
			}
			return nil, err
		}
	}
	return c, nil
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}
