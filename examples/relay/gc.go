// What to copy: this file, if a proxy has both many short sessions and many silent ones. What to
// change: nothing.

package main

import (
	"runtime/debug"
	"time"
)

// manySessions is the number of sessions from which memory is worth more than processor time.
const manySessions = 500

// gcPercent returns the GOGC for a number of sessions. The heap of a few sessions is so small
// that the default would collect garbage after each megabyte or so. With many sessions the
// memory is mostly their stacks, which raise the heap's goal.
func gcPercent(sessions int) int {
	if sessions < manySessions {
		return 400
	}
	return 50
}

// tuneGC sets GOGC for the number of sessions, once a second until the relay ends.
func (r *relay) tuneGC() {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	percent := 0
	for {
		if p := gcPercent(len(r.room)); p != percent {
			debug.SetGCPercent(p)
			percent = p
		}
		select {
		case <-ticker.C:
		case <-r.ctx.Done():
			return
		}
	}
}
