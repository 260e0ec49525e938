package differential

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/helper/http2"
	"github.com/pires/go-proxyproto/tlvparse"
	"github.com/stretchr/testify/require"
)

// MIGRATION.md describes these packages. The imports keep their version in go.mod.
var (
	_ proxyproto.Header
	_ tlvparse.PP2SSL
	_ http2.Server
)

func TestMigrationIsComplete(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "MIGRATION.md"))
	require.NoError(t, err)
	_, section, ok := strings.Cut(string(b), "\n## From go-proxyproto\n")
	require.True(t, ok)
	section, _, _ = strings.Cut(section, "\n## ")
	have := make(map[string]bool)
	for _, code := range regexp.MustCompile("`[^`\n]+`").FindAllString(section, -1) {
		for _, word := range regexp.MustCompile(`\w+`).FindAllString(code, -1) {
			have[word] = true
		}
	}
	for path, atLeast := range map[string]int{
		"github.com/pires/go-proxyproto":              150,
		"github.com/pires/go-proxyproto/tlvparse":     25,
		"github.com/pires/go-proxyproto/helper/http2": 3,
	} {
		t.Run(path, func(t *testing.T) {
			names := exportedNames(t, path)
			require.GreaterOrEqual(t, len(names), atLeast, "names of the package: %v", names)
			for _, name := range names {
				if !have[name] {
					t.Errorf("MIGRATION.md does not mention %s of %s", name, path)
				}
			}
		})
	}
}

// exportedNames returns the exported identifiers of a package: declarations, methods of
// exported types, and fields of exported structs.
func exportedNames(t *testing.T, path string) []string {
	p, err := build.Import(path, ".", build.FindOnly)
	require.NoError(t, err)
	require.Contains(t, p.Dir, "go-proxyproto@v0.15.0", "MIGRATION.md is about this version")
	files, err := filepath.Glob(filepath.Join(p.Dir, "*.go"))
	require.NoError(t, err)
	var names []string
	add := func(ids ...*ast.Ident) {
		for _, id := range ids {
			if id.IsExported() {
				names = append(names, id.Name)
			}
		}
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil || hasExportedType(d.Recv.List[0].Type) {
					add(d.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch s := spec.(type) {
					case *ast.ValueSpec:
						add(s.Names...)
					case *ast.TypeSpec:
						add(s.Name)
						if st, ok := s.Type.(*ast.StructType); ok && s.Name.IsExported() {
							for _, field := range st.Fields.List {
								add(field.Names...)
							}
						}
					}
				}
			}
		}
	}
	return names
}

func hasExportedType(receiver ast.Expr) bool {
	if star, ok := receiver.(*ast.StarExpr); ok {
		receiver = star.X
	}
	id, ok := receiver.(*ast.Ident)
	return ok && id.IsExported()
}
