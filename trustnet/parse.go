package trustnet

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"strings"
)

// keywords are the names of networks. The keyword "unix" is not one of them, because it
// names a kind of socket.
var keywords = map[string][]netip.Prefix{
	"loopback": { // RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3
		netip.MustParsePrefix("127.0.0.0/8"),
		netip.MustParsePrefix("::1/128"),
	},
	"private": { // RFC 1918 section 3, RFC 4193 section 3
		netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("fc00::/7"),
	},
	"linklocal": { // RFC 3927 section 2.1, RFC 4291 section 2.5.6
		netip.MustParsePrefix("169.254.0.0/16"),
		netip.MustParsePrefix("fe80::/10"),
	},
}

// blanks are trimmed around an item. Other spaces of Unicode are not, because they come into
// a list by accident, and the error shows them quoted.
const blanks = " \t\r\n"

// Parse returns the set of all the given items. An item is
//
//   - an IP address: 192.0.2.1, 2001:db8::1
//   - a network in CIDR form, without host bits: 10.0.0.0/8, 2001:db8::/32
//   - loopback: 127.0.0.0/8 and ::1
//   - private: 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 (RFC 1918) and
//     fc00::/7 (RFC 4193)
//   - linklocal: 169.254.0.0/16 (RFC 3927) and fe80::/10
//   - unix: every peer on a unix socket
//   - any of these after "!": an exclusion, as in 10.0.0.0/8,!10.0.0.7
//   - several of these, separated by commas, as in an environment variable and in the
//     result of [Set.String]
//
// Blanks around an item are ignored. Keywords are in lower case. IPv4-mapped
// addresses and networks mean the IPv4 ones: ::ffff:10.0.0.0/104 is 10.0.0.0/8.
// An IPv6 network never covers IPv4 addresses, not even ::/0.
//
// Exclusions apply after everything else, whatever the order: !10.0.0.0/8,10.0.0.7
// is the empty set. The Set keeps what remains; it does not remember the
// exclusions.
//
// Parse without arguments returns an empty set; an empty or blank item is an
// error. For a setting that may be empty use [Set.UnmarshalText], for which the
// empty text is the empty set. The first bad item is returned as a [*ParseError]
// without a Set: a list is accepted whole or not at all.
func Parse(items ...string) (*Set, error) { return parse(new(builder), items) }

// ParseMasked is like [Parse] but clears the host bits of a network:
// 192.168.0.1/24 is 192.168.0.0/24. It is for programs whose documentation has
// always allowed host bits. Others use Parse, because an operator who writes
// 10.1.2.3/8 may have meant one address.
func ParseMasked(items ...string) (*Set, error) { return parse(&builder{mask: true}, items) }

func parse(b *builder, items []string) (*Set, error) {
	if err := b.addAll(items); err != nil {
		return nil, err
	}
	return b.set(), nil
}

// MustParse is like [Parse] but panics on a bad item. It is for lists that are
// written in the program.
func MustParse(items ...string) *Set {
	s, err := Parse(items...)
	if err != nil {
		panic(err)
	}
	return s
}

// Read returns the set of the items in r. Each line has one item of [Parse], and no
// commas. From # to the end of the line is a comment. Blank lines, a UTF-8 byte order
// mark and carriage returns at line ends are ignored. Read is meant for the lists that
// sites keep and that CDNs publish.
//
// The first bad item is returned as a [*ParseError] with its line. An error of r is
// returned wrapped. In both cases there is no Set. Input without any
// item gives an empty set, which trusts no peer. A caller that reloads a file may
// want to treat an empty set as a failed download; see [Set.IsEmpty].
//
// Read keeps all of r in memory. To limit the size, use a reader that returns an error at
// the limit, such as [net/http.MaxBytesReader]. With [io.LimitReader] a list that was cut
// off could still be valid.
func Read(r io.Reader) (*Set, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("trustnet: reading the list: %w", err)
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	b := builder{lines: true}
	n := 0
	for line := range strings.SplitSeq(string(text), "\n") {
		item, _, _ := strings.Cut(line, "#")
		item = strings.Trim(item, blanks)
		if item != "" {
			if err := b.addItem(item); err != nil {
				return nil, &ParseError{Index: n, Item: item, Err: err, lines: true}
			}
		}
		n++
	}
	return b.set(), nil
}

