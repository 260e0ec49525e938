package forwarded_test

import (
	"strings"
	"testing"

	"github.com/seed-94e48765/portico/forwarded"
	"github.com/stretchr/testify/require"
)

// TestXForwardedFor holds the rules of the walk: whom to start with, when to go on,
// when to stop.
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
		{"no header", nil, want{"10.0.0.1", 0, forwarded.NoHeader}},
		{"no line", []string{}, want{"10.0.0.1", 0, forwarded.NoHeader}},
		{"the client alone", []string{"192.0.2.1"}, want{"192.0.2.1", 1, forwarded.UntrustedHop}},
		{"an IPv6 client", []string{"2001:db8:ffff::1"}, want{"2001:db8:ffff::1", 1, forwarded.UntrustedHop}},
		{"a chain of proxies", []string{"192.0.2.1, 10.0.0.3, 10.0.0.2"}, want{"192.0.2.1", 3, forwarded.UntrustedHop}},
		{"a chain over both families", []string{"192.0.2.1, 2001:db8:a::9, 10.0.0.2"}, want{"192.0.2.1", 3, forwarded.UntrustedHop}},
		{"forged entries left of the client", []string{"127.0.0.1, 10.0.0.9, 192.0.2.1"}, want{"192.0.2.1", 1, forwarded.UntrustedHop}},
		{"forged line above the client's", []string{"127.0.0.1", "192.0.2.1"}, want{"192.0.2.1", 1, forwarded.UntrustedHop}},
		{"lines are one list", []string{"192.0.2.1", "10.0.0.3, 10.0.0.2"}, want{"192.0.2.1", 3, forwarded.UntrustedHop}},
		{"garbage left of the client is not read", []string{"\x00\",,;=\\", "192.0.2.1"}, want{"192.0.2.1", 1, forwarded.UntrustedHop}},
		{"8 KiB left of the client are not read", []string{strings.Repeat("9", 8<<10) + ", 192.0.2.1"}, want{"192.0.2.1", 1, forwarded.UntrustedHop}},
		{"10,000 commas left of the client are not read", []string{strings.Repeat(",", 10000) + "192.0.2.1"}, want{"192.0.2.1", 1, forwarded.UntrustedHop}},
		{"all trusted gives the leftmost", []string{"10.0.0.4, 10.0.0.3, 10.0.0.2"}, want{"10.0.0.4", 3, forwarded.AllTrusted}},

		{"an empty value", []string{""}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"a blank value", []string{" \t "}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"an empty entry at the right end", []string{"192.0.2.1,"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"an empty entry is not skipped", []string{"192.0.2.1, , 10.0.0.2"}, want{"10.0.0.2", 1, forwarded.Malformed}},
		{"an empty line is an empty entry", []string{"192.0.2.1", "", "10.0.0.2"}, want{"10.0.0.2", 1, forwarded.Malformed}},
		{"only commas", []string{strings.Repeat(",", 10000)}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"a malformed entry is not skipped", []string{"192.0.2.1, nonsense, 10.0.0.2"}, want{"10.0.0.2", 1, forwarded.Malformed}},
		{"a malformed entry at the right end", []string{"192.0.2.1, nonsense"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"a network is no address", []string{"192.0.2.0/24"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"a host name is no address", []string{"client.example.com"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"NGINX on a unix socket", []string{"unix:"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"two addresses without a comma", []string{"192.0.2.1 10.0.0.2"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"a semicolon is no separator", []string{"192.0.2.1; 10.0.0.2"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"a quoted address", []string{`"192.0.2.1"`}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"an element of Forwarded", []string{"for=192.0.2.1"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"a NUL", []string{"192.0.2.1\x00"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"folded lines", []string{"10.0.0.2,\r\n 192.0.2.1"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"a line feed is no blank", []string{"192.0.2.1\n"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"a vertical tab is no blank", []string{"\v192.0.2.1"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"a no-break space is no blank", []string{"\u00a0192.0.2.1"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"NEL in Latin-1 is no blank", []string{"192.0.2.1\x85"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"a fullwidth digit is no digit", []string{"\uff11.2.3.4"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"SP and HTAB are blanks", []string{"\t 192.0.2.1 \t,\t10.0.0.2 "}, want{"192.0.2.1", 2, forwarded.UntrustedHop}},

		{"unknown stops", []string{"192.0.2.1, unknown, 10.0.0.2"}, want{"10.0.0.2", 1, forwarded.Obfuscated}},
		{"Unknown in any case", []string{"UnKnown"}, want{"10.0.0.1", 0, forwarded.Obfuscated}},
		{"an obfuscated identifier stops", []string{"192.0.2.1, _hidden"}, want{"10.0.0.1", 0, forwarded.Obfuscated}},
		{"an underscore alone is malformed", []string{"_"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"the unspecified address is nobody", []string{"0.0.0.0"}, want{"10.0.0.1", 0, forwarded.Obfuscated}},
		{"the unspecified IPv6 address is nobody", []string{"::"}, want{"10.0.0.1", 0, forwarded.Obfuscated}},
		{"the mapped unspecified address is nobody", []string{"::ffff:0.0.0.0"}, want{"10.0.0.1", 0, forwarded.Obfuscated}},
		{"unknown left of the client is not needed", []string{"unknown, 192.0.2.1"}, want{"192.0.2.1", 1, forwarded.UntrustedHop}},

		{"v4 with a port", []string{"192.0.2.1:4711"}, want{"192.0.2.1", 1, forwarded.UntrustedHop}},
		{"v6 in brackets", []string{"[2001:db8:f::1]"}, want{"2001:db8:f::1", 1, forwarded.UntrustedHop}},
		{"v6 in brackets with a port", []string{"[2001:db8:f::1]:65535"}, want{"2001:db8:f::1", 1, forwarded.UntrustedHop}},
		{"v6 without brackets has no port", []string{"::1:80"}, want{"::1:80", 1, forwarded.UntrustedHop}},
		{"v6 with nine groups is not v6 and a port", []string{"2001:db8:1:2:3:4:5:6:80"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"v4-mapped is v4", []string{"192.0.2.1, ::ffff:10.0.0.2"}, want{"192.0.2.1", 2, forwarded.UntrustedHop}},
		{"v4-mapped in hexadecimal is v4", []string{"::ffff:c000:0201"}, want{"192.0.2.1", 1, forwarded.UntrustedHop}},
		{"v4-mapped in brackets with a port is v4", []string{"[::ffff:192.0.2.1]:80"}, want{"192.0.2.1", 1, forwarded.UntrustedHop}},
		{"a zone is dropped", []string{"fe80::1%eth0"}, want{"fe80::1", 1, forwarded.UntrustedHop}},
		{"a zone in brackets is dropped", []string{"[fe80::1%eth0]:80"}, want{"fe80::1", 1, forwarded.UntrustedHop}},
		{"an empty zone is malformed", []string{"fe80::1%"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"a zone of blanks is malformed", []string{"fe80::1%a b"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"a zone on v4 is malformed", []string{"192.0.2.1%eth0"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"brackets around v4 are malformed", []string{"[192.0.2.1]"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"an open bracket is malformed", []string{"[2001:db8::1"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"text after the bracket is malformed", []string{"[2001:db8::1]x"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"nested brackets are malformed", []string{"[[2001:db8::1]]"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"an empty port is malformed", []string{"192.0.2.1:"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"port 65536 is malformed", []string{"192.0.2.1:65536"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"a port of six digits is malformed", []string{"192.0.2.1:000080"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"a port with a sign is malformed", []string{"192.0.2.1:+80"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"a service name is malformed", []string{"192.0.2.1:http"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"an obfuscated port is of Forwarded only", []string{"192.0.2.1:_x"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"an obfuscated port on v6", []string{"[2001:db8::1]:_x"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"a port alone is malformed", []string{":80"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"two ports are malformed", []string{"192.0.2.1:80:80"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"leading zeros are malformed", []string{"192.0.2.01"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"octets over 255 are malformed", []string{"192.0.2.256"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"three octets are malformed", []string{"127.1.1"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"five octets are malformed", []string{"1.2.3.4.5"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"a decimal number is malformed", []string{"2130706433"}, want{"10.0.0.1", 0, forwarded.Malformed}},

		{"an entry as long as may be", []string{strings.Repeat(" ", forwarded.MaxToken-9) + "192.0.2.1"}, want{"192.0.2.1", 1, forwarded.UntrustedHop}},
		{"an entry that is too long", []string{strings.Repeat(" ", forwarded.MaxToken-8) + "192.0.2.1"}, want{"10.0.0.1", 0, forwarded.Malformed}},
		{"an entry as long as may be, after a comma", []string{"," + strings.Repeat(" ", forwarded.MaxToken-9) + "192.0.2.1"}, want{"192.0.2.1", 1, forwarded.UntrustedHop}},
		{"an entry that is too long, after a comma", []string{"," + strings.Repeat(" ", forwarded.MaxToken-8) + "192.0.2.1"}, want{"10.0.0.1", 0, forwarded.Malformed}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newResolver(t, forwarded.Config{})
			require.Equal(t, result(tt.want.last, tt.want.hops, tt.want.reason), r.Resolve(header(forwarded.XForwardedFor, tt.lines...), peer))
		})
	}
}

// TestAddressesAreThoseOfNetip writes addresses with one byte changed, dropped or
// inserted, in all ways, and compares with the oracle, which asks net/netip.
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
