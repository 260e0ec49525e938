package publicurl

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestJoinAppends(t *testing.T) {
	tests := []struct{ name, base, path, want string }{
		{name: "root", base: "https://example.com", path: "/login", want: "https://example.com/login"},
		{name: "prefix stays", base: "https://example.com/mail", path: "/login", want: "https://example.com/mail/login"},
		{name: "port stays", base: "https://example.com:8443/mail", path: "/login", want: "https://example.com:8443/mail/login"},
		{name: "slash alone", base: "https://example.com/mail", path: "/", want: "https://example.com/mail/"},
		{name: "slash alone on the root", base: "https://example.com", path: "/", want: "https://example.com/"},
		{name: "slash at the end stays", base: "https://example.com", path: "/jmap/", want: "https://example.com/jmap/"},
		{name: "escaped data stays as it is", base: "https://example.com", path: "/a%20b%c3%bc", want: "https://example.com/a%20b%c3%bc"},
		{name: "escaped slash is data", base: "https://example.com", path: "/discover/o%2Fbrien@example.com", want: "https://example.com/discover/o%2Fbrien@example.com"},
		{name: "dots inside a segment", base: "https://example.com", path: "/a..b/.c/...", want: "https://example.com/a..b/.c/..."},
		{name: "at sign and colon", base: "https://example.com", path: "/@alice:1", want: "https://example.com/@alice:1"},
		{name: "appended well-known", base: "https://example.com/mail", path: "/.well-known/x", want: "https://example.com/mail/.well-known/x"},
		{name: "relative", base: "", path: "/login", want: "/login"},
		{name: "relative with a prefix", base: "/mail", path: "/login", want: "/mail/login"},
		{name: "relative, slash alone", base: "", path: "/", want: "/"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := mustBase(t, tt.base)
			got, err := b.Join(tt.path)
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
			require.Equal(t, tt.want, b.MustJoin(tt.path))
			require.True(t, b.Contains(got))
		})
	}
}

// mustBase returns an absolute base for a URL and a relative one for a path.
func mustBase(t testing.TB, s string) Base {
	t.Helper()
	if s == "" || s[0] == '/' {
		return mustRelative(t, s)
	}
	return mustParse(t, s)
}

var refusedPaths = []struct {
	name, in string
	kind     Kind
	offset   int
}{
	{name: "nothing", in: "", kind: ErrEmpty, offset: 0},
	{name: "no slash in front", in: "login", kind: ErrPath, offset: 0},
	{name: "URL", in: "https://example.com/login", kind: ErrPath, offset: 0},
	{name: "network path", in: "//evil.example/login", kind: ErrPath, offset: 0},
	{name: "network path with a backslash", in: `/\evil.example/login`, kind: ErrCharacter, offset: 1},
	{name: "empty segment", in: "/a//b", kind: ErrPath, offset: 2},
	{name: "empty segment at the end", in: "/a//", kind: ErrPath, offset: 2},
	{name: "dot segment", in: "/./a", kind: ErrPath, offset: 1},
	{name: "double dot segment", in: "/../a", kind: ErrPath, offset: 1},
	{name: "double dot segment at the end", in: "/a/..", kind: ErrPath, offset: 3},
	{name: "escaped dot segment", in: "/%2e%2E/a", kind: ErrPath, offset: 1},
	{name: "dot segment with a parameter", in: "/a/..;/b", kind: ErrPath, offset: 3},
	{name: "dot segment behind an escaped slash", in: "/a%2f../b", kind: ErrPath, offset: 1},
	{name: "dot segment before an escaped backslash", in: "/..%5Ca", kind: ErrPath, offset: 1},
	{name: "escaped control character", in: "/a%0d%0ab", kind: ErrPath, offset: 2},
	{name: "malformed escape", in: "/100%", kind: ErrPath, offset: 4},
	{name: "blank", in: "/a b", kind: ErrCharacter, offset: 2},
	{name: "newline", in: "/a\nb", kind: ErrCharacter, offset: 2},
	{name: "beyond ASCII", in: "/ü", kind: ErrPath, offset: 1},
	{name: "quote", in: `/a"b`, kind: ErrPath, offset: 2},
	{name: "less-than sign", in: "/<a", kind: ErrPath, offset: 1},
	{name: "fragment", in: "/a#b", kind: ErrFragment, offset: 2},
}