// FromPrefixes returns the set of the given networks, by the rules of [Parse]:
// host bits must be zero, and IPv4-mapped networks mean the IPv4 ones. An
// invalid Prefix is ErrSyntax. Errors are of type [*ParseError].
func FromPrefixes(p ...netip.Prefix) (*Set, error) {
	var b builder
	for i, p := range p {
		if err := b.addPrefix(&b.included, p, ""); err != nil {
			return nil, &ParseError{Index: i, Item: p.String(), Err: err}
		}
	}
	return b.set(), nil
}

// A builder collects the items of a list for a Set.
type builder struct {
	mask     bool // clear host bits instead of refusing them
	names    bool // accept dns:NAME
	lines    bool // the list has one item a line
	included items
	excluded items
	hosts    []string
}

type items struct {
	prefixes []netip.Prefix
	unix     bool
}

func (b *builder) set() *Set {
	in := newSet(b.included.prefixes, b.included.unix)
	return in.Without(newSet(b.excluded.prefixes, b.excluded.unix))
}

// addAll adds the items of Parse. Its error is a *ParseError.
func (b *builder) addAll(items []string) error {
	n := 0
	for _, list := range items {
		for item := range strings.SplitSeq(list, ",") {
			item = strings.Trim(item, blanks)
			if err := b.addItem(item); err != nil {
				return &ParseError{Index: n, Item: item, Err: err}
			}
			n++
		}
	}
	return nil
}

func (b *builder) addItem(item string) error {
	if item == "" {
		return fmt.Errorf("%w: remove it; to trust no peer, pass no items", ErrEmpty)
	}
	if rest, ok := strings.CutPrefix(item, "!"); ok {
		return b.add(&b.excluded, rest, "!")
	}
	if name, ok := strings.CutPrefix(item, "dns:"); ok && b.names {
		host, err := parseHost(name)
		b.hosts = append(b.hosts, host)
		return err
	}
	return b.add(&b.included, item, "")
}

// add adds item, which has had the sign in front removed, to the items of that
// sign.
func (b *builder) add(to *items, item, sign string) error {
	if item == "unix" {
		to.unix = true
		return nil
	}
	if k, ok := keywords[item]; ok {
		to.prefixes = append(to.prefixes, k...)
		return nil
	}
	if addr, zone, ok := strings.Cut(item, "%"); ok {
		zone, bits, slash := strings.Cut(zone, "/")
		if slash {
			addr += "/" + bits
		}
		if _, err := parsePrefix(addr); err != nil {
			return ErrSyntax
		}
		return fmt.Errorf("%w: remove %%%s", ErrZone, zone)
	}
	p, err := parsePrefix(item)
	if err != nil {
		return b.syntaxError(item, sign)
	}
	return b.addPrefix(to, p, sign)
}

// parsePrefix parses an address or a network.
func parsePrefix(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		return netip.ParsePrefix(s)
	}
	a, err := netip.ParseAddr(s)
	return netip.PrefixFrom(a, a.BitLen()), err
}

func (b *builder) addPrefix(to *items, p netip.Prefix, sign string) error {
	if !p.IsValid() {
		return ErrSyntax
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return fmt.Errorf("%w: write the network in IPv4 form, such as 10.0.0.0/8", ErrMapped)
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if b.mask {
		p = p.Masked()
	}
	if p != p.Masked() {
		host := netip.PrefixFrom(p.Addr(), p.Addr().BitLen())
		return fmt.Errorf("%w: write %s%v for the network or %s%v for the one address", ErrHostBits, sign, p.Masked(), sign, host)
	}
	to.prefixes = append(to.prefixes, p)
	return nil
}
