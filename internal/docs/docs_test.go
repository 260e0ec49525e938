package docs

import (
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	// The blocks import these packages. Imported here, too, a change of them makes a cached
	// result of this test obsolete.
	_ "github.com/seed-94e48765/portico/discovery"
	_ "github.com/seed-94e48765/portico/discovery/verify"
	_ "github.com/seed-94e48765/portico/forwarded"
	_ "github.com/seed-94e48765/portico/proxyproto"
	_ "github.com/seed-94e48765/portico/publicurl"
	_ "github.com/seed-94e48765/portico/trustnet"
)

// packages are those that a block can use without an import.
var packages = map[string]string{
	"context": "context", "errors": "errors", "fmt": "fmt", "log": "log", "net": "net", "http": "net/http",
	"netip": "net/netip", "os": "os", "slog": "log/slog", "strings": "strings", "time": "time", "tls": "crypto/tls",
	"discovery":  "github.com/seed-94e48765/portico/discovery",
	"verify":     "github.com/seed-94e48765/portico/discovery/verify",
	"forwarded":  "github.com/seed-94e48765/portico/forwarded",
	"proxyproto": "github.com/seed-94e48765/portico/proxyproto",
	"publicurl":  "github.com/seed-94e48765/portico/publicurl",
	"trustnet":   "github.com/seed-94e48765/portico/trustnet",
}

const advice = `a block of Go code in the documentation does not compile. Correct it at the line that the
compiler names. A block of README.md must define every name that it uses. MIGRATION.md may use
the names in internal/docs/testdata/context.go. A package without an import is a line of the
map packages in internal/docs/docs_test.go. In a block with both, only what follows the line
"// after" is compiled, not what follows "// before".`

func TestTheGoCodeOfTheDocumentationCompiles(t *testing.T) {
	var blocks []block
	for _, name := range []string{"README.md", "MIGRATION.md"} {
		found := readBlocks(t, filepath.Join("..", "..", name))
		require.NotEmpty(t, found, "Go code in %s", name)
		blocks = append(blocks, found...)
	}
	out, err := build(t, blocks)
	require.NoError(t, err, "%s\n%s", advice, out)
}

func TestCodeThatDoesNotCompileIsFound(t *testing.T) {
	for _, c := range []struct{ name, code, want string }{
		{name: "unused variable", code: "x, err := fmt.Println()", want: "page.md:7:1: declared and not used: x"},
		{name: "undefined name", code: "err = nil\nnowhere()", want: "page.md:8:1: undefined: nowhere"},
		{name: "syntax error", code: "if {", want: "page.md:7:4: syntax error: missing condition in if statement"},
		{name: "in a function", code: "func f() { nowhere() }", want: "page.md:7:12: undefined: nowhere"},
		{name: "in a whole file", code: "package main\n\nfunc main() { nowhere() }", want: "page.md:9:15: undefined: nowhere"},
		{name: "after", code: "// before\nx := 1\n// after\nnowhere()", want: "page.md:10:1: undefined: nowhere"},
	} {
		t.Run(c.name, func(t *testing.T) {
			page := filepath.Join(t.TempDir(), "page.md")
			text := "A page.\n\n    indented\n\n\n```go\n" + c.code + "\n```\n"
			require.NoError(t, os.WriteFile(page, []byte(text), 0o600))
			blocks := readBlocks(t, page)
			require.Len(t, blocks, 1)
			out, err := build(t, blocks)
			require.Error(t, err)
			require.Contains(t, out, c.want)
		})
	}
}

// A block is one of Go code.
type block struct {
	file string
	line int // of its first line of code
	code string
}

func readBlocks(t *testing.T, name string) (blocks []block) {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	file, err := filepath.Abs(name)
	require.NoError(t, err)
	open := false
	line := 0
	for text := range strings.Lines(string(text)) {
		line++
		switch fence := strings.TrimSpace(text); {
		case open && fence == "```":
			open = false
		case open:
			blocks[len(blocks)-1].code += text
		case fence == "```go":
			open = true
			blocks = append(blocks, block{file: file, line: line + 1})
		}
	}
	require.False(t, open, "%s: a block has no end", name)
	return blocks
}

// withoutBefore blanks the lines of code that a migration replaces.
func (b block) withoutBefore() string {
	var out strings.Builder
	skip := false
	for line := range strings.Lines(b.code) {
		switch {
		case strings.HasPrefix(line, "// before"):
			skip = true
		case strings.HasPrefix(line, "// after"):
			skip = false
		}
		if skip {
			line = "\n"
		}
		out.WriteString(line)
	}
	return out.String()
}

// source returns a Go file. Statements become the body of a function whose result is err.
func (b block) source() string {
	code := b.withoutBefore()
	position := fmt.Sprintf("//line %s:%d:1\n", filepath.ToSlash(b.file), b.line)
	files := token.NewFileSet()
	if _, err := parser.ParseFile(files, "", code, parser.PackageClauseOnly); err == nil {
		return position + code
	}
	if _, err := parser.ParseFile(files, "", "package block\n"+code, 0); err != nil {
		code = "func _() (err error) {\n" + position + code + "return\n}\n"
	} else {
		code = position + code
	}
	// The compiler reports code that does not parse, with its line.
	parsed, _ := parser.ParseFile(files, "", "package block\n"+code, 0)
	imports := ""
	if parsed != nil && len(parsed.Imports) == 0 {
		var names []string
		for _, identifier := range parsed.Unresolved {
			if packages[identifier.Name] != "" && !slices.Contains(names, identifier.Name) {
				names = append(names, identifier.Name)
				imports += fmt.Sprintf("import %q\n", packages[identifier.Name])
			}
		}
	}
	return "package block\n" + imports + code
}

// build compiles each block as a package of its own, which exists only in an overlay.
func build(t *testing.T, blocks []block) (out string, err error) {
	t.Helper()
	here, err := filepath.Abs(".")
	require.NoError(t, err)
	files := t.TempDir()
	overlay := map[string]map[string]string{"Replace": {}}
	args := []string{"build", "-overlay", filepath.Join(files, "overlay.json"), "-o", os.DevNull}
	for i, b := range blocks {
		source := b.source()
		name := fmt.Sprintf("block%d", i)
		file := filepath.Join(files, name+".go")
		require.NoError(t, os.WriteFile(file, []byte(source), 0o600))
		overlay["Replace"][filepath.Join(here, name, "block.go")] = file
		if filepath.Base(b.file) == "MIGRATION.md" && strings.HasPrefix(source, "package block\n") {
			overlay["Replace"][filepath.Join(here, name, "context.go")] = filepath.Join(here, "testdata", "context.go")
		}
		args = append(args, "./"+name)
	}
	text, err := json.Marshal(overlay)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(files, "overlay.json"), text, 0o600))
	output, err := exec.Command("go", args...).CombinedOutput()
	return string(output), err
}
