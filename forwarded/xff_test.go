package forwarded_test

import (
	"strings"
	"testing"

	"github.com/seed-94e48765/portico/forwarded"
	"github.com/stretchr/testify/require"
)

// The rows show where the walk starts, continues and stops.
func TestXForwardedFor(t *testing.T) {
	type want struct {
		last   string
		hops   int
		reason forwarded.Reason
	}
	for _, tt := range []struct {
		name  string
		lines []string
		want  want
	}{
		{name: "no header", lines: nil, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.NoHeader}},
		{name: "no line", lines: []string{}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.NoHeader}},
		{name: "the client alone", lines: []string{"192.0.2.1"}, want: want{last: "192.0.2.1", hops: 1, reason: forwarded.UntrustedHop}},
		{name: "an IPv6 client", lines: []string{"2001:db8:ffff::1"}, want: want{last: "2001:db8:ffff::1", hops: 1, reason: forwarded.UntrustedHop}},
		{name: "a chain of proxies", lines: []string{"192.0.2.1, 10.0.0.3, 10.0.0.2"}, want: want{last: "192.0.2.1", hops: 3, reason: forwarded.UntrustedHop}},
		{name: "a chain over both families", lines: []string{"192.0.2.1, 2001:db8:a::9, 10.0.0.2"}, want: want{last: "192.0.2.1", hops: 3, reason: forwarded.UntrustedHop}},
		{name: "forged entries left of the client", lines: []string{"127.0.0.1, 10.0.0.9, 192.0.2.1"}, want: want{last: "192.0.2.1", hops: 1, reason: forwarded.UntrustedHop}},
		{name: "forged line above the client's", lines: []string{"127.0.0.1", "192.0.2.1"}, want: want{last: "192.0.2.1", hops: 1, reason: forwarded.UntrustedHop}},
		{name: "lines are one list", lines: []string{"192.0.2.1", "10.0.0.3, 10.0.0.2"}, want: want{last: "192.0.2.1", hops: 3, reason: forwarded.UntrustedHop}},
		{name: "garbage left of the client is not read", lines: []string{"\x00\",,;=\\", "192.0.2.1"}, want: want{last: "192.0.2.1", hops: 1, reason: forwarded.UntrustedHop}},
		{name: "8 KiB left of the client are not read", lines: []string{strings.Repeat("9", 8<<10) + ", 192.0.2.1"}, want: want{last: "192.0.2.1", hops: 1, reason: forwarded.UntrustedHop}},
		{name: "10,000 commas left of the client are not read", lines: []string{strings.Repeat(",", 10000) + "192.0.2.1"}, want: want{last: "192.0.2.1", hops: 1, reason: forwarded.UntrustedHop}},
		{name: "all trusted gives the leftmost", lines: []string{"10.0.0.4, 10.0.0.3, 10.0.0.2"}, want: want{last: "10.0.0.4", hops: 3, reason: forwarded.AllTrusted}},

		{name: "an empty value", lines: []string{""}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "a blank value", lines: []string{" \t "}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "an empty entry at the right end", lines: []string{"192.0.2.1,"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "an empty entry is not skipped", lines: []string{"192.0.2.1, , 10.0.0.2"}, want: want{last: "10.0.0.2", hops: 1, reason: forwarded.Malformed}},
		{name: "an empty line is an empty entry", lines: []string{"192.0.2.1", "", "10.0.0.2"}, want: want{last: "10.0.0.2", hops: 1, reason: forwarded.Malformed}},
		{name: "only commas", lines: []string{strings.Repeat(",", 10000)}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "a malformed entry is not skipped", lines: []string{"192.0.2.1, nonsense, 10.0.0.2"}, want: want{last: "10.0.0.2", hops: 1, reason: forwarded.Malformed}},
		{name: "a malformed entry at the right end", lines: []string{"192.0.2.1, nonsense"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "a network is not an address", lines: []string{"192.0.2.0/24"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "a host name is not an address", lines: []string{"client.example.com"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "NGINX on a unix socket", lines: []string{"unix:"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "two addresses without a comma", lines: []string{"192.0.2.1 10.0.0.2"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "a semicolon is not a separator", lines: []string{"192.0.2.1; 10.0.0.2"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "a quoted address", lines: []string{`"192.0.2.1"`}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "an element of Forwarded", lines: []string{"for=192.0.2.1"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "a NUL", lines: []string{"192.0.2.1\x00"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "folded lines", lines: []string{"10.0.0.2,\r\n 192.0.2.1"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "a line feed is not a blank", lines: []string{"192.0.2.1\n"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "a vertical tab is not a blank", lines: []string{"\v192.0.2.1"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "a no-break space is not a blank", lines: []string{"\u00a0192.0.2.1"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "NEL in Latin-1 is not a blank", lines: []string{"192.0.2.1\x85"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "a fullwidth digit is not a digit", lines: []string{"\uff11.2.3.4"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "SP and HTAB are blanks", lines: []string{"\t 192.0.2.1 \t,\t10.0.0.2 "}, want: want{last: "192.0.2.1", hops: 2, reason: forwarded.UntrustedHop}},

		{name: "unknown stops", lines: []string{"192.0.2.1, unknown, 10.0.0.2"}, want: want{last: "10.0.0.2", hops: 1, reason: forwarded.Obfuscated}},
		{name: "Unknown in any case", lines: []string{"UnKnown"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Obfuscated}},
		{name: "an obfuscated identifier stops", lines: []string{"192.0.2.1, _hidden"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Obfuscated}},
		{name: "an underscore alone is malformed", lines: []string{"_"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "the unspecified address is not a client", lines: []string{"0.0.0.0"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Obfuscated}},
		{name: "the unspecified IPv6 address is not a client", lines: []string{"::"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Obfuscated}},
		{name: "the mapped unspecified address is not a client", lines: []string{"::ffff:0.0.0.0"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Obfuscated}},
		{name: "unknown left of the client is not needed", lines: []string{"unknown, 192.0.2.1"}, want: want{last: "192.0.2.1", hops: 1, reason: forwarded.UntrustedHop}},

		{name: "v4 with a port", lines: []string{"192.0.2.1:4711"}, want: want{last: "192.0.2.1", hops: 1, reason: forwarded.UntrustedHop}},
		{name: "v6 in brackets", lines: []string{"[2001:db8:f::1]"}, want: want{last: "2001:db8:f::1", hops: 1, reason: forwarded.UntrustedHop}},
		{name: "v6 in brackets with a port", lines: []string{"[2001:db8:f::1]:65535"}, want: want{last: "2001:db8:f::1", hops: 1, reason: forwarded.UntrustedHop}},
		{name: "v6 without brackets has no port", lines: []string{"::1:80"}, want: want{last: "::1:80", hops: 1, reason: forwarded.UntrustedHop}},
		{name: "v6 with nine groups is not v6 and a port", lines: []string{"2001:db8:1:2:3:4:5:6:80"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "v4-mapped is v4", lines: []string{"192.0.2.1, ::ffff:10.0.0.2"}, want: want{last: "192.0.2.1", hops: 2, reason: forwarded.UntrustedHop}},
		{name: "v4-mapped in hexadecimal is v4", lines: []string{"::ffff:c000:0201"}, want: want{last: "192.0.2.1", hops: 1, reason: forwarded.UntrustedHop}},
		{name: "v4-mapped in brackets with a port is v4", lines: []string{"[::ffff:192.0.2.1]:80"}, want: want{last: "192.0.2.1", hops: 1, reason: forwarded.UntrustedHop}},
		{name: "a zone is dropped", lines: []string{"fe80::1%eth0"}, want: want{last: "fe80::1", hops: 1, reason: forwarded.UntrustedHop}},
		{name: "a zone in brackets is dropped", lines: []string{"[fe80::1%eth0]:80"}, want: want{last: "fe80::1", hops: 1, reason: forwarded.UntrustedHop}},
		{name: "an empty zone is malformed", lines: []string{"fe80::1%"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "a zone of blanks is malformed", lines: []string{"fe80::1%a b"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "a zone on v4 is malformed", lines: []string{"192.0.2.1%eth0"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "brackets around v4 are malformed", lines: []string{"[192.0.2.1]"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "an open bracket is malformed", lines: []string{"[2001:db8::1"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "text after the bracket is malformed", lines: []string{"[2001:db8::1]x"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "nested brackets are malformed", lines: []string{"[[2001:db8::1]]"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "an empty port is malformed", lines: []string{"192.0.2.1:"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "port 65536 is malformed", lines: []string{"192.0.2.1:65536"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "a port of six digits is malformed", lines: []string{"192.0.2.1:000080"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "a port with a sign is malformed", lines: []string{"192.0.2.1:+80"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "a service name is malformed", lines: []string{"192.0.2.1:http"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "an obfuscated port is of Forwarded only", lines: []string{"192.0.2.1:_x"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "an obfuscated port on v6", lines: []string{"[2001:db8::1]:_x"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "a port alone is malformed", lines: []string{":80"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "two ports are malformed", lines: []string{"192.0.2.1:80:80"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "leading zeros are malformed", lines: []string{"192.0.2.01"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "octets over 255 are malformed", lines: []string{"192.0.2.256"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "three octets are malformed", lines: []string{"127.1.1"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "five octets are malformed", lines: []string{"1.2.3.4.5"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "a decimal number is malformed", lines: []string{"2130706433"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},

		{name: "an entry as long as may be", lines: []string{strings.Repeat(" ", forwarded.MaxToken-9) + "192.0.2.1"}, want: want{last: "192.0.2.1", hops: 1, reason: forwarded.UntrustedHop}},
		{name: "an entry that is too long", lines: []string{strings.Repeat(" ", forwarded.MaxToken-8) + "192.0.2.1"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
		{name: "an entry as long as may be, after a comma", lines: []string{"," + strings.Repeat(" ", forwarded.MaxToken-9) + "192.0.2.1"}, want: want{last: "192.0.2.1", hops: 1, reason: forwarded.UntrustedHop}},
		{name: "an entry that is too long, after a comma", lines: []string{"," + strings.Repeat(" ", forwarded.MaxToken-8) + "192.0.2.1"}, want: want{last: "10.0.0.1", hops: 0, reason: forwarded.Malformed}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newResolver(t, forwarded.Config{})
			require.Equal(t, result(tt.want.last, tt.want.hops, tt.want.reason), r.Resolve(header(forwarded.XForwardedFor, tt.lines...), peer))
		})
	}
}

// Addresses with one byte changed, removed or inserted are compared with the oracle, which
// uses net/netip.
func TestAddressesAreThoseOfNetip(t *testing.T) {
	const bytes = "0123456789abfgABFG:.%[]_-/\"+ ,\x00\xe9"
	words := []string{
		"", "1.2.3.4", "255.255.255.255", "192.0.2.1:65535", "[2001:db8::1]:9", "::", "::1", "1::", "2001:db8:1:2:3:4:5:6",
		"1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1:2:3::5:6:7:8", "::ffff:1.2.3.4", "1:2:3:4:5:6:1.2.3.4", "1::1.2.3.4", "fe80::1%eth0",
		"ABCD:ef01::", "::1:2:3:4:5:6:7:8", "fe80::1%~", "unknown", "_aZ09._-", "unknown:1", "_a:_b", "0.0.0.0", "12345::1",
	}
	r := newResolver(t, forwarded.Config{})
	fr := newResolver(t, forwarded.Config{Header: forwarded.Forwarded})
	check := func(s string) {
		lines := []string{s}
		if got, want := r.Resolve(header(forwarded.XForwardedFor, s), peer), oracle(forwarded.XForwardedFor, lines, peerA, fuzzSet, 32, 0); got != want {
			require.Equal(t, want, got, "%q", s)
		}
		lines[0] = `for="` + s + `"`
		if got, want := fr.Resolve(header(forwarded.Forwarded, lines...), peer), oracle(forwarded.Forwarded, lines, peerA, fuzzSet, 32, 0); got != want {
			require.Equal(t, want, got, "%q", lines)
		}
	}
	for _, w := range words {
		check(w)
		for i := range len(w) + 1 {
			for _, b := range []byte(bytes) {
				check(w[:i] + string(rune(b)) + w[i:])
				if i < len(w) {
					check(w[:i] + string(rune(b)) + w[i+1:])
				}
			}
			if i < len(w) {
				check(w[:i] + w[i+1:])
				check(w[:i] + w[i:i+1] + w[i:])
			}
		}
	}
}