func TestJoinRefuses(t *testing.T) {
	tests := append(refusedPaths[:len(refusedPaths):len(refusedPaths)], []struct {
		name, in string
		kind     Kind
		offset   int
	}{
		{name: "query", in: "/a?b", kind: ErrQuery, offset: 2},
		{name: "empty query", in: "/a?", kind: ErrQuery, offset: 2},
		{name: "variable", in: "/{accountId}", kind: ErrTemplate, offset: 1},
		{name: "closing brace", in: "/a}", kind: ErrTemplate, offset: 2},
	}...)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, base := range []string{"https://example.com", "https://example.com/mail", "", "/mail"} {
				b := mustBase(t, base)
				_, join := b.Join(tt.in)
				_, query := b.JoinQuery(tt.in, url.Values{"a": {"b"}})
				_, socket := b.WebSocket(tt.in)
				for _, err := range []error{join, query, socket} {
					var e *Error
					require.ErrorAs(t, err, &e)
					require.Equal(t, tt.kind, e.Kind)
					require.Equal(t, tt.offset, e.Offset)
					require.Equal(t, tt.in, e.Input)
					require.NotEmpty(t, e.Hint)
				}
				require.PanicsWithError(t, join.Error(), func() { b.MustJoin(tt.in) })
			}
		})
	}
}

func TestResolveReferenceWouldDropPrefix(t *testing.T) {
	const base, path = "https://example.com/mail", "/login"
	u, err := url.Parse(base)
	require.NoError(t, err)
	ref, err := url.Parse(path)
	require.NoError(t, err)
	require.Equal(t, "https://example.com/login", u.ResolveReference(ref).String())
	require.Equal(t, "https://example.com/mail/login", mustParse(t, base).MustJoin(path))
}

func TestJoinQuery(t *testing.T) {
	b := mustParse(t, "https://example.com/mail")
	tests := []struct {
		name string
		in   url.Values
		want string
	}{
		{name: "nil", want: "https://example.com/mail/login"},
		{name: "empty", in: url.Values{}, want: "https://example.com/mail/login"},
		{name: "key without values", in: url.Values{"a": nil}, want: "https://example.com/mail/login"},
		{name: "sorted and escaped", in: url.Values{"next": {"/a?b=c&d#e"}, "hint": {"ü {x}"}}, want: "https://example.com/mail/login?hint=%C3%BC+%7Bx%7D&next=%2Fa%3Fb%3Dc%26d%23e"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := b.JoinQuery("/login", tt.in)
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
			require.True(t, b.Contains(got))
		})
	}
}

func TestWebSocket(t *testing.T) {
	insecure, err := Parse("http://mail.example.com", AllowInsecureHTTP())
	require.NoError(t, err)
	tests := []struct {
		name string
		base Base
		want string
	}{
		{name: "https", base: mustParse(t, "https://example.com/mail"), want: "wss://example.com/mail/jmap/ws"},
		{name: "port", base: mustParse(t, "https://example.com:8443"), want: "wss://example.com:8443/jmap/ws"},
		{name: "http", base: insecure, want: "ws://mail.example.com/jmap/ws"},
		{name: "relative is never half a URL", base: mustRelative(t, ""), want: "/jmap/ws"},
		{name: "relative with a prefix", base: mustRelative(t, "/mail"), want: "/mail/jmap/ws"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.base.WebSocket("/jmap/ws")
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
			require.True(t, tt.base.ContainsWebSocket(got))
		})
	}
}

