package main

import (
	"crypto/tls"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/recipes/internal/recipetest"
	"github.com/seed-94e48765/portico/proxyproto"
)

func TestPasswordsOnlyOnTLS(t *testing.T) {
	certFile, keyFile, pool := recipetest.Certificate(t)
	addrs := recipetest.Start(t, run, "-trusted", "127.0.0.1", "-starttls", "127.0.0.1:0", "-tls", "127.0.0.1:0", "-cert", certFile, "-key", keyFile)
	startTLSAddr, tlsAddr := addrs[0], addrs[1]
	for name, tt := range map[string]struct {
		addr   string
		header proxyproto.Header
		tls    bool
		login  bool // is offered without STARTTLS
		client string
	}{
		"143": {
			addr: startTLSAddr, header: recipetest.Header(nil), client: "203.0.113.7",
		},
		"143, a client without TLS to the proxy": {
			addr: startTLSAddr, header: recipetest.Header(&proxyproto.TLS{}), client: "203.0.113.7",
		},
		"143, the proxy ended TLS": {
			addr: startTLSAddr, header: recipetest.Header(&proxyproto.TLS{Client: true}), login: true, client: "203.0.113.7",
		},
		"993": {
			addr: tlsAddr, header: recipetest.Header(nil), tls: true, login: true, client: "203.0.113.7",
		},
		"993, the proxy ended TLS": {
			addr: tlsAddr, header: recipetest.Header(&proxyproto.TLS{Client: true}), login: true, client: "203.0.113.7",
		},
		"993, a client that is not known": {
			addr: tlsAddr, header: proxyproto.Header{Local: true}, tls: true, login: true, client: `""`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			log := recipetest.CaptureLog(t)
			conn := recipetest.Dial(t, tt.addr, tt.header)
			if tt.tls {
				conn = tls.Client(conn, recipetest.TLSClient(pool))
			}
			c := imapclient.New(conn, nil)
			defer c.Close()
			require.NoError(t, c.WaitGreeting())
			require.Equal(t, !tt.login, c.Caps().Has(imap.CapLoginDisabled))
			require.Equal(t, !tt.login, c.Caps().Has(imap.CapStartTLS))
			if !tt.login {
				require.ErrorContains(t, c.Login("refused", "correct horse").Wait(), "[PRIVACYREQUIRED]")
				var err error
				c, err = imapclient.NewStartTLS(recipetest.Dial(t, tt.addr, tt.header), &imapclient.Options{TLSConfig: recipetest.TLSClient(pool)})
				require.NoError(t, err)
				defer c.Close()
			}
			require.ErrorContains(t, c.Login("demo", "wrong").Wait(), "[AUTHENTICATIONFAILED]")
			require.NoError(t, c.Login("demo", "correct horse").Wait())
			_, err := c.Select("INBOX", nil).Wait()
			require.NoError(t, err)
			log.Await(t, "user=demo client="+tt.client+" err=<nil>")
			require.NotContains(t, log.String(), "refused")
		})
	}
}

func TestInvalidSettings(t *testing.T) {
	recipetest.RequireRefused(t, run, `-trusted "": use the addresses`)
	recipetest.RequireRefused(t, run, "-cert and -key", "-trusted", "127.0.0.1", "-cert", "does-not-exist.pem")
}
