package trustnet_test

import (
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/trustnet"
)

func TestParseAccepts(t *testing.T) {
	tests := []struct {
		name  string
		items []string
		want  string
	}{
		{"no items: the empty set", nil, ""},
		{"single addresses", []string{"192.0.2.1", "2001:db8::1"}, "192.0.2.1,2001:db8::1"},
		{"single addresses with their length", []string{"192.0.2.1/32", "2001:db8::1/128"}, "192.0.2.1,2001:db8::1"},
		{"networks", []string{"10.0.0.0/8", "2001:db8::/32"}, "10.0.0.0/8,2001:db8::/32"},
		{"keywords", []string{"loopback", "linklocal", "unix"}, "127.0.0.0/8,169.254.0.0/16,::1,fe80::/10,unix"},
		{"a comma-separated list", []string{"10.0.0.0/8, ::1"}, "10.0.0.0/8,::1"},
		{"lists and items together", []string{"10.0.0.0/8,unix", "::1"}, "10.0.0.0/8,::1,unix"},
		{"blanks around items", []string{" \t10.0.0.0/8\r\n", "\t::1 ,\n unix "}, "10.0.0.0/8,::1,unix"},
		{"IPv6 in any spelling", []string{"2001:DB8:0:0::/32", "0:0:0:0:0:0:0:1"}, "::1,2001:db8::/32"},
		{"mapped address", []string{"::ffff:1.2.3.4"}, "1.2.3.4"},
		{"mapped address in hexadecimal", []string{"::ffff:102:304"}, "1.2.3.4"},
		{"mapped address with its length", []string{"::ffff:1.2.3.4/128"}, "1.2.3.4"},
		{"mapped network", []string{"::ffff:10.0.0.0/104"}, "10.0.0.0/8"},
		{"mapped: all of IPv4", []string{"::ffff:0:0/96"}, "0.0.0.0/0"},
		{"all of IPv6 stays IPv6", []string{"::/0"}, "::/0"},
		{"an excluded address", []string{"10.0.0.0/30", "!10.0.0.2"}, "10.0.0.0/31,10.0.0.3"},
		{"an exclusion in front of what it excludes from", []string{"!10.0.0.2, 10.0.0.0/30"}, "10.0.0.0/31,10.0.0.3"},
		{"an exclusion of what was not included", []string{"10.0.0.0/8", "!192.0.2.1"}, "10.0.0.0/8"},
		{"an exclusion larger than what is included", []string{"10.0.0.0/9", "10.128.0.1", "!10.0.0.0/8"}, ""},
		{"exclusions alone", []string{"!10.0.0.7"}, ""},
		{"an exclusion wins over the same item", []string{"10.0.0.7", "!10.0.0.7", "10.0.0.7"}, ""},
		{"an excluded keyword", []string{"10.0.0.0/7", "!private"}, "11.0.0.0/8"},
		{"unix excluded", []string{"unix", "::1", "!unix"}, "::1"},
		{"an excluded mapped network", []string{"10.0.0.0/8", "!::ffff:10.0.0.0/105"}, "10.128.0.0/9"},
		{"IPv6 excluded does not exclude IPv4", []string{"10.0.0.0/8", "::1", "!::/0"}, "10.0.0.0/8"},
		{"IPv4-compatible is plain IPv6", []string{"::1.2.3.4"}, "::102:304"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := trustnet.Parse(tt.items...)
			require.NoError(t, err)
			require.Equal(t, tt.want, s.String())
		})
	}
}

