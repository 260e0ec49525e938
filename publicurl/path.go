package publicurl

import (
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"
)

// rules permit text in a path or query that RFC 3986 does not permit as it is.
type rules uint8

const (
	withVariables         rules = 1 << iota // {name}, RFC 6570 level 1
	withEncodedSeparators                   // %2F and %5C as data
)

// checkPath checks a path that is empty or begins with "/" (RFC 3986 section 3.3,
// path-abempty) and refuses paths that a client or proxy would rewrite. off is its place
// in the input.
func checkPath(p string, off int, r rules) *fault {
	if f := checkChars(p, off, ErrPath, r); f != nil {
		return f
	}
	for at := 0; at < len(p); {
		end := len(p)
		if i := strings.IndexByte(p[at+1:], '/'); i >= 0 {
			end = at + 1 + i
		}
		segment := p[at+1 : end]
		switch {
		case segment == "" && end < len(p): // proxies merge slashes
			return &fault{ErrPath, off + at, `write one slash for "//"`}
		case hasDotSegment(segment): // RFC 3986 section 5.2.4: clients resolve it
			return &fault{ErrPath, off + at + 1, `remove the segments "." and ".."`}
		}
		at = end
	}
	return nil
}

// hasDotSegment reports whether a segment is "." or ".." once its escapes are
// decoded, also with a parameter as in "..;x", or holds such a part between encoded
// slashes or backslashes, which some proxies decode before they resolve dots. The
// escapes are valid.
func hasDotSegment(segment string) bool {
	length, dots := 0, 0
	for i := 0; i < len(segment); i++ {
		c := segment[i]
		if c == '%' {
			c, _ = unescape(segment[i:])
			i += 2
		}
		switch c {
		case '/', '\\':
			if dots == length && (dots == 1 || dots == 2) {
				return true
			}
			length, dots = 0, 0
			continue
		case ';': // a parameter, which some servers cut off before they resolve dots
			if dots == length && (dots == 1 || dots == 2) {
				return true
			}
		case '.':
			dots++
		}
		length++
	}
	return dots == length && (dots == 1 || dots == 2)
}

// checkChars checks the characters of a path (kind ErrPath) or of a query without
// its "?" (kind ErrQuery, RFC 3986 section 3.4).
func checkChars(s string, off int, kind Kind, r rules) *fault {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case isPathChar(c), c == '/', c == '?' && kind == ErrQuery:
		case c == '%':
			d, ok := unescape(s[i:])
			switch {
			case !ok:
				return &fault{kind, off + i, hintEscape}
			case kind == ErrPath && (d < 0x20 || d == 0x7f):
				return &fault{kind, off + i, "remove the escaped control character"}
			case kind == ErrPath && (d == '/' || d == '\\') && r&withEncodedSeparators == 0:
				return &fault{kind, off + i, "remove the escaped slash: proxies interpret it differently"}
			}
			i += 2
		case c == '{' && r&withVariables != 0:
			n, f := variable(s[i:], off+i)
			if f != nil {
				return f
			}
			i += n - 1
		case c == '}' && r&withVariables != 0:
			return &fault{ErrTemplate, off + i, `"}" has no "{" before it`}
		case c == '{' || c == '}':
			return &fault{ErrTemplate, off + i, "remove the braces: this is not a template"}
		default:
			_, n := utf8.DecodeRuneInString(s[i:])
			return &fault{kind, off + i, "percent-encode the character: write " + escape(s[i:i+n])}
		}
	}
	return nil
}

// checkPrefix checks the text after the authority of a base: it must be a path that a
// server can be mounted on.
func checkPrefix(s string, off int) *fault {
	end := len(s)
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		end = i
	}
	if f := checkPath(s[:end], off, 0); f != nil {
		return f
	}
	if i, _ := findWellKnown(s[:end]); i >= 0 {
		return &fault{ErrPath, off + i, "this is the URL of a discovery document; cut the .well-known part, the server adds it"}
	}
	if end == len(s) {
		return nil
	}
	if s[end] == '?' {
		return &fault{ErrQuery, off + end, `cut everything from the "?"`}
	}
	return &fault{ErrFragment, off + end, `cut everything from the "#"`}
}

// appendPrefix appends a checked prefix without the slash at its end and with
// its escapes in capitals (RFC 3986 section 6.2.2.1).
func appendPrefix(dst []byte, p string) []byte {
	p = strings.TrimSuffix(p, "/")
	for i := 0; i < len(p); i++ {
		if p[i] == '%' {
			dst = append(dst, '%', upper(p[i+1]), upper(p[i+2]))
			i += 2
			continue
		}
		dst = append(dst, p[i])
	}
	return dst
}

const hintEscape = `"%" needs two hexadecimal digits behind it; the character itself is "%25"`

// findWellKnown finds the first segment ".well-known" of a checked path, escaped
// or not, in any case: p[i:i+n] is the slash and the segment. i is -1 without one.
func findWellKnown(p string) (i, n int) {
	for at := 0; at < len(p); {
		end := len(p)
		if j := strings.IndexByte(p[at+1:], '/'); j >= 0 {
			end = at + 1 + j
		}
		if name, err := url.PathUnescape(p[at+1 : end]); err == nil && equalFold(name, ".well-known") {
			return at, end - at
		}
		at = end
	}
	return -1, 0
}

// variable checks the RFC 6570 expression at the start of s and returns its
// length. Level 1 (section 1.2) is one variable name (section 2.3) in braces, and
// all that JMAP clients must know (RFC 8620 section 2).
func variable(s string, off int) (int, *fault) {
	end := strings.IndexByte(s, '}')
	if end < 0 {
		return 0, &fault{ErrTemplate, off, `"{" has no "}" behind it`}
	}
	if end == 1 {
		return 0, &fault{ErrTemplate, off, "a variable needs a name"}
	}
	for i := 1; i < end; i++ {
		c := s[i]
		switch {
		case isAlphanumeric(c) || c == '_':
		case c == '.' && i > 1 && i+1 < end && s[i-1] != '.':
		case c == '%':
			if _, ok := unescape(s[i:end]); !ok {
				return 0, &fault{ErrTemplate, off + i, hintEscape}
			}
			i += 2
		default:
			return 0, &fault{ErrTemplate, off + i, `a variable is a name of letters, digits and "_" in braces (RFC 6570 level 1: no operators, lists or modifiers)`}
		}
	}
	return end + 1, nil
}

// unescape decodes the percent escape at the start of s.
func unescape(s string) (byte, bool) {
	if len(s) < 3 {
		return 0, false
	}
	hi, ok1 := unhex(s[1])
	lo, ok2 := unhex(s[2])
	return hi<<4 | lo, ok1 && ok2
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		return c - ('a' - 'A')
	}
	return c
}

// isPathChar reports pchar of RFC 3986 section 3.3, escapes aside.
func isPathChar(c byte) bool { return pathChars[c] }

var pathChars = func() (set [256]bool) {
	for c := range set {
		set[c] = isAlphanumeric(byte(c)) || strings.IndexByte("-._~!$&'()*+,;=:@", byte(c)) >= 0
	}
	return set
}()

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// escape percent-encodes every byte of s.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02X", s[i])
	}
	return b.String()
}
