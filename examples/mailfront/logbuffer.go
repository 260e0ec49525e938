package main

import (
	"context"
	"strings"
	"sync"
)

// A logBuffer keeps the lines that are written to it. Other goroutines can wait for a line.
type logBuffer struct {
	mu   sync.Mutex
	more sync.Cond
	text strings.Builder
}

func newLogBuffer() *logBuffer {
	b := new(logBuffer)
	b.more.L = &b.mu
	return b
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.more.Broadcast()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// await returns true as soon as n lines contain all parts. It returns false if ctx ends before.
func (b *logBuffer) await(ctx context.Context, n int, parts ...string) bool {
	stop := context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.more.Broadcast()
	})
	defer stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.count(parts) < n {
		if ctx.Err() != nil {
			return false
		}
		b.more.Wait()
	}
	return true
}

// count returns the number of lines that contain all parts. b.mu is held.
func (b *logBuffer) count(parts []string) int {
	n := 0
	for line := range strings.Lines(b.text.String()) {
		all := true
		for _, part := range parts {
			all = all && strings.Contains(line, part)
		}
		if all {
			n++
		}
	}
	return n
}
