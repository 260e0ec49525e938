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
		{name: "root", in: "https://mail.example.com", want: "https://mail.example.com"},
		{name: "slash at the end of the host", in: "https://mail.example.com/", want: "https://mail.example.com"},
		{name: "path mount", in: "https://example.com/mail", want: "https://example.com/mail"},
		{name: "slash at the end of the path", in: "https://example.com/mail/", want: "https://example.com/mail"},
		{name: "deep path mount", in: "https://example.com/a/b/c/", want: "https://example.com/a/b/c"},
		{name: "port", in: "https://mail.example.com:8443", want: "https://mail.example.com:8443"},
		{name: "port and path", in: "https://mail.example.com:8443/mail", want: "https://mail.example.com:8443/mail"},
		{name: "lowest port", in: "https://mail.example.com:1", want: "https://mail.example.com:1"},
		{name: "highest port", in: "https://mail.example.com:65535", want: "https://mail.example.com:65535"},
		{name: "default port is not spelt", in: "https://mail.example.com:443", want: "https://mail.example.com"},
		{name: "default port of http is not spelt", in: "http://localhost:80/x", want: "http://localhost/x"},
		{name: "port 80 on https stays", in: "https://mail.example.com:80", want: "https://mail.example.com:80"},
		{name: "port 443 on http stays", in: "http://localhost:443", want: "http://localhost:443"},
		{name: "scheme in capitals", in: "HTTPS://mail.example.com", want: "https://mail.example.com"},
		{name: "host in capitals", in: "https://Mail.EXAMPLE.com", want: "https://mail.example.com"},
		{name: "path keeps its case", in: "https://example.com/Mail", want: "https://example.com/Mail"},
		{name: "root dot, which idna.Lookup keeps", in: "https://mail.example.com.", want: "https://mail.example.com"},
		{name: "root dot before a port", in: "https://mail.example.com.:443/", want: "https://mail.example.com"},
		{name: "escapes in capitals", in: "https://example.com/m%c3%bcller", want: "https://example.com/m%C3%BCller"},
		{name: "escaped unreserved character stays", in: "https://example.com/%7euser", want: "https://example.com/%7Euser"},
		{name: "every character of a path", in: "https://example.com/-._~!$&'()*+,;=:@", want: "https://example.com/-._~!$&'()*+,;=:@"},
		{name: "dots inside a segment", in: "https://example.com/a.b/..c/d../...", want: "https://example.com/a.b/..c/d../..."},
		{name: "single label", in: "https://mail", want: "https://mail"},
		{name: "digits and hyphens", in: "https://1a.2-b.3com", want: "https://1a.2-b.3com"},
		{name: "hyphens in third and fourth place", in: "https://r3---sn.example.com", want: "https://r3---sn.example.com"},
		{name: "IPv4", in: "https://192.0.2.1:8443", want: "https://192.0.2.1:8443"},
		{name: "IPv6", in: "https://[2001:db8::1]", want: "https://[2001:db8::1]"},
		{name: "IPv6 spelling", in: "https://[2001:0DB8:0:0:0:0:0:1]:443/", want: "https://[2001:db8::1]"},
		{name: "IPv6 with an IPv4 tail", in: "https://[64:ff9b::192.0.2.1]", want: "https://[64:ff9b::c000:201]"},
		{name: "U-labels", in: "https://bücher.example", want: "https://xn--bcher-kva.example"},
		{name: "U-labels in capitals", in: "https://BÜCHER.example", want: "https://xn--bcher-kva.example"},
		{name: "decomposed U-label", in: "https://bu\u0308cher.example", want: "https://xn--bcher-kva.example"},
		{name: "sharp s is kept", in: "https://straße.example", want: "https://xn--strae-oqa.example"},
		{name: "A-labels in capitals", in: "https://XN--BCHER-KVA.example", want: "https://xn--bcher-kva.example"},
		{name: "A-label and U-label", in: "https://bücher.xn--p1ai", want: "https://xn--bcher-kva.xn--p1ai"},
		{name: "ideographic dots", in: "https://例え。テスト", want: "https://xn--r8jz45g.xn--zckzah"},
		{name: "full-width letters", in: "https://ｍａｉｌ.example", want: "https://mail.example"},
		{name: "http on localhost", in: "http://localhost:8080", want: "http://localhost:8080"},
		{name: "http below localhost", in: "http://mail.localhost", want: "http://mail.localhost"},
		{name: "http on localhost with root dot", in: "http://localhost.", want: "http://localhost"},
		{name: "http on 127/8", in: "http://127.1.2.3:8080", want: "http://127.1.2.3:8080"},
		{name: "http on ::1", in: "http://[0::1]:8080", want: "http://[::1]:8080"},
		{name: "longest label", in: "https://" + strings.Repeat("a", 63) + ".example", want: "https://" + strings.Repeat("a", 63) + ".example"},
		{name: "longest name", in: "https://" + strings.Repeat("a.", 126) + "a.", want: "https://" + strings.Repeat("a.", 126) + "a"},
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
		{name: "nothing", in: "", kind: ErrEmpty, offset: 0, hint: "https://mail.example.com"},
		{name: "only blanks", in: " \t", kind: ErrEmpty, offset: 0, hint: "https://mail.example.com"},

		{name: "no scheme", in: "mail.example.com", kind: ErrScheme, offset: 0, hint: `write "https://mail.example.com"`},
		{name: "no scheme, with port and path", in: "mail.example.com:8443/mail", kind: ErrScheme, offset: 0, hint: `write "https://mail.example.com:8443/mail"`},
		{name: "no scheme, slashes", in: "//host", kind: ErrScheme, offset: 0, hint: `write "https://host"`},
		{name: "one slash", in: "https:/host", kind: ErrScheme, offset: 0, hint: `write "https://host"`},
		{name: "no slash", in: "https:host", kind: ErrScheme, offset: 0, hint: `write "https://host"`},
		{name: "scheme without anything", in: "https:", kind: ErrScheme, offset: 0, hint: "start with https://"},
		{name: "only the separator", in: "://", kind: ErrScheme, offset: 0, hint: "start with https://"},
		{name: "quoted", in: `"https://host"`, kind: ErrScheme, offset: 0, hint: `write "https://host"`},
		{name: "path alone", in: "/mail", kind: ErrScheme, offset: 0, hint: "start with https://"},
		{name: "other scheme", in: "ftp://host", kind: ErrScheme, offset: 0, hint: "start with https://"},
		{name: "web socket", in: "wss://host", kind: ErrScheme, offset: 0, hint: "start with https://"},
		{name: "scheme that folds to https beyond ASCII", in: "httpſ://host", kind: ErrScheme, offset: 0, hint: "start with https://"},
		{name: "scheme as a path", in: "host/https://", kind: ErrScheme, offset: 0, hint: "start with https://"},
		{name: "http", in: "http://mail.example.com/mail", kind: ErrScheme, offset: 0, hint: `write "https://mail.example.com/mail"`},
		{name: "http with a port", in: "http://mail.example.com:8080", kind: ErrScheme, offset: 0, hint: "use https"},
		{name: "http on a name like loopback", in: "http://127.example.com", kind: ErrScheme, offset: 0, hint: "use https"},
		{name: "http on a name that ends like localhost", in: "http://notlocalhost", kind: ErrScheme, offset: 0, hint: "use https"},
		{name: "http on a private address", in: "http://192.168.1.1", kind: ErrScheme, offset: 0, hint: "use https"},

		{name: "user information", in: "https://user:secret@host", kind: ErrUserinfo, offset: 8, hint: `write "https://host"`},
		{name: "user name", in: "https://user@host/mail", kind: ErrUserinfo, offset: 8, hint: `write "https://host/mail"`},
		{name: "empty user information", in: "https://@host", kind: ErrUserinfo, offset: 8, hint: `write "https://host"`},
		{name: "two at signs", in: "https://a@b@host", kind: ErrUserinfo, offset: 8, hint: `write "https://host"`},

		{name: "host missing", in: "https://", kind: ErrHost, offset: 8, hint: "missing"},
		{name: "host missing before a path", in: "https:///mail", kind: ErrHost, offset: 8, hint: "missing"},
		{name: "host missing before a port", in: "https://:443", kind: ErrHost, offset: 8, hint: "missing"},
		{name: "host missing before a query", in: "https://?x", kind: ErrHost, offset: 8, hint: "missing"},
		{name: "wildcard", in: "https://*.example.com", kind: ErrHost, offset: 8, hint: "wildcard"},
		{name: "underscore", in: "https://my_mail.example.com", kind: ErrHost, offset: 10, hint: "underscore"},
		{name: "capital sharp s, which browsers have read in two ways", in: "https://stra\u1e9ee.example", kind: ErrHost, offset: 8, hint: "xn--"},
		{name: "percent escape in the host", in: "https://ex%61mple.com", kind: ErrHost, offset: 10, hint: "percent"},
		{name: "empty label, which idna.Lookup lets pass", in: "https://a..b", kind: ErrHost, offset: 10, hint: "extra dot"},
		{name: "dot in front", in: "https://.example.com", kind: ErrHost, offset: 8, hint: "extra dot"},
		{name: "two root dots", in: "https://example.com..", kind: ErrHost, offset: 20, hint: "extra dot"},
		{name: "only a dot", in: "https://.", kind: ErrHost, offset: 8, hint: "extra dot"},
		{name: "hyphen in front", in: "https://-a.example", kind: ErrHost, offset: 8, hint: "hyphen"},
		{name: "hyphen at the end", in: "https://a-.example", kind: ErrHost, offset: 9, hint: "hyphen"},
		{name: "bracket in a name", in: "https://a]b", kind: ErrHost, offset: 9, hint: "letters"},
		{name: "label too long", in: "https://a." + strings.Repeat("b", 64), kind: ErrHost, offset: 10, hint: "63"},
		{name: "name too long", in: "https://" + strings.Repeat("a.", 127) + "a", kind: ErrHost, offset: 8, hint: "253"},

		{name: "IPv4 of two parts", in: "https://127.1", kind: ErrHost, offset: 8, hint: "four decimal numbers"},
		{name: "IPv4 of three parts", in: "https://192.0.513", kind: ErrHost, offset: 8, hint: "four decimal numbers"},
		{name: "IPv4 of five parts", in: "https://1.2.3.4.5", kind: ErrHost, offset: 8, hint: "four decimal numbers"},
		{name: "IPv4 as one number", in: "https://2130706433", kind: ErrHost, offset: 8, hint: "four decimal numbers"},
		{name: "IPv4 in octal", in: "https://0177.0.0.1", kind: ErrHost, offset: 8, hint: "four decimal numbers"},
		{name: "IPv4 in hexadecimal", in: "https://0x7f.0.0.1", kind: ErrHost, offset: 8, hint: "four decimal numbers"},
		{name: "IPv4 as one hexadecimal number", in: "https://0X7F000001", kind: ErrHost, offset: 8, hint: "four decimal numbers"},
		{name: "name that ends in 0x", in: "https://mail.0x", kind: ErrHost, offset: 8, hint: "four decimal numbers"},
		{name: "name that ends in a number", in: "https://mail.example.1", kind: ErrHost, offset: 8, hint: "four decimal numbers"},
		{name: "IPv4 part over 255", in: "https://192.0.2.256", kind: ErrHost, offset: 8, hint: "four decimal numbers"},
		{name: "IPv4 with root dot", in: "https://192.0.2.1.", kind: ErrHost, offset: 8, hint: "four decimal numbers"},
		{name: "IPv4 in full-width digits of two parts", in: "https://１２７.1", kind: ErrHost, offset: 8, hint: "four decimal numbers"},
		{name: "address to listen on", in: "https://0.0.0.0:8443", kind: ErrHost, offset: 8, hint: "no client can connect"},
		{name: "IPv6 address to listen on", in: "https://[::]", kind: ErrHost, offset: 8, hint: "no client can connect"},
		{name: "multicast", in: "https://[ff02::1]", kind: ErrHost, offset: 8, hint: "no client can connect"},
		{name: "broadcast", in: "https://255.255.255.255", kind: ErrHost, offset: 8, hint: "no client can connect"},

		{name: "IPv6 not closed", in: "https://[::1", kind: ErrHost, offset: 8, hint: `"]"`},
		{name: "IPv6 without brackets", in: "https://2001:db8::1", kind: ErrHost, offset: 8, hint: "brackets"},
		{name: "IPv6 zone", in: "https://[fe80::1%eth0]", kind: ErrHost, offset: 16, hint: "zone"},
		{name: "IPv6 zone, escaped", in: "https://[fe80::1%25eth0]", kind: ErrHost, offset: 16, hint: "zone"},
		{name: "IPv4-mapped", in: "https://[::ffff:192.0.2.1]", kind: ErrHost, offset: 8, hint: "192.0.2.1"},
		{name: "IPv4 in brackets", in: "https://[192.0.2.1]", kind: ErrHost, offset: 8, hint: "IPv6"},
		{name: "empty brackets", in: "https://[]", kind: ErrHost, offset: 8, hint: "IPv6"},
		{name: "future IP literal", in: "https://[v1.x]", kind: ErrHost, offset: 8, hint: "IPv6"},
		{name: "text behind the bracket", in: "https://[::1]x", kind: ErrHost, offset: 13, hint: "follow"},

		{name: "empty A-label, of which idna.Lookup makes .example", in: "https://xn--.example", kind: ErrHost, offset: 11, hint: "hyphen"},
		{name: "idna drops a last label xn--", in: "https://example.com.xn--", kind: ErrHost, offset: 23, hint: "hyphen"},
		{name: "idna drops a last label xn-- after a U-label", in: "https://bücher.xn--", kind: ErrHost, offset: 8, hint: "hyphen"},
		{name: "A-label of ASCII only", in: "https://xn--example-.org", kind: ErrHost, offset: 19, hint: "hyphen"},
		{name: "A-label that does not decode", in: "https://xn--a.example", kind: ErrHost, offset: 8, hint: "A-label"},
		{name: "A-label within an A-label", in: "https://xn--xn--zca-hia.com", kind: ErrHost, offset: 8, hint: "A-label"},
		{name: "A-label beyond ASCII", in: "https://xn--が-.example", kind: ErrHost, offset: 8, hint: "internationalised"},
		{name: "A-label beyond ASCII, full-width", in: "https://ｘｎ－－が-.example", kind: ErrHost, offset: 8, hint: "internationalised"},
		{name: "U-label with a disallowed character", in: "https://a☃\u2260b.example", kind: ErrHost, offset: 8, hint: "internationalised"},
		{name: "U-label that breaks the Bidi rule", in: "https://aא.example", kind: ErrHost, offset: 8, hint: "internationalised"},
		{name: "full-width at sign", in: "https://user＠host", kind: ErrHost, offset: 8, hint: "internationalised"},
		{name: "U-label too long", in: "https://" + strings.Repeat("ü", 64) + ".example", kind: ErrHost, offset: 8, hint: "internationalised"},
		{name: "U-labels beyond any name", in: "https://" + strings.Repeat("ü.", 1000) + "example", kind: ErrHost, offset: 8, hint: "internationalised"},

		{name: "empty port", in: "https://host:", kind: ErrPort, offset: 13, hint: "colon"},
		{name: "empty port before a path", in: "https://host:/mail", kind: ErrPort, offset: 13, hint: "colon"},
		{name: "empty port behind IPv6", in: "https://[::1]:", kind: ErrPort, offset: 14, hint: "colon"},
		{name: "port 0", in: "https://host:0", kind: ErrPort, offset: 13, hint: "port 0"},
		{name: "port 0 in zeros", in: "https://host:000", kind: ErrPort, offset: 13, hint: "port 0"},
		{name: "port with zeros in front", in: "https://host:0443", kind: ErrPort, offset: 13, hint: "zeros"},
		{name: "port too large", in: "https://host:65536", kind: ErrPort, offset: 13, hint: "65535"},
		{name: "port far too large", in: "https://host:99999999999999999999", kind: ErrPort, offset: 13, hint: "65535"},
		{name: "port with a sign", in: "https://host:+443", kind: ErrPort, offset: 13, hint: "decimal"},
		{name: "port as a word", in: "https://host:https", kind: ErrPort, offset: 13, hint: "decimal"},
		{name: "two ports", in: "https://host:443:443", kind: ErrPort, offset: 16, hint: "decimal"},
		{name: "port in other digits", in: "https://host:４４３", kind: ErrPort, offset: 13, hint: "decimal"},
		{name: "scheme twice", in: "https://https://host", kind: ErrPort, offset: 14, hint: `write "https://host"`},

		{name: "query", in: "https://host/mail?x=1", kind: ErrQuery, offset: 17, hint: `write "https://host/mail"`},
		{name: "empty query", in: "https://host?", kind: ErrQuery, offset: 12, hint: `write "https://host"`},
		{name: "fragment", in: "https://host/mail#top", kind: ErrFragment, offset: 17, hint: `write "https://host/mail"`},
		{name: "empty fragment", in: "https://host/#", kind: ErrFragment, offset: 13, hint: `write "https://host"`},

		{name: "blank in front", in: " https://host", kind: ErrCharacter, offset: 0, hint: `write "https://host"`},
		{name: "blank at the end", in: "https://host ", kind: ErrCharacter, offset: 12, hint: `write "https://host"`},
		{name: "blank in the path", in: "https://host/a b", kind: ErrCharacter, offset: 14, hint: "blank"},
		{name: "newline at the end", in: "https://host\n", kind: ErrCharacter, offset: 12, hint: "U+000A"},
		{name: "tab, which browsers drop", in: "https://ho\tst", kind: ErrCharacter, offset: 10, hint: "U+0009"},
		{name: "NUL", in: "https://host\x00", kind: ErrCharacter, offset: 12, hint: "U+0000"},
		{name: "DEL", in: "https://host/\x7f", kind: ErrCharacter, offset: 13, hint: "U+007F"},
		{name: "C1 control character", in: "https://host/\u0085", kind: ErrCharacter, offset: 13, hint: "U+0085"},
		{name: "no-break space", in: "https://host\u00a0", kind: ErrCharacter, offset: 12, hint: "U+00A0"},
		{name: "byte order mark", in: "\ufeffhttps://host", kind: ErrCharacter, offset: 0, hint: `write "https://host"`},
		{name: "zero width space", in: "https://ho\u200bst", kind: ErrCharacter, offset: 10, hint: "U+200B"},
		{name: "soft hyphen", in: "https://ho\u00adst", kind: ErrCharacter, offset: 10, hint: "U+00AD"},
		{name: "right-to-left override", in: "https://host/\u202email", kind: ErrCharacter, offset: 13, hint: "U+202E"},
		{name: "invalid UTF-8", in: "https://h\xffst", kind: ErrCharacter, offset: 9, hint: "UTF-8"},
		{name: "backslashes", in: `https:\\host\mail`, kind: ErrCharacter, offset: 6, hint: `write "https://host/mail"`},

		{name: "two slashes at the end", in: "https://host//", kind: ErrPath, offset: 12, hint: `write "https://host"`},
		{name: "two slashes in the path", in: "https://host/a//b", kind: ErrPath, offset: 14, hint: `write "https://host/a/b"`},
		{name: "dot segment", in: "https://host/./mail", kind: ErrPath, offset: 13, hint: `".."`},
		{name: "dot segment at the end", in: "https://host/mail/.", kind: ErrPath, offset: 18, hint: `".."`},
		{name: "double dot segment", in: "https://host/mail/..", kind: ErrPath, offset: 18, hint: `".."`},
		{name: "escaped dot segment", in: "https://host/%2E", kind: ErrPath, offset: 13, hint: `".."`},
		{name: "half-escaped double dot segment", in: "https://host/.%2e/mail", kind: ErrPath, offset: 13, hint: `".."`},
		{name: "escaped slash", in: "https://host/a%2Fb", kind: ErrPath, offset: 14, hint: "slash"},
		{name: "escaped backslash", in: "https://host/a%5cb", kind: ErrPath, offset: 14, hint: "slash"},
		{name: "escaped NUL", in: "https://host/a%00", kind: ErrPath, offset: 14, hint: "control"},
		{name: "escaped newline", in: "https://host/a%0d%0a", kind: ErrPath, offset: 14, hint: "control"},
		{name: "lone percent", in: "https://host/100%", kind: ErrPath, offset: 16, hint: "%25"},
		{name: "percent and one digit", in: "https://host/%4", kind: ErrPath, offset: 13, hint: "%25"},
		{name: "percent and other letters", in: "https://host/%zz", kind: ErrPath, offset: 13, hint: "%25"},
		{name: "path beyond ASCII", in: "https://host/müll", kind: ErrPath, offset: 14, hint: `write "https://host/m%C3%BCll"`},
		{name: "character of no path", in: "https://host/a|b", kind: ErrPath, offset: 14, hint: "%7C"},
		{name: "template", in: "https://host/{tenant}", kind: ErrTemplate, offset: 13, hint: "not a template"},

		{name: "pasted OpenID URL", in: "https://example.com/mail/.well-known/openid-configuration", kind: ErrPath, offset: 24, hint: `write "https://example.com/mail"`},
		{name: "pasted OpenID URL of the root", in: "https://example.com/.well-known/openid-configuration", kind: ErrPath, offset: 19, hint: `write "https://example.com"`},
		{name: "pasted OAuth URL", in: "https://example.com/.well-known/oauth-authorization-server/mail", kind: ErrPath, offset: 19, hint: `write "https://example.com/mail"`},
		{name: "pasted JMAP URL", in: "https://example.com/.well-known/jmap", kind: ErrPath, offset: 19, hint: `write "https://example.com"`},
		{name: "well-known directory", in: "https://example.com/.well-known/", kind: ErrPath, offset: 19, hint: `write "https://example.com"`},
		{name: "well-known in capitals and escaped", in: "https://example.com/%2eWell-Known", kind: ErrPath, offset: 19, hint: `write "https://example.com"`},
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

