package trustnet

import (
	"errors"
	"fmt"
)

// The reasons for which an item is refused. They are returned wrapped in a [*ParseError]
// and can be tested with [errors.Is].
var (
	// ErrEmpty is returned when an item is empty or blank, such as that between two
	// commas. To trust no peer, pass no items.
	ErrEmpty = errors.New("empty item")

	// ErrSyntax is returned when an item is not an IP address, a network in CIDR form or
	// a keyword, or the exclusion of one of these with a "!" in front. Ports,
	// brackets and address ranges with a dash are not accepted. Host names are
	// accepted only by [Names], and never in an exclusion.
	ErrSyntax = errors.New("not an IP address, a network such as 10.0.0.0/8, or one of loopback, private, linklocal, unix")

	// ErrHostBits is returned when the address of a network has bits set below its prefix
	// length, such as 10.1.2.3/8. Either the network or the one address may be meant, so
	// the message has both corrections.
	ErrHostBits = errors.New("host bits set")

	// ErrZone is returned when an address has an IPv6 zone, such as fe80::1%eth0. A Set
	// ignores zones, so a zone in a list would have no effect.
	ErrZone = errors.New("zones are not supported")

	// ErrMapped is returned when an IPv4-mapped IPv6 network (RFC 4291 section 2.5.5.2) has
	// a prefix shorter than /96. Such a network is more than the IPv4 address space and
	// cannot be written in IPv4 form.
	ErrMapped = errors.New("IPv4-mapped network with a prefix shorter than /96")
)

// ErrTrustsAll is returned by proxyproto.New and forwarded.New, wrapped, when
// [Set.TrustsAll] is true for a set of their configuration and its AllowTrustAll
// is not set.
var ErrTrustsAll = errors.New("at least half of the IPv4 or IPv6 Internet is trusted")

// A ParseError reports the first item that [Parse], [Read], [FromPrefixes], [Names.Watch]
// or an unmarshalling method refused.
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
