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
		{name: "no items: the empty set", want: ""},
		{name: "single addresses", items: []string{"192.0.2.1", "2001:db8::1"}, want: "192.0.2.1,2001:db8::1"},
		{name: "single addresses with their length", items: []string{"192.0.2.1/32", "2001:db8::1/128"}, want: "192.0.2.1,2001:db8::1"},
		{name: "networks", items: []string{"10.0.0.0/8", "2001:db8::/32"}, want: "10.0.0.0/8,2001:db8::/32"},
		{name: "keywords", items: []string{"loopback", "linklocal", "unix"}, want: "127.0.0.0/8,169.254.0.0/16,::1,fe80::/10,unix"},
		{name: "a comma-separated list", items: []string{"10.0.0.0/8, ::1"}, want: "10.0.0.0/8,::1"},
		{name: "lists and items together", items: []string{"10.0.0.0/8,unix", "::1"}, want: "10.0.0.0/8,::1,unix"},
		{name: "blanks around items", items: []string{" \t10.0.0.0/8\r\n", "\t::1 ,\n unix "}, want: "10.0.0.0/8,::1,unix"},
		{name: "IPv6 in any spelling", items: []string{"2001:DB8:0:0::/32", "0:0:0:0:0:0:0:1"}, want: "::1,2001:db8::/32"},
		{name: "mapped address", items: []string{"::ffff:1.2.3.4"}, want: "1.2.3.4"},
		{name: "mapped address in hexadecimal", items: []string{"::ffff:102:304"}, want: "1.2.3.4"},
		{name: "mapped address with its length", items: []string{"::ffff:1.2.3.4/128"}, want: "1.2.3.4"},
		{name: "mapped network", items: []string{"::ffff:10.0.0.0/104"}, want: "10.0.0.0/8"},
		{name: "mapped: all of IPv4", items: []string{"::ffff:0:0/96"}, want: "0.0.0.0/0"},
		{name: "all of IPv6 stays IPv6", items: []string{"::/0"}, want: "::/0"},
		{name: "an excluded address", items: []string{"10.0.0.0/30", "!10.0.0.2"}, want: "10.0.0.0/31,10.0.0.3"},
		{name: "an exclusion in front of what it excludes from", items: []string{"!10.0.0.2, 10.0.0.0/30"}, want: "10.0.0.0/31,10.0.0.3"},
		{name: "an exclusion of what was not included", items: []string{"10.0.0.0/8", "!192.0.2.1"}, want: "10.0.0.0/8"},
		{name: "an exclusion larger than what is included", items: []string{"10.0.0.0/9", "10.128.0.1", "!10.0.0.0/8"}, want: ""},
		{name: "exclusions alone", items: []string{"!10.0.0.7"}, want: ""},
		{name: "an exclusion wins over the same item", items: []string{"10.0.0.7", "!10.0.0.7", "10.0.0.7"}, want: ""},
		{name: "an excluded keyword", items: []string{"10.0.0.0/7", "!private"}, want: "11.0.0.0/8"},
		{name: "unix excluded", items: []string{"unix", "::1", "!unix"}, want: "::1"},
		{name: "an excluded mapped network", items: []string{"10.0.0.0/8", "!::ffff:10.0.0.0/105"}, want: "10.128.0.0/9"},
		{name: "IPv6 excluded does not exclude IPv4", items: []string{"10.0.0.0/8", "::1", "!::/0"}, want: "10.0.0.0/8"},
		{name: "IPv4-compatible is plain IPv6", items: []string{"::1.2.3.4"}, want: "::102:304"},
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
		{name: "the empty string", items: []string{""}, index: 0, item: "", err: trustnet.ErrEmpty,
			text: `trustnet: item 1: "": empty item: remove it; to trust no peer, pass no items`},
		{name: "a blank string", items: []string{"::1", " \t"}, index: 1, item: "", err: trustnet.ErrEmpty,
			text: `trustnet: item 2: "": empty item: remove it; to trust no peer, pass no items`},
		{name: "two commas", items: []string{"::1,,unix"}, index: 1, item: "", err: trustnet.ErrEmpty, text: `item 2: ""`},
		{name: "a comma at the end", items: []string{"::1,"}, index: 1, item: "", err: trustnet.ErrEmpty, text: `item 2: ""`},
		{name: "a comma at the start", items: []string{",::1"}, index: 0, item: "", err: trustnet.ErrEmpty, text: `item 1: ""`},
		{name: "Index counts over all lists", items: []string{"::1, unix", "loopback,  x ,::1"}, index: 3, item: "x", err: trustnet.ErrSyntax,
			text: `trustnet: item 4: "x": ` + usage},
		{name: "the first bad item counts", items: []string{"x", ""}, index: 0, item: "x", err: trustnet.ErrSyntax, text: `item 1: "x"`},

		{name: "host bits, IPv4", items: []string{"10.1.2.3/8"}, index: 0, item: "10.1.2.3/8", err: trustnet.ErrHostBits,
			text: `trustnet: item 1: "10.1.2.3/8": host bits set: write 10.0.0.0/8 for the network or 10.1.2.3/32 for the one address`},
		{name: "host bits, IPv6", items: []string{"2001:db8::1/32"}, index: 0, item: "2001:db8::1/32", err: trustnet.ErrHostBits,
			text: `write 2001:db8::/32 for the network or 2001:db8::1/128 for the one address`},
		{name: "host bits, mapped", items: []string{"::ffff:10.1.2.3/104"}, index: 0, item: "::ffff:10.1.2.3/104", err: trustnet.ErrHostBits,
			text: `write 10.0.0.0/8 for the network or 10.1.2.3/32 for the one address`},
		{name: "host bits under /0", items: []string{"1.2.3.4/0"}, index: 0, item: "1.2.3.4/0", err: trustnet.ErrHostBits, text: `write 0.0.0.0/0`},

		{name: "host bits in an exclusion", items: []string{"!10.1.2.3/8"}, index: 0, item: "!10.1.2.3/8", err: trustnet.ErrHostBits,
			text: `trustnet: item 1: "!10.1.2.3/8": host bits set: write !10.0.0.0/8 for the network or !10.1.2.3/32 for the one address`},
		{name: "an exclusion of nothing", items: []string{"::1", "!"}, index: 1, item: "!", err: trustnet.ErrSyntax, text: `trustnet: item 2: "!": ` + usage},
		{name: "an exclusion twice", items: []string{"!!::1"}, index: 0, item: "!!::1", err: trustnet.ErrSyntax, text: usage},
		{name: "a blank in an exclusion", items: []string{"! ::1"}, index: 0, item: "! ::1", err: trustnet.ErrSyntax, text: usage + ": write !::1"},
		{name: "a blank in an excluded network with host bits", items: []string{"! 10.0.0.1/8"}, index: 0, item: "! 10.0.0.1/8", err: trustnet.ErrSyntax, text: usage},
		{name: "an exclusion mark behind", items: []string{"::1!"}, index: 0, item: "::1!", err: trustnet.ErrSyntax, text: usage},
		{name: "an excluded zone", items: []string{"!fe80::1%eth0"}, index: 0, item: "!fe80::1%eth0", err: trustnet.ErrZone, text: `remove %eth0`},
		{name: "an excluded mapped network", items: []string{"!::ffff:10.0.0.0/8"}, index: 0, item: "!::ffff:10.0.0.0/8", err: trustnet.ErrMapped, text: `IPv4 form`},
		{name: "a DNS name", items: []string{"dns:proxy"}, index: 0, item: "dns:proxy", err: trustnet.ErrSyntax, text: `does not accept DNS names: list the addresses, or use trustnet.Names`},
		{name: "an excluded DNS name", items: []string{"!dns:proxy"}, index: 0, item: "!dns:proxy", err: trustnet.ErrSyntax, text: `a name cannot be excluded`},

		{name: "zone", items: []string{"fe80::1%eth0"}, index: 0, item: "fe80::1%eth0", err: trustnet.ErrZone,
			text: `trustnet: item 1: "fe80::1%eth0": zones are not supported: remove %eth0`},
		{name: "zone in a network", items: []string{"fe80::%eth0/10"}, index: 0, item: "fe80::%eth0/10", err: trustnet.ErrZone, text: `remove %eth0`},
		{name: "zone after a network", items: []string{"fe80::/10%eth0"}, index: 0, item: "fe80::/10%eth0", err: trustnet.ErrZone, text: `remove %eth0`},
		{name: "empty zone", items: []string{"fe80::1%"}, index: 0, item: "fe80::1%", err: trustnet.ErrZone, text: `remove %`},
		{name: "zone on a mapped address", items: []string{"::ffff:1.2.3.4%1"}, index: 0, item: "::ffff:1.2.3.4%1", err: trustnet.ErrZone, text: `remove %1`},
		{name: "a percent sign in no address", items: []string{"50%"}, index: 0, item: "50%", err: trustnet.ErrSyntax, text: usage},

		{name: "mapped, shorter than /96", items: []string{"::ffff:0.0.0.0/95"}, index: 0, item: "::ffff:0.0.0.0/95", err: trustnet.ErrMapped,
			text: `trustnet: item 1: "::ffff:0.0.0.0/95": IPv4-mapped network with a prefix shorter than /96: write the network in IPv4 form, such as 10.0.0.0/8`},
		{name: "mapped, with the length of IPv4", items: []string{"::ffff:10.0.0.0/8"}, index: 0, item: "::ffff:10.0.0.0/8", err: trustnet.ErrMapped, text: `IPv4 form`},

		{name: "upper-case keyword", items: []string{"Loopback"}, index: 0, item: "Loopback", err: trustnet.ErrSyntax, text: usage + ": write loopback"},
		{name: "keyword spelt with a letter that only folds to k", items: []string{"loopbac\u212a"}, index: 0, item: "loopbac\u212a", err: trustnet.ErrSyntax, text: usage},
		{name: "host name", items: []string{"localhost"}, index: 0, item: "localhost", err: trustnet.ErrSyntax,
			text: usage + ": write 127.0.0.1 and ::1, or loopback"},
		{name: "excluded host name", items: []string{"!localhost"}, index: 0, item: "!localhost", err: trustnet.ErrSyntax,
			text: usage + ": write !127.0.0.1 and !::1, or !loopback"},
		{name: "host name without dns:", items: []string{"proxy.example.com"}, index: 0, item: "proxy.example.com", err: trustnet.ErrSyntax,
			text: usage + ": if it is a DNS name, list its addresses"},
		{name: "port", items: []string{"10.0.0.1:25"}, index: 0, item: "10.0.0.1:25", err: trustnet.ErrSyntax, text: usage + ": write 10.0.0.1"},
		{name: "brackets", items: []string{"[::1]"}, index: 0, item: "[::1]", err: trustnet.ErrSyntax, text: usage + ": write ::1"},
		{name: "brackets and a port", items: []string{"![2001:db8::1]:25"}, index: 0, item: "![2001:db8::1]:25", err: trustnet.ErrSyntax, text: usage + ": write !2001:db8::1"},
		{name: "range", items: []string{"10.0.0.1-10.0.0.9"}, index: 0, item: "10.0.0.1-10.0.0.9", err: trustnet.ErrSyntax,
			text: usage + ": a range is not accepted: list its networks"},
		{name: "prefix too long for IPv4", items: []string{"10.0.0.0/33"}, index: 0, item: "10.0.0.0/33", err: trustnet.ErrSyntax, text: usage},
		{name: "prefix too long for IPv6", items: []string{"::/129"}, index: 0, item: "::/129", err: trustnet.ErrSyntax, text: usage},
		{name: "prefix with a leading zero", items: []string{"10.0.0.0/08"}, index: 0, item: "10.0.0.0/08", err: trustnet.ErrSyntax, text: usage},
		{name: "prefix with a sign", items: []string{"10.0.0.0/+8"}, index: 0, item: "10.0.0.0/+8", err: trustnet.ErrSyntax, text: usage},
		{name: "no prefix", items: []string{"10.0.0.0/"}, index: 0, item: "10.0.0.0/", err: trustnet.ErrSyntax, text: usage},
		{name: "netmask", items: []string{"10.0.0.0/255.0.0.0"}, index: 0, item: "10.0.0.0/255.0.0.0", err: trustnet.ErrSyntax, text: usage + ": write 10.0.0.0/8"},
		{name: "excluded netmask", items: []string{"!10.0.0.0/255.255.0.0"}, index: 0, item: "!10.0.0.0/255.255.0.0", err: trustnet.ErrSyntax, text: usage + ": write !10.0.0.0/16"},
		{name: "prefix on a keyword", items: []string{"private/8"}, index: 0, item: "private/8", err: trustnet.ErrSyntax, text: usage},
		{name: "short IPv4", items: []string{"127.1"}, index: 0, item: "127.1", err: trustnet.ErrSyntax, text: usage},
		{name: "octal IPv4", items: []string{"010.0.0.1"}, index: 0, item: "010.0.0.1", err: trustnet.ErrSyntax, text: usage},
		{name: "blank inside", items: []string{"10.0.0.1 10.0.0.2"}, index: 0, item: "10.0.0.1 10.0.0.2", err: trustnet.ErrSyntax,
			text: usage + ": separate items with commas"},
		{name: "semicolon", items: []string{"loopback;!10.0.0.0/8;unix"}, index: 0, item: "loopback;!10.0.0.0/8;unix", err: trustnet.ErrSyntax,
			text: usage + ": separate items with commas"},
		{name: "no-break space", items: []string{"\u00a0::1"}, index: 0, item: "\u00a0::1", err: trustnet.ErrSyntax, text: `"\u00a0::1"`},
		{name: "comment", items: []string{"::1 # me"}, index: 0, item: "::1 # me", err: trustnet.ErrSyntax, text: usage},
		{name: "an item of any length", items: []string{strings.Repeat("1", 1<<20)}, index: 0, item: strings.Repeat("1", 1<<20), err: trustnet.ErrSyntax,
			text: `item 1: "` + strings.Repeat("1", 100) + `": `},
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
		{name: "IPv4", items: []string{"192.168.0.1/24"}, want: "192.168.0.0/24"},
		{name: "IPv6", items: []string{"2001:db8::1/32"}, want: "2001:db8::/32"},
		{name: "mapped", items: []string{"::ffff:10.1.2.3/104"}, want: "10.0.0.0/8"},
		{name: "an exclusion", items: []string{"10.0.0.0/8", "!10.200.0.1/9"}, want: "10.0.0.0/9"},
		{name: "addresses stay addresses", items: []string{"192.0.2.1, 2001:db8::1/128", "192.0.2.7/32"}, want: "192.0.2.1,192.0.2.7,2001:db8::1"},
		{name: "items without host bits", items: []string{"loopback, unix", "10.0.0.0/8"}, want: "10.0.0.0/8,127.0.0.0/8,::1,unix"},
		{name: "everything", items: []string{"1.2.3.4/0"}, want: "0.0.0.0/0"},
		{name: "no items", want: ""},
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
		{name: "a zone", item: "fe80::1%eth0/10", err: trustnet.ErrZone},
		{name: "mapped, shorter than /96", item: "::ffff:10.1.2.3/8", err: trustnet.ErrMapped},
		{name: "an empty item", item: "", err: trustnet.ErrEmpty},
		{name: "no network", item: "192.168.0.1/33", err: trustnet.ErrSyntax},
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
	long := strings.Repeat("x", 1<<17) // twice the limit of a bufio.Scanner
	tests := []struct{ name, text, want string }{
		{name: "empty", text: "", want: ""},
		{name: "one item a line", text: "10.0.0.0/8\n::1\nunix\n", want: "10.0.0.0/8,::1,unix"},
		{name: "no newline at the end", text: "10.0.0.0/8\n::1", want: "10.0.0.0/8,::1"},
		{name: "whole-line comments and blank lines", text: "# proxies\n\n  # more\n \t\n10.0.0.0/8\n\n#", want: "10.0.0.0/8"},
		{name: "trailing comments", text: "10.0.0.0/8 # office\n::1# host\n", want: "10.0.0.0/8,::1"},
		{name: "commented out", text: "#10.0.0.0/8\n::1\n", want: "::1"},
		{name: "only comments", text: "# nothing\n", want: ""},
		{name: "CRLF", text: "10.0.0.0/8\r\n\r\n::1 # x\r\nunix\r\n", want: "10.0.0.0/8,::1,unix"},
		{name: "byte order mark", text: "\ufeff10.0.0.0/8\n::1\n", want: "10.0.0.0/8,::1"},
		{name: "byte order mark before a comment", text: "\ufeff# x\r\n::1\r\n", want: "::1"},
		{name: "byte order mark alone", text: "\ufeff", want: ""},
		{name: "blanks around items", text: "\t 10.0.0.0/8 \t\n", want: "10.0.0.0/8"},
		{name: "a comment of any length", text: "# " + long + "\n::1 # " + long + "\nunix", want: "::1,unix"},
		{name: "exclusions", text: "!10.0.0.2 # the monitor\n10.0.0.0/30\n", want: "10.0.0.0/31,10.0.0.3"},
		{name: "keywords", text: "loopback\nlinklocal\n", want: "127.0.0.0/8,169.254.0.0/16,::1,fe80::/10"},
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
		{name: "the line is counted with comments and blanks", text: "# a\n\n::1\n10.1.2.3/8 # b\n", index: 3, item: "10.1.2.3/8", err: trustnet.ErrHostBits,
			message: `trustnet: line 4: "10.1.2.3/8": host bits set: write 10.0.0.0/8 for the network or 10.1.2.3/32 for the one address`},
		{name: "the last line without a newline", text: "::1\r\nx", index: 1, item: "x", err: trustnet.ErrSyntax, message: `trustnet: line 2: "x": `},
		{name: "the first line", text: "x\n::1\n", index: 0, item: "x", err: trustnet.ErrSyntax, message: `trustnet: line 1: "x": `},
		{name: "a list in a line", text: "10.0.0.0/8, ::1\n", index: 0, item: "10.0.0.0/8, ::1", err: trustnet.ErrSyntax, message: `unix: write one item a line`},
		{name: "two items in a line", text: "10.0.0.0/8 ::1\n", index: 0, item: "10.0.0.0/8 ::1", err: trustnet.ErrSyntax, message: `unix: write one item a line`},
		{name: "lines that end with CR alone", text: "10.0.0.0/8\r::1\r", index: 0, item: "10.0.0.0/8\r::1", err: trustnet.ErrSyntax, message: `"10.0.0.0/8\r::1"`},
		{name: "a second byte order mark", text: "::1\n\ufeff::1\n", index: 1, item: "\ufeff::1", err: trustnet.ErrSyntax, message: `line 2: "\ufeff::1"`},
		{name: "another comment sign", text: "; x\n", index: 0, item: "; x", err: trustnet.ErrSyntax, message: `line 1`},
		{name: "a web page in place of a list", text: "<!doctype html>\n<p>", index: 0, item: "<!doctype html>", err: trustnet.ErrSyntax, message: `line 1`},
		{name: "a zone", text: "fe80::1%eth0\n", index: 0, item: "fe80::1%eth0", err: trustnet.ErrZone, message: `line 1`},
		{name: "a mapped network", text: "::ffff:0:0/95\n", index: 0, item: "::ffff:0:0/95", err: trustnet.ErrMapped, message: `line 1`},
		{name: "a long line is an error, not an end", text: "::1\n" + long + "\nunix\n", index: 1, item: long, err: trustnet.ErrSyntax, message: `line 2: "111`},
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
		{name: "none: the empty set", want: ""},
		{name: "networks", in: []netip.Prefix{p("10.0.0.0/8"), p("2001:db8::/32")}, want: "10.0.0.0/8,2001:db8::/32"},
		{name: "mapped", in: []netip.Prefix{p("::ffff:10.0.0.0/104")}, want: "10.0.0.0/8"},
		{name: "mapped address", in: []netip.Prefix{p("::ffff:10.0.0.1/128")}, want: "10.0.0.1"},
		{name: "all", in: []netip.Prefix{p("::/0"), p("0.0.0.0/0")}, want: "0.0.0.0/0,::/0"},
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
		{name: "the zero Prefix", bad: netip.Prefix{}, item: "invalid Prefix", err: trustnet.ErrSyntax, message: `item 2: "invalid Prefix"`},
		{name: "an invalid Prefix", bad: netip.PrefixFrom(netip.MustParseAddr("::1"), 129), item: "invalid Prefix", err: trustnet.ErrSyntax, message: `item 2`},
		{name: "host bits", bad: p("10.1.2.3/8"), item: "10.1.2.3/8", err: trustnet.ErrHostBits,
			message: `write 10.0.0.0/8 for the network or 10.1.2.3/32 for the one address`},
		{name: "host bits, mapped", bad: p("::ffff:10.1.2.3/104"), item: "::ffff:10.1.2.3/104", err: trustnet.ErrHostBits, message: `write 10.0.0.0/8`},
		{name: "mapped, shorter than /96", bad: p("::ffff:0.0.0.0/95"), item: "::ffff:0.0.0.0/95", err: trustnet.ErrMapped, message: `IPv4 form`},
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

// A suggested correction must parse, and must not be wider than the item.
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
