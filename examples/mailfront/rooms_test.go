package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	porticoPath = "github.com/seed-94e48765/portico/"
	roomsFolder = "examples/mailfront/internal/"
)

// roomImports has the packages of the library and of internal that each package of internal may
// import.
var roomImports = map[string][]string{
	"client":   {"proxyproto", "forwarded"},
	"gate":     {"proxyproto", "client", "guard"},
	"guard":    {"trustnet", "client", "store"},
	"msgauth":  {"client"},
	"pop3d":    {"client", "gate", "guard", "mailauth"},
	"webauth":  {"discovery", "publicurl", "client", "guard"},
	"signin":   {"discovery", "client", "webauth", "webpage", "store"},
	"store":    nil,
	"webpage":  nil,
	"mailauth": {"discovery", "client", "gate", "guard"},
}

// goFiles returns the Go files of a folder, without the tests.
func goFiles(t *testing.T, dir string) (files []string) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	for _, file := range all {
		if !strings.HasSuffix(file, "_test.go") {
			files = append(files, file)
		}
	}
	require.NotEmpty(t, files, dir)
	return files
}

// goFilesBelow returns the Go files of a folder and of those in it, with the tests.
func goFilesBelow(t *testing.T, dir string) (files []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".go") {
			files = append(files, path)
		}
		return err
	}))
	require.NotEmpty(t, files, dir)
	return files
}

// rooms returns the names of the folders in internal.
func rooms(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir("internal")
	require.NoError(t, err)
	for _, entry := range entries {
		if entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	require.NotEmpty(t, names)
	return names
}

func TestImportTable(t *testing.T) {
	found := rooms(t)
	for room := range roomImports {
		require.Contains(t, found, room, "the table has a package that does not exist")
	}
	for _, room := range found {
		t.Run(room, func(t *testing.T) {
			require.Contains(t, roomImports, room, "the table does not have this package")
			for _, file := range goFiles(t, filepath.Join("internal", room)) {
				parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
				require.NoError(t, err)
				for _, spec := range parsed.Imports {
					path := strings.Trim(spec.Path.Value, `"`)
					name, isOurs := strings.CutPrefix(path, porticoPath)
					if isOurs {
						require.Contains(t, roomImports[room], strings.TrimPrefix(name, roomsFolder), "%s imports it", file)
					}
				}
			}
		})
	}
}

// copyWith returns the packages that the package comment of a room lists after "Copy with
// it:".
func copyWith(t *testing.T, room string) (with []string) {
	t.Helper()
	const intro = "Copy with it: "
	lists := 0
	for _, file := range goFiles(t, filepath.Join("internal", room)) {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.PackageClauseOnly)
		require.NoError(t, err)
		for paragraph := range strings.SplitSeq(parsed.Doc.Text(), "\n\n") {
			list, ok := strings.CutPrefix(strings.ReplaceAll(paragraph, "\n", " "), intro)
			if !ok {
				continue
			}
			lists++
			list, _, _ = strings.Cut(list, ".")
			if list != "nothing" {
				with = strings.Split(list, ", ")
			}
		}
	}
	require.Equal(t, 1, lists, "the package comment of %s needs one paragraph that begins with %q", room, intro)
	return with
}

// Each room builds in another module, together with the rooms that its package comment
// lists and with no others. Its tests build there, too.
func TestARoomBuildsWhereItIsCopiedTo(t *testing.T) {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	module, err := os.ReadFile("../go.mod")
	require.NoError(t, err)
	sum, err := os.ReadFile("../go.sum")
	require.NoError(t, err)
	const copied = "example.test/copied"
	text := strings.Replace(string(module), "module "+porticoPath+"examples", "module "+copied, 1)
	require.NotEqual(t, string(module), text)
	text = strings.Replace(text, "=> ../", "=> "+filepath.ToSlash(root), 1)
	require.Contains(t, text, filepath.ToSlash(root))
	for _, room := range rooms(t) {
		t.Run(room, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "go.sum"), sum, 0o600))
			for _, name := range append(copyWith(t, room), room) {
				require.NoError(t, os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join("internal", name))))
				for _, file := range goFilesBelow(t, filepath.Join(dir, name)) {
					b, err := os.ReadFile(file)
					require.NoError(t, err)
					b = []byte(strings.ReplaceAll(string(b), `"`+porticoPath+roomsFolder, `"`+copied+"/"))
					require.NotContains(t, string(b), porticoPath+"examples/", file)
					require.NoError(t, os.WriteFile(file, b, 0o600))
				}
			}
			for _, command := range [][]string{{"build", "./..."}, {"vet", "./" + room + "/..."}} {
				c := exec.CommandContext(t.Context(), "go", command...)
				c.Dir = dir
				c.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod", "GOPROXY=off")
				out, err := c.CombinedOutput()
				require.NoError(t, err, "go %s:\n%s", command[0], out)
			}
		})
	}
}
