package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/gate"
	"github.com/seed-94e48765/portico/proxyproto"
)

func TestListenerTable(t *testing.T) {
	other := "::1"
	if !bindable(other) {
		other = "127.0.0.1" // no IPv6 on this system
	}
	r := runMailfront(t, map[string]string{
		"MAILFRONT_TLS_TERMINATED":  "imap",
		"MAILFRONT_TLS_REENCRYPTED": "https",
		"MAILFRONT_LISTEN_POP3":     net.JoinHostPort(other, "0"),
	})
	row := regexp.MustCompile(`^([a-z0-9]+) +(\S+:[1-9][0-9]*) +(forwarded|proxy) +(passthrough|terminated|reencrypted)$`)
	var names []string
	for _, line := range r.table {
		m := row.FindStringSubmatch(line)
		require.NotNil(t, m, line)
		names = append(names, m[1])
		host, _, err := net.SplitHostPort(m[2])
		require.NoError(t, err)
		require.Equal(t, map[bool]string{false: "127.0.0.1", true: other}[m[1] == "pop3"], host)
		require.Equal(t, m[1] == "http", m[3] == "forwarded", line)
		want := map[string]string{"imap": "terminated", "https": "reencrypted"}[m[1]]
		if want == "" {
			want = "passthrough"
		}
		require.Equal(t, want, m[4], line)
	}
	require.Equal(t, listenerNames, names)
}

func TestRandomPasswordIsPrinted(t *testing.T) {
	for _, password := range []string{"", "given"} {
		ctx, cancel := context.WithCancel(t.Context())
		out := newLogBuffer()
		ended := make(chan error)
		go func() {
			ended <- run(ctx, nil, lookup(map[string]string{"MAILFRONT_DEMO_PASSWORD": password}), out, io.Discard, nil)
		}()
		require.True(t, out.await(t.Context(), 1, "pop3s "))
		cancel()
		require.NoError(t, <-ended)
		printed := regexp.MustCompile(`(?m)^account demo@example\.test password [A-Z2-7]{26}$`).MatchString(out.String())
		require.Equal(t, password == "", printed, out.String())
		require.NotContains(t, out.String(), "given")
	}
}

func TestHealthChecksLogNothing(t *testing.T) {
	r := runMailfront(t, map[string]string{"MAILFRONT_HTTP_CLIENT": "proxy"})
	for _, name := range listenerNames {
		require.NoError(t, r.dial(proxyIP, name).Close()) // connects and leaves
		// The next connection is served after the check was accepted.
		c := r.direct(name)
		if strings.HasSuffix(name, "s") {
			c = onTLS(t, c)
		}
		if strings.HasPrefix(name, "http") {
			get(t, c, "/whoami", http.Header{})
		} else {
			newScript(t, c).line()
		}
		c.Close()
	}
	require.NoError(t, r.stop()) // after which no goroutine logs
	require.NotEmpty(t, r.log.String())
	for line := range strings.Lines(r.log.String()) {
		require.Contains(t, line, "client_ip="+directIP)
	}
}

func TestLOCALConnectionsAreLoggedAtDebug(t *testing.T) {
	for _, level := range []string{"debug", "info"} {
		r := runMailfront(t, map[string]string{"MAILFRONT_LOG": level})
		for _, name := range []string{"smtp", "imap", "pop3", "smtps"} {
			c := r.proxied(name, proxyproto.Header{Local: true})
			if name == "smtps" {
				c = onTLS(t, c)
			}
			newScript(t, c).line() // the banner: the accept line is written
			c.Close()
		}
		require.Regexp(t, "^221 ", ehlo(t, r.proxied("smtp", header(nil))).smtp("QUIT"))
		require.NoError(t, r.stop())
		want := 0
		if level == "debug" {
			want = 1
		}
		for _, name := range []string{"smtp", "imap", "pop3", "smtps"} {
			require.Equal(t, want, r.logged("level=DEBUG", "proto="+name+" event=accept client_ip="+proxyIP, "client_known=false"), name)
		}
		require.Equal(t, want, r.logged("proto=imap event=session client_ip="+proxyIP))
		require.Equal(t, 1, r.logged("level=INFO", "proto=smtp event=accept client_ip="+clientIP+" tls=false", "proxy="+proxyIP, "version=2", "client_known=true"))
	}
}

func TestForgedHeaderIsRefused(t *testing.T) {
	r := runMailfront(t, map[string]string{"MAILFRONT_HTTP_CLIENT": "proxy"})
	for _, name := range listenerNames {
		for version := 1; version <= 2; version++ {
			c := r.direct(name)
			s := newScript(t, c)
			implicit := strings.HasSuffix(name, "s")
			if name != "http" && !implicit {
				s.line() // the banner comes at once
			}
			h := header(&proxyproto.TLS{Client: true})
			h.Version = version
			require.NoError(t, proxyproto.WriteHeader(c, h))
			io.WriteString(c, "EHLO me.example\r\n") // the server may have closed already
			require.Empty(t, s.end(), name)
			r.awaitLogs(1, "level=WARN", "proto="+name+" event=reject peer="+directIP, "PROXY header from an untrusted peer")
		}
		require.Equal(t, 1, r.logged("proto="+name, "event=reject", `header="PROXY TCP4 192.0.2.7 192.0.2.1 4567 25"`))
	}
	require.Zero(t, r.logged("client_ip="+clientIP))
}

