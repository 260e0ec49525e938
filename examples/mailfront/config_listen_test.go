package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAddressesOfListeners(t *testing.T) {
	for _, tc := range []struct {
		name string
		smtp string
		env  map[string]string // other settings
		want []string          // network and address
		err  string
	}{
		{name: "one", smtp: "127.0.0.1:25", want: []string{"tcp 127.0.0.1:25"}},
		{name: "several", smtp: "127.0.0.1:25, [::1]:25,unix:/run/x.sock", want: []string{"tcp 127.0.0.1:25", "tcp [::1]:25", "unix /run/x.sock"}},
		{name: "a name of a port", smtp: ":smtp", want: []string{"tcp :smtp"}},
		{name: "both families", smtp: "0.0.0.0:25,[::]:25", want: []string{"tcp4 0.0.0.0:25", "tcp6 [::]:25"}},
		{name: "both families on one socket", smtp: "[::]:25", want: []string{"tcp [::]:25"}},
		{name: "IPv4 and an address of IPv6", smtp: "0.0.0.0:25,[::1]:25", want: []string{"tcp4 0.0.0.0:25", "tcp [::1]:25"}},
		{name: "IPv6 and an address of IPv4", smtp: "[::]:25,127.0.0.1:25", want: []string{"tcp6 [::]:25", "tcp 127.0.0.1:25"}},
		{name: "two ports", smtp: "127.0.0.1:25,[::]:2525", want: []string{"tcp 127.0.0.1:25", "tcp [::]:2525"}},
		{name: "ports of the kernel", smtp: "127.0.0.1:0,127.0.0.1:0", want: []string{"tcp 127.0.0.1:0", "tcp 127.0.0.1:0"}},
		{name: "off", smtp: "-"},

		{name: "off and on", smtp: "-,127.0.0.1:25", err: `mailfront: MAILFRONT_LISTEN_SMTP is "-,127.0.0.1:25": "-": - turns the whole listener off: use it alone, or remove it`},
		{name: "one of several", smtp: "127.0.0.1:25,::1:25", err: `mailfront: MAILFRONT_LISTEN_SMTP is "127.0.0.1:25,::1:25": "::1:25": use host:port, such as 127.0.0.1:2525 or [::1]:0, or unix:/path: address ::1:25: too many colons in address`},
		{name: "an empty item", smtp: "127.0.0.1:25,", err: `mailfront: MAILFRONT_LISTEN_SMTP is "127.0.0.1:25,": "": use host:port, such as 127.0.0.1:2525 or [::1]:0, or unix:/path: missing port in address`},
		{name: "no port", smtp: "127.0.0.1:", err: `mailfront: MAILFRONT_LISTEN_SMTP is "127.0.0.1:": use host:port, such as 127.0.0.1:2525 or [::1]:0, or unix:/path: missing port`},
		{name: "no such port", smtp: "127.0.0.1:70000", err: `mailfront: MAILFRONT_LISTEN_SMTP is "127.0.0.1:70000": use host:port, such as 127.0.0.1:2525 or [::1]:0, or unix:/path: address 70000: invalid port`},
		{name: "twice", smtp: "127.0.0.1:25,127.0.0.1:25", err: `mailfront: MAILFRONT_LISTEN_SMTP is "127.0.0.1:25,127.0.0.1:25": "127.0.0.1:25": the address is listed twice: remove one of the two`},
		{name: "twice, in two spellings", smtp: "[::1]:25,[0:0::1]:smtp", err: `mailfront: MAILFRONT_LISTEN_SMTP is "[::1]:25,[0:0::1]:smtp": "[0:0::1]:smtp": the address is listed twice: remove one of the two`},
		{name: "that of another listener", smtp: "127.0.0.1:25", env: map[string]string{"MAILFRONT_LISTEN_IMAP": "127.0.0.1:25"},
			err: `mailfront: MAILFRONT_LISTEN_IMAP is "127.0.0.1:25": MAILFRONT_LISTEN_SMTP has the same address: use another port, or - for a listener that is not needed`},
		{name: "the socket of another listener", smtp: "unix:/run/x", env: map[string]string{"MAILFRONT_LISTEN_IMAP": "unix:/run//x"},
			err: `mailfront: MAILFRONT_LISTEN_IMAP is "unix:/run//x": MAILFRONT_LISTEN_SMTP has the same address: use another port, or - for a listener that is not needed`},
		{name: "that of the health listener", smtp: "127.0.0.1:25", env: map[string]string{"MAILFRONT_LISTEN_HEALTH": "127.0.0.1:25"},
			err: `mailfront: MAILFRONT_LISTEN_HEALTH is "127.0.0.1:25": MAILFRONT_LISTEN_SMTP has the same address: use another port, or - for a listener that is not needed`},
		{name: "everything off", smtp: "-", env: allOff(), err: `mailfront: MAILFRONT_LISTEN_HTTP is "-": every listener is off: give at least one of them an address, such as 127.0.0.1:0`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			env := map[string]string{"MAILFRONT_LISTEN_SMTP": tc.smtp}
			for key, value := range tc.env {
				env[key] = value
			}
			cfg, err := parseConfig(nil, lookup(env), io.Discard)
			if tc.err != "" {
				require.EqualError(t, err, tc.err)
				return
			}
			require.NoError(t, err)
			var got []string
			for _, a := range cfg.listen["smtp"] {
				got = append(got, a.network+" "+a.host)
			}
			require.Equal(t, tc.want, got)
		})
	}
}

// allOff has the settings that turn every listener off.
func allOff() map[string]string {
	env := make(map[string]string)
	for _, name := range listenerNames {
		env["MAILFRONT_LISTEN_"+strings.ToUpper(name)] = off
	}
	return env
}