func TestParseRefuses(t *testing.T) {
	const usage = "not an IP address, a network such as 10.0.0.0/8, or one of loopback, private, linklocal, unix"
	tests := []struct {
		name  string
		items []string
		index int
		item  string
		err   error
		text  string
	}{
		{"the empty string", []string{""}, 0, "", trustnet.ErrEmpty,
			`trustnet: item 1: "": empty item: remove it; to trust no peer, pass no items`},
		{"a blank string", []string{"::1", " \t"}, 1, "", trustnet.ErrEmpty,
			`trustnet: item 2: "": empty item: remove it; to trust no peer, pass no items`},
		{"two commas", []string{"::1,,unix"}, 1, "", trustnet.ErrEmpty, `item 2: ""`},
		{"a comma at the end", []string{"::1,"}, 1, "", trustnet.ErrEmpty, `item 2: ""`},
		{"a comma at the start", []string{",::1"}, 0, "", trustnet.ErrEmpty, `item 1: ""`},
		{"Index counts over all lists", []string{"::1, unix", "loopback,  x ,::1"}, 3, "x", trustnet.ErrSyntax,
			`trustnet: item 4: "x": ` + usage},
		{"the first bad item counts", []string{"x", ""}, 0, "x", trustnet.ErrSyntax, `item 1: "x"`},

		{"host bits, IPv4", []string{"10.1.2.3/8"}, 0, "10.1.2.3/8", trustnet.ErrHostBits,
			`trustnet: item 1: "10.1.2.3/8": host bits set: write 10.0.0.0/8 for the network or 10.1.2.3/32 for the one address`},
		{"host bits, IPv6", []string{"2001:db8::1/32"}, 0, "2001:db8::1/32", trustnet.ErrHostBits,
			`write 2001:db8::/32 for the network or 2001:db8::1/128 for the one address`},
		{"host bits, mapped", []string{"::ffff:10.1.2.3/104"}, 0, "::ffff:10.1.2.3/104", trustnet.ErrHostBits,
			`write 10.0.0.0/8 for the network or 10.1.2.3/32 for the one address`},
		{"host bits under /0", []string{"1.2.3.4/0"}, 0, "1.2.3.4/0", trustnet.ErrHostBits, `write 0.0.0.0/0`},

		{"host bits in an exclusion", []string{"!10.1.2.3/8"}, 0, "!10.1.2.3/8", trustnet.ErrHostBits,
			`trustnet: item 1: "!10.1.2.3/8": host bits set: write !10.0.0.0/8 for the network or !10.1.2.3/32 for the one address`},
		{"an exclusion of nothing", []string{"::1", "!"}, 1, "!", trustnet.ErrSyntax, `trustnet: item 2: "!": ` + usage},
		{"an exclusion twice", []string{"!!::1"}, 0, "!!::1", trustnet.ErrSyntax, usage},
		{"a blank in an exclusion", []string{"! ::1"}, 0, "! ::1", trustnet.ErrSyntax, usage + ": write !::1"},
		{"a blank in an excluded network with host bits", []string{"! 10.0.0.1/8"}, 0, "! 10.0.0.1/8", trustnet.ErrSyntax, usage},
		{"an exclusion mark behind", []string{"::1!"}, 0, "::1!", trustnet.ErrSyntax, usage},
		{"an excluded zone", []string{"!fe80::1%eth0"}, 0, "!fe80::1%eth0", trustnet.ErrZone, `remove %eth0`},
		{"an excluded mapped network", []string{"!::ffff:10.0.0.0/8"}, 0, "!::ffff:10.0.0.0/8", trustnet.ErrMapped, `IPv4 form`},
		{"a DNS name", []string{"dns:proxy"}, 0, "dns:proxy", trustnet.ErrSyntax, `does not accept DNS names: list the addresses, or use trustnet.Names`},
		{"an excluded DNS name", []string{"!dns:proxy"}, 0, "!dns:proxy", trustnet.ErrSyntax, `a name cannot be excluded`},

		{"zone", []string{"fe80::1%eth0"}, 0, "fe80::1%eth0", trustnet.ErrZone,
			`trustnet: item 1: "fe80::1%eth0": zones are not supported: remove %eth0`},
		{"zone in a network", []string{"fe80::%eth0/10"}, 0, "fe80::%eth0/10", trustnet.ErrZone, `remove %eth0`},
		{"zone after a network", []string{"fe80::/10%eth0"}, 0, "fe80::/10%eth0", trustnet.ErrZone, `remove %eth0`},
		{"empty zone", []string{"fe80::1%"}, 0, "fe80::1%", trustnet.ErrZone, `remove %`},
		{"zone on a mapped address", []string{"::ffff:1.2.3.4%1"}, 0, "::ffff:1.2.3.4%1", trustnet.ErrZone, `remove %1`},
		{"a percent sign in no address", []string{"50%"}, 0, "50%", trustnet.ErrSyntax, usage},

		{"mapped, shorter than /96", []string{"::ffff:0.0.0.0/95"}, 0, "::ffff:0.0.0.0/95", trustnet.ErrMapped,
			`trustnet: item 1: "::ffff:0.0.0.0/95": IPv4-mapped network with a prefix shorter than /96: write the network in IPv4 form, such as 10.0.0.0/8`},
		{"mapped, with the length of IPv4", []string{"::ffff:10.0.0.0/8"}, 0, "::ffff:10.0.0.0/8", trustnet.ErrMapped, `IPv4 form`},

		{"upper-case keyword", []string{"Loopback"}, 0, "Loopback", trustnet.ErrSyntax, usage + ": write loopback"},
		{"keyword spelt with a letter that only folds to k", []string{"loopbac\u212a"}, 0, "loopbac\u212a", trustnet.ErrSyntax, usage},
		{"host name", []string{"localhost"}, 0, "localhost", trustnet.ErrSyntax,
			usage + ": write 127.0.0.1 and ::1, or loopback"},
		{"excluded host name", []string{"!localhost"}, 0, "!localhost", trustnet.ErrSyntax,
			usage + ": write !127.0.0.1 and !::1, or !loopback"},
		{"host name without dns:", []string{"proxy.example.com"}, 0, "proxy.example.com", trustnet.ErrSyntax,
			usage + ": if it is a DNS name, list its addresses"},
		{"port", []string{"10.0.0.1:25"}, 0, "10.0.0.1:25", trustnet.ErrSyntax, usage + ": write 10.0.0.1"},
		{"brackets", []string{"[::1]"}, 0, "[::1]", trustnet.ErrSyntax, usage + ": write ::1"},
		{"brackets and a port", []string{"![2001:db8::1]:25"}, 0, "![2001:db8::1]:25", trustnet.ErrSyntax, usage + ": write !2001:db8::1"},
		{"range", []string{"10.0.0.1-10.0.0.9"}, 0, "10.0.0.1-10.0.0.9", trustnet.ErrSyntax,
			usage + ": a range is not accepted: list its networks"},
		{"prefix too long for IPv4", []string{"10.0.0.0/33"}, 0, "10.0.0.0/33", trustnet.ErrSyntax, usage},
		{"prefix too long for IPv6", []string{"::/129"}, 0, "::/129", trustnet.ErrSyntax, usage},
		{"prefix with a leading zero", []string{"10.0.0.0/08"}, 0, "10.0.0.0/08", trustnet.ErrSyntax, usage},
		{"prefix with a sign", []string{"10.0.0.0/+8"}, 0, "10.0.0.0/+8", trustnet.ErrSyntax, usage},
		{"no prefix", []string{"10.0.0.0/"}, 0, "10.0.0.0/", trustnet.ErrSyntax, usage},
		{"netmask", []string{"10.0.0.0/255.0.0.0"}, 0, "10.0.0.0/255.0.0.0", trustnet.ErrSyntax, usage + ": write 10.0.0.0/8"},
		{"excluded netmask", []string{"!10.0.0.0/255.255.0.0"}, 0, "!10.0.0.0/255.255.0.0", trustnet.ErrSyntax, usage + ": write !10.0.0.0/16"},
		{"prefix on a keyword", []string{"private/8"}, 0, "private/8", trustnet.ErrSyntax, usage},
		{"short IPv4", []string{"127.1"}, 0, "127.1", trustnet.ErrSyntax, usage},
		{"octal IPv4", []string{"010.0.0.1"}, 0, "010.0.0.1", trustnet.ErrSyntax, usage},
		{"blank inside", []string{"10.0.0.1 10.0.0.2"}, 0, "10.0.0.1 10.0.0.2", trustnet.ErrSyntax,
			usage + ": separate items with commas"},
		{"semicolon", []string{"loopback;!10.0.0.0/8;unix"}, 0, "loopback;!10.0.0.0/8;unix", trustnet.ErrSyntax,
			usage + ": separate items with commas"},
		{"no-break space", []string{"\u00a0::1"}, 0, "\u00a0::1", trustnet.ErrSyntax, `"\u00a0::1"`},
		{"comment", []string{"::1 # me"}, 0, "::1 # me", trustnet.ErrSyntax, usage},
		{"an item of any length", []string{strings.Repeat("1", 1<<20)}, 0, strings.Repeat("1", 1<<20), trustnet.ErrSyntax,
			`item 1: "` + strings.Repeat("1", 100) + `": `},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := trustnet.Parse(tt.items...)
			require.Nil(t, s, "a list with a bad item yields no Set")
			requireParseError(t, err, tt.index, tt.item, tt.err)
			require.Contains(t, err.Error(), tt.text)
		})
	}
}

