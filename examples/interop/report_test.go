package interop

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
)

// report is the table of the tests that ran.
var report matrix

type matrix struct {
	mu    sync.Mutex
	rows  []row
	cells map[cell]map[string]bool // of checks: whether they passed
}

type row struct {
	product, file, header, way, client string
	talk                               talk
	failed                             bool
}

// add adds a row when its test has ended.
func (m *matrix) add(t *testing.T, r row) {
	t.Cleanup(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		r.failed = t.Failed()
		m.rows = append(m.rows, r)
	})
}

// checked records a finished check of a cell.
func (m *matrix) checked(c cell, check string, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cells == nil {
		m.cells = make(map[cell]map[string]bool)
	}
	if m.cells[c] == nil {
		m.cells[c] = make(map[string]bool)
	}
	m.cells[c][check] = ok
}

func (m *matrix) print(w io.Writer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.rows) > 0 {
		m.printRows(w)
	}
	if len(m.cells) > 0 {
		m.printCells(w)
	}
}

func (m *matrix) printRows(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "\nPROXY\tCONFIGURATION\tHEADER\tWAY\tCLIENT\tSEEN AS\tTLS SEEN\tPASSWORDS\t")
	for _, r := range m.rows {
		tls := fmt.Sprint(r.talk.want.TLS)
		if r.talk.offer == afterStartTLS {
			tls += ", then true"
		}
		if r.talk.offer == "" {
			r.talk.offer = "-"
		}
		outcome := "ok"
		if r.failed {
			outcome = "FAILED"
		}
		fmt.Fprintln(tw, strings.Join([]string{
			r.product, r.file, r.header, r.way, r.client, r.talk.want.ClientIP, tls, string(r.talk.offer), outcome,
		}, "\t"))
	}
	tw.Flush()
	fmt.Fprintf(w, "%d ways ran.\n", len(m.rows))
}

// printCells prints the cells that ran, those that did not, and those that cannot exist.
func (m *matrix) printCells(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "\nPROXY\tWAY\tREPORTED BY\t"+strings.ToUpper(strings.Join(checks, "\t")))
	var impossible, notRun []string
	ran := 0
	for c := range everyCell {
		name := c.product + "\t" + c.way + "\t" + c.sending
		if why := c.cannotExist(); why != "" {
			impossible = append(impossible, name+"\t"+why)
			continue
		}
		have := m.cells[c]
		if have == nil {
			notRun = append(notRun, name)
			continue
		}
		ran++
		for _, check := range checks {
			ok, done := have[check]
			switch {
			case !c.needs(check):
				name += "\t-"
			case !done:
				name += "\tNOT RUN"
			case !ok:
				name += "\tFAILED"
			default:
				name += "\tok"
			}
		}
		fmt.Fprintln(tw, name)
	}
	tw.Flush()
	fmt.Fprintf(w, "\n%d cells ran. %d did not run:\n", ran, len(notRun))
	printTable(w, notRun)
	fmt.Fprintf(w, "\n%d cells cannot exist:\n", len(impossible))
	printTable(w, impossible)
}

func printTable(w io.Writer, lines []string) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, line := range lines {
		fmt.Fprintln(tw, line)
	}
	tw.Flush()
}
