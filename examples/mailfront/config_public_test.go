package main

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestModeAndBase(t *testing.T) {
	for _, test := range []struct {
		name               string
		url, hostname, set string // settings
		mode               mode
		base               string
		relative           bool
		host               string // of mail services
	}{
		{name: "nothing", url: "", hostname: "", set: "", mode: modeBootstrap, base: "", relative: true, host: ""},
		{name: "public URL", url: "https://Mail.Example.com:443/", hostname: "", set: "", mode: modeNormal, base: "https://mail.example.com", relative: false, host: "mail.example.com"},
		{name: "public URL on a path", url: "https://example.com:8443/mail/", hostname: "", set: "", mode: modeNormal, base: "https://example.com:8443/mail", relative: false, host: "example.com"},
		{name: "public URL, loopback without TLS", url: "http://127.0.0.1:8080", hostname: "", set: "", mode: modeNormal, base: "http://127.0.0.1:8080", relative: false, host: "127.0.0.1"},
		{name: "hostname", url: "", hostname: "mail.example.com", set: "", mode: modeNormal, base: "https://mail.example.com", relative: false, host: "mail.example.com"},
		{name: "both", url: "https://web.example.com", hostname: "mx.example.com", set: "", mode: modeNormal, base: "https://web.example.com", relative: false, host: "mx.example.com"},
		{name: "normal", url: "https://mail.example.com", hostname: "", set: "normal", mode: modeNormal, base: "https://mail.example.com", relative: false, host: "mail.example.com"},
		{name: "bootstrap", url: "", hostname: "", set: "bootstrap", mode: modeBootstrap, base: "", relative: true, host: ""},
		{name: "bootstrap over a hostname", url: "", hostname: "mail.example.com", set: "bootstrap", mode: modeBootstrap, base: "", relative: true, host: "mail.example.com"},
		{name: "bootstrap on a path", url: "https://example.com/mail", hostname: "", set: "bootstrap", mode: modeBootstrap, base: "/mail", relative: true, host: "example.com"},
		{name: "recovery", url: "", hostname: "", set: "recovery", mode: modeRecovery, base: "", relative: true, host: ""},
		{name: "recovery on a path", url: "https://example.com/mail", hostname: "", set: "recovery", mode: modeRecovery, base: "/mail", relative: true, host: "example.com"},
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

func TestPublicURLWithPassword(t *testing.T) {
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
