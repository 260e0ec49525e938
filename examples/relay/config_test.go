package main

import (
	"bytes"
	"flag"
	"io"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

func TestSettingsHaveDefaultsAndFlagsWinOverVariables(t *testing.T) {
	cfg, err := parseConfig(nil, lookup(map[string]string{"RELAY_BACKEND": "127.0.0.1:25, [::1]:143"}), io.Discard)
	require.NoError(t, err)
	require.Len(t, cfg.routes, 2)
	require.Equal(t, "127.0.0.1:0", cfg.routes[1].listen.Text)
	require.Equal(t, "[::1]:143", cfg.routes[1].backend.Text)
	require.Nil(t, cfg.trusted)
	require.Nil(t, cfg.tls)
	require.Equal(t, 2, cfg.version)
	require.Equal(t, proxyproto.ServeDirect, cfg.untrusted)
	require.Equal(t, proxyproto.PassthroughTLS, cfg.tlsPath)
	require.Equal(t, 5*time.Second, cfg.dialTimeout)
	require.Equal(t, 35*time.Minute, cfg.idleTimeout)
	require.Equal(t, 10*time.Second, cfg.grace)
	require.Equal(t, 1000, cfg.maxSessions)
	require.Equal(t, slog.LevelInfo, cfg.logLevel)

	certFile, keyFile, _ := certificate(t)
	cfg, err = parseConfig([]string{"-send", "v1", "-max-sessions", "7"}, lookup(map[string]string{
		"RELAY_LISTEN": "127.0.0.1:2525", "RELAY_BACKEND": "127.0.0.1:25", "RELAY_TRUSTED_PROXIES": "192.0.2.0/24",
		"RELAY_SEND": "v2", "RELAY_MAX_SESSIONS": "", "RELAY_UNTRUSTED": "refuse", "RELAY_IDLE_TIMEOUT": "90s",
		"RELAY_TLS_CERT": certFile, "RELAY_TLS_KEY": keyFile, "RELAY_TLS_REENCRYPTED": "true", "RELAY_LOG": "debug",
	}), io.Discard)
	require.NoError(t, err)
	require.Equal(t, 1, cfg.version)
	require.Equal(t, 7, cfg.maxSessions)
	require.Equal(t, "192.0.2.0/24", cfg.trusted.Trusted().String())
	require.Equal(t, proxyproto.Refuse, cfg.untrusted)
	require.Equal(t, proxyproto.ReencryptedTLS, cfg.tlsPath)
	require.NotNil(t, cfg.tls)
	require.Equal(t, 90*time.Second, cfg.idleTimeout)
	require.Equal(t, slog.LevelDebug, cfg.logLevel)
}

func TestSettingsThatMakeNoSenseAreNamed(t *testing.T) {
	certFile, keyFile, _ := certificate(t)
	for name, c := range map[string]struct {
		env  map[string]string
		args []string
		want string
	}{
		"no backend":                {env: map[string]string{"BACKEND": " "}, want: `relay: RELAY_BACKEND is not set`},
		"a listener too many":       {env: map[string]string{"LISTEN": "127.0.0.1:1,127.0.0.1:2"}, want: `RELAY_LISTEN is "127.0.0.1:1,127.0.0.1:2"`},
		"a listener without a port": {env: map[string]string{"LISTEN": "127.0.0.1"}, want: `RELAY_LISTEN is "127.0.0.1": use host:port`},
		"a backend without a host":  {env: map[string]string{"BACKEND": ":25"}, want: `RELAY_BACKEND is ":25": use host:port`},
		"a backend at port 0":       {args: []string{"-backend", "127.0.0.1:0"}, want: `-backend is "127.0.0.1:0": use host:port`},
		"host bits":                 {env: map[string]string{"TRUSTED_PROXIES": "10.1.2.3/8"}, want: `RELAY_TRUSTED_PROXIES is "10.1.2.3/8": `},
		"everybody":                 {env: map[string]string{"TRUSTED_PROXIES": "0.0.0.0/0"}, want: `it covers all of IPv4`},
		"other words":               {env: map[string]string{"SEND": "v3"}, want: `RELAY_SEND is "v3": use v1 or v2`},
		"other policy":              {env: map[string]string{"UNTRUSTED": "no"}, want: `RELAY_UNTRUSTED is "no": use refuse or serve`},
		"other log":                 {env: map[string]string{"LOG": "x"}, want: `RELAY_LOG is "x": use debug or info or warn`},
		"other truth":               {env: map[string]string{"TLS_TERMINATED": "yes"}, want: `RELAY_TLS_TERMINATED is "yes": use true or false`},
		"a key without certificate": {env: map[string]string{"TLS_KEY": keyFile}, want: `RELAY_TLS_CERT is not set`},
		"a certificate without key": {env: map[string]string{"TLS_CERT": certFile}, want: `RELAY_TLS_KEY is not set`},
		"an invalid key":            {env: map[string]string{"TLS_CERT": certFile, "TLS_KEY": certFile}, want: `cannot be used with RELAY_TLS_KEY`},
		"TLS ended twice":           {env: map[string]string{"TLS_CERT": certFile, "TLS_KEY": keyFile, "TLS_TERMINATED": "true"}, want: `use RELAY_TLS_REENCRYPTED=true instead`},
		"TLS ended and reencrypted": {env: map[string]string{"TLS_TERMINATED": "true", "TLS_REENCRYPTED": "true"}, want: `RELAY_TLS_REENCRYPTED is also true`},
		"TLS not ended":             {env: map[string]string{"TLS_REENCRYPTED": "true"}, want: `RELAY_TLS_CERT is not set: set it to the certificate`},
		"no duration":               {env: map[string]string{"IDLE_TIMEOUT": "35"}, want: `RELAY_IDLE_TIMEOUT is "35": use a duration of 1s or more`},
		"a short duration":          {env: map[string]string{"IDLE_TIMEOUT": "10ms"}, want: `use a duration of 1s or more`},
		"a negative duration":       {env: map[string]string{"GRACE": "-1s"}, want: `RELAY_GRACE is "-1s": use a duration of 0s or more`},
		"no sessions":               {env: map[string]string{"MAX_SESSIONS": "0"}, want: `RELAY_MAX_SESSIONS is "0": use a number from 1 on`},
		"an argument":               {args: []string{"x"}, want: `relay: unexpected argument "x": see -help`},
		"an unknown flag":           {args: []string{"-nothing"}, want: `-nothing`},
	} {
		t.Run(name, func(t *testing.T) {
			env := map[string]string{"RELAY_BACKEND": "127.0.0.1:25"}
			for k, v := range c.env {
				env["RELAY_"+k] = v
			}
			_, err := parseConfig(c.args, lookup(env), io.Discard)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "relay: ")
		})
	}
}

