// Words counts constructions that make the project's prose hard to read. It reads the comments
// and strings of Go files and the whole text of all other files, and prints one line for each
// package and one for net/http of the Go distribution, for comparison.
//
//	go run ./internal/words [-list] [-max N] [DIR]
//
// The constructions are in constructions.txt. Words exits with status 1 if the total is above
// -max. With -list it prints the position of each occurrence instead of the table.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

func main() {
	limit := flag.Int("max", 40, "the highest total that passes")
	list := flag.Bool("list", false, "print the position of each occurrence")
	flag.Parse()
	dir := "."
	if flag.NArg() > 0 {
		dir = flag.Arg(0)
	}
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		fmt.Fprintln(os.Stderr, "words: go env GOROOT:", err)
		os.Exit(2)
	}
	total, err := report(os.Stdout, dir, filepath.Join(strings.TrimSpace(string(goroot)), "src", "net", "http"), *list)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "words:", err)
		os.Exit(2)
	case total > *limit:
		fmt.Fprintf(os.Stderr, "words: %d occurrences, at most %d are allowed: use the words of the Go standard library (.ci/words -list prints the places)\n", total, *limit)
		os.Exit(1)
	}
}

// report writes the counts of the tree at dir and, for comparison, of the tree at reference.
// It returns the total of dir.
func report(w io.Writer, dir, reference string, list bool) (total int, err error) {
	found, err := search(dir)
	if err != nil {
		return 0, err
	}
	if len(found.folders) == 0 {
		return 0, fmt.Errorf("%s has no files to read", dir)
	}
	if list {
		for _, o := range found.occurrences {
			fmt.Fprintf(w, "%s:%d: %s: %s\n", o.file, o.line, constructions[o.construction].name, o.text)
		}
		return len(found.occurrences), nil
	}
	peer, err := search(reference)
	if err != nil {
		return 0, err
	}
	table := tabwriter.NewWriter(w, 0, 0, 1, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "total\t")
	for _, c := range constructions {
		fmt.Fprintf(table, "%s\t", c.name)
	}
	fmt.Fprintln(table)
	for _, folder := range slices.Sorted(slices.Values(found.folders)) {
		if counts := found.counts(folder); slices.Max(counts) > 0 {
			writeRow(table, counts, folder)
		}
	}
	all := found.counts("")
	writeRow(table, all, "all of "+filepath.Base(absolute(dir)))
	writeRow(table, peer.counts(""), "net/http, for comparison")
	return len(found.occurrences), table.Flush()
}

func writeRow(w io.Writer, counts []int, name string) {
	total := 0
	var cells strings.Builder
	for _, n := range counts {
		total += n
		fmt.Fprintf(&cells, "%d\t", n)
	}
	fmt.Fprintf(w, "%d\t%s %s\n", total, cells.String(), name)
}

func absolute(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		return abs
	}
	return dir
}
