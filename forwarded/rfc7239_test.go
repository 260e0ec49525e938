package forwarded_test

import (
	"strings"
	"testing"

	"github.com/seed-94e48765/portico/forwarded"
	"github.com/stretchr/testify/require"
)

// TestForwarded holds what differs from X-Forwarded-For: the syntax of RFC 7239,
// read from the right.
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
		{"no header", nil, stop(forwarded.NoHeader)},
		{"an address", []string{"for=192.0.2.60"}, first(v4)},
		{"RFC 7239 section 4, the second example", []string{`For="[2001:db8:cafe::17]:4711"`}, first(v6)},
		{"RFC 7239 section 4, the third example", []string{"for=192.0.2.60;proto=http;by=203.0.113.43"}, first(v4)},
		{"RFC 7239 section 4, the fourth example", []string{"for=198.51.100.17, for=10.0.0.43"}, ok(2)("198.51.100.17")},
		{"HAProxy's option forwarded with all parameters", []string{`proto=http;host="mail.example.com";by="10.0.0.9:443";for="192.0.2.60:60138"`}, first(v4)},
		{"a chain over lines", []string{`for=6.6.6.6`, `for="[2001:db8:cafe::17]"`, `for=10.0.0.3,for=10.0.0.2;proto=http`}, ok(3)(v6)},
		{"parameters in any order and case", []string{`proto=http;BY=_x;fOR=192.0.2.60;host=h`}, first(v4)},
		{"empty pairs are allowed", []string{";;for=192.0.2.60;;proto=http;"}, first(v4)},
		{"blanks around semicolons", []string{"\tproto=http ;\tfor=192.0.2.60 ; by=_x "}, first(v4)},
		{"extensions", []string{`ext=1;for=192.0.2.60;secret="a;b=c"`}, first(v4)},
		{"an extension may stand twice for all we care", []string{`ext=1;for=192.0.2.60;ext=2`}, first(v4)},
		{"every character of a token", []string{"x!#$%&'*+-.^_`|~09AZaz=!#$%&'*+-.^_`|~09AZaz;for=192.0.2.60"}, first(v4)},
		{"an empty quoted string", []string{`host="";for=192.0.2.60`}, first(v4)},
		{"obs-text in a quoted string", []string{"for=192.0.2.60;ext=\"\xe9\xff\""}, first(v4)},
		{"all trusted gives the leftmost", []string{"for=10.0.0.3, for=10.0.0.2"}, result("10.0.0.3", 2, forwarded.AllTrusted)},

		// What stands left of the proxy's element is the client's.
		{"an open quote", []string{`for="6.6.6.6, for=192.0.2.60`}, first(v4)},
		{"an open quote in the line above", []string{`for="6.6.6.6`, `for=192.0.2.60`}, first(v4)},
		{"an open quote, and the proxy writes one too", []string{`for="6.6.6.6, for="[2001:db8:cafe::17]"`}, first(v6)},
		{"an open quote that ends in =", []string{`for=6.6.6.6;a="b=, for="192.0.2.60"`}, first(v4)},
		{"an open quote with a backslash at its end", []string{`for="6.6.6.6\, for=192.0.2.60;by="_x"`}, first(v4)},
		{"a backslash in the line above", []string{`for="\`, `for="192.0.2.60"`}, first(v4)},
		{"a NUL", []string{"\x00, for=192.0.2.60"}, first(v4)},
		{"8 KiB of quotes", []string{strings.Repeat(`"`, 8<<10) + `, for=192.0.2.60`}, first(v4)},
		{"8 KiB of backslashes", []string{`for="` + strings.Repeat(`\`, 8<<10) + `, for=192.0.2.60`}, first(v4)},
		{"10,000 commas", []string{strings.Repeat(",", 10000) + `for=192.0.2.60`}, first(v4)},
		{"an element that looks whole only from the left", []string{`for=6.6.6.6;a="`, `for=192.0.2.60;b="c"`}, first(v4)},

		// Quoted strings, read from the right.
		{"a comma in quotes", []string{`for=192.0.2.60;ext="a,b"`}, first(v4)},
		{"an element in quotes", []string{`for=192.0.2.60;ext="x, for=6.6.6.6"`}, first(v4)},
		{"a semicolon in quotes", []string{`for=192.0.2.60;ext=";for=6.6.6.6;"`}, first(v4)},
		{"a comma in quotes over a line break", []string{`for=192.0.2.60;ext="a`, `b"`}, first(v4)},
		{"quotes over three lines", []string{`for=6.6.6.6, for=192.0.2.60;ext="a`, ``, `b"`}, first(v4)},
		{"an escaped quote", []string{`for=192.0.2.60;ext="a\"b"`}, first(v4)},
		{"an escaped quote after =", []string{`for=192.0.2.60;ext="a=\"b"`}, first(v4)},
		{"an escaped quote at the end", []string{`for=192.0.2.60;ext="a\""`}, first(v4)},
		{"an escaped quote at the beginning", []string{`for=192.0.2.60;ext="\"a"`}, first(v4)},
		{"an escaped backslash at the end", []string{`for=192.0.2.60;ext="a\\"`}, first(v4)},
		{"an escaped backslash and an escaped quote at the end", []string{`for=192.0.2.60;ext="a\\\""`}, first(v4)},
		{"only escaped backslashes", []string{`for=192.0.2.60;ext="\\\\"`}, first(v4)},
		{"escapes in the address", []string{`for="1\92.0.2\.60"`}, first(v4)},
		{"an escape at the beginning of the address", []string{`for="\192.0.2.60"`}, first(v4)},
		{"an escape at the beginning of proto", []string{`for=192.0.2.60;proto="\http"`}, first(v4)},
		{"escapes in a bracketed address", []string{`for="\[2001:db8:cafe::17]:47\11"`}, first(v6)},
		{"the last quote is escaped", []string{`for=192.0.2.60;ext="a\"`}, malformed},
		{"the last quote is escaped after an escaped backslash", []string{`for=192.0.2.60;ext="a\\\"`}, malformed},
		{"a quote that opens nowhere", []string{`for=192.0.2.60;ext=a"`}, malformed},
		{"a quote that opens in the client's line", []string{`for=6.6.6.6;a="b`, `for=192.0.2.60;ext=c"d"`}, malformed},
		{"a quote that is not closed", []string{`for=192.0.2.60;ext="a`}, malformed},
		{"a quote in the middle", []string{`for=192.0.2.60;ext="a"b"`}, malformed},
		{"a quote after an escaped backslash in the middle", []string{`for=192.0.2.60;ext="a\\"b"`}, malformed},
		{"text after the closing quote", []string{`for="192.0.2.60"x`}, malformed},
		{"text before the opening quote", []string{`for=x"192.0.2.60"`}, malformed},
		{"a quoted string without a name", []string{`"192.0.2.60"`}, malformed},
		{"a quoted name", []string{`"for"=192.0.2.60`}, malformed},
		{"a control character in quotes", []string{"for=192.0.2.60;ext=\"a\x00b\""}, malformed},
		{"DEL in quotes", []string{"for=192.0.2.60;ext=\"a\x7fb\""}, malformed},
		{"a tab in quotes", []string{"for=192.0.2.60;ext=\"a\tb\""}, first(v4)},

		// A malformed pair anywhere in the needed element.
		{"a pair without a value", []string{"for=192.0.2.60;proto="}, malformed},
		{"a pair without a name", []string{"for=192.0.2.60;=http"}, malformed},
		{"a word without =", []string{"for=192.0.2.60;secure"}, malformed},
		{"a malformed pair to the left in the element", []string{"x y=1;for=192.0.2.60"}, malformed},
		{"blanks around =", []string{"for = 192.0.2.60"}, malformed},
		{"a blank before =", []string{"for =192.0.2.60"}, malformed},
		{"a semicolon for =", []string{"for;192.0.2.60"}, malformed},
		{"a blank for =", []string{"for 192.0.2.60"}, malformed},
		{"a colon for =", []string{"for:192.0.2.60"}, malformed},
		{"an = where the bound is", []string{"for=" + strings.Repeat("x", forwarded.MaxElement)}, malformed},
		{"two =", []string{"for==192.0.2.60"}, malformed},
		{"a blank between pairs", []string{"for=192.0.2.60 proto=http"}, malformed},
		{"non-ASCII in a token", []string{"for=192.0.2.60;h=\xe9"}, malformed},
		{"a no-break space is no blank", []string{"for=192.0.2.60;\u00a0proto=http"}, malformed},
		{"a line feed is no blank", []string{"for=192.0.2.60;\n proto=http"}, malformed},
		{"a malformed pair in an element that is not needed", []string{"for==, for=192.0.2.60"}, first(v4)},

		// for, by the grammar of section 6.
		{"no for", []string{"by=203.0.113.43;proto=https"}, malformed},
		{"two for", []string{"for=192.0.2.60;for=192.0.2.60"}, malformed},
		{"two for in different case", []string{"For=6.6.6.6;proto=http;for=192.0.2.60"}, malformed},
		{"two proto", []string{"for=192.0.2.60;proto=http;proto=https"}, malformed},
		{"two host", []string{"for=192.0.2.60;host=a;host=a"}, malformed},
		{"two by", []string{"for=192.0.2.60;by=_a;by=_b"}, malformed},
		{"an empty element", []string{"for=192.0.2.60,"}, malformed},
		{"an element of semicolons", []string{"for=192.0.2.60, ;;"}, malformed},
		{"an empty value", []string{""}, malformed},
		{"an empty address", []string{`for=""`}, malformed},
		{"a bare address", []string{"192.0.2.60"}, malformed},
		{"IPv6 without quotes", []string{"for=[2001:db8:cafe::17]"}, malformed},
		{"IPv6 without brackets", []string{`for="2001:db8:cafe::17"`}, malformed},
		{"a port without quotes", []string{"for=192.0.2.60:4711"}, malformed},
		{"IPv4 in brackets", []string{`for="[192.0.2.60]"`}, malformed},
		{"IPv4 in quotes", []string{`for="192.0.2.60"`}, first(v4)},
		{"IPv4 with a port", []string{`for="192.0.2.60:4711"`}, first(v4)},
		{"an obfuscated port", []string{`for="192.0.2.60:_x.y-z"`}, first(v4)},
		{"IPv6 with an obfuscated port", []string{`for="[2001:db8:cafe::17]:_p"`}, first(v6)},
		{"an obfuscated port of an underscore alone", []string{`for="192.0.2.60:_"`}, malformed},
		{"a port of six digits", []string{`for="192.0.2.60:123456"`}, malformed},
		{"port 65536", []string{`for="192.0.2.60:65536"`}, malformed},
		{"a port alone", []string{`for=":80"`}, malformed},
		{"unknown with a port that is none", []string{`for="unknown:99999"`}, malformed},
		{"an empty port", []string{`for="192.0.2.60:"`}, malformed},
		{"IPv4-mapped is IPv4", []string{`for="[::ffff:192.0.2.60]:1"`}, first(v4)},
		{"a zone is dropped", []string{`for="[fe80::1%eth0]:80"`}, first("fe80::1")},
		{"blanks in quotes are not blanks", []string{`for=" 192.0.2.60"`}, malformed},
		{"a list in quotes", []string{`for="192.0.2.60,192.0.2.61"`}, malformed},
		{"an address over a line break", []string{`for="192.0.2.60`, `"`}, malformed},
		{"a host name", []string{"for=client.example.com"}, malformed},
		{"unknown", []string{"for=unknown"}, obfuscated},
		{"UNKNOWN in quotes", []string{`for="UNKNOWN"`}, obfuscated},
		{"unknown with a port", []string{`for="unknown:4711"`}, obfuscated},
		{"unknown with an escape", []string{`for="un\known"`}, obfuscated},
		{"RFC 7239 section 4, the first example", []string{`for="_gazonk"`}, obfuscated},
		{"an obfuscated identifier with a port", []string{`for="_SEVKISEK:_p"`}, obfuscated},
		{"an obfuscated identifier with another character", []string{`for="_a~b"`}, malformed},
		{"the unspecified address", []string{`for="[::]:80"`}, obfuscated},
		{"hidden stops, and nothing left of it counts", []string{"for=192.0.2.60, for=_hidden, for=10.0.0.2"}, result("10.0.0.2", 1, forwarded.Obfuscated)},
		{"malformed stops, and nothing left of it counts", []string{"for=192.0.2.60, for=, for=10.0.0.2"}, result("10.0.0.2", 1, forwarded.Malformed)},

		// The bound.
		{"an element as long as may be", []string{longest}, first(v4)},
		{"an element as long as may be, after a comma", []string{"," + longest}, first(v4)},
		{"an element as long as may be, after a line", []string{`"`, longest}, first(v4)},
		{"an element that is too long", []string{longest + " "}, malformed},
		{"an element that is too long, after a comma", []string{"," + longest + ";"}, malformed},
		{"an element as long as may be over a line break", splitAt(longest, 30), first(v4)},
		{"an element that is too long over a line break", splitAt(longest+" ", 30), malformed},
		{"as many parameters as may be", []string{"for=192.0.2.60;;" + strings.Repeat("x=1;", forwarded.MaxPairs-1) + ";"}, first(v4)},
		{"too many parameters", []string{"for=192.0.2.60;" + strings.Repeat("x=1;", forwarded.MaxPairs)}, malformed},
		{"line breaks without end", append([]string{`for=192.0.2.60;a="`}, strings.Split(strings.Repeat("\n", 9999)+`"`, "\n")...), malformed},
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

// splitAt breaks s in two lines, where a comma takes the place of the byte at i.
func splitAt(s string, i int) []string { return []string{s[:i], s[i+1:]} }