func TestParseMaskedClearsHostBits(t *testing.T) {
	tests := []struct {
		name  string
		items []string
		want  string
	}{
		{"IPv4", []string{"192.168.0.1/24"}, "192.168.0.0/24"},
		{"IPv6", []string{"2001:db8::1/32"}, "2001:db8::/32"},
		{"mapped", []string{"::ffff:10.1.2.3/104"}, "10.0.0.0/8"},
		{"an exclusion", []string{"10.0.0.0/8", "!10.200.0.1/9"}, "10.0.0.0/9"},
		{"addresses stay addresses", []string{"192.0.2.1, 2001:db8::1/128", "192.0.2.7/32"}, "192.0.2.1,192.0.2.7,2001:db8::1"},
		{"items without host bits", []string{"loopback, unix", "10.0.0.0/8"}, "10.0.0.0/8,127.0.0.0/8,::1,unix"},
		{"everything", []string{"1.2.3.4/0"}, "0.0.0.0/0"},
		{"no items", nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := trustnet.ParseMasked(tt.items...)
			require.NoError(t, err)
			require.Equal(t, tt.want, s.String())
		})
	}
	for _, tt := range []struct {
		name, item string
		err        error
	}{
		{"a zone", "fe80::1%eth0/10", trustnet.ErrZone},
		{"mapped, shorter than /96", "::ffff:10.1.2.3/8", trustnet.ErrMapped},
		{"an empty item", "", trustnet.ErrEmpty},
		{"no network", "192.168.0.1/33", trustnet.ErrSyntax},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := trustnet.ParseMasked("10.1.2.3/8", tt.item)
			require.Nil(t, s)
			requireParseError(t, err, 1, tt.item, tt.err)
		})
	}
}