func TestTemplateKeepsBraces(t *testing.T) {
	tests := []struct{ name, base, in, want string }{
		{name: "JMAP download", base: "https://example.com/mail", in: "/jmap/download/{accountId}/{blobId}/{name}?accept={type}", want: "https://example.com/mail/jmap/download/{accountId}/{blobId}/{name}?accept={type}"},
		{name: "JMAP event source", base: "https://example.com", in: "/es/?types={types}&closeafter={closeafter}&ping={ping}", want: "https://example.com/es/?types={types}&closeafter={closeafter}&ping={ping}"},
		{name: "relative", base: "/mail", in: "/upload/{accountId}/", want: "/mail/upload/{accountId}/"},
		{name: "no variable", base: "https://example.com", in: "/upload", want: "https://example.com/upload"},
		{name: "within text", base: "https://example.com", in: "/a{b}c{d}", want: "https://example.com/a{b}c{d}"},
		{name: "every character of a name", base: "https://example.com", in: "/{a.B_9.%41}", want: "https://example.com/{a.B_9.%41}"},
		{name: "question mark in the query", base: "https://example.com", in: "/a?b=?{c}/", want: "https://example.com/a?b=?{c}/"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := mustBase(t, tt.base)
			got, err := b.Template(tt.in)
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
			require.True(t, b.Contains(got))
		})
	}
}

func TestNetURLEscapesBraces(t *testing.T) {
	const base, template = "https://example.com/mail", "/upload/{accountId}/"
	joined, err := url.JoinPath(base, template)
	require.NoError(t, err)
	require.Equal(t, "https://example.com/mail/upload/%7BaccountId%7D/", joined)
	u, err := url.Parse(base + template)
	require.NoError(t, err)
	require.Equal(t, "https://example.com/mail/upload/%7BaccountId%7D/", u.String())
	got, err := mustParse(t, base).Template(template)
	require.NoError(t, err)
	require.Equal(t, "https://example.com/mail/upload/{accountId}/", got)
}

func TestTemplateRefuses(t *testing.T) {
	tests := append(refusedPaths[:len(refusedPaths):len(refusedPaths)], []struct {
		name, in string
		kind     Kind
		offset   int
	}{
		{name: "variable alone", in: "{a}", kind: ErrPath, offset: 0},
		{name: "not closed", in: "/a/{b", kind: ErrTemplate, offset: 3},
		{name: "not closed in the query", in: "/a?b={c", kind: ErrTemplate, offset: 5},
		{name: "not opened", in: "/a}", kind: ErrTemplate, offset: 2},
		{name: "not opened in the query", in: "/a?b}", kind: ErrTemplate, offset: 4},
		{name: "no name", in: "/{}", kind: ErrTemplate, offset: 1},
		{name: "nested", in: "/{a{b}}", kind: ErrTemplate, offset: 3},
		{name: "over a slash", in: "/{a/b}", kind: ErrTemplate, offset: 3},
		{name: "dot in front", in: "/{.a}", kind: ErrTemplate, offset: 2},
		{name: "dot at the end", in: "/{a.}", kind: ErrTemplate, offset: 3},
		{name: "two dots", in: "/{a..b}", kind: ErrTemplate, offset: 4},
		{name: "hyphen", in: "/{account-id}", kind: ErrTemplate, offset: 9},
		{name: "malformed escape", in: "/{a%4}", kind: ErrTemplate, offset: 3},
		{name: "level 2, reserved", in: "/{+a}", kind: ErrTemplate, offset: 2},
		{name: "level 3, list", in: "/{a,b}", kind: ErrTemplate, offset: 3},
		{name: "level 3, query", in: "/a{?b}", kind: ErrTemplate, offset: 3},
		{name: "level 4, explode", in: "/{a*}", kind: ErrTemplate, offset: 3},
		{name: "level 4, prefix", in: "/{a:3}", kind: ErrTemplate, offset: 3},
		{name: "malformed escape in the query", in: "/a?b=%4", kind: ErrQuery, offset: 5},
		{name: "quote in the query", in: `/a?b="`, kind: ErrQuery, offset: 5},
		{name: "beyond ASCII in the query", in: "/a?b=ü", kind: ErrQuery, offset: 5},
		{name: "blank in the query", in: "/a?b= ", kind: ErrCharacter, offset: 5},
		{name: "fragment behind the query", in: "/a?b#c", kind: ErrFragment, offset: 4},
		{name: "dot segment next to a variable", in: "/{a}/../b", kind: ErrPath, offset: 5},
	}...)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, base := range []string{"https://example.com/mail", "/mail"} {
				_, err := mustBase(t, base).Template(tt.in)
				var e *Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, tt.kind, e.Kind)
				require.Equal(t, tt.offset, e.Offset)
				require.Equal(t, tt.in, e.Input)
				require.NotEmpty(t, e.Hint)
			}
		})
	}
}
