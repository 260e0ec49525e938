// Package measure has what the benchmark commands share: their arguments, the processor time and
// memory of a process, and medians.
package measure

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Arguments select what a command measures.
type Arguments struct {
	Rounds int           // measurements of each program
	Length time.Duration // of a measurement
	Only   []string      // names of measurements; all if empty
}

// Check returns an error if nothing would be measured. names are the measurements of the command.
func (a *Arguments) Check(names ...string) error {
	for _, name := range a.Only {
		if !slices.Contains(names, name) {
			return fmt.Errorf("%q is not a measurement: use %s", name, strings.Join(names, ", "))
		}
	}
	if a.Rounds < 1 || a.Length <= 0 {
		return fmt.Errorf("-rounds is %d and -for is %v: use at least one round, and a duration such as 1s", a.Rounds, a.Length)
	}
	return nil
}

// Selected reports whether the measurement is made.
func (a *Arguments) Selected(name string) bool {
	return len(a.Only) == 0 || slices.Contains(a.Only, name)
}

// Processor returns the processor time that a process has used in its own code and in the kernel,
// exact to 10 ms. It reads /proc/PID/stat (proc_pid_stat(5)).
func Processor(pid int) (own, kernel time.Duration, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // after the name of the program
	if len(fields) < 13 {
		return 0, 0, fmt.Errorf("/proc/%d/stat is %q", pid, text)
	}
	for i, sum := range []*time.Duration{&own, &kernel} { // utime and stime
		ticks, err := strconv.Atoi(fields[11+i])
		if err != nil {
			return 0, 0, err
		}
		*sum = time.Duration(ticks) * 10 * time.Millisecond
	}
	return own, kernel, nil
}

// Resident returns the resident bytes of a process.
func Resident(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("no VmRSS in /proc/PID/status")
}

// Median returns the middle of an odd number of values, and the upper middle of an even one.
func Median(values []float64) float64 {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

// Ratio returns the median of the ratios of values to those of base in the same round.
func Ratio(values, base []float64) float64 {
	ratios := make([]float64, len(values))
	for i, value := range values {
		ratios[i] = value / base[i]
	}
	return Median(ratios)
}
