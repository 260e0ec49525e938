package publicurl

import (
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var seedBases = []string{
	"https://mail.example.com", "https://example.com:8443/mail/", "HTTPS://BÜCHER.example.:443/%c3%bc", "http://localhost:8080",
	"http://[::1]:80/a", "https://[2001:DB8::1]", "https://192.0.2.1", "https://127.1", "https://xn--bcher-kva.example",
	"https://xn--.example", "https://例え。テスト", "https://a..b", "https://user:secret@host", "https://host:443:443", "https://[::1",
	"https:/host", "https:host", "//host", "mail.example.com", "https://host/.well-known/openid-configuration", "https://host?", "",
	"https://host/%2e%2E/a", "https://host/a%2fb", "https://host/{a}", "\ufeffhttps://host\n", `https:\\host\a`, "https://ｘｎ－－が-.example",
}

var seedPaths = []string{
	"/login", "/", "", "//evil.example", "/../a", "/%2e%2e/a", "/a%2f..%2fb", "/a%2Fb", "/a?b", "/a#b", `/\a`, "/ü", "/%zz",
	"/download/{accountId}/{name}?accept={type}", "/{?x}", "/{a", "/a}", "login", "https://user:secret@host/",
}

func FuzzParseOfStringIsIdentityAndASCII(f *testing.F) {
	for _, s := range seedBases {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, s string, insecure bool) {
		var opts []Option
		if insecure {
			opts = append(opts, AllowInsecureHTTP())
		}
		b, err := Parse(s, opts...)
		if err != nil {
			require.Equal(t, Base{}, b)
			var e *Error
			require.ErrorAs(t, err, &e)
			require.True(t, 0 <= e.Offset && e.Offset <= len(e.Input))
			require.NotEmpty(t, e.Hint)
			return
		}
		again, err := Parse(b.String(), opts...)
		require.NoError(t, err)
		require.True(t, again == b)
		require.True(t, isASCII(b.String()))
		require.Equal(t, b.String(), b.Origin()+b.Prefix())
		require.False(t, strings.HasSuffix(b.String(), "/"))
		require.NotZero(t, b.Port())

		// The standard library interprets the canonical form in the same way.
		u, err := url.Parse(b.String())
		require.NoError(t, err)
		require.Equal(t, b.Host(), u.Host)
		require.Equal(t, b.Hostname(), u.Hostname())
		require.Equal(t, b.Prefix(), u.EscapedPath())
		require.Equal(t, b.String(), u.String())
		require.Nil(t, u.User)

		o, fault := parseOrigin(nil, s, forHTTP)
		require.Nil(t, fault)
		require.Equal(t, !o.rootDot, b.SameOrigin(s), "the input names the same origin")
		require.Equal(t, !o.rootDot, b.Contains(s), "and lies in the base")
	})
}

func FuzzFromHostnameIsParseOfHTTPS(f *testing.F) {
	for _, s := range []string{"mail.example.com", "::1", "[::1]", "bücher.example", "a..b", "host:80", "user:secret@host", "127.1", "fe80::1%eth0", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, host string) {
		b, err := FromHostname(host)
		if err != nil {
			var e *Error
			require.ErrorAs(t, err, &e)
			require.True(t, 0 <= e.Offset && e.Offset <= len(e.Input))
			return
		}
		if a, err := netip.ParseAddr(host); err == nil && a.Is6() {
			host = "[" + host + "]"
		}
		parsed, err := Parse("https://" + host)
		require.NoError(t, err)
		require.True(t, parsed == b)
		require.Empty(t, b.Prefix())
		require.Equal(t, uint16(443), b.Port())
	})
}

func FuzzContainsEveryJoin(f *testing.F) {
	for _, s := range seedBases {
		for _, p := range seedPaths {
			f.Add(s, p, "key", "value/../&{}")
		}
	}
	for _, p := range seedPaths {
		f.Add("/mail", p, "", "")
	}
	f.Fuzz(func(t *testing.T, s, path, key, value string) {
		b, err := Parse(s, AllowInsecureHTTP())
		if err != nil {
			if b, err = Relative(s); err != nil {
				return
			}
			require.True(t, b == mustRelative(t, b.String()))
		}
		if u, err := b.Join(path); err == nil {
			require.Equal(t, b.String()+path, u)
			require.True(t, b.Contains(u))
			require.True(t, strings.HasPrefix(u, "/") == b.IsRelative())

			// A client that resolves u finds it unchanged and on the base.
			parsed, err := url.Parse(u)
			require.NoError(t, err)
			require.Equal(t, b.Host(), parsed.Host)
			require.Equal(t, u, parsed.ResolveReference(parsed).String())
			require.True(t, strings.HasPrefix(parsed.EscapedPath(), b.Prefix()+"/"))

			if b.Prefix() != "" && path != "/" {
				require.False(t, b.Contains(b.String()+path[1:]), "by segment")
			}
		}
		if u, err := b.JoinQuery(path, url.Values{key: {value}}); err == nil {
			require.True(t, b.Contains(u))
		}
		if u, err := b.Template(path); err == nil {
			require.Equal(t, b.String()+path, u)
			require.True(t, b.Contains(u))
			require.Equal(t, strings.Count(u, "{"), strings.Count(u, "}"))
		}
		if u, err := b.WebSocket(path); err == nil {
			require.True(t, b.ContainsWebSocket(u))
			require.True(t, b.IsRelative() == strings.HasPrefix(u, "/"))
		}
		if u, err := b.MetadataURL(path); err == nil {
			require.True(t, b.SameOrigin(u))
			require.True(t, strings.HasPrefix(u, b.Origin()+"/.well-known/oauth-protected-resource"))
		}
	})
}

