package mailauth

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestMessagesOfTheTokenMechanisms(t *testing.T) {
	const token = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
	for _, test := range []struct {
		name, mechanism, message string
		user, token              string
		err                      error
	}{
		{name: "the example of RFC 7628", message: "n,a=user@example.com,^Ahost=server.example.com^Aport=143^Aauth=Bearer " + token + "^A^A", user: "user@example.com", token: token},
		{name: "no user", message: "n,,^Aauth=Bearer " + token + "^A^A", token: token},
		{name: "a client that could bind to the channel", message: "y,,^Aauth=Bearer x^A^A", token: "x"},
		{name: "an escaped user", message: "n,a=a=2Cb=3Dc,^Aauth=Bearer x^A^A", user: "a,b=c", token: "x"},
		{name: "a user in UTF-8", message: "n,a=jörg@example.com,^Aauth=Bearer x^A^A", user: "jörg@example.com", token: "x"},
		{name: "scheme in lower case", message: "n,,^Aauth=bearer x^A^A", token: "x"},
		{name: "two blanks", message: "n,,^Aauth=Bearer  x^A^A", token: "x"},
		{name: "an unknown key", message: "n,,^Amthd=GET^Aauth=Bearer x^A^A", token: "x"},
		{name: "every character of a token", message: "n,,^Aauth=Bearer aZ09-._~+/==^A^A", token: "aZ09-._~+/=="},
		{name: "asking which server issues tokens", message: "n,a=u,^Aauth=^A^A", user: "u", err: errNoToken},
		{name: "a scheme without a token", message: "n,,^Aauth=Bearer ^A^A", err: errNoToken},
		{name: "empty", message: "", err: ErrSyntax},
		{name: "the dummy response alone", message: "^A", err: ErrSyntax},
		{name: "no key", message: "n,,^A^A", err: ErrSyntax},
		{name: "no auth", message: "n,,^Ahost=x^A^A", err: ErrSyntax},
		{name: "channel binding", message: "p=tls-unique,,^Aauth=Bearer x^A^A", err: ErrSyntax},
		{name: "not a GS2 header", message: "a=u,^Aauth=Bearer x^A^A", err: ErrSyntax},
		{name: "a user without a=", message: "n,u,^Aauth=Bearer x^A^A", err: ErrSyntax},
		{name: "an empty user", message: "n,a=,^Aauth=Bearer x^A^A", err: ErrSyntax},
		{name: "a wrong escape", message: "n,a=x=2c,^Aauth=Bearer x^A^A", err: ErrSyntax},
		{name: "a NUL in the user", message: "n,a=u\x00v,^Aauth=Bearer x^A^A", err: ErrSyntax},
		{name: "no separator at the end", message: "n,,^Aauth=Bearer x^A", err: ErrSyntax},
		{name: "three separators at the end", message: "n,,^Aauth=Bearer x^A^A^A", err: ErrSyntax},
		{name: "text after the end", message: "n,,^Aauth=Bearer x^A^Ay", err: ErrSyntax},
		{name: "no separator at the beginning", message: "n,,auth=Bearer x^A^A", err: ErrSyntax},
		{name: "auth twice", message: "n,,^Aauth=Bearer x^Aauth=Bearer y^A^A", err: ErrSyntax},
		{name: "no equals sign", message: "n,,^Aauth^A^A", err: ErrSyntax},
		{name: "an empty key", message: "n,,^A=x^Aauth=Bearer x^A^A", err: ErrSyntax},
		{name: "a key with a digit", message: "n,,^Aa1=x^Aauth=Bearer x^A^A", err: ErrSyntax},
		{name: "another scheme", message: "n,,^Aauth=Basic x^A^A", err: ErrSyntax},
		{name: "a NUL in the token", message: "n,,^Aauth=Bearer x\x00y^A^A", err: ErrSyntax},
		{name: "a blank in the token", message: "n,,^Aauth=Bearer x y^A^A", err: ErrSyntax},
		{name: "a line end in the token", message: "n,,^Aauth=Bearer x\r\ny^A^A", err: ErrSyntax},
		{name: "only padding", message: "n,,^Aauth=Bearer ==^A^A", err: ErrSyntax},
		{name: "a port that is not a number", message: "n,,^Aport=imap^Aauth=Bearer x^A^A", err: ErrSyntax},
		{name: "a port with a sign", message: "n,,^Aport=-1^Aauth=Bearer x^A^A", err: ErrSyntax},

		{name: "the example of XOAUTH2", mechanism: xoauth2, message: "user=someuser@example.com^Aauth=Bearer " + token + "^A^A", user: "someuser@example.com", token: token},
		{name: "XOAUTH2, the other order", mechanism: xoauth2, message: "auth=Bearer x^Auser=u^A^A", user: "u", token: "x"},
		{name: "XOAUTH2 without a token", mechanism: xoauth2, message: "user=u^Aauth=Bearer ^A^A", user: "u", err: errNoToken},
		{name: "XOAUTH2 without a user", mechanism: xoauth2, message: "auth=Bearer x^A^A", err: ErrSyntax},
		{name: "XOAUTH2 with an empty user", mechanism: xoauth2, message: "user=^Aauth=Bearer x^A^A", err: ErrSyntax},
		{name: "XOAUTH2 with the message of OAUTHBEARER", mechanism: xoauth2, message: "n,a=u,^Aauth=Bearer x^A^A", err: ErrSyntax},
		{name: "XOAUTH2, empty", mechanism: xoauth2, message: "", err: ErrSyntax},
	} {
		t.Run(test.name, func(t *testing.T) {
			parse := parseOAuthBearer
			if test.mechanism == xoauth2 {
				parse = parseXOAuth2
			}
			got := parse(strings.ReplaceAll(test.message, "^A", "\x01"))
			require.ErrorIs(t, got.err, test.err)
			require.Equal(t, test.token, got.token)
			if test.err != ErrSyntax {
				require.Equal(t, test.user, got.user)
			}
		})
	}
}

// A message results in a token or an error, never both, and the token is in the message. A message
// that is encoded again has the same result.
func FuzzMessagesOfTheTokenMechanisms(f *testing.F) {
	f.Add("n,a=user@example.com,\x01host=h\x01port=143\x01auth=Bearer dG9r\x01\x01")
	f.Add("user=u\x01auth=Bearer x\x01\x01")
	f.Add("n,a=a=2Cb=3Dc,\x01auth=\x01\x01")
	f.Add("\x01")
	f.Fuzz(func(t *testing.T, message string) {
		for name, parse := range map[string]func(string) bearer{"OAUTHBEARER": parseOAuthBearer, xoauth2: parseXOAuth2} {
			b := parse(message)
			require.Equal(t, b.err == nil, b.token != "", name)
			if b.err != nil {
				require.False(t, isTemporary(b.err) && b.err != errNoToken)
				continue
			}
			require.Contains(t, message, b.token)
			require.True(t, isToken(b.token))
			require.True(t, utf8.ValidString(b.user))
			require.NotContains(t, b.user, "\x00")
			again := "user=" + b.user + "\x01auth=Bearer " + b.token + "\x01\x01"
			if name != xoauth2 {
				authzid := ""
				if b.user != "" {
					authzid = "a=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(b.user)
				}
				again = "n," + authzid + ",\x01auth=Bearer " + b.token + "\x01\x01"
			}
			require.Equal(t, b, parse(again), name)
		}
	})
}
