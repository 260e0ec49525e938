package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The samples are made from parts, so that this file has none of the constructions itself.
func sample(parts ...string) string { return strings.Join(parts, "") }

func TestSearch(t *testing.T) {
	beside, standing := sample("be", "side"), sample("st", "ands")
	for _, c := range []struct {
		name, file, text string
		want             []string
	}{
		{name: "Markdown", file: "a.md", text: "One\nfile " + beside + " another.", want: []string{"2 beside"}},
		{name: "upper case", file: "a.md", text: strings.ToUpper(beside), want: []string{"1 beside"}},
		{name: "within a word", file: "a.md", text: beside + "s, under" + standing},
		{name: "comment", file: "a.go", text: "package a\n\n// F " + standing + " here.\nfunc F() {}\n", want: []string{"3 stands"}},
		{name: "divided comment", file: "a.go", text: "package a\n\n// The result i" + "s\n// no" + "ne.\nvar F int\n", want: []string{"3 is none"}},
		{name: "divided shell comment", file: "run", text: "# The result i" + "s\n# no" + "ne.\n", want: []string{"1 is none"}},
		{name: "string", file: "a.go", text: "package a\n\nconst s = `x\n" + beside + "`\n", want: []string{"4 beside"}},
		{name: "identifier", file: "a.go", text: "package a\n\nvar " + beside + " int\n"},
		{name: "accepted phrase", file: "a.md", text: standing + " for, i" + "s no longer, there i" + "s no file"},
		{name: "after an accepted phrase", file: "a.md", text: "i" + "s no longer " + beside, want: []string{"1 beside"}},
		{name: "invalid Go", file: "a.go", text: "pack " + beside, want: []string{"1 beside"}},
		{name: "binary", file: "a.png", text: "\x00" + beside},
		{name: "testdata", file: "testdata/a.md", text: beside},
		{name: "hidden folder", file: ".git/a.md", text: beside},
		{name: "CI", file: ".ci/run", text: beside, want: []string{"1 beside"}},
		{name: "the list itself", file: "constructions.txt", text: beside},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, filepath.FromSlash(c.file))
			require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
			require.NoError(t, os.WriteFile(file, []byte(c.text), 0o600))
			found, err := search(dir)
			require.NoError(t, err)
			var got []string
			for _, o := range found.occurrences {
				require.Equal(t, file, o.file)
				got = append(got, strings.Join([]string{string(rune('0' + o.line)), constructions[o.construction].name}, " "))
			}
			require.Equal(t, c.want, got)
		})
	}
}

func TestReportCountsFoldersAndComparison(t *testing.T) {
	dir, peer := t.TempDir(), t.TempDir()
	beside := sample("be", "side")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "sub"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "sub", "a.md"), []byte(beside+" "+beside), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "b.md"), []byte(beside), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(peer, "c.md"), []byte(beside), 0o600))
	var out strings.Builder
	total, err := report(&out, dir, peer, false)
	require.NoError(t, err)
	require.Equal(t, 3, total)
	require.Regexp(t, `(?m)^ +2 .* sub$`, out.String())
	require.Regexp(t, `(?m)^ +3 .* all of `, out.String())
	require.Regexp(t, `(?m)^ +1 .* net/http, for comparison$`, out.String())
}

func TestReportOfAnEmptyFolderIsAnError(t *testing.T) {
	_, err := report(&strings.Builder{}, t.TempDir(), t.TempDir(), false)
	require.Error(t, err)
}

func TestTwelveConstructions(t *testing.T) {
	require.Len(t, constructions, 12)
	require.NotEmpty(t, accepted)
}