func TestPROXYHeaderOnForwardedListener(t *testing.T) {
	r := runMailfront(t, map[string]string{"MAILFRONT_HTTPS_CLIENT": "forwarded"})
	for _, name := range []string{"http", "https"} {
		for version := 1; version <= 2; version++ { // of the proxy itself, which is configured for the wrong port
			c := r.dial(proxyIP, name)
			h := header(nil)
			h.Version = version
			require.NoError(t, proxyproto.WriteHeader(c, h))
			io.WriteString(c, "GET /whoami HTTP/1.1\r\nHost: x\r\n\r\n") // the server may have closed already
			require.Empty(t, newScript(t, c).end(), "not even a 400")
		}
		r.awaitLogs(1, "level=WARN", "proto="+name+" event=proxy_header peer="+proxyIP, "setting=MAILFRONT_"+strings.ToUpper(name)+"_CLIENT")
	}
}

func TestTrustedPeerWithoutHeader(t *testing.T) {
	r := runMailfront(t, nil)
	for i, tag := range []string{"a", "PROXY"} {
		s := newScript(t, r.dial(proxyIP, "imap"))
		s.send("%s LOGIN %s hunter2\r\n", tag, testAccount)
		require.Empty(t, s.end())
		r.awaitLogs(i+1, "level=WARN", "proto=imap event=reject peer="+proxyIP) // two kinds
	}
	require.Equal(t, 1, r.logged("no PROXY header from a trusted peer"))
	require.Zero(t, r.logged("hunter2"))
}

func TestASlowHandshakeHoldsUpNobodyElse(t *testing.T) {
	r := runMailfront(t, nil)
	for _, name := range []string{"smtps", "submissions", "imaps", "pop3s"} {
		for range 10 {
			r.proxied(name, header(nil)) // and no ClientHello
			r.direct(name)
		}
		newScript(t, onTLS(t, r.proxied(name, header(nil)))).line()
		r.awaitLog("proto=" + name + " event=accept client_ip=" + clientIP + " tls=true")
		require.Equal(t, 1, r.logged("proto="+name+" event=accept"), "the accept line follows the handshake")
	}
}

func TestShutdownWaitsForSessions(t *testing.T) {
	r := runMailfront(t, map[string]string{"MAILFRONT_HTTP_CLIENT": "proxy"})
	byName := make(map[string]*script)
	for _, name := range []string{"smtp", "imap", "pop3", "smtps", "imaps", "pop3s"} {
		c := r.proxied(name, header(nil))
		if strings.HasSuffix(name, "s") {
			c = onTLS(t, c)
		}
		byName[name] = newScript(t, c)
		byName[name].line()
	}
	// The kernel has accepted this connection with half a header, so it is served.
	half := r.dial(proxyIP, "pop3")
	io.WriteString(half, "PROXY TCP4 192.0.2.8 ")
	// If another connection is served, this one has arrived.
	other := newScript(t, r.proxied("pop3", header(nil)))
	other.line()
	other.send("QUIT\r\n")

	ended := make(chan error)
	go func() { ended <- r.stop() }()
	for { // until the listener is closed
		c, err := net.Dial("tcp", r.address["pop3"])
		if err != nil {
			break
		}
		c.Close()
	}
	io.WriteString(half, "192.0.2.1 1 2\r\n")
	late := newScript(t, half)
	late.line()
	r.awaitLog("proto=pop3 event=session client_ip=192.0.2.8")
	select {
	case err := <-ended:
		t.Fatalf("it ended over the sessions: %v", err)
	default:
	}
	late.send("QUIT\r\n")
	for name, s := range byName {
		if strings.HasPrefix(name, "imap") {
			s.send("q LOGOUT\r\n")
			s.until("q OK")
		} else {
			s.send("QUIT\r\n")
			require.Regexp(t, `^(221 |\+OK )`, s.line())
		}
		s.Close()
	}
	require.NoError(t, <-ended)
	require.Zero(t, r.logged("sessions cut"))
}

func TestShutdownGrace(t *testing.T) {
	cfg, err := parseConfig(nil, lookup(nil), io.Discard)
	require.NoError(t, err)
	buffer := newLogBuffer()
	f, err := start(cfg, newLogger(buffer, cfg.logLevel))
	require.NoError(t, err)
	var left []*script
	for _, name := range []string{"smtp", "submission", "imap", "pop3", "smtps", "imaps", "pop3s"} {
		c, err := net.Dial("tcp", f.address(name))
		require.NoError(t, err)
		defer c.Close()
		c.SetDeadline(time.Now().Add(testTimeout))
		if name == "pop3s" { // in the middle of its handshake
			io.WriteString(c, "\x16\x03\x01\x02")
			left = append(left, newScript(t, c))
			continue
		}
		if strings.HasSuffix(name, "s") {
			c = onTLS(t, c)
		}
		s := newScript(t, c)
		s.line()
		left = append(left, s)
	}
	require.NoError(t, f.shutdown(50*time.Millisecond))
	for _, s := range left {
		require.Empty(t, s.end())
	}
	require.Equal(t, 6, strings.Count(buffer.String(), "sessions cut at shutdown"))
}

func TestListenerFailureEndsMailfront(t *testing.T) {
	cfg, err := parseConfig(nil, lookup(nil), io.Discard)
	require.NoError(t, err)
	f, err := start(cfg, newLogger(io.Discard, cfg.logLevel))
	require.NoError(t, err)
	require.NoError(t, f.listeners[0].sockets[0].inner.Close()) // net.ErrClosed is not a failure
	l := newFakeListener()
	l.err = io.ErrUnexpectedEOF
	l.Close()
	f.run(f.listeners[2], newPOP3Server(f, "smtp", gate.Login), l)
	err = <-f.broken
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.ErrorContains(t, err, "the smtp listener failed")
	_ = f.shutdown(time.Second)
}
