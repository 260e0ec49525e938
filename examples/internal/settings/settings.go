// Package settings reads the settings of a program from flags and environment
// variables. Its errors name the flag or variable, quote the value and state the fix.
//
// What to copy: this package, which imports no other package of the examples. What to
// change: nothing.
package settings

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// Program describes the settings of a program.
type Program struct {
	Name     string // prefix of every error and, in upper case with "_", of every variable
	Settings []Setting
	Flags    func(*flag.FlagSet) // defines flags that are not settings, or nil
}

// Setting is one setting of a program. NAME is the variable PROGRAM_NAME and the flag
// -name, with hyphens. The flag takes precedence. A blank value is unset.
type Setting struct {
	Name     string
	Default  string // the value if it is unset
	Usage    string // for -help, without Default
	Verbatim bool   // spaces around the value are part of it
}

// FlagName returns the name of the flag, without "-".
func (s Setting) FlagName() string {
	return strings.ToLower(strings.ReplaceAll(s.Name, "_", "-"))
}

// Values has the settings that were given to a program.
type Values struct {
	NFlag  int // number of flags that were given, including those of Program.Flags
	values map[string]Value
}

// Get returns the value of a setting. It panics if the program does not have the setting.
func (v *Values) Get(name string) Value {
	value, ok := v.values[name]
	if !ok {
		panic(fmt.Sprintf("settings: the program has no setting %q", name))
	}
	return value
}

// Read returns the settings from the arguments and the environment of a program. If the
// arguments include -help, it writes the list of settings to help and returns an error
// that wraps [flag.ErrHelp].
func (p Program) Read(args []string, env func(string) (string, bool), help io.Writer) (*Values, error) {
	flags := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	if p.Flags != nil {
		p.Flags(flags)
	}
	given := make(map[string]*string)
	for _, s := range p.Settings {
		usage := s.Usage
		if s.Default != "" {
			usage += " (default " + s.Default + ")"
		}
		given[s.Name] = flags.String(s.FlagName(), "", usage+" ["+p.variable(s.Name)+"]")
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintf(help, "Usage: %s [flags]; each can be set by the variable in brackets instead\n", p.Name)
			flags.SetOutput(help)
			flags.PrintDefaults()
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		return nil, fmt.Errorf("%s: %w: see -help", p.Name, err)
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("%s: unexpected argument %q: see -help", p.Name, flags.Arg(0))
	}
	values := &Values{NFlag: flags.NFlag(), values: make(map[string]Value)}
	for _, s := range p.Settings {
		values.values[s.Name] = p.read(s, *given[s.Name], env)
	}
	return values, nil
}

func (p Program) read(s Setting, given string, env func(string) (string, bool)) Value {
	v := Value{Program: p.Name, Text: given, From: "-" + s.FlagName()}
	if strings.TrimSpace(v.Text) == "" {
		v.From = p.variable(s.Name)
		v.Text, _ = env(v.From)
	}
	switch trimmed := strings.TrimSpace(v.Text); {
	case trimmed == "":
		v.Text = s.Default
	case !s.Verbatim:
		v.Text = trimmed
	}
	return v
}

func (p Program) variable(name string) string { return variablePrefix(p.Name) + name }

func variablePrefix(program string) string { return strings.ToUpper(program) + "_" }