// A bad value of a setting fails at the start with the name of the setting, the value and the
// correction. Each setting has to be in the table.
func TestEverySettingNamesItsBadValueAndTheCorrection(t *testing.T) {
	certFile, _, _ := certificate(t)
	type bad struct {
		value  string
		fix    string            // in the error
		others map[string]string // settings without RELAY_
	}
	table := map[string]bad{
		"LISTEN":          {value: "127.0.0.1", fix: "use host:port, such as 127.0.0.1:2525"},
		"BACKEND":         {value: "127.0.0.1:0", fix: "use host:port, such as 127.0.0.1:10025"},
		"TRUSTED_PROXIES": {value: "0.0.0.0/0", fix: "list the proxies only"},
		"UNTRUSTED":       {value: "ignore", fix: "use refuse or serve"},
		"SEND":            {value: "2", fix: "use v1 or v2"},
		"TLS_CERT":        {value: certFile, fix: "use the PEM files of a certificate and its key", others: map[string]string{"TLS_KEY": certFile}},
		"TLS_KEY":         {value: "/no/key.pem", fix: "RELAY_TLS_CERT is not set: set it to the certificate file"},
		"TLS_TERMINATED":  {value: "yes", fix: "use true or false"},
		"TLS_REENCRYPTED": {value: "true", fix: "or unset this"},
		"DIAL_TIMEOUT":    {value: "0s", fix: "use a duration of 1ms or more, such as 90s or 35m"},
		"IDLE_TIMEOUT":    {value: "35", fix: "use a duration of 1s or more, such as 90s or 35m"},
		"MAX_SESSIONS":    {value: "many", fix: "use a number from 1 on"},
		"GRACE":           {value: "-1s", fix: "use a duration of 0s or more, such as 90s or 35m"},
		"LOG":             {value: "verbose", fix: "use debug or info or warn"},
	}
	for _, s := range program.Settings {
		b, ok := table[s.Name]
		require.True(t, ok, "the table does not have %s", s.Name)
		delete(table, s.Name)
		for _, flag := range []bool{false, true} {
			name, args, env := "RELAY_"+s.Name, []string(nil), map[string]string{"RELAY_BACKEND": "127.0.0.1:25"}
			for other, value := range b.others {
				env["RELAY_"+other] = value
			}
			if flag {
				name = "-" + s.FlagName()
				args = []string{name + "=" + b.value}
			} else {
				env[name] = b.value
			}
			t.Run(name, func(t *testing.T) {
				_, err := parseConfig(args, lookup(env), io.Discard)
				require.Error(t, err)
				require.Regexp(t, "^relay: ", err.Error())
				require.ErrorContains(t, err, name)
				require.ErrorContains(t, err, b.fix)
				require.ErrorContains(t, err, strconv.Quote(b.value))
			})
		}
	}
	require.Empty(t, table, "settings that do not exist")
}

func TestHelpListsEverySetting(t *testing.T) {
	var help bytes.Buffer
	_, err := parseConfig([]string{"-help"}, lookup(nil), &help)
	require.ErrorIs(t, err, flag.ErrHelp)
	for _, s := range program.Settings {
		require.Contains(t, help.String(), "-"+s.FlagName()+" ")
		require.Contains(t, help.String(), "[RELAY_"+s.Name+"]")
	}
}