// Operators read the hints and do not know this package.
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
		{name: "name", in: "mail.example.com", want: "https://mail.example.com"},
		{name: "capitals and root dot", in: "Mail.Example.COM.", want: "https://mail.example.com"},
		{name: "single label", in: "localhost", want: "https://localhost"},
		{name: "U-label", in: "bücher.example", want: "https://xn--bcher-kva.example"},
		{name: "IPv4", in: "192.0.2.1", want: "https://192.0.2.1"},
		{name: "IPv6 bare", in: "2001:DB8::1", want: "https://[2001:db8::1]"},
		{name: "IPv6 in brackets", in: "[2001:db8::1]", want: "https://[2001:db8::1]"},
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
		{name: "nothing", in: "", kind: ErrEmpty, offset: 0},
		{name: "blanks", in: "  ", kind: ErrEmpty, offset: 0},
		{name: "blank at the end", in: "host ", kind: ErrCharacter, offset: 4},
		{name: "URL", in: "https://mail.example.com", kind: ErrHost, offset: 6},
		{name: "path", in: "example.com/mail", kind: ErrHost, offset: 11},
		{name: "query", in: "example.com?x", kind: ErrHost, offset: 11},
		{name: "fragment", in: "example.com#x", kind: ErrHost, offset: 11},
		{name: "user information", in: "user:secret@example.com", kind: ErrUserinfo, offset: 0},
		{name: "port", in: "example.com:8443", kind: ErrPort, offset: 11},
		{name: "empty port", in: "example.com:", kind: ErrPort, offset: 11},
		{name: "port behind IPv6", in: "[::1]:8443", kind: ErrPort, offset: 5},
		{name: "colon alone", in: ":", kind: ErrHost, offset: 0},
		{name: "IPv6 not closed", in: "[::1", kind: ErrHost, offset: 0},
		{name: "IPv6 zone", in: "fe80::1%eth0", kind: ErrHost, offset: 7},
		{name: "IPv4-mapped", in: "::ffff:192.0.2.1", kind: ErrHost, offset: 0},
		{name: "address to listen on", in: "::", kind: ErrHost, offset: 0},
		{name: "underscore", in: "my_host", kind: ErrHost, offset: 2},
		{name: "empty label", in: "a..b", kind: ErrHost, offset: 2},
		{name: "wildcard", in: "*.example.com", kind: ErrHost, offset: 0},
		{name: "number", in: "127.1", kind: ErrHost, offset: 0},
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
