package publicurl

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// A Kind is the kind of an [Error]. Each Kind is itself an error: use
// errors.Is(err, publicurl.ErrScheme), or switch on Error.Kind.
type Kind uint8

// The kinds of error.
const (
	ErrEmpty     Kind = iota + 1 // an empty or blank value
	ErrScheme                    // scheme missing, unknown, or http for a host that is not loopback
	ErrUserinfo                  // user name or password in the URL
	ErrHost                      // host missing, malformed, or not reachable for clients
	ErrPort                      // port empty, not a plain number, or not 1 to 65535
	ErrPath                      // path malformed or ambiguous
	ErrQuery                     // query that is not allowed
	ErrFragment                  // fragment that is not allowed
	ErrCharacter                 // blank, control character, backslash, invisible character or invalid UTF-8
	ErrTemplate                  // braces that are not allowed, or a malformed template
	ErrWellKnown                 // not a well-known name
	ErrOutside                   // URL is not under the base
	ErrRelative                  // the result needs a host and the base is relative
	ErrZero                      // the base is the zero Base
)

var kindText = [...]string{
	ErrEmpty:     "empty value",
	ErrScheme:    "scheme not usable",
	ErrUserinfo:  "user information not allowed",
	ErrHost:      "host not usable",
	ErrPort:      "port not usable",
	ErrPath:      "path not usable",
	ErrQuery:     "query not allowed",
	ErrFragment:  "fragment not allowed",
	ErrCharacter: "character not allowed",
	ErrTemplate:  "template not usable",
	ErrWellKnown: "well-known name not usable",
	ErrOutside:   "URL outside the base",
	ErrRelative:  "base is relative",
	ErrZero:      "base is the zero value",
}

// String returns a short description of the kind.
func (k Kind) String() string {
	if int(k) < len(kindText) && kindText[k] != "" {
		return kindText[k]
	}
	return "kind " + strconv.Itoa(int(k))
}

// Error makes a Kind a target for errors.Is.
func (k Kind) Error() string { return "publicurl: " + k.String() }

// Error is the error of every function and method of this package.
type Error struct {
	Kind   Kind
	Input  string // the input without user information
	Offset int    // index of the first invalid byte of Input
	Hint   string // the correction, for people to read
}

// Error quotes the input and ends with the hint.
func (e *Error) Error() string {
	if e.Input == "" {
		return fmt.Sprintf("%v: %s", e.Kind, e.Hint)
	}
	return fmt.Sprintf("%v at byte %d of %q: %s", e.Kind, e.Offset, e.Input, e.Hint)
}

// Unwrap returns the kind.
func (e *Error) Unwrap() error { return e.Kind }

// fault is an error that does not know its input yet: off is an index into the
// raw text, which may still hold a password. A hint never quotes raw text.
type fault struct {
	kind Kind
	off  int
	hint string
}

// inURL returns the error for text that should be a URL or a host.
func (f *fault) inURL(raw string) *Error {
	input, from, to := redact(raw)
	return f.in(input, from, to)
}

// inPath returns the error for text that should be a path. A path has no
// user information ("/@alice" is data) unless it contains an authority.
func (f *fault) inPath(raw string) *Error {
	if strings.HasPrefix(raw, "/") && !strings.Contains(strings.ReplaceAll(raw, `\`, "/"), "//") {
		return f.in(raw, 0, 0)
	}
	return f.inURL(raw)
}

// in adjusts the offset for the part that redact removed.
func (f *fault) in(input string, from, to int) *Error {
	off, hint := f.off, f.hint
	switch {
	case off >= to:
		off -= to - from
	case off >= from:
		off = from
		if f.kind != ErrUserinfo {
			hint += ` (the part before the "@" is not shown, because it may be a password)`
		}
	}
	return &Error{Kind: f.kind, Input: input, Offset: off, Hint: hint}
}

// redact removes user information from text that may be a misspelt URL: raw[from:to] is
// missing in the result. A password may contain "/", "?", "#" or "@", so everything up
// to the last "@" is removed except a known scheme in front. Removing too much is safe.
func redact(raw string) (input string, from, to int) {
	to = strings.LastIndexByte(raw, '@') + 1
	if to == 0 {
		return raw, 0, 0
	}
	lead := len(raw) - len(strings.TrimLeftFunc(raw, isNoise))
	for _, scheme := range [...]string{"https:", "http:", "wss:", "ws:"} {
		if end := lead + len(scheme); end <= to && equalFold(raw[lead:end], scheme) {
			for end < to && (raw[end] == '/' || raw[end] == '\\') {
				end++
			}
			from = end
			break
		}
	}
	return raw[:from] + raw[to:], from, to
}

// isNoise reports a character that comes with a value by accident: a blank, a
// quote, an invisible character.
func isNoise(r rune) bool {
	return strings.ContainsRune("\"'`<>\u201c\u201d\u2018\u2019", r) || isInvisible(r)
}

func isInvisible(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
}
