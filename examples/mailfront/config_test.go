package main

import (
	"bytes"
	"flag"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/internal/settings"
	"github.com/seed-94e48765/portico/proxyproto"
)

func TestBadSettings(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	badList := write("bad", "# ours\n10.0.0.0/8\nproxy.example\n")
	everyone := write("everyone", "0.0.0.0/1\n128.0.0.0/1\n")
	tests := []struct {
		name string
		args []string
		env  map[string]string
		want []string
	}{
		{name: "trusted: syntax", env: map[string]string{"MAILFRONT_TRUSTED_PROXIES": "127.0.0.1,proxy"},
			want: []string{"MAILFRONT_TRUSTED_PROXIES", `"127.0.0.1,proxy"`, "item 2"}},
		{name: "trusted: host bits", env: map[string]string{"MAILFRONT_TRUSTED_PROXIES": "10.1.2.3/8"},
			want: []string{"MAILFRONT_TRUSTED_PROXIES", "10.0.0.0/8", "10.1.2.3/32"}},
		{name: "trusted: all of IPv4", env: map[string]string{"MAILFRONT_TRUSTED_PROXIES": "0.0.0.0/0"},
			want: []string{"MAILFRONT_TRUSTED_PROXIES", `"0.0.0.0/0"`, "all of IPv4"}},
		{name: "trusted: all of IPv6", env: map[string]string{"MAILFRONT_TRUSTED_PROXIES": "127.0.0.1,::/0"},
			want: []string{"MAILFRONT_TRUSTED_PROXIES", "all of IPv6"}},
		{name: "trusted: all of IPv4 in halves, file", env: map[string]string{"MAILFRONT_TRUSTED_PROXIES_FILE": everyone},
			want: []string{"MAILFRONT_TRUSTED_PROXIES_FILE", everyone, "all of IPv4"}},
		{name: "trusted: bad line in the file", env: map[string]string{"MAILFRONT_TRUSTED_PROXIES_FILE": badList},
			want: []string{"MAILFRONT_TRUSTED_PROXIES_FILE", badList, "line 3", `"proxy.example"`}},
		{name: "trusted: no such file", env: map[string]string{"MAILFRONT_TRUSTED_PROXIES_FILE": dir + "/none"},
			want: []string{"MAILFRONT_TRUSTED_PROXIES_FILE", "none", "no such file"}},
		{name: "trusted: list and file", env: map[string]string{"MAILFRONT_TRUSTED_PROXIES": "127.0.0.1", "MAILFRONT_TRUSTED_PROXIES_FILE": badList},
			want: []string{"MAILFRONT_TRUSTED_PROXIES", "MAILFRONT_TRUSTED_PROXIES_FILE", "use one of them"}},
		{name: "trusted: flag and file", args: []string{"-trusted-proxies", "127.0.0.1"}, env: map[string]string{"MAILFRONT_TRUSTED_PROXIES_FILE": badList},
			want: []string{"-trusted-proxies", "MAILFRONT_TRUSTED_PROXIES_FILE", "use one of them"}},
		{name: "trusted: the flag is named when it was used", args: []string{"-trusted-proxies", "x"}, env: map[string]string{"MAILFRONT_TRUSTED_PROXIES": "127.0.0.1"},
			want: []string{"-trusted-proxies", `"x"`}},

		{name: "certificate without key", env: map[string]string{"MAILFRONT_TLS_CERT": "c.pem"},
			want: []string{"MAILFRONT_TLS_CERT", `"c.pem"`, "MAILFRONT_TLS_KEY"}},
		{name: "key without certificate", env: map[string]string{"MAILFRONT_TLS_KEY": "k.pem"},
			want: []string{"MAILFRONT_TLS_KEY", `"k.pem"`, "MAILFRONT_TLS_CERT"}},

		{name: "terminated: no listener", env: map[string]string{"MAILFRONT_TLS_TERMINATED": "smtp,pop4"},
			want: []string{"MAILFRONT_TLS_TERMINATED", `"pop4"`, "pop3"}},
		{name: "terminated: upper case", env: map[string]string{"MAILFRONT_TLS_TERMINATED": "SMTP"},
			want: []string{"MAILFRONT_TLS_TERMINATED", `"SMTP"`}},
		{name: "terminated: empty item", env: map[string]string{"MAILFRONT_TLS_TERMINATED": "smtp,"},
			want: []string{"MAILFRONT_TLS_TERMINATED", `""`}},
		{name: "reencrypted: no listener", env: map[string]string{"MAILFRONT_TLS_REENCRYPTED": "all"},
			want: []string{"MAILFRONT_TLS_REENCRYPTED", `"all"`}},
		{name: "terminated and reencrypted", env: map[string]string{"MAILFRONT_TLS_TERMINATED": "smtp,imap", "MAILFRONT_TLS_REENCRYPTED": "pop3,imap"},
			want: []string{"MAILFRONT_TLS_REENCRYPTED", "imap", "MAILFRONT_TLS_TERMINATED"}},

		{name: "http client", env: map[string]string{"MAILFRONT_HTTP_CLIENT": "both"},
			want: []string{"MAILFRONT_HTTP_CLIENT", `"both"`, "forwarded or proxy"}},
		{name: "https client", args: []string{"-https-client", "Proxy"},
			want: []string{"-https-client", `"Proxy"`, "forwarded or proxy"}},

		{name: "trusted file that trusts no peer", env: map[string]string{"MAILFRONT_TRUSTED_PROXIES_FILE": os.DevNull},
			want: []string{"MAILFRONT_TRUSTED_PROXIES_FILE", os.DevNull, "trusts no peer"}},
		{name: "forwarded proto", env: map[string]string{"MAILFRONT_FORWARDED_PROTO": "yes"},
			want: []string{"MAILFRONT_FORWARDED_PROTO", `"yes"`, "true or false"}},

		{name: "forwarded header: no name", env: map[string]string{"MAILFRONT_FORWARDED_HEADER": "X Real IP"},
			want: []string{"MAILFRONT_FORWARDED_HEADER", `"X Real IP"`, "use X-Forwarded-For, Forwarded, or the name"}},
		{name: "forwarded header: two names", args: []string{"-forwarded-header", "X-Forwarded-For,Forwarded"},
			want: []string{"-forwarded-header", `"X-Forwarded-For,Forwarded"`, "use X-Forwarded-For, Forwarded, or the name"}},
		{name: "forwarded header: no listener reads it", env: map[string]string{"MAILFRONT_FORWARDED_HEADER": "Forwarded", "MAILFRONT_HTTP_CLIENT": "proxy"},
			want: []string{"MAILFRONT_FORWARDED_HEADER", `"Forwarded"`, "no listener reads forwarding headers: set MAILFRONT_HTTP_CLIENT"}},
		{name: "forwarded header: a header of clients", env: map[string]string{"MAILFRONT_FORWARDED_HEADER": "Host"},
			want: []string{"MAILFRONT_FORWARDED_HEADER", `"Host"`, "such as CF-Connecting-IP, True-Client-IP or X-Real-IP"}},
		{name: "forwarded header: no proxy is trusted", env: map[string]string{"MAILFRONT_FORWARDED_HEADER": "CF-Connecting-IP"},
			want: []string{"MAILFRONT_FORWARDED_HEADER", `"CF-Connecting-IP"`, "no proxy is trusted", "set MAILFRONT_TRUSTED_PROXIES to"}},
		{name: "forwarded hops: no proxy of the listener is trusted", env: map[string]string{"MAILFRONT_FORWARDED_HOPS": "2", "MAILFRONT_TRUSTED_PROXIES": "127.0.0.1", "MAILFRONT_TRUSTED_PROXIES_HTTP": "-"},
			want: []string{"MAILFRONT_FORWARDED_HOPS", `"2"`, "no proxy is trusted", "set MAILFRONT_TRUSTED_PROXIES_HTTP to"}},
		{name: "forwarded header: the listener is off", env: map[string]string{"MAILFRONT_FORWARDED_HEADER": "Forwarded", "MAILFRONT_LISTEN_HTTP": "-"},
			want: []string{"MAILFRONT_FORWARDED_HEADER", `"Forwarded"`, "no listener reads forwarding headers"}},
		{name: "forwarded hops: no number", env: map[string]string{"MAILFRONT_FORWARDED_HOPS": "two"},
			want: []string{"MAILFRONT_FORWARDED_HOPS", `"two"`, "use a number from 1 to 32"}},
		{name: "forwarded hops: zero", env: map[string]string{"MAILFRONT_FORWARDED_HOPS": "0"},
			want: []string{"MAILFRONT_FORWARDED_HOPS", `"0"`, "use a number from 1 to 32, or unset it"}},
		{name: "forwarded hops: too many", env: map[string]string{"MAILFRONT_FORWARDED_HOPS": "33"},
			want: []string{"MAILFRONT_FORWARDED_HOPS", `"33"`, "use a number from 1 to 32"}},
		{name: "forwarded proto: no listener reads it", env: map[string]string{"MAILFRONT_FORWARDED_PROTO": "true", "MAILFRONT_HTTP_CLIENT": "proxy"},
			want: []string{"MAILFRONT_FORWARDED_PROTO", `"true"`, "no listener reads forwarding headers"}},
		{name: "forwarded hops and a header with one address", env: map[string]string{"MAILFRONT_FORWARDED_HOPS": "2", "MAILFRONT_FORWARDED_HEADER": "CF-Connecting-IP"},
			want: []string{"MAILFRONT_FORWARDED_HOPS", `"2"`, `MAILFRONT_FORWARDED_HEADER is "CF-Connecting-IP"`, "unset one of the two"}},

		{name: "listener without port", env: map[string]string{"MAILFRONT_LISTEN_IMAPS": "127.0.0.1"},
			want: []string{"MAILFRONT_LISTEN_IMAPS", `"127.0.0.1"`, "host:port", "unix:/path"}},
		{name: "listener on a relative path", env: map[string]string{"MAILFRONT_LISTEN_IMAPS": "unix:imaps.sock"},
			want: []string{"MAILFRONT_LISTEN_IMAPS", `"unix:imaps.sock"`, "not absolute", "unix:/run/mailfront/imaps.sock"}},

		{name: "domain", env: map[string]string{"MAILFRONT_DOMAINS": "example.test,exa mple"},
			want: []string{"MAILFRONT_DOMAINS", `"exa mple"`}},
		{name: "no domain between commas", env: map[string]string{"MAILFRONT_DOMAINS": "a.test,,b.test"},
			want: []string{"MAILFRONT_DOMAINS", `""`}},

		{name: "public URL: scheme", env: map[string]string{"MAILFRONT_PUBLIC_URL": "mail.example.com"},
			want: []string{"MAILFRONT_PUBLIC_URL", `"mail.example.com"`, "https://mail.example.com"}},
		{name: "public URL: http", env: map[string]string{"MAILFRONT_PUBLIC_URL": "http://mail.example.com"},
			want: []string{"MAILFRONT_PUBLIC_URL", `"http://mail.example.com"`, "https"}},
		{name: "public URL: flag", args: []string{"-public-url", "https://mail.example.com/?x"},
			want: []string{"-public-url", "query"}},
		{name: "hostname", env: map[string]string{"MAILFRONT_HOSTNAME": "mail.example.com/mail"},
			want: []string{"MAILFRONT_HOSTNAME", `"mail.example.com/mail"`}},
		{name: "hostname, with a good public URL", env: map[string]string{"MAILFRONT_PUBLIC_URL": "https://mail.example.com", "MAILFRONT_HOSTNAME": "a b"},
			want: []string{"MAILFRONT_HOSTNAME", `"a b"`}},
		{name: "mode", env: map[string]string{"MAILFRONT_MODE": "Normal"},
			want: []string{"MAILFRONT_MODE", `"Normal"`, "normal, bootstrap or recovery"}},
		{name: "normal mode without a base", env: map[string]string{"MAILFRONT_MODE": "normal", "MAILFRONT_PUBLIC_URL": " "},
			want: []string{"MAILFRONT_MODE", `"normal"`, "no public base URL", "MAILFRONT_PUBLIC_URL", "MAILFRONT_HOSTNAME"}},
		{name: "public ports: name", env: map[string]string{"MAILFRONT_PUBLIC_PORTS": "http=80"},
			want: []string{"MAILFRONT_PUBLIC_PORTS", `"http"`, "imaps"}},
		{name: "public ports: number", env: map[string]string{"MAILFRONT_PUBLIC_PORTS": "imaps=70000"},
			want: []string{"MAILFRONT_PUBLIC_PORTS", `"imaps=70000"`, "65535"}},
		{name: "public ports: 0", env: map[string]string{"MAILFRONT_PUBLIC_PORTS": "imaps=0"},
			want: []string{"MAILFRONT_PUBLIC_PORTS", `"imaps=0"`, "or -"}},
		{name: "clients: id", env: map[string]string{"MAILFRONT_CLIENTS": "https://app.example/cb"},
			want: []string{"MAILFRONT_CLIENTS", "id=redirect_uri"}},
		{name: "clients: built in", env: map[string]string{"MAILFRONT_CLIENTS": "mailfront-demo=https://app.example/cb"},
			want: []string{"MAILFRONT_CLIENTS", `"mailfront-demo"`, "built in"}},
		{name: "clients: http", env: map[string]string{"MAILFRONT_CLIENTS": "app=http://app.example/cb"},
			want: []string{"MAILFRONT_CLIENTS", `"app=http://app.example/cb"`, "use https"}},

		{name: "relay loopback", env: map[string]string{"MAILFRONT_RELAY_LOOPBACK": "1"},
			want: []string{"MAILFRONT_RELAY_LOOPBACK", `"1"`, "true or false"}},

		{name: "log", env: map[string]string{"MAILFRONT_LOG": "verbose"}, want: []string{"MAILFRONT_LOG", `"verbose"`, "debug or info"}},

		{name: "unknown flag", args: []string{"-listen-ftp", "x"}, want: []string{"listen-ftp"}},
		{name: "argument", args: []string{"serve"}, want: []string{`"serve"`}},
		{name: "demo with another flag", args: []string{"-demo", "-log", "debug"}, want: []string{"-demo"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := parseConfig(test.args, lookup(test.env), io.Discard)
			require.Error(t, err)
			require.Regexp(t, "^mailfront: ", err.Error())
			for _, part := range test.want {
				require.ErrorContains(t, err, part)
			}
		})
	}
}

