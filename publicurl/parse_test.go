package publicurl

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseGivesCanonicalForm(t *testing.T) {
	tests := []struct {
		name, in, want string
	}{
		{"root", "https://mail.example.com", "https://mail.example.com"},
		{"slash at the end of the host", "https://mail.example.com/", "https://mail.example.com"},
		{"path mount", "https://example.com/mail", "https://example.com/mail"},
		{"slash at the end of the path", "https://example.com/mail/", "https://example.com/mail"},
		{"deep path mount", "https://example.com/a/b/c/", "https://example.com/a/b/c"},
		{"port", "https://mail.example.com:8443", "https://mail.example.com:8443"},
		{"port and path", "https://mail.example.com:8443/mail", "https://mail.example.com:8443/mail"},
		{"lowest port", "https://mail.example.com:1", "https://mail.example.com:1"},
		{"highest port", "https://mail.example.com:65535", "https://mail.example.com:65535"},
		{"default port is not spelt", "https://mail.example.com:443", "https://mail.example.com"},
		{"default port of http is not spelt", "http://localhost:80/x", "http://localhost/x"},
		{"port 80 on https stays", "https://mail.example.com:80", "https://mail.example.com:80"},
		{"port 443 on http stays", "http://localhost:443", "http://localhost:443"},
		{"scheme in capitals", "HTTPS://mail.example.com", "https://mail.example.com"},
		{"host in capitals", "https://Mail.EXAMPLE.com", "https://mail.example.com"},
		{"path keeps its case", "https://example.com/Mail", "https://example.com/Mail"},
		{"root dot, which idna.Lookup keeps", "https://mail.example.com.", "https://mail.example.com"},
		{"root dot before a port", "https://mail.example.com.:443/", "https://mail.example.com"},
		{"escapes in capitals", "https://example.com/m%c3%bcller", "https://example.com/m%C3%BCller"},
		{"escaped unreserved character stays", "https://example.com/%7euser", "https://example.com/%7Euser"},
		{"every character of a path", "https://example.com/-._~!$&'()*+,;=:@", "https://example.com/-._~!$&'()*+,;=:@"},
		{"dots inside a segment", "https://example.com/a.b/..c/d../...", "https://example.com/a.b/..c/d../..."},
		{"single label", "https://mail", "https://mail"},
		{"digits and hyphens", "https://1a.2-b.3com", "https://1a.2-b.3com"},
		{"hyphens in third and fourth place", "https://r3---sn.example.com", "https://r3---sn.example.com"},
		{"IPv4", "https://192.0.2.1:8443", "https://192.0.2.1:8443"},
		{"IPv6", "https://[2001:db8::1]", "https://[2001:db8::1]"},
		{"IPv6 spelling", "https://[2001:0DB8:0:0:0:0:0:1]:443/", "https://[2001:db8::1]"},
		{"IPv6 with an IPv4 tail", "https://[64:ff9b::192.0.2.1]", "https://[64:ff9b::c000:201]"},
		{"U-labels", "https://bücher.example", "https://xn--bcher-kva.example"},
		{"U-labels in capitals", "https://BÜCHER.example", "https://xn--bcher-kva.example"},
		{"decomposed U-label", "https://bu\u0308cher.example", "https://xn--bcher-kva.example"},
		{"sharp s is kept", "https://straße.example", "https://xn--strae-oqa.example"},
		{"A-labels in capitals", "https://XN--BCHER-KVA.example", "https://xn--bcher-kva.example"},
		{"A-label and U-label", "https://bücher.xn--p1ai", "https://xn--bcher-kva.xn--p1ai"},
		{"ideographic dots", "https://例え。テスト", "https://xn--r8jz45g.xn--zckzah"},
		{"full-width letters", "https://ｍａｉｌ.example", "https://mail.example"},
		{"http on localhost", "http://localhost:8080", "http://localhost:8080"},
		{"http below localhost", "http://mail.localhost", "http://mail.localhost"},
		{"http on localhost with root dot", "http://localhost.", "http://localhost"},
		{"http on 127/8", "http://127.1.2.3:8080", "http://127.1.2.3:8080"},
		{"http on ::1", "http://[0::1]:8080", "http://[::1]:8080"},
		{"longest label", "https://" + strings.Repeat("a", 63) + ".example", "https://" + strings.Repeat("a", 63) + ".example"},
		{"longest name", "https://" + strings.Repeat("a.", 126) + "a.", "https://" + strings.Repeat("a.", 126) + "a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := Parse(tt.in)
			require.NoError(t, err)
			require.Equal(t, tt.want, b.String())
			again, err := Parse(b.String())
			require.NoError(t, err)
			require.True(t, b == again, "canonical form is a fixed point")
		})
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct {
		name, in string
		kind     Kind
		offset   int
		hint     string // part of it
	}{
		{"nothing", "", ErrEmpty, 0, "https://mail.example.com"},
		{"only blanks", " \t", ErrEmpty, 0, "https://mail.example.com"},

		{"no scheme", "mail.example.com", ErrScheme, 0, `write "https://mail.example.com"`},
		{"no scheme, with port and path", "mail.example.com:8443/mail", ErrScheme, 0, `write "https://mail.example.com:8443/mail"`},
		{"no scheme, slashes", "//host", ErrScheme, 0, `write "https://host"`},
		{"one slash", "https:/host", ErrScheme, 0, `write "https://host"`},
		{"no slash", "https:host", ErrScheme, 0, `write "https://host"`},
		{"scheme without anything", "https:", ErrScheme, 0, "start with https://"},
		{"only the separator", "://", ErrScheme, 0, "start with https://"},
		{"quoted", `"https://host"`, ErrScheme, 0, `write "https://host"`},
		{"path alone", "/mail", ErrScheme, 0, "start with https://"},
		{"other scheme", "ftp://host", ErrScheme, 0, "start with https://"},
		{"web socket", "wss://host", ErrScheme, 0, "start with https://"},
		{"scheme that folds to https beyond ASCII", "httpſ://host", ErrScheme, 0, "start with https://"},
		{"scheme as a path", "host/https://", ErrScheme, 0, "start with https://"},
		{"http", "http://mail.example.com/mail", ErrScheme, 0, `write "https://mail.example.com/mail"`},
		{"http with a port", "http://mail.example.com:8080", ErrScheme, 0, "use https"},
		{"http on a name like loopback", "http://127.example.com", ErrScheme, 0, "use https"},
		{"http on a name that ends like localhost", "http://notlocalhost", ErrScheme, 0, "use https"},
		{"http on a private address", "http://192.168.1.1", ErrScheme, 0, "use https"},

		{"user information", "https://user:secret@host", ErrUserinfo, 8, `write "https://host"`},
		{"user name", "https://user@host/mail", ErrUserinfo, 8, `write "https://host/mail"`},
		{"empty user information", "https://@host", ErrUserinfo, 8, `write "https://host"`},
		{"two at signs", "https://a@b@host", ErrUserinfo, 8, `write "https://host"`},

		{"host missing", "https://", ErrHost, 8, "missing"},
		{"host missing before a path", "https:///mail", ErrHost, 8, "missing"},
		{"host missing before a port", "https://:443", ErrHost, 8, "missing"},
		{"host missing before a query", "https://?x", ErrHost, 8, "missing"},
		{"wildcard", "https://*.example.com", ErrHost, 8, "wildcard"},
		{"underscore", "https://my_mail.example.com", ErrHost, 10, "underscore"},
		{"capital sharp s, which browsers have read in two ways", "https://stra\u1e9ee.example", ErrHost, 8, "xn--"},
		{"percent escape in the host", "https://ex%61mple.com", ErrHost, 10, "percent"},
		{"empty label, which idna.Lookup lets pass", "https://a..b", ErrHost, 10, "extra dot"},
		{"dot in front", "https://.example.com", ErrHost, 8, "extra dot"},
		{"two root dots", "https://example.com..", ErrHost, 20, "extra dot"},
		{"only a dot", "https://.", ErrHost, 8, "extra dot"},
		{"hyphen in front", "https://-a.example", ErrHost, 8, "hyphen"},
		{"hyphen at the end", "https://a-.example", ErrHost, 9, "hyphen"},
		{"bracket in a name", "https://a]b", ErrHost, 9, "letters"},
		{"label too long", "https://a." + strings.Repeat("b", 64), ErrHost, 10, "63"},
		{"name too long", "https://" + strings.Repeat("a.", 127) + "a", ErrHost, 8, "253"},

		{"IPv4 of two parts", "https://127.1", ErrHost, 8, "four decimal numbers"},
		{"IPv4 of three parts", "https://192.0.513", ErrHost, 8, "four decimal numbers"},
		{"IPv4 of five parts", "https://1.2.3.4.5", ErrHost, 8, "four decimal numbers"},
		{"IPv4 as one number", "https://2130706433", ErrHost, 8, "four decimal numbers"},
		{"IPv4 in octal", "https://0177.0.0.1", ErrHost, 8, "four decimal numbers"},
		{"IPv4 in hexadecimal", "https://0x7f.0.0.1", ErrHost, 8, "four decimal numbers"},
		{"IPv4 as one hexadecimal number", "https://0X7F000001", ErrHost, 8, "four decimal numbers"},
		{"name that ends in 0x", "https://mail.0x", ErrHost, 8, "four decimal numbers"},
		{"name that ends in a number", "https://mail.example.1", ErrHost, 8, "four decimal numbers"},
		{"IPv4 part over 255", "https://192.0.2.256", ErrHost, 8, "four decimal numbers"},
		{"IPv4 with root dot", "https://192.0.2.1.", ErrHost, 8, "four decimal numbers"},
		{"IPv4 in full-width digits of two parts", "https://１２７.1", ErrHost, 8, "four decimal numbers"},
		{"address to listen on", "https://0.0.0.0:8443", ErrHost, 8, "no client can connect"},
		{"IPv6 address to listen on", "https://[::]", ErrHost, 8, "no client can connect"},
		{"multicast", "https://[ff02::1]", ErrHost, 8, "no client can connect"},
		{"broadcast", "https://255.255.255.255", ErrHost, 8, "no client can connect"},

		{"IPv6 not closed", "https://[::1", ErrHost, 8, `"]"`},
		{"IPv6 without brackets", "https://2001:db8::1", ErrHost, 8, "brackets"},
		{"IPv6 zone", "https://[fe80::1%eth0]", ErrHost, 16, "zone"},
		{"IPv6 zone, escaped", "https://[fe80::1%25eth0]", ErrHost, 16, "zone"},
		{"IPv4-mapped", "https://[::ffff:192.0.2.1]", ErrHost, 8, "192.0.2.1"},
		{"IPv4 in brackets", "https://[192.0.2.1]", ErrHost, 8, "IPv6"},
		{"empty brackets", "https://[]", ErrHost, 8, "IPv6"},
		{"future IP literal", "https://[v1.x]", ErrHost, 8, "IPv6"},
		{"text behind the bracket", "https://[::1]x", ErrHost, 13, "follow"},

		{"empty A-label, of which idna.Lookup makes .example", "https://xn--.example", ErrHost, 11, "hyphen"},
		{"idna drops a last label xn--", "https://example.com.xn--", ErrHost, 23, "hyphen"},
		{"idna drops a last label xn-- after a U-label", "https://bücher.xn--", ErrHost, 8, "hyphen"},
		{"A-label of ASCII only", "https://xn--example-.org", ErrHost, 19, "hyphen"},
		{"A-label that does not decode", "https://xn--a.example", ErrHost, 8, "A-label"},
		{"A-label within an A-label", "https://xn--xn--zca-hia.com", ErrHost, 8, "A-label"},
		{"A-label beyond ASCII", "https://xn--が-.example", ErrHost, 8, "internationalised"},
		{"A-label beyond ASCII, full-width", "https://ｘｎ－－が-.example", ErrHost, 8, "internationalised"},
		{"U-label with a disallowed character", "https://a☃\u2260b.example", ErrHost, 8, "internationalised"},
		{"U-label that breaks the Bidi rule", "https://aא.example", ErrHost, 8, "internationalised"},
		{"full-width at sign", "https://user＠host", ErrHost, 8, "internationalised"},
		{"U-label too long", "https://" + strings.Repeat("ü", 64) + ".example", ErrHost, 8, "internationalised"},
		{"U-labels beyond any name", "https://" + strings.Repeat("ü.", 1000) + "example", ErrHost, 8, "internationalised"},

		{"empty port", "https://host:", ErrPort, 13, "colon"},
		{"empty port before a path", "https://host:/mail", ErrPort, 13, "colon"},
		{"empty port behind IPv6", "https://[::1]:", ErrPort, 14, "colon"},
		{"port 0", "https://host:0", ErrPort, 13, "port 0"},
		{"port 0 in zeros", "https://host:000", ErrPort, 13, "port 0"},
		{"port with zeros in front", "https://host:0443", ErrPort, 13, "zeros"},
		{"port too large", "https://host:65536", ErrPort, 13, "65535"},
		{"port far too large", "https://host:99999999999999999999", ErrPort, 13, "65535"},
		{"port with a sign", "https://host:+443", ErrPort, 13, "decimal"},
		{"port as a word", "https://host:https", ErrPort, 13, "decimal"},
		{"two ports", "https://host:443:443", ErrPort, 16, "decimal"},
		{"port in other digits", "https://host:４４３", ErrPort, 13, "decimal"},
		{"scheme twice", "https://https://host", ErrPort, 14, `write "https://host"`},

		{"query", "https://host/mail?x=1", ErrQuery, 17, `write "https://host/mail"`},
		{"empty query", "https://host?", ErrQuery, 12, `write "https://host"`},
		{"fragment", "https://host/mail#top", ErrFragment, 17, `write "https://host/mail"`},
		{"empty fragment", "https://host/#", ErrFragment, 13, `write "https://host"`},

		{"blank in front", " https://host", ErrCharacter, 0, `write "https://host"`},
		{"blank at the end", "https://host ", ErrCharacter, 12, `write "https://host"`},
		{"blank in the path", "https://host/a b", ErrCharacter, 14, "blank"},
		{"newline at the end", "https://host\n", ErrCharacter, 12, "U+000A"},
		{"tab, which browsers drop", "https://ho\tst", ErrCharacter, 10, "U+0009"},
		{"NUL", "https://host\x00", ErrCharacter, 12, "U+0000"},
		{"DEL", "https://host/\x7f", ErrCharacter, 13, "U+007F"},
		{"C1 control character", "https://host/\u0085", ErrCharacter, 13, "U+0085"},
		{"no-break space", "https://host\u00a0", ErrCharacter, 12, "U+00A0"},
		{"byte order mark", "\ufeffhttps://host", ErrCharacter, 0, `write "https://host"`},
		{"zero width space", "https://ho\u200bst", ErrCharacter, 10, "U+200B"},
		{"soft hyphen", "https://ho\u00adst", ErrCharacter, 10, "U+00AD"},
		{"right-to-left override", "https://host/\u202email", ErrCharacter, 13, "U+202E"},
		{"invalid UTF-8", "https://h\xffst", ErrCharacter, 9, "UTF-8"},
		{"backslashes", `https:\\host\mail`, ErrCharacter, 6, `write "https://host/mail"`},

		{"two slashes at the end", "https://host//", ErrPath, 12, `write "https://host"`},
		{"two slashes in the path", "https://host/a//b", ErrPath, 14, `write "https://host/a/b"`},
		{"dot segment", "https://host/./mail", ErrPath, 13, `".."`},
		{"dot segment at the end", "https://host/mail/.", ErrPath, 18, `".."`},
		{"double dot segment", "https://host/mail/..", ErrPath, 18, `".."`},
		{"escaped dot segment", "https://host/%2E", ErrPath, 13, `".."`},
		{"half-escaped double dot segment", "https://host/.%2e/mail", ErrPath, 13, `".."`},
		{"escaped slash", "https://host/a%2Fb", ErrPath, 14, "slash"},
		{"escaped backslash", "https://host/a%5cb", ErrPath, 14, "slash"},
		{"escaped NUL", "https://host/a%00", ErrPath, 14, "control"},
		{"escaped newline", "https://host/a%0d%0a", ErrPath, 14, "control"},
		{"lone percent", "https://host/100%", ErrPath, 16, "%25"},
		{"percent and one digit", "https://host/%4", ErrPath, 13, "%25"},
		{"percent and other letters", "https://host/%zz", ErrPath, 13, "%25"},
		{"path beyond ASCII", "https://host/müll", ErrPath, 14, `write "https://host/m%C3%BCll"`},
		{"character of no path", "https://host/a|b", ErrPath, 14, "%7C"},
		{"template", "https://host/{tenant}", ErrTemplate, 13, "not a template"},

		{"pasted OpenID URL", "https://example.com/mail/.well-known/openid-configuration", ErrPath, 24, `write "https://example.com/mail"`},
		{"pasted OpenID URL of the root", "https://example.com/.well-known/openid-configuration", ErrPath, 19, `write "https://example.com"`},
		{"pasted OAuth URL", "https://example.com/.well-known/oauth-authorization-server/mail", ErrPath, 19, `write "https://example.com/mail"`},
		{"pasted JMAP URL", "https://example.com/.well-known/jmap", ErrPath, 19, `write "https://example.com"`},
		{"well-known directory", "https://example.com/.well-known/", ErrPath, 19, `write "https://example.com"`},
		{"well-known in capitals and escaped", "https://example.com/%2eWell-Known", ErrPath, 19, `write "https://example.com"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := Parse(tt.in)
			require.Equal(t, Base{}, b)
			require.ErrorIs(t, err, tt.kind)
			var e *Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, tt.kind, e.Kind)
			require.Equal(t, tt.offset, e.Offset)
			require.Contains(t, e.Hint, tt.hint)
		})
	}
}

func TestParseSuggestsHostOfOperator(t *testing.T) {
	for in, want := range map[string]string{
		"https//mail.example.com":               "https://mail.example.com",
		"http//mail.example.com/mail":           "https://mail.example.com/mail",
		"HTTPS//mail.example.com:8443":          "https://mail.example.com:8443",
		"https/mail.example.com":                "https://mail.example.com",
		"https;//mail.example.com":              "https://mail.example.com",
		"https.//mail.example.com":              "https://mail.example.com",
		"https:https//mail.example.com":         "https://mail.example.com",
		"https://https//mail.example.com/mail/": "https://mail.example.com/mail",
		"https://http//mail.example.com":        "https://mail.example.com",
		"http//localhost:8080":                  "http://localhost:8080",
		"http.//127.0.0.1:8080/mail":            "http://127.0.0.1:8080/mail",
		"https.example.com":                     "https://https.example.com",
		"https-proxy/mail":                      "https://https-proxy/mail",
		"https://https?x":                       "https://https",
		"https://https/mail?x":                  "https://https/mail",
	} {
		_, err := Parse(in)
		var e *Error
		require.ErrorAs(t, err, &e, in)
		require.Contains(t, e.Hint, fmt.Sprintf("write %q", want), in)
	}
}

// An operator who reads a hint has never seen this package.
func TestNoHintNamesAGoOption(t *testing.T) {
	lookup := func(string) (string, bool) { return "", false }
	names := regexp.MustCompile(`AllowInsecureHTTP|FromHostname|FromEnv|Parse|Relative|Template|Join|Option`)
	for _, in := range append(slices.Clone(seedBases), "http://mail.example.com", "https://host/{tenant}", "mail.example.com:443", "mail.example.com/mail", "a@b", "") {
		_, err := Parse(in)
		_, hostErr := FromHostname(in)
		_, _, envErr := FromEnv(lookup, "PUBLIC_URL", in)
		for _, err := range []error{err, hostErr, envErr} {
			var e *Error
			if errors.As(err, &e) {
				require.NotRegexp(t, names, e.Hint, "%q", in)
			}
		}
	}
}

func TestParseWithoutSuggestion(t *testing.T) {
	for _, in := range []string{
		"", "/mail", "https://", "https:///mail", "ftp://host", "wss://host", "https://*.example.com",
		"https://host:0", "https://127.1", "http://host:8080", "http//host:8080", "http.//host:8080/mail", "https://host/a/../b", "https://host/a%2Fb",
		"https://example.com/@alice?x", "https://user:pass/word@host",
	} {
		_, err := Parse(in)
		var e *Error
		require.ErrorAs(t, err, &e)
		require.NotContains(t, e.Hint, `write "https`, in)
	}
}

func TestParseIsStricterThanNetURL(t *testing.T) {
	for _, in := range []string{
		"https://user:secret@host", "https://host?", "https://host:", "https://host:0", "https://host:65536",
		"https://*.example.com", "https://127.1", "https://a..b", "//host", "https:host", "https:/host",
		"https://host//", "https://host/../x", "https://host/a%2Fb", "https://[fe80::1%25eth0]", "mail.example.com",
	} {
		_, err := url.Parse(in)
		require.NoError(t, err, in)
		_, err = Parse(in)
		require.Error(t, err, in)
	}
}

func TestAllowInsecureHTTP(t *testing.T) {
	b, err := Parse("http://mail.example.com:80/mail/", AllowInsecureHTTP())
	require.NoError(t, err)
	require.Equal(t, "http://mail.example.com/mail", b.String())
	require.Equal(t, uint16(80), b.Port())

	_, err = Parse("http://mail.example.com", Option{})
	require.ErrorIs(t, err, ErrScheme)
	_, err = Parse("http://mail_1.example.com", AllowInsecureHTTP())
	require.ErrorIs(t, err, ErrHost)
	_, err = Parse("ftp://mail.example.com", AllowInsecureHTTP())
	require.ErrorIs(t, err, ErrScheme)
}

func TestFromHostname(t *testing.T) {
	accepted := []struct{ name, in, want string }{
		{"name", "mail.example.com", "https://mail.example.com"},
		{"capitals and root dot", "Mail.Example.COM.", "https://mail.example.com"},
		{"single label", "localhost", "https://localhost"},
		{"U-label", "bücher.example", "https://xn--bcher-kva.example"},
		{"IPv4", "192.0.2.1", "https://192.0.2.1"},
		{"IPv6 bare", "2001:DB8::1", "https://[2001:db8::1]"},
		{"IPv6 in brackets", "[2001:db8::1]", "https://[2001:db8::1]"},
	}
	for _, tt := range accepted {
		t.Run("accepts "+tt.name, func(t *testing.T) {
			b, err := FromHostname(tt.in)
			require.NoError(t, err)
			require.Equal(t, tt.want, b.String())
			parsed, err := Parse(b.String())
			require.NoError(t, err)
			require.True(t, parsed == b, "the same value as Parse gives")
		})
	}
	refused := []struct {
		name, in string
		kind     Kind
		offset   int
	}{
		{"nothing", "", ErrEmpty, 0},
		{"blanks", "  ", ErrEmpty, 0},
		{"blank at the end", "host ", ErrCharacter, 4},
		{"URL", "https://mail.example.com", ErrHost, 6},
		{"path", "example.com/mail", ErrHost, 11},
		{"query", "example.com?x", ErrHost, 11},
		{"fragment", "example.com#x", ErrHost, 11},
		{"user information", "user:secret@example.com", ErrUserinfo, 0},
		{"port", "example.com:8443", ErrPort, 11},
		{"empty port", "example.com:", ErrPort, 11},
		{"port behind IPv6", "[::1]:8443", ErrPort, 5},
		{"colon alone", ":", ErrHost, 0},
		{"IPv6 not closed", "[::1", ErrHost, 0},
		{"IPv6 zone", "fe80::1%eth0", ErrHost, 7},
		{"IPv4-mapped", "::ffff:192.0.2.1", ErrHost, 0},
		{"address to listen on", "::", ErrHost, 0},
		{"underscore", "my_host", ErrHost, 2},
		{"empty label", "a..b", ErrHost, 2},
		{"wildcard", "*.example.com", ErrHost, 0},
		{"number", "127.1", ErrHost, 0},
	}
	for _, tt := range refused {
		t.Run("refuses "+tt.name, func(t *testing.T) {
			b, err := FromHostname(tt.in)
			require.Equal(t, Base{}, b)
			var e *Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, tt.kind, e.Kind)
			require.Equal(t, tt.offset, e.Offset)
			require.NotEmpty(t, e.Hint)
		})
	}
}
