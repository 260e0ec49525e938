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
		{name: "plain", in: "https://user:s3cret@host", input: "https://host"},
		{name: "with path", in: "https://user:s3cret@host/mail", input: "https://host/mail"},
		{name: "token as a user name", in: "https://s3cret@host", input: "https://host"},
		{name: "http", in: "http://user:s3cret@host", input: "http://host"},
		{name: "capitals", in: "HTTPS://user:s3cret@host", input: "HTTPS://host"},
		{name: "at sign in the password", in: "https://user:s3@cret@host", input: "https://host"},
		{name: "slash in the password", in: "https://user:s3/cret@host", input: "https://host"},
		{name: "question mark in the password", in: "https://user:s3?cret@host", input: "https://host"},
		{name: "hash in the password", in: "https://user:s3#cret@host", input: "https://host"},
		{name: "backslash in the password", in: `https://user:s3\cret@host`, input: "https://host"},
		{name: "blank in the password", in: "https://user:s3 cret@host", input: "https://host"},
		{name: "control character in the password", in: "https://user:s3\ncret@host", input: "https://host"},
		{name: "invalid UTF-8 in the password", in: "https://user:s3\xffcret@host", input: "https://host"},
		{name: "no slashes", in: "https:user:s3cret@host", input: "https:host"},
		{name: "one slash", in: "https:/user:s3cret@host", input: "https:/host"},
		{name: "three slashes", in: "https:///user:s3cret@host", input: "https:///host"},
		{name: "backslashes", in: `https:\\user:s3cret@host`, input: `https:\\host`},
		{name: "no scheme", in: "user:s3cret@host", input: "host"},
		{name: "slashes alone", in: "//user:s3cret@host", input: "host"},
		{name: "path alone", in: "/user:s3cret@host", input: "host"},
		{name: "other scheme", in: "ftp://user:s3cret@host", input: "host"},
		{name: "blank in front", in: " https://user:s3cret@host", input: " https://host"},
		{name: "in quotes", in: `"https://user:s3cret@host"`, input: `"https://host"`},
		{name: "bad host behind it", in: "https://user:s3cret@a..b", input: "https://a..b"},
		{name: "nothing behind it", in: "https://user:s3cret@", input: "https://"},
		{name: "secret as the scheme", in: "s3cret://x@host", input: "host"},
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
