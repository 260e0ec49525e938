package publicurl

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestJoinAppends(t *testing.T) {
	tests := []struct{ name, base, path, want string }{
		{"root", "https://example.com", "/login", "https://example.com/login"},
		{"prefix stays", "https://example.com/mail", "/login", "https://example.com/mail/login"},
		{"port stays", "https://example.com:8443/mail", "/login", "https://example.com:8443/mail/login"},
		{"slash alone", "https://example.com/mail", "/", "https://example.com/mail/"},
		{"slash alone on the root", "https://example.com", "/", "https://example.com/"},
		{"slash at the end stays", "https://example.com", "/jmap/", "https://example.com/jmap/"},
		{"escaped data stays as it is", "https://example.com", "/a%20b%c3%bc", "https://example.com/a%20b%c3%bc"},
		{"escaped slash is data", "https://example.com", "/discover/o%2Fbrien@example.com", "https://example.com/discover/o%2Fbrien@example.com"},
		{"dots inside a segment", "https://example.com", "/a..b/.c/...", "https://example.com/a..b/.c/..."},
		{"at sign and colon", "https://example.com", "/@alice:1", "https://example.com/@alice:1"},
		{"appended well-known", "https://example.com/mail", "/.well-known/x", "https://example.com/mail/.well-known/x"},
		{"relative", "", "/login", "/login"},
		{"relative with a prefix", "/mail", "/login", "/mail/login"},
		{"relative, slash alone", "", "/", "/"},
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

// mustBase makes an absolute base of a URL and a relative one of a path.
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
	{"nothing", "", ErrEmpty, 0},
	{"no slash in front", "login", ErrPath, 0},
	{"URL", "https://example.com/login", ErrPath, 0},
	{"network path", "//evil.example/login", ErrPath, 0},
	{"network path with a backslash", `/\evil.example/login`, ErrCharacter, 1},
	{"empty segment", "/a//b", ErrPath, 2},
	{"empty segment at the end", "/a//", ErrPath, 2},
	{"dot segment", "/./a", ErrPath, 1},
	{"double dot segment", "/../a", ErrPath, 1},
	{"double dot segment at the end", "/a/..", ErrPath, 3},
	{"escaped dot segment", "/%2e%2E/a", ErrPath, 1},
	{"dot segment with a parameter", "/a/..;/b", ErrPath, 3},
	{"dot segment behind an escaped slash", "/a%2f../b", ErrPath, 1},
	{"dot segment before an escaped backslash", "/..%5Ca", ErrPath, 1},
	{"escaped control character", "/a%0d%0ab", ErrPath, 2},
	{"malformed escape", "/100%", ErrPath, 4},
	{"blank", "/a b", ErrCharacter, 2},
	{"newline", "/a\nb", ErrCharacter, 2},
	{"beyond ASCII", "/ü", ErrPath, 1},
	{"quote", `/a"b`, ErrPath, 2},
	{"less-than sign", "/<a", ErrPath, 1},
	{"fragment", "/a#b", ErrFragment, 2},
}

func TestJoinRefuses(t *testing.T) {
	tests := append(refusedPaths[:len(refusedPaths):len(refusedPaths)], []struct {
		name, in string
		kind     Kind
		offset   int
	}{
		{"query", "/a?b", ErrQuery, 2},
		{"empty query", "/a?", ErrQuery, 2},
		{"variable", "/{accountId}", ErrTemplate, 1},
		{"closing brace", "/a}", ErrTemplate, 2},
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
		{"nil", nil, "https://example.com/mail/login"},
		{"empty", url.Values{}, "https://example.com/mail/login"},
		{"key without values", url.Values{"a": nil}, "https://example.com/mail/login"},
		{"sorted and escaped", url.Values{"next": {"/a?b=c&d#e"}, "hint": {"ü {x}"}}, "https://example.com/mail/login?hint=%C3%BC+%7Bx%7D&next=%2Fa%3Fb%3Dc%26d%23e"},
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
		{"https", mustParse(t, "https://example.com/mail"), "wss://example.com/mail/jmap/ws"},
		{"port", mustParse(t, "https://example.com:8443"), "wss://example.com:8443/jmap/ws"},
		{"http", insecure, "ws://mail.example.com/jmap/ws"},
		{"relative is never half a URL", mustRelative(t, ""), "/jmap/ws"},
		{"relative with a prefix", mustRelative(t, "/mail"), "/mail/jmap/ws"},
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
		{"JMAP download", "https://example.com/mail", "/jmap/download/{accountId}/{blobId}/{name}?accept={type}", "https://example.com/mail/jmap/download/{accountId}/{blobId}/{name}?accept={type}"},
		{"JMAP event source", "https://example.com", "/es/?types={types}&closeafter={closeafter}&ping={ping}", "https://example.com/es/?types={types}&closeafter={closeafter}&ping={ping}"},
		{"relative", "/mail", "/upload/{accountId}/", "/mail/upload/{accountId}/"},
		{"no variable", "https://example.com", "/upload", "https://example.com/upload"},
		{"within text", "https://example.com", "/a{b}c{d}", "https://example.com/a{b}c{d}"},
		{"every character of a name", "https://example.com", "/{a.B_9.%41}", "https://example.com/{a.B_9.%41}"},
		{"question mark in the query", "https://example.com", "/a?b=?{c}/", "https://example.com/a?b=?{c}/"},
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
		{"variable alone", "{a}", ErrPath, 0},
		{"not closed", "/a/{b", ErrTemplate, 3},
		{"not closed in the query", "/a?b={c", ErrTemplate, 5},
		{"not opened", "/a}", ErrTemplate, 2},
		{"not opened in the query", "/a?b}", ErrTemplate, 4},
		{"no name", "/{}", ErrTemplate, 1},
		{"nested", "/{a{b}}", ErrTemplate, 3},
		{"over a slash", "/{a/b}", ErrTemplate, 3},
		{"dot in front", "/{.a}", ErrTemplate, 2},
		{"dot at the end", "/{a.}", ErrTemplate, 3},
		{"two dots", "/{a..b}", ErrTemplate, 4},
		{"hyphen", "/{account-id}", ErrTemplate, 9},
		{"malformed escape", "/{a%4}", ErrTemplate, 3},
		{"level 2, reserved", "/{+a}", ErrTemplate, 2},
		{"level 3, list", "/{a,b}", ErrTemplate, 3},
		{"level 3, query", "/a{?b}", ErrTemplate, 3},
		{"level 4, explode", "/{a*}", ErrTemplate, 3},
		{"level 4, prefix", "/{a:3}", ErrTemplate, 3},
		{"malformed escape in the query", "/a?b=%4", ErrQuery, 5},
		{"quote in the query", `/a?b="`, ErrQuery, 5},
		{"beyond ASCII in the query", "/a?b=ü", ErrQuery, 5},
		{"blank in the query", "/a?b= ", ErrCharacter, 5},
		{"fragment behind the query", "/a?b#c", ErrFragment, 4},
		{"dot segment next to a variable", "/{a}/../b", ErrPath, 5},
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
