package publicurl

import (
	"os"
	"strings"
)

// Source is where [FromEnv] found the base.
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

// FromEnv returns the base that an installation is configured with.
//
//   - The variable key is set: [Parse] of its value with opts. An invalid value is
//     an error that names the variable; nothing else is tried.
//   - The variable is unset or blank: [FromHostname] of defaultHostname.
//   - That is empty or blank too: the server has no name yet, so the base is
//     Relative(""), the source FromNothing and the error nil. A server that is
//     mounted on a path, or must not start without a name, tests the source.
//
// lookup is a function like [os.LookupEnv], which is the default for nil. Blanks
// around both values are removed. With an error the source is where the invalid value
// came from. The error is an [*Error].
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
