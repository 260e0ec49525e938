package trustnet

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// syntaxError returns ErrSyntax, with the correction if it is certain. item has had
// the sign of an exclusion, "!" or "", removed.
func (b *builder) syntaxError(item, sign string) error {
	if fix := correction(item); fix != "" {
		return fmt.Errorf("%w: write %s%s", ErrSyntax, sign, fix)
	}
	lower := strings.ToLower(item)
	switch {
	case isList(item) && b.lines:
		return fmt.Errorf("%w: write one item a line", ErrSyntax)
	case isList(item):
		return fmt.Errorf("%w: separate items with commas", ErrSyntax)
	case isRange(item):
		return fmt.Errorf("%w: a range is not accepted: list its networks", ErrSyntax)
	case lower == "localhost":
		return fmt.Errorf("%w: write %[2]s127.0.0.1 and %[2]s::1, or %[2]sloopback", ErrSyntax, sign)
	case strings.HasPrefix(lower, "dns:") && sign == "" && b.names:
		return nameErrorf("the prefix is in lower case: write %s", lower)
	case strings.HasPrefix(lower, "dns:") && sign == "":
		return nameErrorf("this list does not accept DNS names: list the addresses, or use trustnet.Names in the program")
	case strings.HasPrefix(lower, "dns:"):
		return nameErrorf("a name cannot be excluded, because a failed look-up would remove the exclusion: exclude its addresses")
	case isHost(item) && sign == "" && b.names:
		return fmt.Errorf("%w: if it is a DNS name, write dns:%s", ErrSyntax, lower)
	case isHost(item):
		return fmt.Errorf("%w: if it is a DNS name, list its addresses", ErrSyntax)
	}
	return ErrSyntax
}

// isList reports whether item consists of several items with blanks, commas or semicolons
// between them.
func isList(item string) bool {
	fields := strings.FieldsFunc(item, func(r rune) bool { return strings.ContainsRune(blanks+",;", r) })
	for _, f := range fields {
		f = strings.TrimPrefix(f, "!")
		if _, err := parsePrefix(f); err != nil && f != "unix" && keywords[f] == nil {
			return false
		}
	}
	return len(fields) > 1
}

// isRange reports whether item is two addresses with a dash between them.
func isRange(item string) bool {
	from, to, _ := strings.Cut(item, "-")
	_, fromErr := netip.ParseAddr(strings.Trim(from, blanks))
	_, toErr := netip.ParseAddr(strings.Trim(to, blanks))
	return fromErr == nil && toErr == nil
}

// correction returns the intended item, or "". The correction never has more addresses than
// the item.
func correction(item string) string {
	lower := strings.ToLower(item)
	if _, ok := keywords[lower]; ok || lower == "unix" {
		return lower
	}
	if trimmed := strings.Trim(item, blanks); trimmed != item { // after "!"
		if p, err := parsePrefix(trimmed); err == nil && p == p.Masked() {
			return trimmed
		}
	}
	if addr, mask, ok := strings.Cut(item, "/"); ok {
		a, err := netip.ParseAddr(addr)
		m, maskErr := netip.ParseAddr(mask)
		if err != nil || maskErr != nil || !a.Is4() || !m.Is4() {
			return ""
		}
		ones, size := net.IPMask(m.AsSlice()).Size()
		if p := netip.PrefixFrom(a, ones); size == 32 && p == p.Masked() {
			return p.String()
		}
		return ""
	}
	if ap, err := netip.ParseAddrPort(item); err == nil && ap.Addr().Zone() == "" {
		return ap.Addr().String()
	}
	if inner, ok := strings.CutPrefix(item, "["); ok {
		if a, err := netip.ParseAddr(strings.TrimSuffix(inner, "]")); err == nil && a.Zone() == "" {
			return a.String()
		}
	}
	return ""
}