func requireParseError(t *testing.T, err error, index int, item string, reason error) {
	t.Helper()
	var pe *trustnet.ParseError
	require.ErrorAs(t, err, &pe)
	require.Equal(t, index, pe.Index)
	require.Equal(t, item, pe.Item)
	require.True(t, strings.HasPrefix(err.Error(), "trustnet: "), err.Error())
	for _, e := range []error{trustnet.ErrEmpty, trustnet.ErrSyntax, trustnet.ErrHostBits, trustnet.ErrZone, trustnet.ErrMapped} {
		require.Equal(t, e == reason, errors.Is(err, e), "%v is %v", err, e)
	}
}

func TestMustParsePanicsWithParseError(t *testing.T) {
	require.Equal(t, "::1", trustnet.MustParse("::1").String())
	require.PanicsWithError(t, `trustnet: item 1: "10.1.2.3/8": host bits set: `+
		`write 10.0.0.0/8 for the network or 10.1.2.3/32 for the one address`, func() { trustnet.MustParse("10.1.2.3/8") })
}

func TestReadAccepts(t *testing.T) {
	long := strings.Repeat("x", 1<<17) // twice what a bufio.Scanner takes
	tests := []struct{ name, text, want string }{
		{"empty", "", ""},
		{"one item a line", "10.0.0.0/8\n::1\nunix\n", "10.0.0.0/8,::1,unix"},
		{"no newline at the end", "10.0.0.0/8\n::1", "10.0.0.0/8,::1"},
		{"whole-line comments and blank lines", "# proxies\n\n  # more\n \t\n10.0.0.0/8\n\n#", "10.0.0.0/8"},
		{"trailing comments", "10.0.0.0/8 # office\n::1# host\n", "10.0.0.0/8,::1"},
		{"commented out", "#10.0.0.0/8\n::1\n", "::1"},
		{"only comments", "# nothing\n", ""},
		{"CRLF", "10.0.0.0/8\r\n\r\n::1 # x\r\nunix\r\n", "10.0.0.0/8,::1,unix"},
		{"byte order mark", "\ufeff10.0.0.0/8\n::1\n", "10.0.0.0/8,::1"},
		{"byte order mark before a comment", "\ufeff# x\r\n::1\r\n", "::1"},
		{"byte order mark alone", "\ufeff", ""},
		{"blanks around items", "\t 10.0.0.0/8 \t\n", "10.0.0.0/8"},
		{"a comment of any length", "# " + long + "\n::1 # " + long + "\nunix", "::1,unix"},
		{"exclusions", "!10.0.0.2 # the monitor\n10.0.0.0/30\n", "10.0.0.0/31,10.0.0.3"},
		{"keywords", "loopback\nlinklocal\n", "127.0.0.0/8,169.254.0.0/16,::1,fe80::/10"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for name, r := range map[string]io.Reader{
				"whole":            strings.NewReader(tt.text),
				"byte by byte":     iotest.OneByteReader(strings.NewReader(tt.text)),
				"with data at EOF": iotest.DataErrReader(strings.NewReader(tt.text)),
			} {
				s, err := trustnet.Read(r)
				require.NoError(t, err, name)
				require.Equal(t, tt.want, s.String(), name)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	long := strings.Repeat("1", 1<<17)
	tests := []struct {
		name, text string
		index      int
		item       string
		err        error
		message    string
	}{
		{"the line is counted with comments and blanks", "# a\n\n::1\n10.1.2.3/8 # b\n", 3, "10.1.2.3/8", trustnet.ErrHostBits,
			`trustnet: line 4: "10.1.2.3/8": host bits set: write 10.0.0.0/8 for the network or 10.1.2.3/32 for the one address`},
		{"the last line without a newline", "::1\r\nx", 1, "x", trustnet.ErrSyntax, `trustnet: line 2: "x": `},
		{"the first line", "x\n::1\n", 0, "x", trustnet.ErrSyntax, `trustnet: line 1: "x": `},
		{"a list in a line", "10.0.0.0/8, ::1\n", 0, "10.0.0.0/8, ::1", trustnet.ErrSyntax, `unix: write one item a line`},
		{"two items in a line", "10.0.0.0/8 ::1\n", 0, "10.0.0.0/8 ::1", trustnet.ErrSyntax, `unix: write one item a line`},
		{"lines that end with CR alone", "10.0.0.0/8\r::1\r", 0, "10.0.0.0/8\r::1", trustnet.ErrSyntax, `"10.0.0.0/8\r::1"`},
		{"a second byte order mark", "::1\n\ufeff::1\n", 1, "\ufeff::1", trustnet.ErrSyntax, `line 2: "\ufeff::1"`},
		{"another comment sign", "; x\n", 0, "; x", trustnet.ErrSyntax, `line 1`},
		{"a web page in place of a list", "<!doctype html>\n<p>", 0, "<!doctype html>", trustnet.ErrSyntax, `line 1`},
		{"a zone", "fe80::1%eth0\n", 0, "fe80::1%eth0", trustnet.ErrZone, `line 1`},
		{"a mapped network", "::ffff:0:0/95\n", 0, "::ffff:0:0/95", trustnet.ErrMapped, `line 1`},
		{"a long line is an error, not an end", "::1\n" + long + "\nunix\n", 1, long, trustnet.ErrSyntax, `line 2: "111`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := trustnet.Read(strings.NewReader(tt.text))
			require.Nil(t, s)
			requireParseError(t, err, tt.index, tt.item, tt.err)
			require.Contains(t, err.Error(), tt.message)
		})
	}
}

func TestReadReturnsErrorOfReader(t *testing.T) {
	broken := errors.New("disk on fire")
	for name, text := range map[string]string{
		"at once": "", "after valid items": "::1\n10.0.0.0/8\n", "in an item": "::1\n10.0.0.0/2",
	} {
		t.Run(name, func(t *testing.T) {
			s, err := trustnet.Read(io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken)))
			require.Nil(t, s)
			require.ErrorIs(t, err, broken)
			require.EqualError(t, err, "trustnet: reading the list: disk on fire")
		})
	}
}

