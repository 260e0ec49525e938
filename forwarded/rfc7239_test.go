package forwarded_test

import (
	"strings"
	"testing"

	"github.com/seed-94e48765/portico/forwarded"
	"github.com/stretchr/testify/require"
)

// The tables cover the syntax of RFC 7239. xff_test.go covers the walk.
func TestForwarded(t *testing.T) {
	ok := func(hops int) func(string) forwarded.Result {
		return func(client string) forwarded.Result {
			return result(client, hops, forwarded.UntrustedHop)
		}
	}
	first := ok(1)
	stop := func(reason forwarded.Reason) forwarded.Result {
		return result("10.0.0.1", 0, reason)
	}
	malformed, obfuscated := stop(forwarded.Malformed), stop(forwarded.Obfuscated)
	const v4, v6 = "192.0.2.60", "2001:db8:cafe::17"
	longest := `for=192.0.2.60;host="` + strings.Repeat("h", forwarded.MaxElement-len(`for=192.0.2.60;host=""`)) + `"`
	require.Len(t, longest, forwarded.MaxElement)

	for _, tt := range []struct {
		name  string
		lines []string
		want  forwarded.Result
	}{
		{name: "no header", lines: nil, want: stop(forwarded.NoHeader)},
		{name: "an address", lines: []string{"for=192.0.2.60"}, want: first(v4)},
		{name: "RFC 7239 section 4, the second example", lines: []string{`For="[2001:db8:cafe::17]:4711"`}, want: first(v6)},
		{name: "RFC 7239 section 4, the third example", lines: []string{"for=192.0.2.60;proto=http;by=203.0.113.43"}, want: first(v4)},
		{name: "RFC 7239 section 4, the fourth example", lines: []string{"for=198.51.100.17, for=10.0.0.43"}, want: ok(2)("198.51.100.17")},
		{name: "HAProxy's option forwarded with all parameters", lines: []string{`proto=http;host="mail.example.com";by="10.0.0.9:443";for="192.0.2.60:60138"`}, want: first(v4)},
		{name: "a chain over lines", lines: []string{`for=6.6.6.6`, `for="[2001:db8:cafe::17]"`, `for=10.0.0.3,for=10.0.0.2;proto=http`}, want: ok(3)(v6)},
		{name: "parameters in any order and case", lines: []string{`proto=http;BY=_x;fOR=192.0.2.60;host=h`}, want: first(v4)},
		{name: "empty pairs are allowed", lines: []string{";;for=192.0.2.60;;proto=http;"}, want: first(v4)},
		{name: "blanks around semicolons", lines: []string{"\tproto=http ;\tfor=192.0.2.60 ; by=_x "}, want: first(v4)},
		{name: "extensions", lines: []string{`ext=1;for=192.0.2.60;secret="a;b=c"`}, want: first(v4)},
		{name: "a duplicate extension is allowed", lines: []string{`ext=1;for=192.0.2.60;ext=2`}, want: first(v4)},
		{name: "every character of a token", lines: []string{"x!#$%&'*+-.^_`|~09AZaz=!#$%&'*+-.^_`|~09AZaz;for=192.0.2.60"}, want: first(v4)},
		{name: "an empty quoted string", lines: []string{`host="";for=192.0.2.60`}, want: first(v4)},
		{name: "obs-text in a quoted string", lines: []string{"for=192.0.2.60;ext=\"\xe9\xff\""}, want: first(v4)},
		{name: "all trusted gives the leftmost", lines: []string{"for=10.0.0.3, for=10.0.0.2"}, want: result("10.0.0.3", 2, forwarded.AllTrusted)},

		// Text to the left of the proxy's element is the client's.
		{name: "an open quote", lines: []string{`for="6.6.6.6, for=192.0.2.60`}, want: first(v4)},
		{name: "an open quote in the line above", lines: []string{`for="6.6.6.6`, `for=192.0.2.60`}, want: first(v4)},
		{name: "an open quote, and the proxy writes one too", lines: []string{`for="6.6.6.6, for="[2001:db8:cafe::17]"`}, want: first(v6)},
		{name: "an open quote that ends in =", lines: []string{`for=6.6.6.6;a="b=, for="192.0.2.60"`}, want: first(v4)},
		{name: "an open quote with a backslash at its end", lines: []string{`for="6.6.6.6\, for=192.0.2.60;by="_x"`}, want: first(v4)},
		{name: "a backslash in the line above", lines: []string{`for="\`, `for="192.0.2.60"`}, want: first(v4)},
		{name: "a NUL", lines: []string{"\x00, for=192.0.2.60"}, want: first(v4)},
		{name: "8 KiB of quotes", lines: []string{strings.Repeat(`"`, 8<<10) + `, for=192.0.2.60`}, want: first(v4)},
		{name: "8 KiB of backslashes", lines: []string{`for="` + strings.Repeat(`\`, 8<<10) + `, for=192.0.2.60`}, want: first(v4)},
		{name: "10,000 commas", lines: []string{strings.Repeat(",", 10000) + `for=192.0.2.60`}, want: first(v4)},
		{name: "an element that looks whole only from the left", lines: []string{`for=6.6.6.6;a="`, `for=192.0.2.60;b="c"`}, want: first(v4)},

		// Quoted strings, read from the right.
		{name: "a comma in quotes", lines: []string{`for=192.0.2.60;ext="a,b"`}, want: first(v4)},
		{name: "an element in quotes", lines: []string{`for=192.0.2.60;ext="x, for=6.6.6.6"`}, want: first(v4)},
		{name: "a semicolon in quotes", lines: []string{`for=192.0.2.60;ext=";for=6.6.6.6;"`}, want: first(v4)},
		{name: "a comma in quotes over a line break", lines: []string{`for=192.0.2.60;ext="a`, `b"`}, want: first(v4)},
		{name: "quotes over three lines", lines: []string{`for=6.6.6.6, for=192.0.2.60;ext="a`, ``, `b"`}, want: first(v4)},
		{name: "an escaped quote", lines: []string{`for=192.0.2.60;ext="a\"b"`}, want: first(v4)},
		{name: "an escaped quote after =", lines: []string{`for=192.0.2.60;ext="a=\"b"`}, want: first(v4)},
		{name: "an escaped quote at the end", lines: []string{`for=192.0.2.60;ext="a\""`}, want: first(v4)},
		{name: "an escaped quote at the beginning", lines: []string{`for=192.0.2.60;ext="\"a"`}, want: first(v4)},
		{name: "an escaped backslash at the end", lines: []string{`for=192.0.2.60;ext="a\\"`}, want: first(v4)},
		{name: "an escaped backslash and an escaped quote at the end", lines: []string{`for=192.0.2.60;ext="a\\\""`}, want: first(v4)},
		{name: "only escaped backslashes", lines: []string{`for=192.0.2.60;ext="\\\\"`}, want: first(v4)},
		{name: "escapes in the address", lines: []string{`for="1\92.0.2\.60"`}, want: first(v4)},
		{name: "an escape at the beginning of the address", lines: []string{`for="\192.0.2.60"`}, want: first(v4)},
		{name: "an escape at the beginning of proto", lines: []string{`for=192.0.2.60;proto="\http"`}, want: first(v4)},
		{name: "escapes in a bracketed address", lines: []string{`for="\[2001:db8:cafe::17]:47\11"`}, want: first(v6)},
		{name: "the last quote is escaped", lines: []string{`for=192.0.2.60;ext="a\"`}, want: malformed},
		{name: "the last quote is escaped after an escaped backslash", lines: []string{`for=192.0.2.60;ext="a\\\"`}, want: malformed},
		{name: "a quote that opens nowhere", lines: []string{`for=192.0.2.60;ext=a"`}, want: malformed},
		{name: "a quote that opens in the client's line", lines: []string{`for=6.6.6.6;a="b`, `for=192.0.2.60;ext=c"d"`}, want: malformed},
		{name: "a quote that is not closed", lines: []string{`for=192.0.2.60;ext="a`}, want: malformed},
		{name: "a quote in the middle", lines: []string{`for=192.0.2.60;ext="a"b"`}, want: malformed},
		{name: "a quote after an escaped backslash in the middle", lines: []string{`for=192.0.2.60;ext="a\\"b"`}, want: malformed},
		{name: "text after the closing quote", lines: []string{`for="192.0.2.60"x`}, want: malformed},
		{name: "text before the opening quote", lines: []string{`for=x"192.0.2.60"`}, want: malformed},
		{name: "a quoted string without a name", lines: []string{`"192.0.2.60"`}, want: malformed},
		{name: "a quoted name", lines: []string{`"for"=192.0.2.60`}, want: malformed},
		{name: "a control character in quotes", lines: []string{"for=192.0.2.60;ext=\"a\x00b\""}, want: malformed},
		{name: "DEL in quotes", lines: []string{"for=192.0.2.60;ext=\"a\x7fb\""}, want: malformed},
		{name: "a tab in quotes", lines: []string{"for=192.0.2.60;ext=\"a\tb\""}, want: first(v4)},

		// A malformed pair anywhere in the needed element.
		{name: "a pair without a value", lines: []string{"for=192.0.2.60;proto="}, want: malformed},
		{name: "a pair without a name", lines: []string{"for=192.0.2.60;=http"}, want: malformed},
		{name: "a word without =", lines: []string{"for=192.0.2.60;secure"}, want: malformed},
		{name: "a malformed pair to the left in the element", lines: []string{"x y=1;for=192.0.2.60"}, want: malformed},
		{name: "blanks around =", lines: []string{"for = 192.0.2.60"}, want: malformed},
		{name: "a blank before =", lines: []string{"for =192.0.2.60"}, want: malformed},
		{name: "a semicolon for =", lines: []string{"for;192.0.2.60"}, want: malformed},
		{name: "a blank for =", lines: []string{"for 192.0.2.60"}, want: malformed},
		{name: "a colon for =", lines: []string{"for:192.0.2.60"}, want: malformed},
		{name: "an = where the bound is", lines: []string{"for=" + strings.Repeat("x", forwarded.MaxElement)}, want: malformed},
		{name: "two =", lines: []string{"for==192.0.2.60"}, want: malformed},
		{name: "a blank between pairs", lines: []string{"for=192.0.2.60 proto=http"}, want: malformed},
		{name: "non-ASCII in a token", lines: []string{"for=192.0.2.60;h=\xe9"}, want: malformed},
		{name: "a no-break space is not a blank", lines: []string{"for=192.0.2.60;\u00a0proto=http"}, want: malformed},
		{name: "a line feed is not a blank", lines: []string{"for=192.0.2.60;\n proto=http"}, want: malformed},
		{name: "a malformed pair in an element that is not needed", lines: []string{"for==, for=192.0.2.60"}, want: first(v4)},

		// for, by the grammar of section 6.
		{name: "no for", lines: []string{"by=203.0.113.43;proto=https"}, want: malformed},
		{name: "two for", lines: []string{"for=192.0.2.60;for=192.0.2.60"}, want: malformed},
		{name: "two for in different case", lines: []string{"For=6.6.6.6;proto=http;for=192.0.2.60"}, want: malformed},
		{name: "two proto", lines: []string{"for=192.0.2.60;proto=http;proto=https"}, want: malformed},
		{name: "two host", lines: []string{"for=192.0.2.60;host=a;host=a"}, want: malformed},
		{name: "two by", lines: []string{"for=192.0.2.60;by=_a;by=_b"}, want: malformed},
		{name: "an empty element", lines: []string{"for=192.0.2.60,"}, want: malformed},
		{name: "an element of semicolons", lines: []string{"for=192.0.2.60, ;;"}, want: malformed},
		{name: "an empty value", lines: []string{""}, want: malformed},
		{name: "an empty address", lines: []string{`for=""`}, want: malformed},
		{name: "a bare address", lines: []string{"192.0.2.60"}, want: malformed},
		{name: "IPv6 without quotes", lines: []string{"for=[2001:db8:cafe::17]"}, want: malformed},
		{name: "IPv6 without brackets", lines: []string{`for="2001:db8:cafe::17"`}, want: malformed},
		{name: "a port without quotes", lines: []string{"for=192.0.2.60:4711"}, want: malformed},
		{name: "IPv4 in brackets", lines: []string{`for="[192.0.2.60]"`}, want: malformed},
		{name: "IPv4 in quotes", lines: []string{`for="192.0.2.60"`}, want: first(v4)},
		{name: "IPv4 with a port", lines: []string{`for="192.0.2.60:4711"`}, want: first(v4)},
		{name: "an obfuscated port", lines: []string{`for="192.0.2.60:_x.y-z"`}, want: first(v4)},
		{name: "IPv6 with an obfuscated port", lines: []string{`for="[2001:db8:cafe::17]:_p"`}, want: first(v6)},
		{name: "an obfuscated port of an underscore alone", lines: []string{`for="192.0.2.60:_"`}, want: malformed},
		{name: "a port of six digits", lines: []string{`for="192.0.2.60:123456"`}, want: malformed},
		{name: "port 65536", lines: []string{`for="192.0.2.60:65536"`}, want: malformed},
		{name: "a port alone", lines: []string{`for=":80"`}, want: malformed},
		{name: "unknown with an invalid port", lines: []string{`for="unknown:99999"`}, want: malformed},
		{name: "an empty port", lines: []string{`for="192.0.2.60:"`}, want: malformed},
		{name: "IPv4-mapped is IPv4", lines: []string{`for="[::ffff:192.0.2.60]:1"`}, want: first(v4)},
		{name: "a zone is dropped", lines: []string{`for="[fe80::1%eth0]:80"`}, want: first("fe80::1")},
		{name: "blanks in quotes are not blanks", lines: []string{`for=" 192.0.2.60"`}, want: malformed},
		{name: "a list in quotes", lines: []string{`for="192.0.2.60,192.0.2.61"`}, want: malformed},
		{name: "an address over a line break", lines: []string{`for="192.0.2.60`, `"`}, want: malformed},
		{name: "a host name", lines: []string{"for=client.example.com"}, want: malformed},
		{name: "unknown", lines: []string{"for=unknown"}, want: obfuscated},
		{name: "UNKNOWN in quotes", lines: []string{`for="UNKNOWN"`}, want: obfuscated},
		{name: "unknown with a port", lines: []string{`for="unknown:4711"`}, want: obfuscated},
		{name: "unknown with an escape", lines: []string{`for="un\known"`}, want: obfuscated},
		{name: "RFC 7239 section 4, the first example", lines: []string{`for="_gazonk"`}, want: obfuscated},
		{name: "an obfuscated identifier with a port", lines: []string{`for="_SEVKISEK:_p"`}, want: obfuscated},
		{name: "an obfuscated identifier with another character", lines: []string{`for="_a~b"`}, want: malformed},
		{name: "the unspecified address", lines: []string{`for="[::]:80"`}, want: obfuscated},
		{name: "hidden stops, and nothing left of it counts", lines: []string{"for=192.0.2.60, for=_hidden, for=10.0.0.2"}, want: result("10.0.0.2", 1, forwarded.Obfuscated)},
		{name: "malformed stops, and nothing left of it counts", lines: []string{"for=192.0.2.60, for=, for=10.0.0.2"}, want: result("10.0.0.2", 1, forwarded.Malformed)},

		// The limits of an element.
		{name: "an element as long as may be", lines: []string{longest}, want: first(v4)},
		{name: "an element as long as may be, after a comma", lines: []string{"," + longest}, want: first(v4)},
		{name: "an element as long as may be, after a line", lines: []string{`"`, longest}, want: first(v4)},
		{name: "an element that is too long", lines: []string{longest + " "}, want: malformed},
		{name: "an element that is too long, after a comma", lines: []string{"," + longest + ";"}, want: malformed},
		{name: "an element as long as may be over a line break", lines: splitAt(longest, 30), want: first(v4)},
		{name: "an element that is too long over a line break", lines: splitAt(longest+" ", 30), want: malformed},
		{name: "as many parameters as may be", lines: []string{"for=192.0.2.60;;" + strings.Repeat("x=1;", forwarded.MaxPairs-1) + ";"}, want: first(v4)},
		{name: "too many parameters", lines: []string{"for=192.0.2.60;" + strings.Repeat("x=1;", forwarded.MaxPairs)}, want: malformed},
		{name: "line breaks without end", lines: append([]string{`for=192.0.2.60;a="`}, strings.Split(strings.Repeat("\n", 9999)+`"`, "\n")...), want: malformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newResolver(t, forwarded.Config{Header: forwarded.Forwarded})
			require.Equal(t, tt.want, r.Resolve(header(forwarded.Forwarded, tt.lines...), peer))

			if len(tt.lines) > 0 {
				joined := header(forwarded.Forwarded, strings.Join(tt.lines, ","))
				require.Equal(t, tt.want, r.Resolve(joined, peer), "as one line")
			}
		})
	}
}

// splitAt splits s into two lines at byte i, which a comma replaces.
func splitAt(s string, i int) []string { return []string{s[:i], s[i+1:]} }
