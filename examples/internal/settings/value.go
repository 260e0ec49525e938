package settings

import (
	"fmt"
	"strings"
)

// Value is the value of a setting and where it comes from.
type Value struct {
	Program string // the name of the program
	Text    string // "" if it is unset and has no default
	From    string // the flag or variable, such as "-listen" or "RELAY_LISTEN"
}

// Source returns From as it is named in a sentence, such as "the flag -listen".
func (v Value) Source() string {
	switch {
	case strings.HasPrefix(v.From, "-"):
		return "the flag " + v.From
	case strings.HasPrefix(v.From, variablePrefix(v.Program)):
		return "the variable " + v.From
	}
	return v.From
}

// Errorf returns an error that names the setting and quotes the value, followed by the
// result of [fmt.Errorf], which must state the fix. Do not use Errorf for secrets.
func (v Value) Errorf(format string, args ...any) error {
	return fmt.Errorf("%s: %s is %q: %w", v.Program, v.From, v.Text, fmt.Errorf(format, args...))
}

// List returns the items of a comma-separated list, without surrounding spaces. An unset
// value has no items. Empty items are returned as empty strings.
func (v Value) List() (items []Value) {
	if v.Text == "" {
		return nil
	}
	for item := range strings.SplitSeq(v.Text, ",") {
		items = append(items, Value{v.Program, strings.TrimSpace(item), v.From})
	}
	return items
}

// Bool returns the value of a setting that is true or false. An unset value is false.
func (v Value) Bool() (bool, error) {
	switch v.Text {
	case "true":
		return true, nil
	case "false", "":
		return false, nil
	}
	return false, v.Errorf("use true or false")
}
