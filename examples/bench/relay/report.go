//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"text/tabwriter"

	"github.com/seed-94e48765/portico/examples/bench/internal/measure"
)

// figures are the measurements of one proxy by name, one value a round.
type figures map[string][]float64

// columns are the printed columns.
var columns = []struct{ key, title, format string }{
	{"churn", "conn/s", "%.0f"},
	{"p50", "p50 ms", "%.2f"},
	{"p99", "p99 ms", "%.2f"},
	{"own", "own µs", "%.0f"},
	{"kernel", "kernel µs", "%.0f"},
	{"bulk", "MB/s", "%.0f"},
	{"idle", "KiB/idle", "%.1f"},
	{"slow", "conn/s with slow readers", "%.0f"},
}

func (b *bench) run(w io.Writer) error {
	dir, err := os.MkdirTemp("", "portico-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l, err := backend()
	if err != nil {
		return err
	}
	defer l.Close()
	results := make(map[string]figures)
	missing := make(map[string]bool)
	for round := range b.Rounds {
		for i := range kinds {
			kind := kinds[(round+i)%len(kinds)]
			if missing[kind.name] {
				continue
			}
			p, err := kind.start(dir, l.Addr().String(), b)
			if errors.Is(err, errMissing) {
				fmt.Fprintln(w, "left out:", err)
				missing[kind.name] = true
				continue
			}
			if err != nil {
				return err
			}
			p.most = maxSessions(kind.files)
			if results[kind.name] == nil {
				results[kind.name] = make(figures)
			}
			err = b.measure(p, results[kind.name])
			p.stop()
			if err != nil {
				return fmt.Errorf("%s: %w\n%s", kind.name, err, &p.log)
			}
		}
	}
	return b.print(w, results)
}

// measure adds one round. The first sessions warm the proxy up and are not counted.
func (b *bench) measure(p *proxy, f figures) error {
	if _, err := churn(p.addr, b.Length/4); err != nil {
		return err
	}
	add := func(key string, value float64) { f[key] = append(f[key], value) }
	if b.Selected("churn") {
		own, kernel, err := p.processor()
		if err != nil {
			return err
		}
		c, err := churn(p.addr, b.Length)
		if err != nil {
			return err
		}
		ownAfter, kernelAfter, err := p.processor()
		if err != nil {
			return err
		}
		add("own", float64((ownAfter-own).Microseconds())/c.sessions)
		add("kernel", float64((kernelAfter-kernel).Microseconds())/c.sessions)
		add("churn", c.perSecond)
		add("p50", c.p50)
		add("p99", c.p99)
	}
	if b.Selected("bulk") {
		rate, err := bulk(p.addr, b.bytes)
		if err != nil {
			return err
		}
		add("bulk", rate/1e6)
	}
	if b.Selected("slow") {
		c, err := slow(p, b.Length)
		if err != nil {
			return err
		}
		add("slow", c.perSecond)
	}
	if b.Selected("idle") {
		size, err := idle(p, min(b.sessions, p.most))
		if err != nil {
			return err
		}
		add("idle", size/1024)
	}
	return nil
}

// print writes the medians, and the medians of the ratios to the first proxy that ran.
func (b *bench) print(w io.Writer, results map[string]figures) error {
	fmt.Fprintf(w, "median of %d rounds, %d processors, %s, relay log %s; in parentheses × the first row\n", b.Rounds, runtime.NumCPU(), runtime.Version(), b.relayLog)
	if b.Selected("idle") {
		for _, kind := range kinds {
			if most := maxSessions(kind.files); most < b.sessions {
				fmt.Fprintf(w, "%s: %d idle sessions; ulimit -n does not allow %d\n", kind.name, most, b.sessions)
			}
		}
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\t")
	for _, c := range columns {
		fmt.Fprintf(t, "%s\t", c.title)
	}
	fmt.Fprintln(t)
	var first figures
	for _, kind := range kinds {
		f := results[kind.name]
		if f == nil {
			continue
		}
		if first == nil {
			first = f
		}
		fmt.Fprintf(t, "%s\t", kind.name)
		for _, c := range columns {
			if len(f[c.key]) == 0 {
				fmt.Fprint(t, "-\t")
				continue
			}
			fmt.Fprintf(t, c.format+" (%.2f)\t", measure.Median(f[c.key]), measure.Ratio(f[c.key], first[c.key]))
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}
