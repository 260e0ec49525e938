// What to copy: strings of a report are safe to print. Other strings, such as network
// errors, are quoted.

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/seed-94e48765/portico/discovery/verify"
)

func (d *diagnosis) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(d)
}

func (d *diagnosis) writeText(out io.Writer) error {
	w := bufio.NewWriter(out)
	if d.Report == nil { // run prints the error to standard error
		d.writeServer(w)
		d.writeFixes(w)
		return w.Flush()
	}
	findings := d.Report.Findings
	fmt.Fprintf(w, "%s: %s, %d requests", d.URL, d.summary(), d.requests())
	if n := d.Report.Connections; n > 0 {
		fmt.Fprintf(w, ", each document over %d connections", n)
		if d.nodesAgree() {
			fmt.Fprintf(w, "; the %d nodes have the same documents and keys", d.nodes)
		}
	}
	fmt.Fprintln(w)
	for i, f := range findings {
		fmt.Fprintf(w, "\n%d. %s: %s in %s", i+1, f.Severity, f.Rule, f.Document)
		if f.Field != "" {
			fmt.Fprintf(w, ", %s", f.Field)
		}
		fmt.Fprintf(w, "\n   at    %s\n   got   %q\n   want  %s\n   hint  %s\n", f.URL, f.Got, f.Want, f.Hint)
		if d.Server != nil {
			where := "the server's own answer has it too"
			if slices.Contains(d.ProxyOnly, i) {
				where = "between the client and the server; the server's own answer does not have it"
			}
			fmt.Fprintf(w, "   where %s\n", where)
		}
	}
	if n := d.Report.Omitted; n > 0 {
		fmt.Fprintf(w, "\nand %d more\n", n)
	}
	for _, c := range d.notFound() {
		fmt.Fprintf(w, "not found: %s at %s: %s\n", c.Document, c.URL, answer(c))
	}
	for _, c := range d.Report.Checked {
		if c.Skipped {
			fmt.Fprintf(w, "not requested: %s: %s\n", c.URL, c.Error)
		}
	}
	d.writeServer(w)
	d.writeFixes(w)
	return w.Flush()
}

func (d *diagnosis) writeFixes(w io.Writer) {
	for _, m := range slices.Sorted(maps.Keys(d.Fixes)) {
		fmt.Fprintf(w, "\nLikely cause: %s\n%s\n", m, meaning[m])
		for _, product := range products {
			if lines := d.Fixes[m][product]; lines != "" {
				fmt.Fprintf(w, "\n  %s\n    %s\n", product, strings.ReplaceAll(lines, "\n", "\n    "))
			}
		}
	}
}

func (d *diagnosis) writeServer(w io.Writer) {
	if d.Server == nil {
		return
	}
	fmt.Fprintf(w, "\nThe server itself, past the proxy at %s: %s\n", d.ServerAddress, count(len(d.Server.Findings)+d.Server.Omitted))
	for _, x := range d.Differences {
		fmt.Fprintf(w, "   %s %s\n      through the proxy  %q\n      at the server      %q\n", x.Method, x.URL, x.Proxy, x.Server)
	}
	if d.Report != nil && len(d.Differences) == 0 {
		fmt.Fprintln(w, "   no differences through the proxy")
	}
	for _, f := range d.Server.Findings {
		if d.Report == nil {
			fmt.Fprintf(w, "   %s\n", f)
			continue
		}
		if !slices.ContainsFunc(d.Report.Findings, func(g verify.Finding) bool {
			return g.Document == f.Document && g.URL == f.URL && g.Rule == f.Rule
		}) {
			fmt.Fprintf(w, "   only at the server: %s\n", f)
		}
	}
}

// notFound returns the documents of mail domains that were requested and not found. A domain
// need not have all documents.
func (d *diagnosis) notFound() (all []verify.Checked) {
	for _, c := range d.Report.Checked {
		if c.Status != http.StatusOK && d.atMailHost(c.URL) {
			all = append(all, c)
		}
	}
	return all
}

// requests returns the number of requests. Issuers that were skipped are not requests.
func (d *diagnosis) requests() (n int) {
	for _, c := range d.Report.Checked {
		if !c.Skipped {
			n++
		}
	}
	return n
}

func (d *diagnosis) summary() string {
	n, withheld := len(d.Report.Findings)+d.Report.Omitted, d.withheld()
	if withheld == 0 {
		return count(n)
	}
	s := fmt.Sprintf("documents of the server that the proxy does not pass on: %d", withheld)
	if n > 0 {
		s = count(n) + ", " + s
	}
	return s
}

func count(n int) string {
	switch n {
	case 0:
		return "nothing wrong"
	case 1:
		return "1 finding"
	}
	return fmt.Sprintf("%d findings", n)
}
