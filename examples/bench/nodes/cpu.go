//go:build unix

package main

import "github.com/seed-94e48765/portico/examples/bench/internal/measure"

// processorTime returns the seconds of processor time that processes have used, or 0 without
// /proc. Unlike a rate it does not depend on other load.
func processorTime(pids ...int) (sum float64) {
	for _, pid := range pids {
		own, kernel, err := measure.Processor(pid)
		if err != nil {
			return 0
		}
		sum += (own + kernel).Seconds()
	}
	return sum
}
