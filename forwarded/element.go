package forwarded

import (
	"fmt"
	"strings"
)

// An Element is one element of a Forwarded header, RFC 7239 section 4: what one
// proxy says. A parameter that is absent is "".
type Element struct {
	// For is the node that made the request to the proxy, By the interface of
	// the proxy (sections 5.2 and 5.1). A node is an IPv4 address, an IPv6
	// address in brackets, "unknown" or an obfuscated identifier such as
	// "_hidden", each with or without a colon and a port (section 6).
	For, By string

	// Host is the Host header that the proxy received (section 5.3). It is not
	// checked.
	Host string

	// Proto is the scheme of the request (section 5.4), such as "https", as
	// written.
	Proto string

	// Extensions holds all other parameters (section 5.5), their names in lower
	// case. It is nil if there are none.
	Extensions map[string]string
}

// Parse parses a whole Forwarded header by the grammar of RFC 7239 section 4, for
// tools that show or check one; join the lines of a header with commas first. The
// elements are in the order of the header, the nearest proxy's last, without
// quotes and escapes.
//
// Parse is strict: an empty element, a parameter that stands twice in an element, a
// node or a scheme that is none, and an unclosed quote are errors, which quote
// what is wrong and give its offset in bytes. Only blanks around semicolons are
// accepted beyond the grammar.
//
// Do not use it to find a client: whoever writes the left end of the header
// decides how the right end is parsed. [Resolver] parses from the right.
func Parse(value string) ([]Element, error) {
	p := parser{value: value}
	var elements []Element
	for {
		e, err := p.element()
		if err != nil {
			return nil, err
		}
		elements = append(elements, e)
		if p.rest() == "" {
			return elements, nil
		}
		p.pos++ // the comma
	}
}

// A parser goes through a header from left to right.
type parser struct {
	value string
	pos   int
}

func (p *parser) rest() string { return p.value[p.pos:] }

func (p *parser) next(c byte) bool {
	return p.pos < len(p.value) && p.value[p.pos] == c
}

// fail returns an error about what begins at offset pos.
func (p *parser) fail(pos int, format string, args ...any) error {
	const most = 64
	found := p.value[pos:]
	if len(found) > most {
		found = found[:most]
	}
	return fmt.Errorf("forwarded: Forwarded header, offset %d, at %q: %s", pos, found, fmt.Sprintf(format, args...))
}

func (p *parser) skipBlanks() {
	for p.pos < len(p.value) && isBlank(p.value[p.pos]) {
		p.pos++
	}
}

// element parses up to a comma or the end.
func (p *parser) element() (Element, error) {
	var e Element
	seen := map[string]bool{}
	first := p.pos
	for {
		p.skipBlanks()
		if p.rest() != "" && !p.next(';') && !p.next(',') {
			if err := p.pair(&e, seen); err != nil {
				return e, err
			}
			p.skipBlanks()
		}
		switch {
		case p.next(';'):
			p.pos++
		case p.next(',') || p.rest() == "":
			if len(seen) == 0 {
				return e, p.fail(first, "an empty element: remove the comma beside it, or write a pair such as for=192.0.2.1")
			}
			return e, nil
		default:
			return e, p.fail(p.pos, "expected a semicolon, a comma or the end: put a value with other characters in quotes")
		}
	}
}

// pair parses name=value into e.
func (p *parser) pair(e *Element, seen map[string]bool) error {
	first := p.pos
	name := strings.ToLower(p.token())
	if name == "" {
		return p.fail(first, "expected a parameter such as for=192.0.2.1")
	}
	if !p.next('=') {
		return p.fail(p.pos, "expected = after %.64q, without blanks", name)
	}
	p.pos++
	start := p.pos
	var value string
	if p.next('"') {
		var err error
		if value, err = p.quotedString(); err != nil {
			return err
		}
	} else if value = p.token(); value == "" {
		return p.fail(start, "expected a value for %.64q: a token, or any text in quotes", name)
	}
	if seen[name] {
		return p.fail(first, "%.64q stands twice in one element: separate what two proxies write with a comma", name)
	}
	seen[name] = true
	switch parameterOf(name) {
	case paramFor, paramBy:
		if _, f := parseNode(value); f == faultAddress {
			return p.fail(start, "%.64q is no node: write an IPv4 address, \"[IPv6 address]\", unknown or _name, with a port in quotes", value)
		}
		if name == "for" {
			e.For = value
		} else {
			e.By = value
		}
	case paramHost:
		e.Host = value
	case paramProto:
		if !isScheme(value) {
			return p.fail(start, "%.64q is no scheme: write http or https", value)
		}
		e.Proto = value
	default:
		if e.Extensions == nil {
			e.Extensions = map[string]string{}
		}
		e.Extensions[name] = value
	}
	return nil
}

// token parses a token, RFC 9110 section 5.6.2, and returns "" if there is none.
func (p *parser) token() string {
	first := p.pos
	for p.pos < len(p.value) && isTokenChar[p.value[p.pos]] {
		p.pos++
	}
	return p.value[first:p.pos]
}

// quotedString parses a quoted string, RFC 9110 section 5.6.4.
func (p *parser) quotedString() (string, error) {
	first := p.pos
	for i := first + 1; i < len(p.value); i++ {
		switch c := p.value[i]; {
		case c == '"':
			p.pos = i + 1
			return string(unescape(nil, p.value[first+1:i])), nil
		case c == '\\' && i+1 < len(p.value):
			i++
			if isControl(p.value[i]) {
				return "", p.fail(i, "a control character: remove it")
			}
		case isControl(c):
			return "", p.fail(i, "a control character: remove it")
		}
	}
	return "", p.fail(first, "a quote that is not closed: add the closing one")
}

// isScheme reports whether s is a scheme, RFC 3986 section 3.1.
func isScheme(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c|0x20 && c|0x20 <= 'z':
		case i > 0 && ('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return s != ""
}
