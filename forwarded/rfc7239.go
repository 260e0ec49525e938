package forwarded

import (
	"net/netip"
	"strings"
)

// The length of an element of Forwarded is limited, so that an element that the client
// wrote costs no more than a few that proxies write. maxElement counts bytes, blanks and commas
// in quotes included: a for and a by with IPv6 addresses and ports, a host of 253
// bytes with a port, and a proto stay below 450. maxPairs counts parameters; RFC
// 7239 has four.
const (
	maxElement = 512
	maxPairs   = 16
)

// element reads the rightmost element of a Forwarded header, RFC 7239 section 4,
// from its right end to its left. If a parser goes from left to right, a client can open
// a quoted string that swallows the proxy's own element and its comma. From the right the
// first bytes are the proxy's, and its element is complete before any byte of the client
// is read.
//
// Blanks around semicolons are accepted too. The grammar does not allow them, but
// configurations have them.
//
// It returns the address in the for parameter, and "http", "https" or "" for
// proto.
func (l *list) element() (a netip.Addr, proto string, f fault) {
	r := newReader(*l)
	var e pairs
	for {
		semicolon := r.skipSeparators()
		switch {
		case r.last() == ',':
			*l = r.list
			l.readTo(r.p)
			return e.node()
		case r.p == r.floor || e.count == maxPairs:
			return a, "", faultTooLong
		case e.count > 0 && !semicolon:
			return a, "", faultSyntax
		}
		var value string
		if r.last() == '"' {
			value, f = r.quotedString()
		} else {
			value, f = r.token()
		}
		if f != faultNone {
			return a, "", f
		}
		if r.last() != '=' {
			return a, "", faultSyntax
		}
		r.p--
		name, f := r.token()
		if f != faultNone {
			return a, "", f
		}
		if f := e.add(name, value); f != faultNone {
			return a, "", f
		}
	}
}

// A reader goes through one element from right to left.
type reader struct {
	list  list
	s     string // the current line
	start int    // where in s the reader began
	p     int    // where it is: s[p-1] is the next byte
	floor int    // where the element is too long, 0 if that is not in s
	left  int    // how long the element may still become, counted from start
}

func newReader(l list) reader {
	n := len(l.rest)
	return reader{list: l, s: l.rest, start: n, p: n, floor: max(n-maxElement, 0), left: maxElement}
}

// last returns the next byte to the left, a comma at the beginning of a line.
func (r *reader) last() byte {
	if r.p == 0 {
		return ','
	}
	return r.s[r.p-1]
}

// skipSeparators skips blanks and semicolons, and reports whether there was a
// semicolon. The pairs between two of them may be absent.
func (r *reader) skipSeparators() (semicolon bool) {
	s, p, floor := r.s, r.p, r.floor
	for p > floor {
		if c := s[p-1]; c == ';' {
			semicolon = true
		} else if !isBlank(c) {
			break
		}
		p--
	}
	r.p = p
	return semicolon
}

// token reads a token, RFC 9110 section 5.6.2.
func (r *reader) token() (string, fault) {
	s, p, floor := r.s, r.p, r.floor
	end := p
	for p > floor && isTokenChar[s[p-1]] {
		p--
	}
	r.p = p
	if p == end {
		return "", faultSyntax
	}
	return s[p:end], faultNone
}

// quotedString reads a quoted string, RFC 9110 section 5.6.4, and returns what
// is between its quotes, with the escapes.
//
// The quote that it begins with must be the closing one, because a value is a
// token or one quoted string. Going on to the left, a quote belongs to the string
// if an odd number of backslashes precedes it. With none it is the opening
// one, since no closing quote can be inside. With two or more it would close
// a string here, which is an error.
//
// A line break is a comma, so a string may even contain one. It is then neither
// an address nor a scheme, and "," is returned.
func (r *reader) quotedString() (string, fault) {
	r.p--
	end, split := r.p, false
	if r.backslashes()%2 != 0 {
		return "", faultQuote
	}
	for {
		if r.p == r.floor {
			if f := r.cross(); f != faultNone {
				return "", f
			}
			split = true
			continue
		}
		r.p--
		if c := r.s[r.p]; c == '"' {
			n := r.backslashes()
			if n == 0 {
				break
			}
			if n%2 == 0 {
				return "", faultQuote
			}
			r.p -= n
		} else if isControl(c) {
			return "", faultSyntax
		}
	}
	if split {
		return ",", faultNone
	}
	return r.s[r.p+1 : end], faultNone
}

// cross goes on in the line before, over a line break in a quoted string.
func (r *reader) cross() fault {
	r.left -= r.start + 1 // the line break counts as the comma that it is
	if r.floor > 0 || r.left < 0 {
		return faultTooLong
	}
	r.list.previousLine()
	if !r.list.more() {
		return faultQuote
	}
	r.s = r.list.rest
	r.start = len(r.s)
	r.p = r.start
	r.floor = max(r.p-r.left, 0)
	return faultNone
}

// backslashes counts those directly left of p. A run that the floor cuts short
// may be counted wrong: the element is too long then, and refused in any case.
func (r *reader) backslashes() int {
	n := 0
	for r.p-n > r.floor && r.s[r.p-n-1] == '\\' {
		n++
	}
	return n
}

// isControl reports whether c is a control character that a quoted string must not
// contain: all except HTAB.
func isControl(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }

// isToken reports whether s is a token, RFC 9110 section 5.6.2, or empty.
func isToken(s string) bool {
	for i := range len(s) {
		if !isTokenChar[s[i]] {
			return false
		}
	}
	return true
}

// isTokenChar holds the tchar of RFC 9110 section 5.6.2.
var isTokenChar = func() (t [256]bool) {
	for c := range t {
		switch {
		case '0' <= c && c <= '9', 'a' <= c|0x20 && c|0x20 <= 'z':
			t[c] = true
		default:
			t[c] = strings.IndexByte("!#$%&'*+-.^_`|~", byte(c)) >= 0
		}
	}
	return t
}()