func FuzzContainsAgreesWithStandardLibrary(f *testing.F) {
	for _, s := range seedBases {
		f.Add("https://example.com/mail", s)
		f.Add("https://host", s+"/x?y#z")
	}
	for _, u := range []string{"https://example.com/mailbox", "https://example.com/mail/../x", "wss://example.com/mail/ws", "/mail/x", "//x", `https://example.com\@x/mail`} {
		f.Add("https://example.com/mail", u)
		f.Add("/mail", u)
	}
	f.Fuzz(func(t *testing.T, s, u string) {
		b, err := Parse(s, AllowInsecureHTTP())
		if err != nil {
			if b, err = Relative(s); err != nil {
				return
			}
		}
		in, socket, same := b.Contains(u), b.ContainsWebSocket(u), b.SameOrigin(u)
		if b.IsRelative() {
			require.False(t, same)
			require.True(t, socket == (in && !strings.Contains(u, "#")))
		} else {
			require.False(t, in && !same, "what is below the base has its origin")
			require.False(t, in && socket)
		}
		if !in && !socket && !same {
			return
		}
		u, _, _ = strings.Cut(u, "#") // Go requires complete escapes in a fragment, browsers do not
		parsed, err := url.Parse(u)
		if same && err != nil && !in {
			return // Go does not accept every path
		}
		require.NoError(t, err)
		require.Nil(t, parsed.User)
		if isASCII(parsed.Hostname()) && !b.IsRelative() {
			host := strings.ToLower(parsed.Hostname())
			if a, err := netip.ParseAddr(host); err == nil {
				host = a.String()
			}
			require.Equal(t, b.Hostname(), host)
		}
		if in || socket {
			path := strings.ToUpper(parsed.ResolveReference(parsed).EscapedPath())
			prefix := strings.ToUpper(b.Prefix())
			if strings.ContainsAny(path, "{}") || strings.ContainsAny(u, "{}") {
				return // Go escapes braces
			}
			require.True(t, path == prefix || strings.HasPrefix(path, prefix+"/"), "%q has %q", u, b)
		}
	})
}

func FuzzErrorHidesUserinfo(f *testing.F) {
	const secret = "s3cr3tT0ken"
	for _, s := range seedBases {
		f.Add("https://user:", "", s)
		f.Add(s, "", "host")
		f.Add(s, "/?#", "host/mail")
	}
	f.Add("", ":", "host")
	f.Add("//", `\`, "host//")
	f.Add("https://u:p@x/", "\n", "")
	f.Fuzz(func(t *testing.T, before, between, after string) {
		in := before + secret + between + "@" + after
		if strings.Contains(after, secret) {
			return
		}
		check := func(err error) {
			if err != nil {
				require.NotContains(t, err.Error(), secret)
				var e *Error
				require.ErrorAs(t, err, &e)
				require.NotContains(t, e.Input+e.Hint, secret)
				require.True(t, 0 <= e.Offset && e.Offset <= len(e.Input))
			}
		}
		_, err := Parse(in)
		check(err)
		_, err = FromHostname(in)
		check(err)
		b := mustParse(t, "https://host/mail")
		if !strings.HasPrefix(before, "/") { // a path may hold "@" as data
			_, err = b.MetadataURL(in)
			check(err)
			_, err = b.Join(in)
			check(err)
			_, err = b.Template(in)
			check(err)
			_, err = Relative(in)
			check(err)
		}
	})
}

// rootDot is the dot at the end of a host name, which Parse drops.
var rootDot = regexp.MustCompile(`\.(:|/|\?|#|$)`)

func FuzzSuggestionKeepsHostAndPort(f *testing.F) {
	for _, s := range seedBases {
		f.Add(s)
	}
	f.Add("https://example.com/.well-known/oauth-authorization-server/mail")
	f.Add("http://example.com//a/.well-known/b//c?d")
	f.Fuzz(func(t *testing.T, s string) {
		_, err := Parse(s)
		if err == nil {
			return
		}
		text, ok := suggest(s)
		if !ok {
			return
		}
		b, err := Parse(text)
		require.NoError(t, err)
		require.Equal(t, text, b.String())
		if isASCII(s) && b.Host()[0] != '[' {
			require.Contains(t, rootDot.ReplaceAllString(strings.ToLower(s), "$1"), b.Host())
		}
	})
}
