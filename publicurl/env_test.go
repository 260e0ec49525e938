package publicurl

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFromEnv(t *testing.T) {
	const key = "MAIL_PUBLIC_URL"
	tests := []struct {
		name     string
		env      map[string]string
		hostname string
		want     string
		source   Source
		kind     Kind // 0: no error
	}{
		{name: "variable wins", env: map[string]string{key: "https://example.com/mail"}, hostname: "mail.example.org", want: "https://example.com/mail", source: FromVariable, kind: 0},
		{name: "blanks around the variable", env: map[string]string{key: " https://example.com\r\n"}, hostname: "", want: "https://example.com", source: FromVariable, kind: 0},
		{name: "unset", env: nil, hostname: "mail.example.org", want: "https://mail.example.org", source: FromDefault, kind: 0},
		{name: "other variables do not count", env: map[string]string{"PUBLIC_URL": "https://example.com"}, hostname: "mail.example.org", want: "https://mail.example.org", source: FromDefault, kind: 0},
		{name: "empty is unset", env: map[string]string{key: ""}, hostname: "mail.example.org", want: "https://mail.example.org", source: FromDefault, kind: 0},
		{name: "blank is unset", env: map[string]string{key: " \t\r\n"}, hostname: "mail.example.org", want: "https://mail.example.org", source: FromDefault, kind: 0},
		{name: "blanks around the hostname", env: nil, hostname: " mail.example.org\n", want: "https://mail.example.org", source: FromDefault, kind: 0},
		{name: "no variable, no hostname", env: nil, hostname: "", want: "", source: FromNothing, kind: 0},
		{name: "no variable, blank hostname", env: nil, hostname: " ", want: "", source: FromNothing, kind: 0},
		{name: "invalid variable never falls back", env: map[string]string{key: "mail.example.com"}, hostname: "mail.example.org", want: "", source: FromVariable, kind: ErrScheme},
		{name: "variable with a password", env: map[string]string{key: "https://user:s3cret@host"}, hostname: "mail.example.org", want: "", source: FromVariable, kind: ErrUserinfo},
		{name: "invalid hostname", env: nil, hostname: "mail_1", want: "", source: FromDefault, kind: ErrHost},
		{name: "hostname with a port", env: nil, hostname: "mail.example.org:8443", want: "", source: FromDefault, kind: ErrPort},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var asked []string
			lookup := func(k string) (string, bool) {
				asked = append(asked, k)
				v, ok := tt.env[k]
				return v, ok
			}
			b, source, err := FromEnv(lookup, key, tt.hostname)
			require.Equal(t, []string{key}, asked)
			require.Equal(t, tt.source, source)
			require.Equal(t, tt.want, b.String())
			if tt.kind == 0 {
				require.NoError(t, err)
				require.Equal(t, source == FromNothing, b.IsRelative())
				return
			}
			require.Equal(t, Base{}, b)
			require.ErrorIs(t, err, tt.kind)
			require.ErrorContains(t, err, key)
			require.NotContains(t, err.Error(), "s3cret")
		})
	}
}

func TestFromEnvPassesOptionsToVariable(t *testing.T) {
	lookup := func(string) (string, bool) { return "http://mail.example.com", true }
	_, _, err := FromEnv(lookup, "PUBLIC_URL", "")
	require.ErrorIs(t, err, ErrScheme)
	b, _, err := FromEnv(lookup, "PUBLIC_URL", "", AllowInsecureHTTP())
	require.NoError(t, err)
	require.Equal(t, "http://mail.example.com", b.String())
}

func TestFromEnvWithoutLookup(t *testing.T) {
	t.Setenv("PORTICO_TEST_PUBLIC_URL", "https://example.com/mail")
	b, source, err := FromEnv(nil, "PORTICO_TEST_PUBLIC_URL", "")
	require.NoError(t, err)
	require.Equal(t, FromVariable, source)
	require.Equal(t, "https://example.com/mail", b.String())
}

func TestSourceNames(t *testing.T) {
	require.Equal(t, "variable", FromVariable.String())
	require.Equal(t, "default hostname", FromDefault.String())
	require.Equal(t, "nothing", FromNothing.String())
}
