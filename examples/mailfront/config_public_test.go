package main

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheModeAndTheBaseFollowFromTheSettings(t *testing.T) {
	for _, test := range []struct {
		name               string
		url, hostname, set string // settings
		mode               mode
		base               string
		relative           bool
		host               string // of mail services
	}{
		{"nothing", "", "", "", modeBootstrap, "", true, ""},
		{"public URL", "https://Mail.Example.com:443/", "", "", modeNormal, "https://mail.example.com", false, "mail.example.com"},
		{"public URL on a path", "https://example.com:8443/mail/", "", "", modeNormal, "https://example.com:8443/mail", false, "example.com"},
		{"public URL, loopback without TLS", "http://127.0.0.1:8080", "", "", modeNormal, "http://127.0.0.1:8080", false, "127.0.0.1"},
		{"hostname", "", "mail.example.com", "", modeNormal, "https://mail.example.com", false, "mail.example.com"},
		{"both", "https://web.example.com", "mx.example.com", "", modeNormal, "https://web.example.com", false, "mx.example.com"},
		{"normal", "https://mail.example.com", "", "normal", modeNormal, "https://mail.example.com", false, "mail.example.com"},
		{"bootstrap", "", "", "bootstrap", modeBootstrap, "", true, ""},
		{"bootstrap over a hostname", "", "mail.example.com", "bootstrap", modeBootstrap, "", true, "mail.example.com"},
		{"bootstrap on a path", "https://example.com/mail", "", "bootstrap", modeBootstrap, "/mail", true, "example.com"},
		{"recovery", "", "", "recovery", modeRecovery, "", true, ""},
		{"recovery on a path", "https://example.com/mail", "", "recovery", modeRecovery, "/mail", true, "example.com"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg, err := parseConfig(nil, lookup(map[string]string{
				"MAILFRONT_PUBLIC_URL": test.url, "MAILFRONT_HOSTNAME": test.hostname, "MAILFRONT_MODE": test.set,
			}), io.Discard)
			require.NoError(t, err)
			require.Equal(t, test.mode, cfg.mode)
			require.Equal(t, test.base, cfg.base.String())
			require.Equal(t, test.relative, cfg.base.IsRelative())
			require.Equal(t, test.host, cfg.hostname)
		})
	}
}

func TestAPasswordInThePublicURLIsNotRepeated(t *testing.T) {
	_, err := parseConfig(nil, lookup(map[string]string{"MAILFRONT_PUBLIC_URL": "https://me:hunter2@mail.example.com"}), io.Discard)
	require.ErrorContains(t, err, "MAILFRONT_PUBLIC_URL")
	require.NotContains(t, err.Error(), "hunter2")
}

func TestPortsAndClientsAreRead(t *testing.T) {
	cfg, err := parseConfig([]string{"-clients", "app=https://a.example/cb  app=http://[::1]/cb other=https://b.example/?a=b"}, lookup(map[string]string{
		"MAILFRONT_PUBLIC_PORTS": "imaps=1993, pop3=-",
	}), io.Discard)
	require.NoError(t, err)
	require.EqualValues(t, 1993, cfg.ports["imaps"])
	require.EqualValues(t, 0, cfg.ports["pop3"])
	require.EqualValues(t, 465, cfg.ports["submissions"])
	require.EqualValues(t, 0, standardPorts["http"])
	require.Equal(t, map[string][]string{
		"app": {"https://a.example/cb", "http://[::1]/cb"}, "other": {"https://b.example/?a=b"},
	}, cfg.clients)
}
