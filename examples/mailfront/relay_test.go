package main

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

func TestRelayingNeedsSignIn(t *testing.T) {
	const (
		accepted = "^250 "
		noRelay  = "^550 5.7.1 No relaying: sign in first"
		noLogin  = "^530 5.7.0 Authentication required"
	)
	running := map[string]*running{
		"off": runMailfront(t, nil),
		"on":  runMailfront(t, map[string]string{"MAILFRONT_RELAY_LOOPBACK": "true"}),
	}
	from := func(ip string, tls *proxyproto.TLS) proxyproto.Header {
		h := header(tls)
		h.Source = &net.TCPAddr{IP: net.ParseIP(ip), Port: 1}
		if net.ParseIP(ip).To4() == nil {
			h.Destination = &net.TCPAddr{IP: net.IPv6loopback, Port: 1}
		}
		return h
	}
	onTLSAtProxy := &proxyproto.TLS{Client: true}
	for _, test := range []struct {
		name     string
		listener string
		header   proxyproto.Header
		login    bool
		off, on  string // the answer, by MAILFRONT_RELAY_LOOPBACK
	}{
		{name: "from 127.0.0.1", listener: "smtp", header: from("127.0.0.1", nil), off: noRelay, on: accepted},
		{name: "from 127.0.0.1", listener: "submission", header: from("127.0.0.1", nil), off: noLogin, on: accepted},
		{name: "from ::1", listener: "smtp", header: from("::1", nil), off: noRelay, on: accepted},
		{name: "from 127.0.0.77", listener: "smtp", header: from("127.0.0.77", nil), off: noRelay, on: noRelay},
		{name: "from elsewhere", listener: "smtp", header: header(nil), off: noRelay, on: noRelay},
		{name: "from elsewhere", listener: "submission", header: header(nil), off: noLogin, on: noLogin},
		{name: "LOCAL", listener: "smtp", header: proxyproto.Header{Local: true}, off: noRelay, on: noRelay},
		{name: "UNKNOWN", listener: "smtp", header: proxyproto.Header{Version: 1}, off: noRelay, on: noRelay},
		{name: "from 127.0.0.1, logged in", listener: "smtp", header: from("127.0.0.1", onTLSAtProxy), login: true, off: accepted, on: accepted},
		{name: "from elsewhere, logged in", listener: "smtp", header: header(onTLSAtProxy), login: true, off: accepted, on: accepted},
		{name: "from elsewhere, logged in", listener: "submission", header: header(onTLSAtProxy), login: true, off: accepted, on: accepted},
	} {
		for setting, want := range map[string]string{"off": test.off, "on": test.on} {
			t.Run(test.listener+"/"+test.name+"/"+setting, func(t *testing.T) {
				s := ehlo(t, running[setting].proxied(test.listener, test.header))
				if test.login {
					require.Regexp(t, "^235 ", s.smtp("AUTH PLAIN %s", saslPlain(testAccount, testPassword)))
				}
				s.smtp("MAIL FROM:<a@example.test>")
				require.Regexp(t, want, s.smtp("RCPT TO:<b@elsewhere.test>"))
			})
		}
	}
	for _, listener := range []string{"smtp", "submission"} {
		running["off"].awaitLog("level=WARN", "proto="+listener+" event=relay_refused client_ip=", "setting=MAILFRONT_RELAY_LOOPBACK")
	}
	require.Zero(t, running["on"].logged("event=relay_refused"), "the setting would not help")
	require.Zero(t, running["on"].logged("event=relay_loopback"), "a proxy is trusted")
}

// A proxy on this machine that is not on the list of trusted proxies.
func TestNoOpenRelayByUnlistedProxy(t *testing.T) {
	for _, test := range []struct {
		name, setting string
		want          string
		warns         bool
	}{
		{name: "default", want: "^550 5.7.1 No relaying: sign in first"},
		{name: "false", setting: "false", want: "^550 5.7.1 No relaying: sign in first"},
		{name: "true", setting: "true", want: "^250 ", warns: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := runMailfront(t, map[string]string{"MAILFRONT_TRUSTED_PROXIES": "", "MAILFRONT_RELAY_LOOPBACK": test.setting})
			s := ehlo(t, r.dial(proxyIP, "smtp"))
			s.smtp("MAIL FROM:<a@elsewhere.test>")
			require.Regexp(t, test.want, s.smtp("RCPT TO:<b@elsewhere.test>"))
			if test.warns {
				r.awaitLog("level=WARN", "event=relay_loopback", "setting=MAILFRONT_RELAY_LOOPBACK", "add the proxy to MAILFRONT_TRUSTED_PROXIES")
				return
			}
			r.awaitLog("level=WARN", "event=relay_refused", "client_ip="+proxyIP)
			require.Zero(t, r.logged("event=relay_loopback"))
		})
	}
}
