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
		{"variable wins", map[string]string{key: "https://example.com/mail"}, "mail.example.org", "https://example.com/mail", FromVariable, 0},
		{"blanks around the variable", map[string]string{key: " https://example.com\r\n"}, "", "https://example.com", FromVariable, 0},
		{"unset", nil, "mail.example.org", "https://mail.example.org", FromDefault, 0},
		{"other variables do not count", map[string]string{"PUBLIC_URL": "https://example.com"}, "mail.example.org", "https://mail.example.org", FromDefault, 0},
		{"empty is unset", map[string]string{key: ""}, "mail.example.org", "https://mail.example.org", FromDefault, 0},
		{"blank is unset", map[string]string{key: " \t\r\n"}, "mail.example.org", "https://mail.example.org", FromDefault, 0},
		{"blanks around the hostname", nil, " mail.example.org\n", "https://mail.example.org", FromDefault, 0},
		{"no variable, no hostname", nil, "", "", FromNothing, 0},
		{"no variable, blank hostname", nil, " ", "", FromNothing, 0},
		{"invalid variable never falls back", map[string]string{key: "mail.example.com"}, "mail.example.org", "", FromVariable, ErrScheme},
		{"variable with a password", map[string]string{key: "https://user:s3cret@host"}, "mail.example.org", "", FromVariable, ErrUserinfo},
		{"invalid hostname", nil, "mail_1", "", FromDefault, ErrHost},
		{"hostname with a port", nil, "mail.example.org:8443", "", FromDefault, ErrPort},
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
