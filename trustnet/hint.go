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
	case strings.HasPrefix(lower, "dns:") && sign == "" && b.names:
		return fmt.Errorf("%w: write dns:%s", ErrSyntax, lower[len("dns:"):])
	case strings.HasPrefix(lower, "dns:") && sign == "":
		return fmt.Errorf("%w: this list does not accept DNS names: list the addresses, or use trustnet.Names in the program", ErrSyntax)
	case strings.HasPrefix(lower, "dns:"):
		return fmt.Errorf("%w: a name cannot be excluded, because a failed look-up would remove the exclusion: exclude its addresses", ErrSyntax)
	}
	return ErrSyntax
}

// correction returns the item that was meant, or "". It never widens what is written.
func correction(item string) string {
	lower := strings.ToLower(item)
	if _, ok := keywords[lower]; ok || lower == "unix" {
		return lower
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