func TestFromPrefixes(t *testing.T) {
	p := netip.MustParsePrefix
	accepted := []struct {
		name string
		in   []netip.Prefix
		want string
	}{
		{"none: the empty set", nil, ""},
		{"networks", []netip.Prefix{p("10.0.0.0/8"), p("2001:db8::/32")}, "10.0.0.0/8,2001:db8::/32"},
		{"mapped", []netip.Prefix{p("::ffff:10.0.0.0/104")}, "10.0.0.0/8"},
		{"mapped address", []netip.Prefix{p("::ffff:10.0.0.1/128")}, "10.0.0.1"},
		{"all", []netip.Prefix{p("::/0"), p("0.0.0.0/0")}, "0.0.0.0/0,::/0"},
	}
	for _, tt := range accepted {
		t.Run(tt.name, func(t *testing.T) {
			s, err := trustnet.FromPrefixes(tt.in...)
			require.NoError(t, err)
			require.Equal(t, tt.want, s.String())
		})
	}
	refused := []struct {
		name    string
		bad     netip.Prefix
		item    string
		err     error
		message string
	}{
		{"the zero Prefix", netip.Prefix{}, "invalid Prefix", trustnet.ErrSyntax, `item 2: "invalid Prefix"`},
		{"an invalid Prefix", netip.PrefixFrom(netip.MustParseAddr("::1"), 129), "invalid Prefix", trustnet.ErrSyntax, `item 2`},
		{"host bits", p("10.1.2.3/8"), "10.1.2.3/8", trustnet.ErrHostBits,
			`write 10.0.0.0/8 for the network or 10.1.2.3/32 for the one address`},
		{"host bits, mapped", p("::ffff:10.1.2.3/104"), "::ffff:10.1.2.3/104", trustnet.ErrHostBits, `write 10.0.0.0/8`},
		{"mapped, shorter than /96", p("::ffff:0.0.0.0/95"), "::ffff:0.0.0.0/95", trustnet.ErrMapped, `IPv4 form`},
	}
	for _, tt := range refused {
		t.Run(tt.name, func(t *testing.T) {
			s, err := trustnet.FromPrefixes(p("::1/128"), tt.bad, p("0.0.0.0/0"))
			require.Nil(t, s)
			requireParseError(t, err, 1, tt.item, tt.err)
			require.Contains(t, err.Error(), tt.message)
		})
	}
}

// A correction must be accepted as it is, and must not be wider than what was written.
func TestOnlyCertainCorrections(t *testing.T) {
	for _, item := range []string{
		"10.1.2.3/255.0.0.0", "10.0.0.0/255.0.255.0", "10.0.0.0/0.255.255.255", "10.0.0.0/::", "::/255.0.0.0",
		"[fe80::1%eth0]", "[fe80::1%eth0]:25", "10.0.0.1-10.0.0.9", "127.1", "x", "[]", "10.0.0.1:", "10.0.0.0/8:25",
	} {
		_, err := trustnet.Parse(item)
		require.Error(t, err, item)
		require.NotContains(t, err.Error(), "write", item)
	}
	for item, want := range map[string]string{
		"UNIX": "unix", "LinkLocal": "169.254.0.0/16,fe80::/10", "[::ffff:10.0.0.1]:25": "10.0.0.1", "0.0.0.0/0.0.0.0": "0.0.0.0/0",
	} {
		_, err := trustnet.Parse(item)
		_, correction, _ := strings.Cut(err.Error(), ": write ")
		require.Equal(t, want, trustnet.MustParse(correction).String(), item)
	}
}
