package main

import (
	"crypto/tls"
	"io"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/recipes/internal/recipetest"
	"github.com/seed-94e48765/portico/proxyproto"
)

func TestPasswordsOnlyOnTLS(t *testing.T) {
	certFile, keyFile, pool := recipetest.Certificate(t)
	addrs := recipetest.Start(t, run, "-trusted", "127.0.0.1", "-starttls", "127.0.0.1:0", "-tls", "127.0.0.1:0", "-cert", certFile, "-key", keyFile)
	startTLSAddr, tlsAddr := addrs[0], addrs[1]
	for name, tt := range map[string]struct {
		addr         string
		header       proxyproto.Header
		tls          bool
		wantAuth     bool
		wantStartTLS bool
		wantClient   string
	}{
		"587": {
			addr: startTLSAddr, header: recipetest.Header(nil), wantStartTLS: true, wantClient: "203.0.113.7",
		},
		"587, a client without TLS to the proxy": {
			addr: startTLSAddr, header: recipetest.Header(&proxyproto.TLS{}), wantStartTLS: true, wantClient: "203.0.113.7",
		},
		"587, the proxy ended TLS": {
			addr: startTLSAddr, header: recipetest.Header(&proxyproto.TLS{Client: true}), wantAuth: true, wantClient: "203.0.113.7",
		},
		"465": {
			addr: tlsAddr, header: recipetest.Header(nil), tls: true, wantAuth: true, wantClient: "203.0.113.7",
		},
		"465, the proxy ended TLS": {
			addr: tlsAddr, header: recipetest.Header(&proxyproto.TLS{Client: true}), wantAuth: true, wantClient: "203.0.113.7",
		},
		"465, a client that is not known": {
			addr: tlsAddr, header: proxyproto.Header{Local: true}, tls: true, wantAuth: true, wantClient: `""`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			log := recipetest.CaptureLog(t)
			conn := recipetest.Dial(t, tt.addr, tt.header)
			if tt.tls {
				conn = tls.Client(conn, recipetest.TLSClient(pool))
			}
			c := smtp.NewClient(conn)
			defer c.Close()
			require.NoError(t, c.Hello("client.example"))
			require.Equal(t, tt.wantAuth, c.SupportsAuth(sasl.Plain))
			startTLS, _ := c.Extension("STARTTLS")
			require.Equal(t, tt.wantStartTLS, startTLS)
			if !tt.wantAuth {
				require.Error(t, c.Auth(sasl.NewPlainClient("", "demo", "correct horse")))
				require.ErrorContains(t, c.Mail("refused@example.com", nil), "502")
				c, err := smtp.NewClientStartTLS(recipetest.Dial(t, tt.addr, tt.header), recipetest.TLSClient(pool))
				require.NoError(t, err)
				defer c.Close()
				send(t, c)
			} else {
				send(t, c)
			}
			log.Await(t, "from=demo@example.com client="+tt.wantClient)
			require.NotContains(t, log.String(), "refused@example.com")
		})
	}
}

// send tries a wrong password, signs in, and sends a message.
func send(t *testing.T, c *smtp.Client) {
	t.Helper()
	require.Error(t, c.Auth(sasl.NewPlainClient("", "demo", "wrong")))
	require.NoError(t, c.Auth(sasl.NewPlainClient("", "demo", "correct horse")))
	require.NoError(t, c.SendMail("demo@example.com", []string{"user@example.com"}, strings.NewReader("Subject: test\r\n\r\ntest\r\n")))
}

func TestPlainClientOnTLSPort(t *testing.T) {
	certFile, keyFile, _ := recipetest.Certificate(t)
	addrs := recipetest.Start(t, run, "-trusted", "127.0.0.1", "-starttls", "127.0.0.1:0", "-tls", "127.0.0.1:0", "-cert", certFile, "-key", keyFile)
	log := recipetest.CaptureLog(t)
	c := recipetest.Dial(t, addrs[1], recipetest.Header(nil))
	_, err := io.WriteString(c, "EHLO client.example\r\n")
	require.NoError(t, err)
	answer, _ := io.ReadAll(c) // until the server closes the connection
	require.NotContains(t, string(answer), "220")
	log.Await(t, `msg="no TLS" client=203.0.113.7:50000`)
}

func TestInvalidSettings(t *testing.T) {
	recipetest.RequireRefused(t, run, `-trusted "": use the addresses`)
	recipetest.RequireRefused(t, run, "-cert and -key", "-trusted", "127.0.0.1", "-cert", "does-not-exist.pem")
}
