package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A bad value of a setting fails at the start with the name of the setting, the value and the
// correction. Each setting has to be in the table.
func TestSettingErrors(t *testing.T) {
	directory := t.TempDir()
	damaged := filepath.Join(directory, "state")
	require.NoError(t, os.WriteFile(damaged, []byte("{"), 0o600))
	type bad struct {
		value    string
		fix      string            // in the error
		others   map[string]string // settings without MAILFRONT_
		isSecret bool              // the value is not quoted
	}
	table := map[string]bad{
		"LISTEN_HEALTH":          {value: "8081", fix: "use host:port"},
		"DRAIN":                  {value: "10", fix: "use a duration from 0s to 1h0m0s, such as 10s"},
		"TRUSTED_PROXIES":        {value: "10.1.2.3/8", fix: "write 10.0.0.0/8 for the network or 10.1.2.3/32 for the one address"},
		"TRUSTED_PROXIES_FILE":   {value: directory, fix: "use a regular file"},
		"TRUSTED_PROXIES_WITHIN": {value: "dns:proxy", fix: "use networks, such as 10.0.0.0/8", others: map[string]string{"TRUSTED_PROXIES": "dns:proxy"}},
		"STORE":                  {value: "http://:hunter2@store", fix: "redis://", others: map[string]string{"SECRET": strings.Repeat("s", 32)}, isSecret: true},
		"SECRET":                 {value: "hunter2", fix: "32", others: map[string]string{"STORE": "redis://127.0.0.1:1"}, isSecret: true},
		"TLS_CERT":               {value: "/no/cert.pem", fix: "MAILFRONT_TLS_KEY is not set: set it to the key file"},
		"TLS_KEY":                {value: "/no/key.pem", fix: "MAILFRONT_TLS_CERT is not set: set it to the certificate file"},
		"TLS_TERMINATED":         {value: "pop4", fix: "use names from http,https,smtp"},
		"TLS_REENCRYPTED":        {value: "IMAPS", fix: "use names from http,https,smtp"},
		"HTTP_CLIENT":            {value: "both", fix: "use forwarded or proxy"},
		"HTTPS_CLIENT":           {value: "x-forwarded-for", fix: "use forwarded or proxy"},
		"FORWARDED_HEADER":       {value: "Cookie", fix: "such as CF-Connecting-IP", others: map[string]string{"TRUSTED_PROXIES": "10.0.0.1"}},
		"FORWARDED_HOPS":         {value: "-1", fix: "use a number from 1 to 32"},
		"FORWARDED_PROTO":        {value: "https", fix: "use true or false"},
		"PUBLIC_URL":             {value: "mail.example.com", fix: "https://mail.example.com"},
		"HOSTNAME":               {value: "https://mail.example.com", fix: "without a scheme"},
		"MODE":                   {value: "setup", fix: "use normal, bootstrap or recovery"},
		"STATE":                  {value: damaged, fix: "restore it, or remove it"},
		"PUBLIC_PORTS":           {value: "imaps=0", fix: "use a port from 1 to 65535, or -"},
		"CLIENTS":                {value: "app=http://app.example/cb", fix: "use https"},
		"AUTHORIZATION_SERVERS":  {value: "http://id.example.com", fix: "https"},
		"INTROSPECTION_ISSUER":   {value: "https://other.example", fix: "use one of https://id.example.com", others: map[string]string{"AUTHORIZATION_SERVERS": "https://id.example.com"}},
		"INTROSPECTION_CLIENT":   {value: "hunter2", fix: "use id:secret", others: map[string]string{"AUTHORIZATION_SERVERS": "https://id.example.com"}, isSecret: true},
		"DOMAINS":                {value: "exa mple", fix: "use letters, digits and hyphens between dots"},
		"RELAY_LOOPBACK":         {value: "yes", fix: "use true or false"},
		"LOG":                    {value: "verbose", fix: "use debug or info"},
	}
	for _, name := range listenerNames {
		table["LISTEN_"+strings.ToUpper(name)] = bad{value: "127.0.0.1", fix: "use host:port, such as 127.0.0.1:2525"}
		table["TRUSTED_PROXIES_"+strings.ToUpper(name)] = bad{value: "0.0.0.0/0", fix: "list the proxies only"}
	}
	every := []string{"DEMO_PASSWORD", "TOKEN_AUDIENCE"} // any text is a good value
	for _, s := range program.Settings {
		b, ok := table[s.Name]
		if slices.Contains(every, s.Name) {
			require.False(t, ok)
			continue
		}
		require.True(t, ok, "the table does not have %s", s.Name)
		delete(table, s.Name)
		for _, flag := range []bool{false, true} {
			name, args, env := "MAILFRONT_"+s.Name, []string(nil), make(map[string]string)
			for other, value := range b.others {
				env["MAILFRONT_"+other] = value
			}
			if flag {
				name = "-" + s.FlagName()
				args = []string{name + "=" + b.value}
			} else {
				env[name] = b.value
			}
			t.Run(name, func(t *testing.T) {
				var out strings.Builder
				err := run(t.Context(), args, lookup(env), &out, io.Discard, nil)
				require.Error(t, err)
				require.Empty(t, out.String(), "nothing was opened")
				require.Regexp(t, "^mailfront: ", err.Error())
				require.ErrorContains(t, err, name)
				require.ErrorContains(t, err, b.fix)
				if b.isSecret {
					require.NotContains(t, err.Error(), "hunter2")
				} else {
					require.ErrorContains(t, err, strconv.Quote(b.value))
				}
			})
		}
	}
	require.Empty(t, table, "settings that do not exist")
}
