// Package api holds the exported names of every package, one file for each, so that
// a change of one is seen in the diff:
//
//	go test ./api -update
package api

import (
	"bytes"
	"flag"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the files instead of comparing them")

var packages = []string{"discovery", "discovery/verify", "forwarded", "proxyproto", "publicurl", "trustnet"}

func TestExportedNamesAreThoseOfTheListing(t *testing.T) {
	for _, name := range packages {
		t.Run(name, func(t *testing.T) {
			got := listing(t, filepath.Join("..", name))
			golden := strings.ReplaceAll(name, "/", "-") + ".txt"
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), got, "an exported name of %s is new, gone or another: if that is meant, go test ./api -update, and tell users in CHANGELOG.md", name)
		})
	}
}

func TestEveryPackageHasAListing(t *testing.T) {
	var found []string
	require.NoError(t, filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		name := d.Name()
		switch {
		case err != nil:
			return err
		case d.IsDir() && (path == "../examples" || name == "internal" || name == "testdata" || strings.HasPrefix(name, ".") && path != ".."):
			return fs.SkipDir
		case strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go"):
			found = append(found, filepath.ToSlash(filepath.Dir(path))[len("../"):])
		}
		return nil
	}))
	slices.Sort(found)
	require.Equal(t, packages, slices.Compact(found))
}

// listing prints every exported declaration of a package, without comments and
// bodies, sorted.
func listing(t *testing.T, dir string) string {
	files := token.NewFileSet()
	sources, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	var all []string
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(files, source, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		if !ast.FileExports(file) {
			continue
		}
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv != nil && !ast.IsExported(receiver(d.Recv.List[0].Type)) {
					continue
				}
				d.Body = nil
				all = append(all, text(t, files, d))
			case *ast.GenDecl:
				if d.Tok == token.IMPORT {
					continue
				}
				if d.Tok == token.TYPE || !hasIota(d) {
					for _, s := range d.Specs {
						all = append(all, text(t, files, &ast.GenDecl{Tok: d.Tok, Specs: []ast.Spec{s}}))
					}
					continue
				}
				all = append(all, text(t, files, d)) // whose order has a meaning
			}
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n") + "\n"
}

// receiver returns the name of the type that a method is of.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

func hasIota(d *ast.GenDecl) (found bool) {
	ast.Inspect(d, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && id.Name == "iota" {
			found = true
		}
		return true
	})
	return found
}

func text(t *testing.T, files *token.FileSet, node ast.Node) string {
	var b bytes.Buffer
	require.NoError(t, (&printer.Config{Mode: printer.UseSpaces | printer.TabIndent, Tabwidth: 8}).Fprint(&b, files, node))
	var lines []string
	for line := range strings.Lines(b.String()) {
		if line = strings.TrimRight(line, " \n"); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}
