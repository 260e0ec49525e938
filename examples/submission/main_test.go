package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"

	"blitiri.com.ar/go/spf"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

const password = "correct horse"

// start runs the server until the test ends. SPF fails for 203.0.113.66 only. lookups
// receives every address that SPF is looked up for.
func start(t *testing.T) (smtpAddr, httpAddr string, lookups chan netip.Addr) {
	t.Helper()
	lookups = make(chan netip.Addr, 10)
	lookUp := lookUpSPF
	lookUpSPF = func(ip net.IP, _, _ string, _ ...spf.Option) (spf.Result, error) {
		a, _ := netip.AddrFromSlice(ip)
		lookups <- a.Unmap()
		if a.Unmap() == netip.MustParseAddr("203.0.113.66") {
			return spf.Fail, nil
		}
		return spf.Pass, nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended, started := make(chan error, 1), make(chan bool, 1)
	go func() {
		ended <- run(ctx, []string{"-trusted", "127.0.0.1", "-smtp", "127.0.0.1:0", "-http", "127.0.0.1:0"}, password, func(s, h net.Addr) {
			smtpAddr, httpAddr = s.String(), h.String()
			started <- true
		})
	}()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended)
		lookUpSPF = lookUp
	})
	select {
	case <-started:
	case err := <-ended:
		require.NoError(t, err)
	}
	return smtpAddr, httpAddr, lookups
}

func tcp(addr string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr)) }

func TestClientsThroughTheProxy(t *testing.T) {
	smtpAddr, _, lookups := start(t)
	for _, c := range []struct {
		behaviour string
		header    proxyproto.Header
		signIn    bool
		to        string
		auth      bool   // is offered
		wantSPF   string // SPF about this address
		refused   string
	}{
		{
			behaviour: "a user on TLS signs in and sends anywhere",
			header:    proxyproto.Header{Source: tcp("203.0.113.7:50000"), Destination: tcp("192.0.2.1:465"), TLS: &proxyproto.TLS{Client: true}},
			signIn:    true, to: "someone@elsewhere.example", auth: true,
		},
		{
			behaviour: "a client without TLS cannot sign in",
			header:    proxyproto.Header{Source: tcp("203.0.113.7:50000"), Destination: tcp("192.0.2.1:465"), TLS: &proxyproto.TLS{}},
			to:        "user@example.com", wantSPF: "203.0.113.7",
		},
		{
			behaviour: "a client whose TLS is not known cannot sign in",
			header:    proxyproto.Header{Source: tcp("203.0.113.7:50000"), Destination: tcp("192.0.2.1:465")},
			to:        "user@EXAMPLE.com", wantSPF: "203.0.113.7",
		},
		{
			behaviour: "no relaying without a password",
			header:    proxyproto.Header{Source: tcp("[2001:db8::7]:50000"), Destination: tcp("[2001:db8::1]:465")},
			to:        "someone@elsewhere.example", wantSPF: "2001:db8::7", refused: "530",
		},
		{
			behaviour: "SPF fails for the client, not for the proxy",
			header:    proxyproto.Header{Source: tcp("203.0.113.66:50000"), Destination: tcp("192.0.2.1:465")},
			to:        "user@example.com", wantSPF: "203.0.113.66", refused: "550",
		},
		{
			behaviour: "SPF is not looked up for an unknown client",
			header:    proxyproto.Header{Local: true},
			to:        "user@example.com",
		},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			conn, err := new(proxyproto.Dialer).DialContext(t.Context(), "tcp", smtpAddr, c.header)
			require.NoError(t, err)
			client := smtp.NewClient(conn)
			defer client.Close()
			require.NoError(t, client.Hello("client.example"))
			assert.Equal(t, c.auth, client.SupportsAuth(sasl.Plain))
			require.Error(t, client.Auth(sasl.NewPlainClient("", "user@example.com", "wrong")))
			if c.signIn {
				require.NoError(t, client.Auth(sasl.NewPlainClient("", "user@example.com", password)))
			} else {
				require.Error(t, client.Auth(sasl.NewPlainClient("", "user@example.com", password)))
			}
			err = client.SendMail("from@sender.example", []string{c.to}, strings.NewReader("Subject: test\r\n\r\ntest\r\n"))
			if c.refused == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.refused)
			}
			if c.wantSPF != "" {
				assert.Equal(t, c.wantSPF, (<-lookups).String())
			}
			assert.Empty(t, lookups)
		})
	}
}

func TestDocuments(t *testing.T) {
	_, httpAddr, _ := start(t)
	web := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(proxyproto.Dialer).DialContext(ctx, "tcp", httpAddr, proxyproto.Header{Source: tcp("203.0.113.7:50000"), Destination: tcp("192.0.2.1:443")})
	}}}
	defer web.CloseIdleConnections()
	resp, err := web.Get("http://autoconfig.example.com/mail/config-v1.1.xml")
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Equal(t, 200, resp.StatusCode)
	assert.Contains(t, string(body), "<hostname>mail.example.com</hostname>")
}

func TestInvalidSettings(t *testing.T) {
	for _, c := range []struct {
		behaviour string
		args      []string
		password  string
		want      string
	}{
		{behaviour: "no password", args: []string{"-trusted", "127.0.0.1"}, want: "SUBMISSION_PASSWORD"},
		{behaviour: "no trusted proxy", password: password, want: "-trusted"},
		{behaviour: "a typing mistake", args: []string{"-trusted", "127.0.0.1/8x"}, password: password, want: `-trusted: trustnet: item 1: "127.0.0.1/8x"`},
		{behaviour: "a host that is not a name", args: []string{"-trusted", "127.0.0.1", "-host", "https://mail.example.com"}, password: password, want: "-host: publicurl: "},
		{behaviour: "a domain that is not a name", args: []string{"-trusted", "127.0.0.1", "-domain", "@example.com"}, password: password, want: "-domain: discovery: "},
		{behaviour: "no address", args: []string{"-trusted", "127.0.0.1", "-http", "127.0.0.1:99999"}, password: password, want: "99999"},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			assert.ErrorContains(t, run(ctx, append([]string{"-smtp", "127.0.0.1:0"}, c.args...), c.password, func(net.Addr, net.Addr) {}), c.want)
		})
	}
}

// The file is the first example that README refers to.
func TestServerHasAtMost200Lines(t *testing.T) {
	source, err := os.ReadFile("main.go")
	require.NoError(t, err)
	assert.LessOrEqual(t, strings.Count(string(source), "\n"), 200)
}