func TestWhatIsUnsetHasItsDefault(t *testing.T) {
	cfg, err := parseConfig(nil, lookup(map[string]string{"MAILFRONT_LOG": " ", "MAILFRONT_DOMAINS": ""}), io.Discard)
	require.NoError(t, err)
	require.True(t, cfg.trusted.all.Trusted().IsEmpty())
	for _, name := range listenerNames {
		require.Len(t, cfg.listen[name], 1)
		require.Equal(t, "127.0.0.1:0", cfg.listen[name][0].Text, name)
		require.Equal(t, name != "http", cfg.proxy[name], name)
		require.Equal(t, proxyproto.PassthroughTLS, cfg.tlsPath[name], name)
	}
	require.Equal(t, "demo@example.test", cfg.account())
	require.Len(t, cfg.password, 26)
	require.True(t, cfg.passwordIsRandom)
	require.Equal(t, slog.LevelInfo, cfg.logLevel)

	again, err := parseConfig(nil, lookup(nil), io.Discard)
	require.NoError(t, err)
	require.NotEqual(t, cfg.password, again.password)
}

func TestFlagsOverrideEnvironment(t *testing.T) {
	list := filepath.Join(t.TempDir(), "proxies")
	require.NoError(t, os.WriteFile(list, []byte("192.0.2.1 # front\nloopback\n"), 0o600))
	cfg, err := parseConfig([]string{"-listen-smtp=[::1]:25", "-log", "debug", "-domains=b.test"}, lookup(map[string]string{
		"MAILFRONT_TRUSTED_PROXIES_FILE": list,
		"MAILFRONT_LISTEN_SMTP":          "127.0.0.1:2525",
		"MAILFRONT_LISTEN_HTTPS":         "127.0.0.1:8443",
		"MAILFRONT_HTTP_CLIENT":          "proxy",
		"MAILFRONT_HTTPS_CLIENT":         "forwarded",
		"MAILFRONT_TLS_TERMINATED":       "smtp, imap",
		"MAILFRONT_TLS_REENCRYPTED":      "smtps",
		"MAILFRONT_DOMAINS":              "A.test,c.test",
		"MAILFRONT_DEMO_PASSWORD":        " secret ",
		"MAILFRONT_LOG":                  "nonsense, but the flag wins",
	}), io.Discard)
	require.NoError(t, err)
	require.Equal(t, "127.0.0.0/8,192.0.2.1,::1", cfg.trusted.of["smtp"].live.Trusted().String())
	require.Equal(t, []address{{settings.Value{Program: "mailfront", Text: "[::1]:25", From: "-listen-smtp"}, "tcp", "[::1]:25"}}, cfg.listen["smtp"])
	require.Equal(t, []address{{settings.Value{Program: "mailfront", Text: "127.0.0.1:8443", From: "MAILFRONT_LISTEN_HTTPS"}, "tcp", "127.0.0.1:8443"}}, cfg.listen["https"])
	require.True(t, cfg.proxy["http"])
	require.False(t, cfg.proxy["https"])
	require.Equal(t, map[string]proxyproto.TLSPath{
		"smtp": proxyproto.TerminatedTLS, "imap": proxyproto.TerminatedTLS, "smtps": proxyproto.ReencryptedTLS,
	}, cfg.tlsPath)
	require.Equal(t, []string{"b.test"}, cfg.domains)
	require.Equal(t, " secret ", cfg.password)
	require.False(t, cfg.passwordIsRandom)
	require.Equal(t, slog.LevelDebug, cfg.logLevel)
}

