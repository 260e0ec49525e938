package main

import (
	"bytes"
	_ "embed"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

//go:embed constructions.txt
var listing string

// A construction is one column of the table.
type construction struct {
	name    string
	pattern *regexp.Regexp
}

// constructions are counted, and phrases in accepted are not.
var constructions, accepted = parseListing(listing)

func parseListing(text string) (counted []construction, accepted []*regexp.Regexp) {
	for line := range strings.Lines(text) {
		name, pattern, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		re := regexp.MustCompile("(?i)" + strings.ReplaceAll(pattern, " ", `\s+`))
		if name == "-" {
			accepted = append(accepted, re)
		} else {
			counted = append(counted, construction{name: name, pattern: re})
		}
	}
	return counted, accepted
}

// An occurrence is one match of a construction.
type occurrence struct {
	folder, file string
	line         int
	construction int // the index in constructions
	text         string
}

type findings struct {
	folders     []string // those with a file that was read
	occurrences []occurrence
}

// counts returns the number of occurrences of each construction in one folder, or in all
// folders if folder is "".
func (f findings) counts(folder string) []int {
	counts := make([]int, len(constructions))
	for _, o := range f.occurrences {
		if folder == "" || o.folder == folder {
			counts[o.construction]++
		}
	}
	return counts
}

// search reads every text file below dir. It leaves out testdata, hidden folders other than
// .ci and .github, and the files that list the constructions.
func search(dir string) (found findings, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			hidden := strings.HasPrefix(name, ".") && name != ".ci" && name != ".github"
			if path != dir && (hidden || name == "testdata" || name == "node_modules") {
				return fs.SkipDir
			}
			return nil
		}
		if name == "constructions.txt" || name == "words_test.go" || name == "LICENSE" || !d.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil || bytes.IndexByte(text, 0) >= 0 {
			return err
		}
		folder, err := filepath.Rel(dir, filepath.Dir(path))
		if err != nil {
			return err
		}
		if folder = filepath.ToSlash(folder); !slices.Contains(found.folders, folder) {
			found.folders = append(found.folders, folder)
		}
		for _, p := range prose(path, text) {
			for _, o := range p.occurrences() {
				o.folder, o.file = folder, path
				found.occurrences = append(found.occurrences, o)
			}
		}
		return nil
	})
	return found, err
}

// A passage is text that begins at a line.
type passage struct {
	line int
	text string
}

// lineComment matches the comment marker of a line, so that a construction that is divided
// between two lines is found.
var lineComment = regexp.MustCompile(`(?m)^[ \t]*(//+|#+)`)

// prose returns the comments and the strings of a Go file, or the whole text of any other file.
func prose(path string, text []byte) (passages []passage) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, text, parser.ParseComments|parser.SkipObjectResolution)
	if !strings.HasSuffix(path, ".go") || err != nil {
		return []passage{{line: 1, text: lineComment.ReplaceAllString(string(text), "")}}
	}
	add := func(n ast.Node) {
		position := files.Position(n.Pos())
		part := string(text[position.Offset:files.Position(n.End()).Offset])
		passages = append(passages, passage{line: position.Line, text: lineComment.ReplaceAllString(part, "")})
	}
	for _, group := range file.Comments {
		add(group)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			add(literal)
		}
		return true
	})
	return passages
}

func (p passage) occurrences() (found []occurrence) {
	text := p.text
	for _, phrase := range accepted {
		text = phrase.ReplaceAllStringFunc(text, func(s string) string {
			return strings.Map(func(r rune) rune {
				if r == '\n' {
					return r
				}
				return '_'
			}, s)
		})
	}
	for i, c := range constructions {
		for _, m := range c.pattern.FindAllStringIndex(text, -1) {
			line := p.line + strings.Count(text[:m[0]], "\n")
			match := strings.Join(strings.Fields(text[m[0]:m[1]]), " ")
			found = append(found, occurrence{line: line, construction: i, text: match})
		}
	}
	return found
}
