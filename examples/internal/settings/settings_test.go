package settings

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"
)

func testProgram(demo *bool) Program {
	return Program{
		Name: "sample",
		Settings: []Setting{
			{Name: "LISTEN", Default: "127.0.0.1:0", Usage: "host:port"},
			{Name: "LOG_LEVEL", Usage: "info or debug"},
			{Name: "PASSWORD", Usage: "the password", Verbatim: true},
		},
		Flags: func(f *flag.FlagSet) { f.BoolVar(demo, "demo", false, "show it") },
	}
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}

func TestPrecedence(t *testing.T) {
	for _, test := range []struct {
		name    string
		args    []string
		env     map[string]string
		setting string
		want    Value
	}{
		{name: "nothing", setting: "LOG_LEVEL", want: Value{"sample", "", "SAMPLE_LOG_LEVEL"}},
		{name: "default", setting: "LISTEN", want: Value{"sample", "127.0.0.1:0", "SAMPLE_LISTEN"}},
		{name: "variable", setting: "LISTEN", env: map[string]string{"SAMPLE_LISTEN": " :1 "}, want: Value{"sample", ":1", "SAMPLE_LISTEN"}},
		{name: "blank variable", setting: "LISTEN", env: map[string]string{"SAMPLE_LISTEN": " \t"}, want: Value{"sample", "127.0.0.1:0", "SAMPLE_LISTEN"}},
		{name: "flag", setting: "LISTEN", args: []string{"-listen", ":2 "}, env: map[string]string{"SAMPLE_LISTEN": ":1"}, want: Value{"sample", ":2", "-listen"}},
		{name: "blank flag", setting: "LISTEN", args: []string{"-listen", " "}, env: map[string]string{"SAMPLE_LISTEN": ":1"}, want: Value{"sample", ":1", "SAMPLE_LISTEN"}},
		{name: "hyphen", setting: "LOG_LEVEL", args: []string{"-log-level=debug"}, want: Value{"sample", "debug", "-log-level"}},
		{name: "verbatim", setting: "PASSWORD", env: map[string]string{"SAMPLE_PASSWORD": " secret "}, want: Value{"sample", " secret ", "SAMPLE_PASSWORD"}},
		{name: "verbatim and blank", setting: "PASSWORD", env: map[string]string{"SAMPLE_PASSWORD": "  "}, want: Value{"sample", "", "SAMPLE_PASSWORD"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			values, err := testProgram(new(bool)).Read(test.args, lookup(test.env), io.Discard)
			require.NoError(t, err)
			require.Equal(t, test.want, values.Get(test.setting))
		})
	}
}

func TestOtherFlags(t *testing.T) {
	demo := false
	values, err := testProgram(&demo).Read([]string{"-demo", "-listen", ":1"}, lookup(nil), io.Discard)
	require.NoError(t, err)
	require.True(t, demo)
	require.Equal(t, 2, values.NFlag)
	require.PanicsWithValue(t, `settings: the program has no setting "LISTENS"`, func() { values.Get("LISTENS") })
}

func TestInvalidArguments(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{name: "argument", args: []string{"serve"}, want: `sample: unexpected argument "serve": see -help`},
		{name: "unknown flag", args: []string{"-log", "debug"}, want: "sample: flag provided but not defined: -log: see -help"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := testProgram(new(bool)).Read(test.args, lookup(nil), io.Discard)
			require.EqualError(t, err, test.want)
		})
	}
}

func TestHelp(t *testing.T) {
	var help bytes.Buffer
	_, err := testProgram(new(bool)).Read([]string{"-help"}, lookup(nil), &help)
	require.ErrorIs(t, err, flag.ErrHelp)
	require.Contains(t, help.String(), "Usage: sample [flags]")
	require.Contains(t, help.String(), "  -listen string\n    \thost:port (default 127.0.0.1:0) [SAMPLE_LISTEN]\n")
	require.Contains(t, help.String(), "  -log-level string\n    \tinfo or debug [SAMPLE_LOG_LEVEL]\n")
	require.Contains(t, help.String(), "  -demo\n")
}

func TestErrors(t *testing.T) {
	v := Value{"sample", "a b", "-listen"}
	require.EqualError(t, v.Errorf("use host:port"), `sample: -listen is "a b": use host:port`)
	require.ErrorIs(t, v.Errorf("it cannot be read: %w", fs.ErrNotExist), fs.ErrNotExist)
}

func TestSource(t *testing.T) {
	for _, test := range []struct{ name, from, want string }{
		{name: "flag", from: "-listen", want: "the flag -listen"},
		{name: "variable", from: "SAMPLE_LISTEN", want: "the variable SAMPLE_LISTEN"},
		{name: "other", from: "listen in /etc/sample", want: "listen in /etc/sample"},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, Value{"sample", "", test.from}.Source())
		})
	}
}

func TestListsAreSeparatedByCommas(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{name: "unset", text: "", want: nil},
		{name: "one", text: "a", want: []string{"a"}},
		{name: "spaces", text: " a , b c", want: []string{"a", "b c"}},
		{name: "empty items", text: "a,,", want: []string{"a", "", ""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, item := range (Value{"sample", test.text, "-list"}).List() {
				require.Equal(t, Value{"sample", item.Text, "-list"}, item)
				got = append(got, item.Text)
			}
			require.Equal(t, test.want, got)
		})
	}
}

func TestBoolIsTrueOrFalse(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       bool
		err        error
	}{
		{name: "true", text: "true", want: true},
		{name: "false", text: "false"},
		{name: "unset", text: ""},
		{name: "other", text: "yes", err: errors.New(`sample: -x is "yes": use true or false`)},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Value{"sample", test.text, "-x"}.Bool()
			require.Equal(t, test.want, got)
			if test.err != nil {
				require.EqualError(t, err, test.err.Error())
				return
			}
			require.NoError(t, err)
		})
	}
}
