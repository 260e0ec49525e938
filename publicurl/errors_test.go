package publicurl

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestErrorQuotesInputAndHint(t *testing.T) {
	_, err := Parse("https://host:0/mail")
	require.EqualError(t, err, `publicurl: port not usable at byte 13 of "https://host:0/mail": port 0 cannot be reached; write the port that clients connect to`)
	_, err = Parse("")
	require.EqualError(t, err, `publicurl: empty value: write a base URL such as https://mail.example.com`)
}

func TestEveryKindIsDistinctAndNamed(t *testing.T) {
	seen := map[string]bool{}
	for k := ErrEmpty; k <= ErrZero; k++ {
		require.False(t, seen[k.String()], k)
		seen[k.String()] = true
		require.Equal(t, "publicurl: "+k.String(), k.Error())
		require.ErrorIs(t, &Error{Kind: k}, k)
		require.False(t, errors.Is(&Error{Kind: k}, k+1))
	}
	require.Equal(t, "kind 0", Kind(0).String())
	require.Equal(t, "kind 200", Kind(200).String())
}

func TestErrorsNeverShowUserinfo(t *testing.T) {
	tests := []struct{ name, in, input string }{
		{"plain", "https://user:s3cret@host", "https://host"},
		{"with path", "https://user:s3cret@host/mail", "https://host/mail"},
		{"token as a user name", "https://s3cret@host", "https://host"},
		{"http", "http://user:s3cret@host", "http://host"},
		{"capitals", "HTTPS://user:s3cret@host", "HTTPS://host"},
		{"at sign in the password", "https://user:s3@cret@host", "https://host"},
		{"slash in the password", "https://user:s3/cret@host", "https://host"},
		{"question mark in the password", "https://user:s3?cret@host", "https://host"},
		{"hash in the password", "https://user:s3#cret@host", "https://host"},
		{"backslash in the password", `https://user:s3\cret@host`, "https://host"},
		{"blank in the password", "https://user:s3 cret@host", "https://host"},
		{"control character in the password", "https://user:s3\ncret@host", "https://host"},
		{"invalid UTF-8 in the password", "https://user:s3\xffcret@host", "https://host"},
		{"no slashes", "https:user:s3cret@host", "https:host"},
		{"one slash", "https:/user:s3cret@host", "https:/host"},
		{"three slashes", "https:///user:s3cret@host", "https:///host"},
		{"backslashes", `https:\\user:s3cret@host`, `https:\\host`},
		{"no scheme", "user:s3cret@host", "host"},
		{"slashes alone", "//user:s3cret@host", "host"},
		{"path alone", "/user:s3cret@host", "host"},
		{"other scheme", "ftp://user:s3cret@host", "host"},
		{"blank in front", " https://user:s3cret@host", " https://host"},
		{"in quotes", `"https://user:s3cret@host"`, `"https://host"`},
		{"bad host behind it", "https://user:s3cret@a..b", "https://a..b"},
		{"nothing behind it", "https://user:s3cret@", "https://"},
		{"secret as the scheme", "s3cret://x@host", "host"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			parse := func(in string) error { _, err := Parse(in); return err }
			hostname := func(in string) error { _, err := FromHostname(in); return err }
			env := func(in string) error {
				_, _, err := FromEnv(func(string) (string, bool) { return in, true }, "PUBLIC_URL", "")
				return err
			}
			base := mustParse(t, "https://host")
			metadata := func(in string) error { _, err := base.MetadataURL("x" + in); return err }
			for _, f := range []func(string) error{parse, hostname, env, metadata} {
				var e *Error
				require.ErrorAs(t, f(tt.in), &e)
				for _, part := range []string{"s3", "cret", "user"} {
					require.NotContains(t, e.Input, part)
					require.NotContains(t, e.Hint, `"`+part)
					require.NotContains(t, strings.ReplaceAll(e.Error(), "user ", ""), part)
				}
				require.LessOrEqual(t, e.Offset, len(e.Input))
			}
			var e *Error
			require.ErrorAs(t, parse(tt.in), &e)
			require.Equal(t, tt.input, e.Input)
		})
	}
}

func TestErrorsOfPathsKeepAtSigns(t *testing.T) {
	b := mustParse(t, "https://host")
	_, err := b.Join("/discover/alice@example.com?x")
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "/discover/alice@example.com?x", e.Input)
	require.Equal(t, 27, e.Offset)

	_, err = b.Join("https://user:s3cret@host/login")
	require.ErrorAs(t, err, &e)
	require.Equal(t, "https://host/login", e.Input)
	_, err = b.Join("//user:s3cret@host/login")
	require.ErrorAs(t, err, &e)
	require.NotContains(t, e.Error(), "s3cret")
}

func TestErrorInsideRedactedPartSaysSo(t *testing.T) {
	_, err := Parse("https://user:s3/cret@host")
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, ErrPort, e.Kind)
	require.Equal(t, len("https://"), e.Offset)
	require.Contains(t, e.Hint, "not shown")
}
