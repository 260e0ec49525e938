package main

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
	"github.com/seed-94e48765/portico/proxyproto"
)

// No test queries the DNS of the system.
func init() {
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no DNS in tests")
	}}
}

// A started is a frontend whose parts a test can inspect and replace.
type started struct {
	*frontend
	t *testing.T
}

// startWith starts a frontend that trusts proxyIP by default. change is called before the first
// connection.
func startWith(t *testing.T, env map[string]string, change func(*frontend)) started {
	t.Helper()
	return startConfigured(t, env, func(*config) {}, change)
}

// startLimited starts a frontend with other limits.
func startLimited(t *testing.T, env map[string]string, change func(*guard.Limits)) started {
	t.Helper()
	return startConfigured(t, env, func(cfg *config) { change(&cfg.limits) }, nil)
}

func startConfigured(t *testing.T, env map[string]string, configure func(*config), change func(*frontend)) started {
	t.Helper()
	all := map[string]string{"MAILFRONT_TRUSTED_PROXIES": proxyIP, "MAILFRONT_DEMO_PASSWORD": testPassword}
	for key, value := range env {
		all[key] = value
	}
	cfg, err := parseConfig(nil, lookup(all), io.Discard)
	require.NoError(t, err)
	configure(cfg)
	f, err := start(cfg, newLogger(newLogBuffer(), cfg.logLevel))
	require.NoError(t, err)
	t.Cleanup(func() { f.shutdown(time.Second) })
	if change != nil {
		change(f)
	}
	return started{f, t}
}

func (f started) connect(from, listener string) net.Conn {
	f.t.Helper()
	r := &running{t: f.t, address: map[string]string{listener: f.address(listener)}}
	return r.dial(from, listener)
}

// send delivers a message. It returns the message in the mailbox, and the answer to DATA.
func (f started) send(c net.Conn, helo, from, message string) (header, answer string) {
	f.t.Helper()
	s := newScript(f.t, c)
	s.until("220 ")
	s.smtp("EHLO %s", helo)
	return f.sendOn(s, from, message)
}

func (f started) sendOn(s *script, from, message string) (header, answer string) {
	f.t.Helper()
	before := len(f.mail.messages())
	require.Regexp(f.t, "^250 ", s.smtp("MAIL FROM:<%s>", from))
	require.Regexp(f.t, "^250 ", s.smtp("RCPT TO:<demo@example.test>"))
	require.Regexp(f.t, "^354 ", s.smtp("DATA"))
	answer = s.smtp("%s\r\n.", strings.TrimSuffix(message, "\r\n"))
	messages := f.mail.messages()
	if len(messages) == before {
		return "", answer
	}
	header, _, _ = strings.Cut(string(messages[before].Data), "\r\n\r\n")
	return strings.ReplaceAll(header, "\r\n\t", " "), answer
}

// proxiedBy writes h to a connection from proxy.
func (f started) proxiedBy(proxy, listener string, h proxyproto.Header) net.Conn {
	f.t.Helper()
	c := f.connect(proxy, listener)
	require.NoError(f.t, proxyproto.WriteHeader(c, h))
	return c
}

// fieldsNamed returns the header fields with a name.
func fieldsNamed(header, name string) []string {
	var found []string
	for line := range strings.SplitSeq(header, "\r\n") {
		if strings.HasPrefix(strings.ToLower(line), strings.ToLower(name)+":") {
			found = append(found, line)
		}
	}
	return found
}
