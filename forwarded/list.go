package forwarded

import "net/netip"

// Both headers are lists, and each proxy adds to the right end: a comma and an entry, or
// a line of its own. A line break is a comma (RFC 9110 section 5.3). Entries are read
// from the right. Entries to the left of the client's address are never read, because the
// client can have written them.

// A list is the part of a header that has not been read.
type list struct {
	lines []string
	line  int    // the line of the next entry, -1 if there is no more
	rest  string // that line, without what was read
}

func newList(lines []string) list {
	l := list{lines: lines, line: len(lines)}
	l.previousLine()
	return l
}

// more reports whether there is another entry. It may be an empty one: a line
// "" holds one empty entry, "," two.
func (l *list) more() bool { return l.line >= 0 }

func (l *list) previousLine() {
	l.line--
	if l.line >= 0 {
		l.rest = l.lines[l.line]
	}
}

// readTo marks the current line as read from byte i on, where an entry begins.
func (l *list) readTo(i int) {
	if i == 0 {
		l.previousLine()
	} else {
		l.rest = l.rest[:i-1] // without the comma
	}
}

// entry reads the rightmost entry. The scheme is "" for X-Forwarded-For.
func (r *Resolver) entry(l *list) (a netip.Addr, scheme string, f fault) {
	if r.cfg.Header == Forwarded {
		return l.element()
	}
	a, f = l.address()
	return a, "", f
}

// A fault is the reason why an entry cannot be used.
type fault uint8

const (
	faultNone fault = iota
	faultEmpty
	faultTooLong
	faultAddress
	faultHidden
	faultUnspecified
	faultSyntax
	faultQuote
	faultTwice
	faultNoFor
	faultLocal
	faultLines
)

var faults = [...]string{
	faultNone:        "valid",
	faultEmpty:       "the entry is empty",
	faultTooLong:     "the entry is longer than what a proxy writes",
	faultAddress:     "not an address in a form that the header allows",
	faultHidden:      "the proxy withholds the address",
	faultUnspecified: "the unspecified address identifies no host",
	faultSyntax:      "not a list of name=value pairs (RFC 7239 section 4)",
	faultQuote:       "a quoted string does not open where it should",
	faultTwice:       "duplicate parameter in one element (RFC 7239 section 4)",
	faultNoFor:       "the element has no for parameter",
	faultLocal:       "a loopback or multicast address, which no client of a load balancer has",
	faultLines:       "the header has more than one line",
}

func (f fault) String() string { return faults[f] }

// reason returns why a walk ends at an entry with the fault f.
func (f fault) reason() Reason {
	if f == faultHidden || f == faultUnspecified {
		return Obfuscated
	}
	return Malformed
}

// isBlank reports whether c is a blank of RFC 9110 section 5.6.3. Other white space of
// Unicode is not.
func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// trim returns s without the blanks around it.
func trim(s string) string {
	for len(s) > 0 && isBlank(s[0]) {
		s = s[1:]
	}
	for len(s) > 0 && isBlank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}
