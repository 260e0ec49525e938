package publicurl

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// mustParse parses a valid base.
func mustParse(t testing.TB, s string) Base {
	t.Helper()
	b, err := Parse(s)
	require.NoError(t, err)
	return b
}

func mustRelative(t testing.TB, prefix string) Base {
	t.Helper()
	b, err := Relative(prefix)
	require.NoError(t, err)
	return b
}

func TestParts(t *testing.T) {
	tests := []struct {
		in, origin, host, hostname, prefix string
		port                               uint16
	}{
		{in: "https://mail.example.com", origin: "https://mail.example.com", host: "mail.example.com", hostname: "mail.example.com", prefix: "", port: 443},
		{in: "https://example.com:8443/mail/", origin: "https://example.com:8443", host: "example.com:8443", hostname: "example.com", prefix: "/mail", port: 8443},
		{in: "https://[2001:db8::1]/a/b", origin: "https://[2001:db8::1]", host: "[2001:db8::1]", hostname: "2001:db8::1", prefix: "/a/b", port: 443},
		{in: "https://[2001:db8::1]:993", origin: "https://[2001:db8::1]:993", host: "[2001:db8::1]:993", hostname: "2001:db8::1", prefix: "", port: 993},
		{in: "https://192.0.2.1:444", origin: "https://192.0.2.1:444", host: "192.0.2.1:444", hostname: "192.0.2.1", prefix: "", port: 444},
		{in: "http://localhost/x", origin: "http://localhost", host: "localhost", hostname: "localhost", prefix: "/x", port: 80},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			b := mustParse(t, tt.in)
			require.Equal(t, tt.origin, b.Origin())
			require.Equal(t, tt.host, b.Host())
			require.Equal(t, tt.hostname, b.Hostname())
			require.Equal(t, tt.prefix, b.Prefix())
			require.Equal(t, tt.port, b.Port())
			require.Equal(t, tt.origin+tt.prefix, b.String())
			require.False(t, b.IsRelative())
		})
	}
}

func TestRelative(t *testing.T) {
	accepted := []struct{ name, in, want string }{
		{name: "root", in: "", want: ""},
		{name: "slash alone", in: "/", want: ""},
		{name: "prefix", in: "/mail", want: "/mail"},
		{name: "slash at the end", in: "/mail/", want: "/mail"},
		{name: "escapes in capitals", in: "/m%c3%bc", want: "/m%C3%BC"},
	}
	for _, tt := range accepted {
		t.Run("accepts "+tt.name, func(t *testing.T) {
			b := mustRelative(t, tt.in)
			require.Equal(t, tt.want, b.String())
			require.Equal(t, tt.want, b.Prefix())
			require.True(t, b.IsRelative())
			require.Empty(t, b.Origin())
			require.Empty(t, b.Host())
			require.Empty(t, b.Hostname())
			require.Zero(t, b.Port())
			require.NotEqual(t, Base{}, b, "not the zero Base")
			require.True(t, b == mustRelative(t, b.String()))
		})
	}
	refused := []struct {
		name, in string
		kind     Kind
	}{
		{name: "no slash in front", in: "mail", kind: ErrPath},
		{name: "URL", in: "https://example.com/mail", kind: ErrPath},
		{name: "network path", in: "//example.com", kind: ErrPath},
		{name: "backslash network path", in: `/\example.com`, kind: ErrCharacter},
		{name: "dot segment", in: "/mail/..", kind: ErrPath},
		{name: "query", in: "/mail?", kind: ErrQuery},
		{name: "query alone", in: "?", kind: ErrPath},
		{name: "fragment", in: "/mail#", kind: ErrFragment},
		{name: "blank", in: "/mail ", kind: ErrCharacter},
		{name: "well-known", in: "/mail/.well-known/jmap", kind: ErrPath},
		{name: "template", in: "/{x}", kind: ErrTemplate},
		{name: "escaped slash", in: "/a%2fb", kind: ErrPath},
	}
	for _, tt := range refused {
		t.Run("refuses "+tt.name, func(t *testing.T) {
			b, err := Relative(tt.in)
			require.Equal(t, Base{}, b)
			require.ErrorIs(t, err, tt.kind)
		})
	}
}

func TestEqualBasesAreOneMapKey(t *testing.T) {
	m := map[Base]string{}
	for _, in := range []string{"https://example.com/mail", "HTTPS://EXAMPLE.COM.:443/mail/"} {
		m[mustParse(t, in)] = in
	}
	require.Len(t, m, 1)
	m[mustParse(t, "https://example.com/Mail")] = ""
	m[mustParse(t, "https://example.com:8443/mail")] = ""
	m[mustRelative(t, "/mail")] = ""
	m[mustRelative(t, "")] = ""
	m[Base{}] = ""
	require.Len(t, m, 6)
}

func TestZeroBaseIsInert(t *testing.T) {
	var b Base
	require.Empty(t, b.String()+b.Origin()+b.Host()+b.Hostname()+b.Prefix())
	require.Zero(t, b.Port())
	require.False(t, b.IsRelative())
	for _, u := range []string{"", "/", "/login", "https://example.com"} {
		require.False(t, b.Contains(u))
		require.False(t, b.ContainsWebSocket(u))
		require.False(t, b.SameOrigin(u))
	}
	_, err := b.Join("/login")
	require.ErrorIs(t, err, ErrZero)
	_, err = b.JoinQuery("/login", nil)
	require.ErrorIs(t, err, ErrZero)
	_, err = b.Template("/{x}")
	require.ErrorIs(t, err, ErrZero)
	_, err = b.WebSocket("/ws")
	require.ErrorIs(t, err, ErrZero)
	_, err = b.WellKnown(JMAP)
	require.ErrorIs(t, err, ErrZero)
	_, err = b.WellKnownAliases(JMAP)
	require.ErrorIs(t, err, ErrZero)
	_, err = b.MetadataURL("/jmap")
	require.ErrorIs(t, err, ErrZero)
	_, err = b.MarshalText()
	require.ErrorIs(t, err, ErrZero)
	require.Panics(t, func() { b.MustJoin("/login") })
}

func TestTextForm(t *testing.T) {
	type config struct {
		Base Base `json:"base"`
	}
	in := config{mustParse(t, "https://Example.com/mail/")}
	text, err := json.Marshal(in)
	require.NoError(t, err)
	require.JSONEq(t, `{"base":"https://example.com/mail"}`, string(text))
	var out config
	require.NoError(t, json.Unmarshal(text, &out))
	require.Equal(t, in, out)

	_, err = json.Marshal(config{mustRelative(t, "/mail")})
	require.ErrorIs(t, err, ErrRelative)
	_, err = json.Marshal(config{})
	require.ErrorIs(t, err, ErrZero)

	insecure, err := Parse("http://mail.example.com", AllowInsecureHTTP())
	require.NoError(t, err)
	text, err = insecure.MarshalText()
	require.NoError(t, err)
	kept := in.Base
	require.ErrorIs(t, kept.UnmarshalText(text), ErrScheme, "options are not stored")
	require.ErrorIs(t, kept.UnmarshalText(nil), ErrEmpty)
	require.Equal(t, in.Base, kept, "an error changes nothing")
}
