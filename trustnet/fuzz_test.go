package trustnet_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/trustnet"
)

// An accepted list survives its text and JSON forms, is minimal, and has exactly the addresses
// of its items. An error names the first bad item.
func FuzzParse(f *testing.F) {
	for _, list := range []string{
		"", " ", ",", "10.0.0.0/8, ::1", "loopback,private,linklocal,unix", "10.1.2.3/8", "fe80::1%eth0", "fe80::%1/10",
		"::ffff:10.0.0.0/104", "::ffff:0:0/95", "::/0", "0.0.0.0/1,128.0.0.0/1", "255.255.255.255,255.255.255.254",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff,::", "2001:db8::8/125,2001:db8::/125,2001:db8:0:1::/64", "Unix", "::1 #", "::1,x",
		"10.0.0.0/8, !10.0.0.7", "!10.0.0.0/8,10.0.0.7", "::/0,!2001:db8::1,!::ffff:10.0.0.0/104", "private,unix,!private,!unix",
		"!", "!!::1", "! ::1", "10.0.0.0/24,!10.0.0.0/25,!10.0.0.128/26", "0.0.0.0/0,!255.255.255.255,!0.0.0.0", "!10.1.2.3/8", "dns:x", "!dns:x",
	} {
		f.Add(list, []byte("\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"))
	}
	f.Fuzz(func(t *testing.T, list string, probe []byte) {
		var items []string
		for _, item := range strings.Split(list, ",") {
			items = append(items, strings.Trim(item, " \t\r\n"))
		}

		s, err := trustnet.Parse(list)
		if err != nil {
			require.Nil(t, s)
			requireFirstBadItem(t, items, err)
			return
		}

		again, err := trustnet.Parse(items...)
		require.NoError(t, err)
		require.Equal(t, s, again, "one list or one item each")
		again = new(trustnet.Set)
		require.NoError(t, again.UnmarshalText([]byte(s.String())))
		require.Equal(t, s, again, "text round trip")
		text, err := json.Marshal(s)
		require.NoError(t, err)
		again = new(trustnet.Set)
		require.NoError(t, json.Unmarshal(text, again))
		require.Equal(t, s, again, "JSON round trip")

		requireMinimal(t, s)
		var included, excluded []string
		for _, item := range items {
			if rest, ok := strings.CutPrefix(item, "!"); ok {
				excluded = append(excluded, rest)
			} else {
				included = append(included, item)
			}
		}
		in, out := naivePrefixes(included), naivePrefixes(excluded)
		require.Equal(t, slices.Contains(included, "unix") && !slices.Contains(excluded, "unix"), s.Unix())
		masked, err := trustnet.ParseMasked(list)
		require.NoError(t, err)
		require.Equal(t, s, masked, "what Parse accepts means the same to ParseMasked")
		probes := []netip.Addr{{}}
		if a, ok := netip.AddrFromSlice(probe); ok {
			probes = append(probes, a, a.Unmap(), a.WithZone("eth0"))
		}
		for _, p := range slices.Concat(s.Prefixes(), in, out) {
			first, last := p.Addr(), lastAddr(p)
			probes = append(probes, first, first.Prev(), last, last.Next(), netip.AddrFrom16(last.As16()))
		}
		for _, a := range probes {
			require.Equal(t, scan(in, a) && !scan(out, a), s.Contains(a), "%v in %v", a, s)
		}
	})
}

// naivePrefixes parses items that Parse has accepted, without checks.
func naivePrefixes(items []string) []netip.Prefix {
	var list []netip.Prefix
	for _, item := range items {
		switch item {
		case "unix":
		case "loopback":
			list = append(list, naivePrefixes([]string{"127.0.0.0/8", "::1"})...)
		case "private":
			list = append(list, naivePrefixes([]string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"})...)
		case "linklocal":
			list = append(list, naivePrefixes([]string{"169.254.0.0/16", "fe80::/10"})...)
		default:
			p, err := netip.ParsePrefix(item)
			if err != nil {
				a := netip.MustParseAddr(item)
				p = netip.PrefixFrom(a, a.BitLen())
			}
			if p.Addr().Is4In6() {
				p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
			}
			list = append(list, p)
		}
	}
	return list
}

// requireFirstBadItem checks that err names the first of items that Parse refuses alone.
func requireFirstBadItem(t *testing.T, items []string, err error) {
	var pe *trustnet.ParseError
	require.ErrorAs(t, err, &pe)
	require.Equal(t, items[pe.Index], pe.Item)
	for i, item := range items[:pe.Index+1] {
		_, alone := trustnet.Parse(item)
		if i < pe.Index {
			require.NoError(t, alone)
			continue
		}
		require.EqualError(t, errors.Unwrap(alone), pe.Err.Error())
	}
	reasons := []error{trustnet.ErrEmpty, trustnet.ErrSyntax, trustnet.ErrHostBits, trustnet.ErrZone, trustnet.ErrMapped}
	require.True(t, slices.ContainsFunc(reasons, func(e error) bool { return errors.Is(err, e) }), "%v", err)
}

// Read accepts what Parse accepts line by line, and counts lines.
func FuzzReadAgreesWithParseOfEachLine(f *testing.F) {
	for _, text := range []string{
		"", "\n", "# x\n10.0.0.0/8\r\n::1 # y\n\nunix", "\ufeffloopback\n", "\ufeff\ufeff::1", "::1\nx", "10.1.2.3/8", "::1,unix\n", "::1\r::2", "#\x00\n\x00",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var items, lines []string // items: those of lines that are not blank
		bad := -1
		for _, line := range strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n") {
			line = strings.Trim(strings.SplitN(line, "#", 2)[0], " \t\r\n")
			lines = append(lines, line)
			if line == "" {
				continue
			}
			items = append(items, line)
			if _, err := trustnet.Parse(line); bad < 0 && (err != nil || strings.Contains(line, ",")) {
				bad = len(lines) - 1
			}
		}
		s, err := trustnet.Read(strings.NewReader(text))
		if bad >= 0 {
			require.Nil(t, s)
			var pe *trustnet.ParseError
			require.ErrorAs(t, err, &pe)
			require.Equal(t, bad, pe.Index)
			require.Equal(t, lines[bad], pe.Item)
			return
		}
		require.NoError(t, err)
		want, err := trustnet.Parse(items...)
		require.NoError(t, err)
		require.Equal(t, want, s)
	})
}
