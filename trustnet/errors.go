package trustnet

import (
	"errors"
	"fmt"
)

// The reasons for which an item is refused. Each arrives wrapped in a
// [*ParseError]; test for it with [errors.Is].
var (
	// ErrEmpty is returned for an empty or blank item, such as that between two
	// commas. To trust no peer, pass no items.
	ErrEmpty = errors.New("empty item")

	// ErrSyntax is returned for an item that is not an IP address, not a network in CIDR
	// form and not a keyword, or the exclusion of one with a "!" in front. Ports,
	// brackets and address ranges with a dash are not accepted. Host names are
	// accepted only by [Names], and never in an exclusion.
	ErrSyntax = errors.New("not an IP address, a network such as 10.0.0.0/8, or one of loopback, private, linklocal, unix")

	// ErrHostBits is returned for a network whose address has bits set below its
	// prefix length, such as 10.1.2.3/8. Either the network or the one address may
	// be meant, so the message has both corrections.
	ErrHostBits = errors.New("host bits set")

	// ErrZone is returned for an address with an IPv6 zone, such as fe80::1%eth0. A
	// Set ignores zones, so a zone in a list would restrict nothing.
	ErrZone = errors.New("zones are not supported")

	// ErrMapped is returned for an IPv4-mapped IPv6 network (RFC 4291 section 2.5.5.2)
	// with a prefix shorter than /96: it is more than the IPv4 address space
	// and cannot be written in IPv4 form.
	ErrMapped = errors.New("IPv4-mapped network with a prefix shorter than /96")
)

// ErrTrustsAll is returned by proxyproto.New and forwarded.New, wrapped, when
// [Set.TrustsAll] is true for a set of their configuration and its AllowTrustAll
// is not set.
var ErrTrustsAll = errors.New("at least half of the IPv4 or IPv6 Internet is trusted")

// A ParseError reports the first item that [Parse], [Read], [FromPrefixes] or
// an unmarshalling method could not accept.
type ParseError struct {
	// Index is the position of the item, counted from 0. Parse counts items over all its
	// arguments, the elements of comma-separated lists included; FromPrefixes
	// counts its arguments; Read counts the lines of its input, comments and
	// blank lines included.
	Index int

	// Item is the item as written, without the blanks and the comment
	// around it.
	Item string

	// Err is the reason and the correction. It wraps ErrEmpty, ErrSyntax,
	// ErrHostBits, ErrZone or ErrMapped.
	Err error

	lines bool // Index counts lines, not items
}

// Error returns the position (counted from 1), the item and the reason. An item
// longer than any valid one is cut short.
func (e *ParseError) Error() string {
	unit := "item"
	if e.lines {
		unit = "line"
	}
	return fmt.Sprintf("trustnet: %s %d: %.100q: %v", unit, e.Index+1, e.Item, e.Err)
}

// Unwrap returns e.Err.
func (e *ParseError) Unwrap() error { return e.Err }