func TestHelpListsEverySetting(t *testing.T) {
	var help bytes.Buffer
	_, err := parseConfig([]string{"-help"}, lookup(nil), &help)
	require.ErrorIs(t, err, flag.ErrHelp)
	require.Contains(t, help.String(), "a password or token without TLS is refused, except from a program on this machine")
	for _, s := range program.Settings {
		require.Contains(t, help.String(), "[MAILFRONT_"+s.Name+"]")
		require.Contains(t, help.String(), "  -"+s.FlagName()+" ")
	}
}

func TestFailedStart(t *testing.T) {
	busy := runMailfront(t, nil).address["smtp"]
	l, err := net.Listen("tcp", "127.0.0.88:0") // no other listener is there
	if err != nil {
		t.Skipf("this system has no 127.0.0.88: %v", err)
	}
	free := l.Addr().String()
	require.NoError(t, l.Close())
	var out, log bytes.Buffer
	err = run(t.Context(), nil, lookup(map[string]string{"MAILFRONT_LISTEN_HTTP": free, "MAILFRONT_LISTEN_POP3S": busy}), &out, &log, nil)
	require.ErrorContains(t, err, "MAILFRONT_LISTEN_POP3S")
	require.ErrorContains(t, err, busy)
	require.Empty(t, out.String())
	l, err = net.Listen("tcp", free)
	require.NoError(t, err, "a listener that was opened before the bad one stayed open")
	require.NoError(t, l.Close())

	notPEM := filepath.Join(t.TempDir(), "cert.pem")
	require.NoError(t, os.WriteFile(notPEM, []byte("no certificate"), 0o600))
	err = run(t.Context(), []string{"-tls-cert", notPEM, "-tls-key", notPEM}, lookup(nil), &out, &log, nil)
	require.ErrorContains(t, err, "-tls-cert")
	require.ErrorContains(t, err, notPEM)
	require.Empty(t, out.String())
}
