package publicurl

import (
	"os"
	"strings"
)

// Source is the setting in which [FromEnv] found the base.
type Source uint8

// The sources.
const (
	FromNothing  Source = iota // neither variable nor default hostname: a relative base
	FromVariable               // the environment variable
	FromDefault                // the default hostname
)

// String returns a short name of the source for logs.
func (s Source) String() string {
	switch s {
	case FromVariable:
		return "variable"
	case FromDefault:
		return "default hostname"
	default:
		return "nothing"
	}
}

// FromEnv returns the configured base of an installation:
//
//   - The variable key is set: [Parse] of its value with opts. An invalid value is
//     an error that names the variable; nothing else is tried.
//   - The variable is unset or blank: [FromHostname] of defaultHostname.
//   - Both are empty or blank: the server has no name yet, so the base is Relative(""),
//     the source is FromNothing and the error is nil. A server that is mounted on a path,
//     or must not start without a name, checks the source.
//
// lookup is a function like [os.LookupEnv], which is the default for nil. Blanks
// around both values are removed. If there is an error, the source is that of the invalid
// value. The error is an [*Error].
func FromEnv(lookup func(string) (string, bool), key, defaultHostname string, opts ...Option) (Base, Source, error) {
	if lookup == nil {
		lookup = os.LookupEnv
	}
	value, _ := lookup(key)
	if value = strings.TrimSpace(value); value != "" {
		b, err := Parse(value, opts...)
		return b, FromVariable, inSource(err, "the variable "+key)
	}
	if host := strings.TrimSpace(defaultHostname); host != "" {
		b, err := FromHostname(host)
		return b, FromDefault, inSource(err, "the default hostname ("+key+" is not set)")
	}
	return Base{text: "", mode: relative}, FromNothing, nil
}

// inSource adds to the hint what has to be corrected.
func inSource(err error, source string) error {
	if e, ok := err.(*Error); ok {
		e.Hint = "correct " + source + ": " + e.Hint
	}
	return err
}
