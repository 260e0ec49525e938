package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A listener with a separate list is never reported with the setting of the other listeners,
// because a change of that setting would have no effect.
func TestReportsNameTheListOfTheListener(t *testing.T) {
	const all = "MAILFRONT_TRUSTED_PROXIES"
	env := map[string]string{"MAILFRONT_DOMAINS": "example.test", "MAILFRONT_PUBLIC_URL": testBase}
	for _, listener := range []string{"smtp", "imap", "imaps", "pop3", "pop3s", "http"} {
		env[all+"_"+strings.ToUpper(listener)] = "-"
	}
	r := runMailfront(t, env)
	authorized := http.Header{"Authorization": {basicAuth("wrong")}}
	for _, tc := range []struct {
		name, listener string
		send           func(s *script)
		event          string
		setting        string // how the line names it, without the list
	}{
		{name: "a password without TLS", listener: "smtp", event: "plaintext_refused", setting: "setting=",
			send: func(s *script) { greet(s, "smtp"); s.smtp("AUTH PLAIN %s", saslPlain(testAccount, "wrong")) }},
		{name: "a password without TLS", listener: "imap", event: "plaintext_refused", setting: "setting=",
			send: func(s *script) { s.line(); s.send("a LOGIN %s wrong\r\n", testAccount); s.until("a ") }},
		{name: "a password without TLS", listener: "pop3", event: "plaintext_refused", setting: "setting=",
			send: func(s *script) { s.line(); s.send("USER %s\r\n", testAccount); s.line() }},
		{name: "a password without TLS", listener: "http", event: "plaintext_refused", setting: "setting=",
			send: func(s *script) { request(t, s, http.MethodGet, "/jmap/session", "", authorized) }},
		{name: "a wrong password of a proxy of other listeners", listener: "imaps", event: "no_ban", setting: "add it to ",
			send: func(s *script) {
				s = newScript(t, onTLS(t, s.Conn))
				s.line()
				s.send("a LOGIN %s wrong\r\n", testAccount)
				s.until("a ")
			}},
		{name: "a wrong password of a proxy of other listeners", listener: "pop3s", event: "no_ban", setting: "add it to ",
			send: func(s *script) {
				s = newScript(t, onTLS(t, s.Conn))
				s.line()
				s.send("USER %s\r\n", testAccount)
				s.line()
				s.send("PASS wrong\r\n")
				s.line()
			}},
	} {
		t.Run(tc.name+"/"+tc.listener, func(t *testing.T) {
			tc.send(newScript(t, r.dial(proxyIP, tc.listener)))
			name := all + "_" + strings.ToUpper(tc.listener)
			r.awaitLog("proto="+tc.listener+" event="+tc.event, tc.setting+name)
			for _, end := range []string{"\n", `"`} {
				require.Zero(t, r.logged("proto="+tc.listener+" ", all+end), r.log)
			}
		})
	}
}

func TestRelayWarningNamesTheListsThatAreEmpty(t *testing.T) {
	for _, tc := range []struct {
		name   string
		env    map[string]string
		advice string // "" for no warning
	}{
		{name: "no list", env: map[string]string{"MAILFRONT_TRUSTED_PROXIES": " "}, advice: "add the proxy to MAILFRONT_TRUSTED_PROXIES, or unset"},
		{name: "the list of one listener", env: map[string]string{"MAILFRONT_TRUSTED_PROXIES_SMTP": "-"}, advice: "add the proxy to MAILFRONT_TRUSTED_PROXIES_SMTP, or unset"},
		{name: "the lists of two listeners", env: map[string]string{"MAILFRONT_TRUSTED_PROXIES_SMTP": "-", "MAILFRONT_TRUSTED_PROXIES_SUBMISSIONS": "-"},
			advice: "add the proxy to MAILFRONT_TRUSTED_PROXIES_SMTP or MAILFRONT_TRUSTED_PROXIES_SUBMISSIONS, or unset"},
		{name: "only another listener trusts a proxy", env: map[string]string{"MAILFRONT_TRUSTED_PROXIES": " ", "MAILFRONT_TRUSTED_PROXIES_IMAP": "192.0.2.1"},
			advice: "add the proxy to MAILFRONT_TRUSTED_PROXIES, or unset"},
		{name: "only another listener trusts no proxy", env: map[string]string{"MAILFRONT_TRUSTED_PROXIES_IMAP": "-"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.env["MAILFRONT_RELAY_LOOPBACK"] = "true"
			r := runMailfront(t, tc.env)
			if tc.advice == "" {
				require.Zero(t, r.logged("event=relay_loopback"))
				return
			}
			r.awaitLogs(1, "level=WARN", "event=relay_loopback", "setting=MAILFRONT_RELAY_LOOPBACK", tc.advice)
		})
	}
}