// Every address of a listener has the same rules.
func TestListenerAddresses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.sock")
	second := "[::1]:0"
	if !bindable("::1") {
		second = "127.0.0.1:0"
	}
	three := "127.0.0.1:0," + second + ",unix:" + path
	env := map[string]string{"MAILFRONT_TRUSTED_PROXIES": "unix", "MAILFRONT_LISTEN_HEALTH": "127.0.0.1:0," + second, "MAILFRONT_DRAIN": "0s"}
	for _, name := range listenerNames {
		env["MAILFRONT_LISTEN_"+strings.ToUpper(name)] = strings.ReplaceAll(three, path, path+name)
	}
	cfg, err := parseConfig(nil, lookup(env), io.Discard)
	require.NoError(t, err)
	buffer := newLogBuffer()
	f, err := start(cfg, newLogger(buffer, slog.LevelDebug))
	require.NoError(t, err)
	stopped := false
	defer func() {
		if !stopped {
			_ = f.shutdown(0)
		}
	}()

	var out strings.Builder
	require.NoError(t, f.describe(&out))
	for _, l := range f.listeners {
		require.Len(t, l.sockets, 3)
		require.Len(t, regexp.MustCompile(`(?m)^`+l.name+` +\S+ `).FindAllString(out.String(), -1), 3, out.String())
		for _, s := range l.sockets {
			c, err := net.Dial(s.inner.Addr().Network(), s.inner.Addr().String())
			require.NoError(t, err)
			defer c.Close()
			c.SetDeadline(time.Now().Add(testTimeout))
			if s.inner.Addr().Network() == "unix" { // a trusted peer needs a header, the others must not send one
				_, err = io.WriteString(c, "PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n")
				if f.cfg.proxy[l.name] {
					require.NoError(t, err)
				} else {
					continue
				}
			}
			if strings.HasSuffix(l.name, "s") {
				c = onTLS(t, c)
			}
			if strings.HasPrefix(l.name, "http") {
				response, _ := get(t, c, "/whoami", http.Header{})
				require.Equal(t, 200, response.StatusCode)
			} else {
				newScript(t, c).line()
			}
		}
	}
	require.Len(t, f.health.sockets, 2)
	for _, s := range f.health.sockets {
		c, err := net.Dial("tcp", s.Addr().String())
		require.NoError(t, err)
		defer c.Close()
		response, _ := get(t, c, "/healthz/ready", http.Header{})
		require.Equal(t, 200, response.StatusCode)
	}
	require.NoError(t, f.shutdown(time.Second))
	stopped = true
	for _, l := range f.listeners {
		for _, s := range l.sockets {
			_, err := net.Dial(s.inner.Addr().Network(), s.inner.Addr().String())
			require.Error(t, err, "%s %s is closed", l.name, s.inner.Addr())
		}
	}
}

func TestListenerOff(t *testing.T) {
	env := allOff()
	env["MAILFRONT_LISTEN_IMAP"], env["MAILFRONT_LISTEN_HTTP"], env["MAILFRONT_HOSTNAME"] = "127.0.0.1:0", "127.0.0.1:0", "mail.example.com"
	env["MAILFRONT_PUBLIC_PORTS"] = "imaps=993" // the proxy ends TLS
	cfg, err := parseConfig(nil, lookup(env), io.Discard)
	require.NoError(t, err)
	f, err := start(cfg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer f.shutdown(0)
	var names []string
	for _, l := range f.listeners {
		names = append(names, l.name)
	}
	require.Equal(t, []string{"http", "imap"}, names)
	require.Nil(t, f.addr("smtp"))
	var services []string
	for _, s := range cfg.mailServices("mail.example.com") {
		services = append(services, string(s.Protocol))
	}
	require.Equal(t, []string{"imap", "imap"}, services)
}

func TestStartWithoutMailOrWeb(t *testing.T) {
	for _, tc := range []struct {
		name string
		open []string
		out  string // of the set-up
	}{
		{name: "no mail", open: []string{"http", "https"}, out: `(?m)^setup http://`},
		{name: "no http", open: []string{"https", "imap"}, out: `(?m)^setup https://`},
		{name: "no web", open: []string{"smtp"}, out: "(?m)^setup needs a web listener: set MAILFRONT_LISTEN_HTTP or MAILFRONT_LISTEN_HTTPS$"},
	} {
		for _, hostname := range []string{"", "mail.example.com"} {
			t.Run(tc.name+" "+hostname, func(t *testing.T) {
				env := allOff()
				env["MAILFRONT_HOSTNAME"] = hostname
				for _, name := range tc.open {
					env["MAILFRONT_LISTEN_"+strings.ToUpper(name)] = "127.0.0.1:0"
				}
				cfg, err := parseConfig(nil, lookup(env), io.Discard)
				require.NoError(t, err)
				f, err := start(cfg, slog.New(slog.DiscardHandler))
				require.NoError(t, err)
				defer f.shutdown(0)
				var out strings.Builder
				require.NoError(t, f.describe(&out))
				if hostname == "" {
					require.Regexp(t, tc.out, out.String())
				}
			})
		}
	}
}

func TestBothFamiliesOfAPortCanBeOpened(t *testing.T) {
	if !bindable("::1") {
		t.Skip("no IPv6 on this system")
	}
	v4, err := listen("tcp4", "0.0.0.0:0")
	require.NoError(t, err)
	defer v4.Close()
	port := fmt.Sprint(v4.Addr().(*net.TCPAddr).Port)
	list := []address{{network: "tcp", host: "0.0.0.0:" + port}, {network: "tcp", host: "[::]:" + port}}
	separateFamilies(list)
	require.Equal(t, "tcp4", list[0].network)
	v6, err := list[1].listen()
	require.NoError(t, err)
	require.NoError(t, v6.Close())
}
