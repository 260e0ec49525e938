package discovery

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var listElement = regexp.MustCompile(`^[ \t,]*(W/)?("[^\x00-\x20"\x7f]*")[ \t]*(,|$)`)

// refMatches reads the lines as one list (RFC 9110 section 5.3).
func refMatches(lines []string, etag string, weak bool) bool {
	field := strings.Join(lines, ", ")
	if len(lines) == 1 && strings.Trim(field, " \t") == "*" {
		return true
	}
	for {
		m := listElement.FindStringSubmatch(field)
		if m == nil {
			return false
		}
		if m[2] == etag && (weak || m[1] == "") {
			return true
		}
		field = field[len(m[0]):]
	}
}

func FuzzMatchesIffReferenceSaysSo(f *testing.F) {
	const etag = `"e-T_9"`
	for _, s := range []string{
		"", "*", " * ", "*\n", etag, "W/" + etag, `"a", ` + etag, `"a` + "\n" + `b", ` + etag, `"a", "` + "\n" + etag,
		",,\t" + etag + " ,", "w/" + etag, `"a" ` + etag, `""` + etag, "\"\xff\"," + etag, "W/\n" + etag, etag + "\x00", `"\"` + "," + etag,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, field string) {
		lines := strings.Split(field, "\n")
		for _, weak := range []bool{true, false} {
			require.Equal(t, refMatches(lines, etag, weak), matches(lines, etag, weak), "%q", lines)
		}
	})
}

// Two paths are equal if their decoded segments are equal (RFC 3986 section 3.3). An escaped slash
// is not a separator.
func segments(t testing.TB, rawPath string) string {
	var decoded []string
	for _, s := range strings.Split(rawPath, "/") {
		s, err := url.PathUnescape(s)
		require.NoError(t, err)
		decoded = append(decoded, url.PathEscape(s))
	}
	return strings.Join(decoded, "/")
}

func FuzzFindTakesExactPathsOnly(f *testing.F) {
	paths := map[Document][]string{
		"a": {"/a", "/m%C3%A4il/a"},
		"b": {"/.well-known/b", "/.well-known/b/m%C3%A4il"},
		"c": {"/b%20c/", "/m%C3%A4il/b%20c/"},
	}
	set := buildSet(f, "https://example.com/m%C3%A4il", func(b *builder) {
		for d, p := range paths {
			b.addBytes(d, nil, "", p...)
		}
	})
	want := make(map[string]Document)
	for d, list := range paths {
		for _, p := range list {
			want[segments(f, p)] = d
			f.Add(p)
			f.Add(strings.ToLower(p))
			f.Add(strings.ReplaceAll(p, "/", "%2F"))
			f.Add(p + "/")
			f.Add("/" + p)
		}
	}
	f.Add("*")
	f.Add("/%61")
	f.Add("/%2561")
	f.Add("/m%C3%A4il%5Ca")
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Opaque != "" {
			return
		}
		got, ok := set.find(u.Path, u.RawPath)
		d, exact := want[segments(t, u.EscapedPath())]
		require.Equal(t, exact, ok, "%q", target)
		require.Equal(t, d, got.document, "%q", target)

		stripped, ok := set.stripURL(u)
		if !ok {
			return
		}
		// The segments of prefix and rest are those of the path.
		whole := segments(t, "/m%C3%A4il"+stripped.EscapedPath())
		have := segments(t, u.EscapedPath())
		require.True(t, whole == have || stripped.Path == "/" && whole == have+"/", "%q: %q", target, stripped)
		decoded, err := url.PathUnescape(stripped.EscapedPath())
		require.NoError(t, err)
		require.Equal(t, stripped.Path, decoded)
	})
}

func FuzzHostnameHasNoPort(f *testing.F) {
	for _, s := range []string{"", "a.example", "A.EXAMPLE.:443", "[::1]:80", "[::1", "a:b:c", ":"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, host string) {
		name := hostname(host)
		require.Equal(t, strings.ToLower(name), name)
		if !strings.ContainsAny(host, ":[]") {
			require.Equal(t, name, hostname(host+":8443"))
			require.Equal(t, name, strings.ToLower(strings.TrimSuffix(host, ".")))
		}
	})
}
