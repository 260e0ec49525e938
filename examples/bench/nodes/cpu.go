//go:build unix

package main

import (
	"fmt"
	"os"
	"strings"
)

// processorTime returns the processor time that processes have used, in hundredths of a
// second, or 0 without /proc. Unlike a rate it does not depend on other load.
func processorTime(pids ...int) (sum float64) {
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0
		}
		_, rest, _ := strings.Cut(string(b), ") ") // after the name of the program
		fields := strings.Fields(rest)
		if len(fields) < 13 {
			return 0
		}
		var user, system float64
		if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
			return 0
		}
		sum += user + system
	}
	return sum
}
