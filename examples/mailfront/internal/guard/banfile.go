package guard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"unicode"
)

// maxReason is the maximum length of a reason in a file, in bytes.
const maxReason = 200

// FormatBans returns the bans as JSON, for a file that [ParseBans] reads.
func FormatBans(bans []Ban) ([]byte, error) {
	if bans == nil {
		bans = []Ban{}
	}
	b, err := json.MarshalIndent(bans, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("guard: bans cannot be encoded: %w", err)
	}
	return append(b, '\n'), nil
}

// ParseBans parses the output of FormatBans. It accepts no other input, because a ban that is skipped
// would let the client in.
func ParseBans(b []byte) ([]Ban, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var bans []Ban
	if err := d.Decode(&bans); err != nil {
		return nil, fmt.Errorf("guard: bans: %w", err)
	}
	if bans == nil {
		return nil, errors.New("guard: bans: got null, want an array")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("guard: bans: data after the array")
	}
	seen := make(map[netip.Prefix]bool)
	for i, ban := range bans {
		if err := ban.check(); err != nil {
			return nil, fmt.Errorf("guard: bans: entry %d: %w", i+1, err)
		}
		if seen[ban.Address] {
			return nil, fmt.Errorf("guard: bans: entry %d: duplicate address %v", i+1, ban.Address)
		}
		seen[ban.Address] = true
	}
	return bans, nil
}

// check returns an error for a ban that no [Guard] makes.
func (b Ban) check() error {
	who := b.Address
	switch isClient := who.Addr().Is4() && who.Bits() == 32 || who.Addr().Is6() && who.Bits() == 64; {
	case !isClient || who != who.Masked() || who.Addr().Is4In6():
		return fmt.Errorf("the address is %q, want an IPv4 address with /32 or an IPv6 network with /64", who)
	case isThisMachine(who):
		return fmt.Errorf("the address %v is this machine's, which is never banned", who)
	case b.Reason == "" || len(b.Reason) > maxReason || !isPrintable(b.Reason):
		return fmt.Errorf("the reason is %.60q, want 1 to %d bytes of text", b.Reason, maxReason)
	case !b.Until.After(b.Since):
		return fmt.Errorf("the ban ends at %v, before it begins at %v", b.Until, b.Since)
	}
	return nil
}

func isPrintable(s string) bool {
	for _, r := range s {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return false
		}
	}
	return true
}
